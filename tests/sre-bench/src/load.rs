//! The users: an open-loop generator (requests come when they come, however slow the answers are), and what they met.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;

use crate::http::Ask;

/// Requests a second, on average.
pub const RATE: f64 = 20.0;
/// How long a user waits.
pub const USERS_WAIT: Duration = Duration::from_secs(2);
/// Paths, by how often they are wanted.
const PATHS: [&str; 5] = ["/", "/", "/catalog", "/catalog", "/report"];

/// What one request met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was due, seconds since the clock's zero.
    pub at: f64,
    /// Whether it was answered with less than 500 in time.
    pub ok: bool,
    /// From when it was due to its end, milliseconds.
    pub ms: f64,
}

/// What a window of requests met.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Window {
    /// How many.
    pub requests: usize,
    /// How many failed.
    pub failed: usize,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
}

impl Window {
    /// Over the samples that were due from `from` (included) to `to`.
    pub fn over(samples: &[Sample], from: f64, to: f64) -> Self {
        let chosen = samples.iter().filter(|sample| (from..to).contains(&sample.at));
        let mut times = Vec::new();
        let mut failed = 0;
        for sample in chosen {
            times.push(sample.ms);
            failed += usize::from(!sample.ok);
        }
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1);
        let p95_ms = times.get(last * 95 / 100).copied().unwrap_or_default();
        Self {
            requests: times.len(),
            failed,
            p95_ms,
        }
    }

    /// Share of requests that failed.
    pub fn error_ratio(&self) -> f64 {
        ratio(self.failed, self.requests)
    }

    /// Whether users are as well off as in `baseline`: errors and p95 within a tenth of it. Of errors one in two hundred
    /// and of p95 50 ms are allowed in any case: the baseline is mostly none and a few milliseconds, of which a tenth
    /// is less than what a busy machine adds.
    pub fn is_as_good_as(&self, baseline: &Self) -> bool {
        let errors = (baseline.error_ratio() * 1.1).max(0.005);
        let late = (baseline.p95_ms * 1.1).max(baseline.p95_ms + 50.0);
        self.requests > 0 && self.error_ratio() <= errors && self.p95_ms <= late
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Users at work. Dropping it sends them home.
#[derive(Debug)]
pub struct Users {
    samples: Arc<Mutex<Vec<Sample>>>,
    factor: Arc<Mutex<f64>>,
    task: JoinHandle<()>,
}

impl Users {
    /// Sends them to `front`, by the clock that began at `zero`, with arrivals that the seed decides.
    pub fn arrive(front: SocketAddr, zero: Instant, seed: u64) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let factor = Arc::new(Mutex::new(1.0));
        let task = tokio::spawn(arrivals(
            front,
            zero,
            seed,
            Arc::clone(&samples),
            Arc::clone(&factor),
        ));
        Self {
            samples,
            factor,
            task,
        }
    }

    /// So many times as many, from now on.
    pub fn multiply(&self, factor: f64) {
        *lock(&self.factor) = factor;
    }

    /// What they met so far. What is still unanswered is not among it.
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.samples).clone()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn arrivals(
    front: SocketAddr,
    zero: Instant,
    seed: u64,
    samples: Arc<Mutex<Vec<Sample>>>,
    factor: Arc<Mutex<f64>>,
) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut due = Instant::now();
    loop {
        let rate = RATE * *lock(&factor);
        // Exponential gaps: independent users.
        let gap = -(1.0 - chance.random::<f64>()).ln() / rate;
        due += Duration::from_secs_f64(gap);
        tokio::time::sleep_until(due.into()).await;
        let path = PATHS[chance.random_range(0..PATHS.len())];
        let samples = Arc::clone(&samples);
        tokio::spawn(async move {
            let host = front.to_string();
            let mut ask = Ask::get(&host, path);
            ask.timeout = USERS_WAIT;
            let ok = matches!(ask.send().await, Ok((status, _)) if status < 500);
            let sample = Sample {
                at: due.saturating_duration_since(zero).as_secs_f64(),
                ok,
                ms: due.elapsed().as_secs_f64() * 1000.0,
            };
            lock(&samples).push(sample);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seconds: std::ops::Range<u32>, ok: bool, ms: f64) -> Vec<Sample> {
        let times =
            seconds.flat_map(|second| (0..20).map(move |part| f64::from(second) + f64::from(part) / 20.0));
        times.map(|at| Sample { at, ok, ms }).collect()
    }

    #[test]
    fn a_window_counts_what_was_due_in_it() {
        let mut all = samples(0..10, true, 5.0);
        all.extend(samples(10..20, false, 2000.0));
        let window = Window::over(&all, 5.0, 15.0);
        assert_eq!((window.requests, window.failed), (200, 100));
        assert_eq!(window.p95_ms, 2000.0);
    }

    #[test]
    fn as_good_is_a_tenth_of_the_baseline_or_what_a_busy_machine_adds() {
        let baseline = Window {
            requests: 200,
            failed: 0,
            p95_ms: 10.0,
        };
        let later = |failed, p95_ms| Window {
            requests: 400,
            failed,
            p95_ms,
        };
        assert!(later(2, 59.0).is_as_good_as(&baseline));
        assert!(!later(3, 10.0).is_as_good_as(&baseline));
        assert!(!later(0, 61.0).is_as_good_as(&baseline));
        let slow = Window {
            p95_ms: 1000.0,
            ..baseline
        };
        assert!(later(0, 1099.0).is_as_good_as(&slow) && !later(0, 1101.0).is_as_good_as(&slow));
    }

    #[test]
    fn no_request_is_no_proof() {
        let none = Window::over(&[], 0.0, 1.0);
        assert!(!none.is_as_good_as(&none));
    }
}
