//! What `/metrics/load-balancers` answers: the requests of each upstream and server, and nginx's connections. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Time;
use crate::signals::Requests;

/// nginx's own count of its connections, as its `stub_status` page has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// When it was read.
    pub t: Time,
    /// Open ones, those that wait for a request included.
    pub active: u64,
    /// Of those, whose request header is being read.
    pub reading: u64,
    /// Of those, whose request is being worked on or answered.
    pub writing: u64,
    /// Of those, which are idle and wait for a request.
    pub waiting: u64,
    /// Accepted since nginx started.
    pub accepted: u64,
    /// Of those, the ones that were not closed at once for lack of resources.
    pub handled: u64,
    /// Requests of clients since nginx started.
    pub requests: u64,
}

/// The requests to an upstream or a server, over the last `overSeconds`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRates {
    /// Requests a second, the cancelled ones included.
    pub requests_per_second: f64,
    /// Answers with 5xx a second.
    pub errors_per_second: f64,
    /// Requests a second whose client went away before an answer (499). They are neither errors nor successes.
    pub cancelled_per_second: f64,
    /// Percent of the answers that were 5xx; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<f64>,
    /// Half of the answers came within so many milliseconds; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 95 of 100 did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// 99 of 100 did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Requests under way at a moment, estimated: rate times mean time.
    pub in_flight: f64,
}

impl RequestRates {
    /// Of these requests within so many seconds.
    pub fn of(requests: &Requests, over_seconds: u32) -> Self {
        let seconds = f64::from(over_seconds.max(1));
        let rate = |count: u32| round(f64::from(count) / seconds);
        let quantile = |part: f64| requests.quantile(part).map(round);
        Self {
            requests_per_second: rate(requests.answered.saturating_add(requests.cancelled)),
            errors_per_second: rate(requests.errors),
            cancelled_per_second: rate(requests.cancelled),
            error_percent: requests.failed_percent().map(round),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            in_flight: round(f64::from(requests.busy_ms) / 1000.0 / seconds),
        }
    }
}

/// To a thousandth: more digits of an estimate say nothing.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// All that was counted of an upstream or a server since this controller began to. Grows, and begins from 0 again with
/// another controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestTotals {
    /// Answered.
    pub answered: u64,
    /// Of those, with 5xx.
    pub errors: u64,
    /// Whose client went away before an answer.
    pub cancelled: u64,
}

/// One server. What a request is for it is one try: a request that nginx tried on two servers counts for both, for each with
/// what that server made of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerMetrics {
    /// Upstream it is in.
    pub upstream: String,
    /// Container name.
    pub container: String,
    /// `address:port`, while it is in rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// It is in rotation now. Others are shown for a quarter of an hour after their last request.
    pub in_rotation: bool,
    /// Its requests.
    pub rates: RequestRates,
    /// Its requests so far.
    pub totals: RequestTotals,
}

/// One upstream. What a request is for it is a client's: once, with the status that the client got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamMetrics {
    /// Its name.
    pub upstream: String,
    /// Its requests.
    pub rates: RequestRates,
    /// Its requests so far.
    pub totals: RequestTotals,
}

/// The requests to one workload: rate, errors and duration, over all load balancers that send it some.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadRequests {
    /// Its name.
    pub workload: String,
    /// How many seconds the rates are of.
    pub over_seconds: u32,
    /// Its requests.
    pub rates: RequestRates,
    /// Its requests so far.
    pub totals: RequestTotals,
}

/// One load balancer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BalancerMetrics {
    /// Its name.
    pub name: String,
    /// Since when its requests are counted; absent while they are not: no detector needs them, its template does not log
    /// them, or its container does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_since: Option<Time>,
    /// How many seconds the rates are of.
    pub over_seconds: u32,
    /// nginx's connections; absent where its configuration does not offer them, or it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// By name.
    pub upstreams: Vec<UpstreamMetrics>,
    /// By upstream and container.
    pub servers: Vec<ServerMetrics>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signals::Outcome;

    #[test]
    fn in_flight_is_rate_times_mean_time_and_of_no_requests_there_is_no_latency() {
        let at = Time(jiff::Timestamp::from_second(1_900_000_000).unwrap());
        let mut requests = Requests::none(at, Duration::from_secs(60));
        let none = RequestRates::of(&requests, 60);
        assert_eq!(none, RequestRates::default());
        (0..540).for_each(|_| requests.count(Outcome::Answered, 200));
        (0..60).for_each(|_| requests.count(Outcome::Failed, 200));
        (0..60).for_each(|_| requests.count(Outcome::Cancelled, 1000));
        let rates = RequestRates::of(&requests, 60);
        assert_eq!(
            (
                rates.requests_per_second,
                rates.errors_per_second,
                rates.cancelled_per_second
            ),
            (11.0, 1.0, 1.0)
        );
        assert_eq!((rates.error_percent, rates.in_flight), (Some(10.0), 3.0));
        assert!(
            rates.p50_ms.unwrap() > 100.0 && rates.p99_ms.unwrap() <= 250.0,
            "{rates:?}"
        );
        assert!(RequestRates::of(&requests, 0).requests_per_second.is_finite());
    }
}
