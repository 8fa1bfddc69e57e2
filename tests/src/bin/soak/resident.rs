//! What a process has in memory, and how that grows. Reads `/proc`.

use std::time::Duration;

use aegis_tests::process::status_kb;
use anyhow::{Context as _, Result};

/// Readings: seconds since the begin, kB.
#[derive(Debug, Default)]
pub(crate) struct Resident(Vec<(f64, f64)>);

impl Resident {
    /// Reads `VmRSS`, kB.
    pub(crate) fn read(&mut self, process: u32, at: Duration) -> Result<u64> {
        let kb = status_kb(process, "VmRSS");
        let kb = kb.with_context(|| format!("/proc/{process}/status says how much is resident"))?;
        self.0.push((at.as_secs_f64(), f64::from(u32::try_from(kb)?)));
        Ok(kb)
    }

    /// kB a minute from there on, by least squares.
    pub(crate) fn slope(&self, from: Duration) -> f64 {
        let from = from.as_secs_f64();
        let points: Vec<&(f64, f64)> = self.0.iter().filter(|(at, _)| *at >= from).collect();
        let count = u32::try_from(points.len()).map_or(1.0, f64::from).max(1.0);
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(|point| of(point)).sum::<f64>() / count;
        let (mean_at, mean_kb) = (mean(|point| point.0), mean(|point| point.1));
        let both: f64 = points
            .iter()
            .map(|(at, kb)| (at - mean_at) * (kb - mean_kb))
            .sum();
        let square: f64 = points.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        both / square.max(f64::EPSILON) * 60.0
    }
}
