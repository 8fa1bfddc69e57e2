//! Prometheus metrics of what is asked of models and analyst, and of what the runbook gave them. Owns the instruments;
//! no I/O.
//!
//! Labels: `purpose` (analysis, security_officer, auditor), `provider`, and `model`, which for the built-in analyst is
//! the rule that decided, and `entry` where one of the runbook did. All three come from the configuration and the
//! rules, never from what is judged. What there is no end of, a prompt's hash and an entry's name, is an exemplar: it
//! stands beside the bucket it fell into, and is shown to scrapers that request OpenMetrics.

use aegis_brain::{Answered, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModel {
    purpose: &'static str,
    provider: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPurpose {
    purpose: &'static str,
}

/// The prompt that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PromptHash {
    prompt_sha256: String,
}

/// The runbook's entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Entry {
    entry: String,
}

/// Upper ends of what lies between 0 and 1.
const SHARES: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

type Seconds = HistogramWithExemplars<PromptHash>;

/// All of an exemplar's names and values together may be this long; the name leaves some for itself.
const ENTRY_SHOWN: usize = 120;

/// The instruments.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    answers: Family<ByModel, Counter>,
    failures: Family<ByModel, Counter>,
    tokens: Family<ByModel, Counter>,
    seconds: Family<ByPurpose, Seconds, fn() -> Seconds>,
    similarity: HistogramWithExemplars<Entry>,
    trust: HistogramWithExemplars<Entry>,
}

impl ModelMetrics {
    /// Registers the instruments. The client appends `_total` to a counter's name itself.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            answers: Family::default(),
            failures: Family::default(),
            tokens: Family::default(),
            seconds: Family::new_with_constructor(|| Seconds::new(exponential_buckets(0.001, 3.0, 12))),
            similarity: HistogramWithExemplars::new(SHARES.into_iter()),
            trust: HistogramWithExemplars::new(SHARES.into_iter()),
        };
        registry.register(
            "aegis_model_answers",
            "Answers that counted",
            metrics.answers.clone(),
        );
        registry.register(
            "aegis_model_failures",
            "Providers that were asked and gave no usable answer",
            metrics.failures.clone(),
        );
        registry.register(
            "aegis_model_tokens",
            "Tokens of prompts and answers, as the provider counts them",
            metrics.tokens.clone(),
        );
        registry.register(
            "aegis_model_seconds",
            "Time from the question to the answer that counted, failures included",
            metrics.seconds.clone(),
        );
        registry.register(
            "aegis_recalled_similarity",
            "Similarity of the runbook entries that incidents were given",
            metrics.similarity.clone(),
        );
        registry.register(
            "aegis_recalled_trust",
            "Trust in the runbook entries that incidents were given",
            metrics.trust.clone(),
        );
        metrics
    }
}

impl Observer for ModelMetrics {
    fn answered(&self, answered: &Answered<'_>) {
        let purpose = answered.purpose;
        let labels = |provider: &str, model: &str| ByModel {
            purpose,
            provider: provider.to_owned(),
            model: model.to_owned(),
        };
        if let Some((provider, model)) = answered.by {
            let labels = labels(provider, model);
            self.answers.get_or_create(&labels).inc();
            self.tokens.get_or_create(&labels).inc_by(answered.tokens);
        }
        for attempt in answered.attempts {
            let labels = labels(&attempt.provider, &attempt.model);
            self.failures.get_or_create(&labels).inc();
            self.tokens.get_or_create(&labels).inc_by(attempt.tokens);
        }
        let seconds = std::time::Duration::from_millis(answered.latency_ms).as_secs_f64();
        let prompt = answered.prompt_hash.map(|hash| PromptHash {
            prompt_sha256: hash.to_owned(),
        });
        self.seconds
            .get_or_create(&ByPurpose { purpose })
            .observe(seconds, prompt, None);
        for recalled in answered.recalled {
            let entry = Entry {
                entry: recalled.name.chars().take(ENTRY_SHOWN).collect(),
            };
            self.similarity.observe(recalled.score, Some(entry.clone()), None);
            self.trust.observe(recalled.trust, Some(entry), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::proposal::FailedAttempt;
    use aegis_brain::Recalled;

    use super::*;

    #[test]
    fn answers_failures_tokens_and_time_are_counted_by_who_was_asked() {
        let mut registry = Registry::default();
        let metrics = ModelMetrics::new(&mut registry);
        let failed = FailedAttempt {
            provider: "fastrouter".into(),
            model: "m".into(),
            reason: "busy".into(),
            tokens: 30,
            latency_ms: 5,
        };
        metrics.answered(&Answered {
            purpose: "auditor",
            by: Some(("ollama", "llama")),
            tokens: 70,
            latency_ms: 1500,
            attempts: std::slice::from_ref(&failed),
            prompt_hash: Some("beef"),
            recalled: &[Recalled {
                name: "rb-7".into(),
                entry: serde_json::from_value(serde_json::json!({
                    "incidentId": "old", "alertType": "a", "rootCause": "r", "action": "RESTART", "confidence": 0.9
                }))
                .unwrap(),
                score: 0.42,
                trust: 0.75,
            }],
        });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"aegis_model_answers_total{purpose="auditor",provider="ollama",model="llama"} 1"#,
            r#"aegis_model_failures_total{purpose="auditor",provider="fastrouter",model="m"} 1"#,
            r#"aegis_model_tokens_total{purpose="auditor",provider="ollama",model="llama"} 70"#,
            r#"aegis_model_tokens_total{purpose="auditor",provider="fastrouter",model="m"} 30"#,
            r#"aegis_model_seconds_sum{purpose="auditor"} 1.5"#,
            r##"aegis_model_seconds_bucket{le="2.187",purpose="auditor"} 1 # {prompt_sha256="beef"} 1.5"##,
            r##"aegis_recalled_similarity_bucket{le="0.5"} 1 # {entry="rb-7"} 0.42"##,
            "aegis_recalled_trust_sum 0.75",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
