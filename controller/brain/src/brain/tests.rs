mod budgets;
mod failures;
mod injections;
mod known;
mod policies;
mod precedence;
mod scripted;
mod seats;
mod server;
mod servers;
mod streams;

use std::time::Duration;

use aegis_api::incident::Severity;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence, Verdict};
use aegis_api::workload::Health;
use secrecy::SecretString;

use super::*;
use crate::case::ReplicaBounds;
use crate::provider::Timeouts;
use crate::provider::config::ProviderKind;
use server::Server;

/// A workload of one container that is close to its memory limit.
pub(crate) fn case() -> Case {
    let container = ContainerEvidence {
        name: "web-1".into(),
        image: "web:2".into(),
        state: "running".into(),
        health: Health::Unhealthy,
        probe: Some("HTTP 503".into()),
        cpu_percent: Some(5.0),
        memory_bytes: Some(250 << 20),
        memory_limit_bytes: Some(256 << 20),
        log_tail: "12:00:01 GET /a 200\n12:00:02 GET /b 200\nleak is at 250 MB\n".into(),
        ..ContainerEvidence::default()
    };
    Case {
        incident: "inc".into(),
        alert_type: "HIGH_MEMORY".into(),
        severity: Severity::Critical,
        logs: String::new(),
        details: std::collections::BTreeMap::new(),
        workload: "web".into(),
        container: None,
        evidence: Evidence {
            collected_at: Some(Time(jiff::Timestamp::UNIX_EPOCH)),
            containers: vec![container],
            desired_replicas: 1,
            ..Evidence::default()
        },
        measured: Vec::new(),
        trusted: Vec::new(),
        balancers: Vec::new(),
        recalled: Vec::new(),
        replicas: ReplicaBounds {
            min: 1,
            max: 6,
            current: 1,
        },
        protected: false,
        tried: Vec::new(),
        terms: Default::default(),
        now: Time(jiff::Timestamp::UNIX_EPOCH),
    }
}

/// An answer that counts.
const RESTART: &str = r#"{"root_cause": "a leak", "action": "RESTART", "justification": "memory is at 97 %", "confidence": 0.9, "replica_count": 0}"#;
/// As above, and different from it.
const SCALE: &str = r#"{"root_cause": "load", "action": "SCALE_UP", "justification": "memory is at 97 %", "confidence": 0.8, "replica_count": 1}"#;

/// No test waits for these; one that tests a timeout sets its own.
const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(60),
    first_token: Duration::from_secs(60),
    between_tokens: Duration::from_secs(60),
    total: Duration::from_secs(120),
};

fn openai(name: &str, server: &Server) -> ProviderConfig {
    ProviderConfig {
        key: Some(SecretString::from("sk-test-key")),
        timeouts: PATIENT,
        ..ProviderConfig::new(name, ProviderKind::OpenAi, &*server.url, "some/model")
    }
}

fn ollama(name: &str, server: &Server) -> ProviderConfig {
    ProviderConfig {
        timeouts: PATIENT,
        ..ProviderConfig::new(name, ProviderKind::Ollama, &*server.url, "llama")
    }
}

/// A brain that retries at once.
fn brain(providers: Vec<ProviderConfig>) -> Brain {
    let config = BrainConfig {
        providers,
        retry: RetryPolicy {
            retries: 2,
            base: Duration::from_millis(1),
            most: Duration::from_secs(1),
        },
        budget: Budget {
            tokens: 100_000,
            wall: Duration::from_secs(600),
        },
        ..BrainConfig::default()
    };
    Brain::new(config).unwrap()
}

/// What a client of the live stream ends up with.
#[derive(Debug, Default)]
struct Screen {
    text: String,
    restarts: Vec<String>,
}

impl Screen {
    fn show(&mut self, chunk: Chunk<'_>) {
        match chunk {
            Chunk::Text(text) => self.text.push_str(text),
            Chunk::Restart { provider, reason } => {
                self.text.clear();
                self.restarts.push(format!("{provider}: {reason}"));
            }
        }
    }
}

async fn analyse(brain: &Brain) -> (Analysis, Screen) {
    let mut screen = Screen::default();
    let analysis = brain
        .analyse(&case(), &mut |chunk| screen.show(chunk))
        .await
        .unwrap();
    // Whatever happened on the way: what stands on the screen is what the one who decided said.
    assert_eq!(screen.text, analysis.reasoning);
    (analysis, screen)
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_name() {
    let with = |edit: fn(&mut ProviderConfig)| {
        let mut provider = ProviderConfig::new("a", ProviderKind::OpenAi, "http://127.0.0.1:1", "m");
        edit(&mut provider);
        let config = BrainConfig {
            providers: vec![provider],
            ..BrainConfig::default()
        };
        let error = Brain::new(config).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        source.unwrap_or_else(|| error.to_string())
    };
    assert!(with(|it| it.name = "builtin".into()).contains("builtin"));
    assert!(with(|it| it.base_url = "ftp://h".into()).contains("http://"));
    assert!(with(|it| it.base_url = "nonsense".into()).contains("provider a"));
    assert!(with(|it| it.base_url = "http://u:p@h".into()).contains("password"));
    assert!(with(|it| it.model = " ".into()).contains("names no model"));
    let config = BrainConfig {
        routes: Some(Routes::all(["missing"])),
        ..BrainConfig::default()
    };
    assert_eq!(
        Brain::new(config).unwrap_err().to_string(),
        "no provider is called \"missing\": there are builtin"
    );
}
