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
        /// The requests, where it is a number that grows without end from where replicas are full, as requests under way do.
        rate: Option<Rate>,
    },
    /// Milliseconds within which 95 of 100 requests were answered.
    Latency {
        /// 0 where there were none.
        millis: f64,
        /// The requests.
        rate: Rate,
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

/// Requests that ended, of the whole workload.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// A second.
    pub per_second: f64,
    /// Whether it says what the replicas can do: where they are full they go on answering, and every request waits. A stall, a
    /// restart, a cold start, or one replica that hangs, makes requests slow at a rate that says nothing.
    pub is_steady: bool,
}

/// How many requests were answered with 5xx.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Percent of those answered.
    pub percent: f64,
    /// Answered.
    pub answered: u32,
}
