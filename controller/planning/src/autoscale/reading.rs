//! What was measured for one target. Pure.

/// What was measured for one target.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Percent of its limit that each replica uses which serves; absent for one that could not be read.
    OfReplicas {
        /// One a replica.
        percents: Vec<Option<f64>>,
        /// Whether a replica cannot use more than 100 %.
        limited: bool,
    },
    /// Of the whole workload: requests a second, requests under way, what another system counts.
    Total {
        /// Now.
        now: f64,
        /// After the head start, where that is more.
        ahead: Option<f64>,
        /// Requests a second, where it is a number that grows without end from where replicas are full, as requests under way do.
        requests_per_second: Option<f64>,
    },
    /// Milliseconds within which 95 of 100 requests were answered.
    Latency {
        /// 0 where there were none.
        millis: f64,
        /// Requests a second, of the whole workload.
        requests_per_second: f64,
    },
    /// It is measured, and says nothing yet: replicas have just come, or the count has just begun.
    Pending(String),
    /// It cannot be measured.
    Missing(String),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Missing("was not measured".to_owned())
    }
}

/// How many requests were answered with 5xx.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Percent of those answered.
    pub percent: f64,
    /// Answered.
    pub answered: u32,
}
