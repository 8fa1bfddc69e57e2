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

    /// How it grew from there on, by least squares.
    pub(crate) fn growth(&self, from: Duration) -> Growth {
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
        let slope = both / square.max(f64::EPSILON);
        let rest = points
            .iter()
            .map(|(at, kb)| (kb - mean_kb - slope * (at - mean_at)).powi(2));
        let error = (rest.sum::<f64>() / (count - 2.0).max(1.0) / square.max(f64::EPSILON)).sqrt();
        Growth {
            kb_per_minute: slope * 60.0,
            error: error * 60.0,
        }
    }
}

/// How memory grows, and how far that may be off: a storm takes and gives back megabytes from one reading to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    kb_per_minute: f64,
    /// The standard error of it.
    error: f64,
}

impl Growth {
    /// Whether it surely grows by more than this, kB a minute.
    pub(crate) fn is_more_than(self, kb_per_minute: f64) -> bool {
        self.kb_per_minute - 2.0 * self.error > kb_per_minute
    }
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mb = |kb: f64| kb / 1024.0;
        write!(f, "{:.2} ± {:.2} MB/min", mb(self.kb_per_minute), mb(self.error))
    }
}
