//! Numbers that other systems know, read by HTTP beside the passes: at most once in a few seconds, within a few seconds, up to
//! a bound, and never by a redirect to another place. A pass takes the last answer and waits for none, so that an address
//! where no system answers delays no workload; what fails is tried again with growing pauses. Does I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::error::root_cause;
use aegis_api::redact::{bound, redact};
use aegis_api::workload::autoscale::{Autoscale, AutoscaleMetric, AutoscaleTarget};
use aegis_planning::autoscale::Reading;
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::secret_values::secret_value;

/// How long after an answer the next one is requested.
const EVERY: Duration = Duration::from_secs(10);
/// The longest pause after failures in a row; each is twice the one before.
const SELDOM: Duration = Duration::from_secs(60);
/// How long an answer may take, the connection included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Up to what age a number is taken to be of now: it is late where this machine is busy.
const FRESH: Duration = Duration::from_secs(60);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Addresses that are remembered, and requests that are under way at a time.
const MOST: usize = 1024;
const AT_ONCE: usize = 16;
/// Most characters of an answer that are shown.
const SAID: usize = 80;

/// What is known of one address.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The last answer, and when it came.
    last: Option<(Time, Result<f64, String>)>,
    /// Failures in a row.
    failures: u32,
    under_way: bool,
}

impl Known {
    /// Whether it is time to request another.
    fn is_due(&self, now: Time) -> bool {
        let doubled = self.failures.saturating_sub(1).min(8);
        let pause = EVERY.saturating_mul(2_u32.saturating_pow(doubled)).min(SELDOM);
        !self.under_way && self.last.as_ref().is_none_or(|(at, _)| at.apart(now) >= pause)
    }

    /// `target` says which one of several it is.
    fn reading(&self, target: &str, now: Time) -> Reading {
        let missing = |why: &str| Reading::Missing(format!("cannot be measured: {target}.{why}"));
        match &self.last {
            None => Reading::Pending("is being read for the first time".to_owned()),
            Some((at, Ok(_))) if at.apart(now) >= FRESH => missing(&format!("value: no answer since {at}")),
            Some((_, Ok(number))) => Reading::Total {
                now: *number,
                ahead: None,
                rate: None,
            },
            Some((_, Err(why))) => missing(why),
        }
    }
}

type Kept = HashMap<String, Known>;

/// The last numbers, and the requests that are under way: they end with it. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Externals {
    kept: Arc<Mutex<Kept>>,
    client: Arc<OnceLock<Result<Client, String>>>,
    requests: Arc<Mutex<JoinSet<()>>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Externals {
    /// The reading of each External target, by its place, as it was last answered. Waits for nothing.
    pub(super) fn read(&self, context: &Context, spec: &Autoscale) -> Vec<(usize, Reading)> {
        let targets = spec.targets.iter().enumerate();
        let external = targets.filter(|(_, target)| target.metric == AutoscaleMetric::External);
        external
            .map(|(index, target)| (index, self.one(context, index, target)))
            .collect()
    }

    fn one(&self, context: &Context, index: usize, target: &AutoscaleTarget) -> Reading {
        let now = context.clock.now();
        let key = serde_json::to_string(target).unwrap_or_default();
        let mut kept = lock(&self.kept);
        if kept.len() >= MOST && !kept.contains_key(&key) {
            kept.retain(|_, known| known.under_way);
        }
        let known = kept.entry(key.clone()).or_default();
        let reading = known.reading(&format!("targets[{index}]"), now);
        if known.is_due(now) {
            known.under_way = self.begin(context, target, key);
        }
        reading
    }

    /// Requests an answer, unless too many are under way: it is due still then.
    fn begin(&self, context: &Context, target: &AutoscaleTarget, key: String) -> bool {
        let mut requests = lock(&self.requests);
        while let Some(ended) = requests.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a request for an External target was cut short");
            }
        }
        if requests.len() >= AT_ONCE {
            return false;
        }
        let (context, target) = (context.clone(), target.clone());
        let (kept, client) = (Arc::clone(&self.kept), Arc::clone(&self.client));
        requests.spawn(async move {
            let answer = Answer {
                kept: &kept,
                key: &key,
                context: &context,
            };
            let number = fetch(&client, &context, &target).await;
            answer.came(number);
        });
        true
    }
}

/// What is to be noted down of a request, also where it was cut short.
struct Answer<'a> {
    kept: &'a Mutex<Kept>,
    key: &'a str,
    context: &'a Context,
}

impl Answer<'_> {
    fn came(&self, number: Result<f64, String>) {
        let mut kept = lock(self.kept);
        let Some(known) = kept.get_mut(self.key) else {
            return;
        };
        known.failures = match number {
            Ok(_) => 0,
            Err(_) => known.failures.saturating_add(1),
        };
        known.last = Some((self.context.clock.now(), number));
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if let Some(known) = lock(self.kept).get_mut(self.key) {
            known.under_way = false;
        }
    }
}

/// The number, or what went wrong: it begins with the field that it is about.
async fn fetch(
    client: &OnceLock<Result<Client, String>>,
    context: &Context,
    target: &AutoscaleTarget,
) -> Result<f64, String> {
    let place = place(target);
    let at = |why: String| format!("{place}: {why}");
    let client = client.get_or_init(new_client).clone().map_err(at)?;
    let mut request = client.get(address(target).map_err(at)?);
    if let Some(source) = &target.token_value_from {
        let (folder, source) = (context.settings.secrets.clone(), source.clone());
        let token = tokio::task::spawn_blocking(move || secret_value(&folder, &source)).await;
        let token = token.map_err(|error| error.to_string()).flatten();
        let token = token.map_err(|why| format!("tokenValueFrom: {why}"))?;
        request = request.bearer_auth(token.trim());
    }
    let response = request.send().await.map_err(|error| at(cause(&error)))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(at(format!(
            "HTTP {}: redirects are not followed",
            status.as_u16()
        )));
    }
    // What Prometheus answers a query with that it cannot take, or cannot work out.
    let is_explained = matches!(status.as_u16(), 400 | 422) && target.prometheus.is_some();
    if !status.is_success() && !is_explained {
        return Err(at(format!("HTTP {}", status.as_u16())));
    }
    let body = body(response).await.map_err(at)?;
    let text = String::from_utf8_lossy(&body);
    match is_explained {
        // What is wrong with a query stands in the answer.
        true => Err(format!("query: HTTP {}{}", status.as_u16(), explained(&text))),
        false => number(target, &text),
    }
}

async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if body.len().saturating_add(chunk.len()) > ANSWER {
            return Err(format!("its answer is longer than {ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The field that says where the number is.
fn place(target: &AutoscaleTarget) -> &'static str {
    match target.prometheus {
        Some(_) => "prometheus",
        None => "url",
    }
}

/// What Prometheus says of a query that it does not answer.
fn explained(text: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(text).ok();
    let error = answer.as_ref().and_then(|answer| answer.get("error")?.as_str());
    error.map_or_else(String::new, |error| {
        format!(": {}", bound(&redact(error), SAID * 2))
    })
}

fn new_client() -> Result<Client, String> {
    let built = aegis_outgoing::client_builder().and_then(|builder| {
        builder
            .user_agent(concat!("aegisops/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .build()
    });
    built.map_err(|error| cause(&error))
}

/// The innermost reason, without the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    bound(&redact(&root_cause(error)), SAID * 2)
}

fn address(target: &AutoscaleTarget) -> Result<Url, String> {
    if let Some(url) = &target.url {
        return Url::parse(url).map_err(|error| error.to_string());
    }
    let base = target
        .prometheus
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    let mut url = Url::parse(&format!("{base}/api/v1/query")).map_err(|error| error.to_string())?;
    url.query_pairs_mut()
        .append_pair("query", target.query.as_deref().unwrap_or_default());
    Ok(url)
}

/// The number in an answer; an error names the field.
fn number(target: &AutoscaleTarget, text: &str) -> Result<f64, String> {
    let finite = |number: f64| (number.is_finite() && number >= 0.0).then_some(number);
    let said = || format!("it answers {:?}", bound(&redact(text.trim()), SAID));
    if target.prometheus.is_some() {
        let answer: Value = serde_json::from_str(text)
            .map_err(|_| format!("prometheus: {}, not what Prometheus answers", said()))?;
        return of_prometheus(&answer)
            .and_then(|number| finite(number).ok_or_else(|| format!("query: it answers {number}")));
    }
    let (place, number) = match &target.field {
        Some(field) => {
            let answer: Value =
                serde_json::from_str(text).map_err(|_| format!("url: {}, not JSON", said()))?;
            let value = answer
                .pointer(field)
                .ok_or_else(|| format!("field: its answer has no {field}"))?;
            (
                "field",
                value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()),
            )
        }
        None => ("url", text.trim().parse().ok()),
    };
    number
        .and_then(finite)
        .ok_or_else(|| format!("{place}: {}, not a number of 0 or more", said()))
}

/// A scalar, or a vector of one.
fn of_prometheus(answer: &Value) -> Result<f64, String> {
    let at = |pointer: &str| answer.pointer(pointer);
    let sample = match at("/data/resultType").and_then(Value::as_str) {
        Some("scalar") => at("/data/result/1"),
        Some("vector") => match at("/data/result").and_then(Value::as_array).map(Vec::as_slice) {
            Some([_]) => at("/data/result/0/value/1"),
            Some(rows) => return Err(format!("query: it answers {} series: one is needed", rows.len())),
            None => None,
        },
        _ => None,
    };
    let number = sample.and_then(Value::as_str).and_then(|text| text.parse().ok());
    number.ok_or_else(|| "query: it answers no number".to_owned())
}

#[cfg(test)]
pub(super) mod tests;
