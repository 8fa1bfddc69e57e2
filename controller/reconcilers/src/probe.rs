//! Readiness probes: one loop a container, and the latest verdict of each. Does I/O through the engine only.
//!
//! A verdict belongs to one run of a container (id and start time): after a restart it is unknown until the first
//! probe. Losing all verdicts costs nothing but a probe each, so they live in memory alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::probe::HttpRequest;
use aegis_api::redact::{bound, redact};
use aegis_api::workload::Health;
use aegis_api::{ContainerId, Time};
use aegis_docker::probe::KeptConnection;
use aegis_docker::{Engine, HttpAnswer, ProbeError};
use aegis_planning::probe::{ProbeRequest, ProbeResult, Target};
use futures::stream::Stream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The first pause after a failed probe of a container that is not ready yet.
const FIRST_RETRY: Duration = Duration::from_millis(25);
/// Characters of a body that are read for its first line, and of the line that is shown.
const BODY_CHARS: usize = 4096;
const LINE_CHARS: usize = 160;

/// A failed answer: its status, what its body says first, and what people usually find behind it.
fn refusal(request: &HttpRequest, answer: &HttpAnswer) -> String {
    let said = first_words(&answer.body);
    let said = if said.is_empty() {
        said
    } else {
        format!(" {said:?}")
    };
    let named = request.host.is_some();
    let wants_tls = !request.tls && answer.body.to_ascii_lowercase().contains("https");
    let hint = match answer.status {
        400 if wants_tls => " (the port may speak TLS: set health.http.scheme: https)",
        400 | 421 if !named => " (the application may check Host: set health.http.host)",
        401 | 403 if !named => {
            " (the application may check Host, or want credentials: set health.http.host or health.http.path)"
        }
        401 | 403 => " (the path may need credentials: set health.http.path)",
        404 | 405 => " (is health.http.path right?)",
        _ => "",
    };
    format!("{}: {}{said}{hint}", request.words(), answer.status)
}

/// The first line of a body's text, without markup, bounded and redacted: it may say anything.
fn first_words(body: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in body.chars().take(BODY_CHARS) {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push('\n');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line: String = line
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    bound(&redact(&line), LINE_CHARS)
}

/// Asks once, over a connection of its own. `Ok` is healthy; both texts are human-readable.
pub async fn ask(engine: &dyn Engine, question: &ProbeRequest, timeout: Duration) -> Result<String, String> {
    match question {
        ProbeRequest::Http(request) => judged(request, engine.http_ask(request, timeout).await),
        ProbeRequest::Tcp(address) => connects(engine, *address, timeout).await,
    }
}

/// As [`ask`], for who asks the same again and again.
async fn ask_again(
    engine: &dyn Engine,
    kept: &mut KeptConnection,
    question: &ProbeRequest,
    timeout: Duration,
) -> Result<String, String> {
    match question {
        ProbeRequest::Http(request) => judged(request, engine.http_ask_again(kept, request, timeout).await),
        ProbeRequest::Tcp(address) => connects(engine, *address, timeout).await,
    }
}

fn judged(request: &HttpRequest, answer: Result<HttpAnswer, ProbeError>) -> Result<String, String> {
    match answer {
        Ok(answer) if (200..400).contains(&answer.status) => Ok(format!(
            "{}: {} in {} ms",
            request.words(),
            answer.status,
            answer.latency.as_millis()
        )),
        Ok(answer) => Err(refusal(request, &answer)),
        Err(error) => Err(error.to_string()),
    }
}

async fn connects(engine: &dyn Engine, address: SocketAddr, timeout: Duration) -> Result<String, String> {
    match engine.tcp_connect(address, timeout).await {
        Ok(()) => Ok(format!("tcp {address}: open")),
        Err(error) => Err(error.to_string()),
    }
}

/// Probes every target it is given, for as long as it is given it. Cheap to clone.
#[derive(Clone)]
pub struct Prober(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    state: Mutex<State>,
    targets_changed: Notify,
    results_changed: Notify,
}

#[derive(Default)]
struct State {
    targets: HashMap<ContainerId, (String, Target)>,
    results: HashMap<ContainerId, (Option<Time>, ProbeResult)>,
    dirty: BTreeSet<String>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prober")
    }
}

impl Prober {
    /// A prober without targets; [`Prober::run`] does the work.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self(Arc::new(Inner {
            engine,
            state: Mutex::default(),
            targets_changed: Notify::new(),
            results_changed: Notify::new(),
        }))
    }

    /// Replaces the targets of one workload.
    pub fn set_targets(&self, workload: &str, targets: &[Target]) {
        let changed = self.with(|state| {
            let wanted: BTreeMap<&str, &Target> = targets
                .iter()
                .map(|target| (target.id.as_str(), target))
                .collect();
            let before = state.targets.len();
            state
                .targets
                .retain(|id, (owner, _)| owner != workload || wanted.contains_key(id.as_str()));
            let mut changed = state.targets.len() != before;
            for target in targets {
                let entry = (workload.to_owned(), target.clone());
                if state.targets.get(&target.id) != Some(&entry) {
                    state.targets.insert(target.id.clone(), entry);
                    changed = true;
                }
            }
            let State { targets, results, .. } = state;
            results.retain(|id, _| targets.contains_key(id));
            changed
        });
        if changed {
            self.0.targets_changed.notify_one();
        }
    }

    /// The latest result for this run of a container.
    pub fn result(&self, id: &str, started_at: Option<Time>) -> ProbeResult {
        self.with(|state| match state.results.get(id) {
            Some((run, result)) if *run == started_at => result.clone(),
            _ => ProbeResult::default(),
        })
    }

    /// Names of workloads one of whose containers changed its health.
    pub fn changes(&self) -> impl Stream<Item = String> + Send + 'static {
        let prober = self.clone();
        futures::stream::unfold(prober, |prober| async move {
            loop {
                let next = prober.with(|state| state.dirty.pop_first());
                if let Some(name) = next {
                    return Some((name, prober));
                }
                // A change in between has left a permit: it is not missed.
                prober.0.results_changed.notified().await;
            }
        })
    }

    /// Runs the probe loops until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut running: HashMap<ContainerId, (Target, tokio::task::AbortHandle)> = HashMap::new();
        let mut loops = JoinSet::new();
        loop {
            let notified = self.0.targets_changed.notified();
            let wanted = self.with(|state| state.targets.clone());
            running.retain(|id, (target, handle)| {
                let keep = wanted.get(id).is_some_and(|(_, wanted)| wanted == target);
                if !keep {
                    handle.abort();
                }
                keep
            });
            for (id, (workload, target)) in wanted {
                running.entry(id).or_insert_with(|| {
                    let handle = loops.spawn(self.clone().probe_for_ever(workload, target.clone()));
                    (target, handle)
                });
            }
            tokio::select! {
                () = notified => {}
                Some(_) = loops.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn probe_for_ever(self, workload: String, target: Target) {
        let mut tally = Tally::default();
        let mut pause = FIRST_RETRY.min(target.interval);
        let mut kept = KeptConnection::default();
        loop {
            let answer = ask_again(&*self.0.engine, &mut kept, &target.question, target.timeout).await;
            let health = tally.count(answer.is_ok(), target.successes, target.failures);
            let message = answer.unwrap_or_else(|error| error);
            self.record(&workload, &target, ProbeResult { health, message });
            if health == Health::Healthy {
                pause = FIRST_RETRY.min(target.interval);
                tokio::time::sleep(target.interval).await;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(target.interval);
            }
        }
    }

    fn record(&self, workload: &str, target: &Target, result: ProbeResult) {
        let changed = self.with(|state| {
            if !state
                .targets
                .get(&target.id)
                .is_some_and(|(_, wanted)| wanted == target)
            {
                return false;
            }
            let health = result.health;
            let before = state
                .results
                .insert(target.id.clone(), (target.started_at, result));
            let changed =
                before.is_none_or(|(run, before)| run != target.started_at || before.health != health);
            if changed {
                state.dirty.insert(workload.to_owned());
            }
            changed
        });
        if changed {
            self.0.results_changed.notify_one();
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts answers into a health: thresholds in a row, and no result before the first threshold is reached.
#[derive(Debug, Default)]
struct Tally {
    health: Health,
    successes: u32,
    failures: u32,
}

impl Tally {
    fn count(&mut self, healthy: bool, successes: u32, failures: u32) -> Health {
        if healthy {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
            if self.successes >= successes {
                self.health = Health::Healthy;
            }
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
            if self.failures >= failures {
                self.health = Health::Unhealthy;
            }
        }
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_probe_shows_what_the_application_says_and_a_hint() {
        let plain = HttpRequest::new("10.0.0.2:80".parse().unwrap(), "/health");
        let named = HttpRequest {
            host: Some("shop.example.test".to_owned()),
            ..plain.clone()
        };
        let said = |request: &HttpRequest, status, body: &str| {
            let answer = HttpAnswer {
                status,
                body: body.to_owned(),
                latency: Duration::ZERO,
            };
            refusal(request, &answer)
        };
        let host = "set health.http.host";
        // (asked, status, body, what it says, the hint)
        for (request, status, body, shown, hint) in [
            (
                &plain,
                400,
                "<!doctype html>\n<h1>Bad Request (400)</h1>",
                "\"Bad Request (400)\"",
                host,
            ),
            (
                &named,
                400,
                "DisallowedHost",
                "\"DisallowedHost\"",
                "DisallowedHost",
            ),
            (
                &plain,
                400,
                "Client sent an HTTP request to an HTTPS server.\n",
                "HTTPS server",
                "scheme: https",
            ),
            (
                &plain,
                400,
                "<title>The plain HTTP request was sent to HTTPS port</title>",
                "HTTPS port",
                "scheme: https",
            ),
            (&plain, 401, "", ": 401", "credentials"),
            (&plain, 403, "Blocked host", "Blocked host", host),
            (&plain, 404, "not here", "not here", "health.http.path"),
            (&plain, 421, "Misdirected", "Misdirected", host),
            (&plain, 500, "{\"error\":\"db\"}", "error", "db"),
        ] {
            let text = said(request, status, body);
            assert!(text.starts_with("GET http://10.0.0.2:80/health: "), "{text}");
            assert!(
                text.contains(&status.to_string()) && text.contains(shown) && text.contains(hint),
                "{text}"
            );
        }
        assert!(
            !said(&named, 400, "DisallowedHost").contains(host),
            "it is set already"
        );
        assert_eq!(said(&plain, 503, " \n"), "GET http://10.0.0.2:80/health: 503");
    }

    #[test]
    fn i11_a_body_is_bounded_and_redacted_and_cannot_forge_lines() {
        let shown = first_words(&format!(
            "\n password=hunter2hunter2 \u{1b}[31m{}\nsecond",
            "x".repeat(9000)
        ));
        assert!(shown.chars().count() <= LINE_CHARS + 1, "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains('\u{1b}') && !shown.contains("second"),
            "{shown}"
        );
        assert_eq!(first_words(&"<".repeat(100_000)), "");
    }

    #[test]
    fn thresholds_count_answers_in_a_row() {
        let mut tally = Tally::default();
        assert_eq!(tally.count(false, 2, 3), Health::Unknown);
        assert_eq!(tally.count(true, 2, 3), Health::Unknown);
        assert_eq!(tally.count(true, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(true, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Unhealthy);
    }
}
