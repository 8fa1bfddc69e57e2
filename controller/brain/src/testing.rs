//! A model that wants one action whatever it is asked, agrees with itself, and takes its time: for what must hold for any
//! proposer. No network; it sleeps in the runtime's time, which may be virtual.

use std::time::Duration;

use aegis_api::proposal::Action;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::brain::{Brain, BrainConfig, BrainError};
use crate::chain::Member;
use crate::provider::{Completion, Delta, Provider, ProviderError, Request, Sink, Stage, Usage};

/// Calls that the model answers side by side.
const AT_ONCE: usize = 2;

#[derive(Debug)]
struct Insisting {
    action: Action,
    takes: Duration,
}

impl Brain {
    /// A brain that asks such a model first, for analysis and for every seat.
    pub fn insisting(action: Action, takes: Duration) -> Result<Self, BrainError> {
        let model = Insisting { action, takes };
        let member = Member::new(Box::new(model), AT_ONCE, 1_000);
        Self::with_members(BrainConfig::default(), vec![member])
    }
}

impl Insisting {
    fn answer(&self, schema: &str) -> String {
        let answer = match schema {
            "ballot" => json!({"reasoning": "nothing speaks against it", "verdict": "APPROVED"}),
            _ => json!({
                "root_cause": "the model is sure",
                "action": self.action.as_str(),
                "justification": "it always helps",
                "confidence": 0.99,
                "replica_count": u32::from(matches!(self.action, Action::ScaleUp | Action::ScaleDown)),
            }),
        };
        answer.to_string()
    }
}

impl Provider for Insisting {
    fn name(&self) -> &str {
        "insisting"
    }

    fn model(&self) -> &str {
        "insisting"
    }

    fn prompt_chars(&self) -> usize {
        24_000
    }

    fn complete<'a>(
        &'a self,
        request: Request<'a>,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        async move {
            let ends = tokio::time::Instant::now() + self.takes;
            tokio::time::sleep_until(ends.min(request.deadline)).await;
            if ends > request.deadline {
                let (stage, after) = (Stage::Total, self.takes);
                return Err(ProviderError::Timeout { stage, after });
            }
            let text = self.answer(request.schema.name);
            sink(Delta::Text(&text));
            let usage = Usage {
                prompt: 1_000,
                completion: 100,
            };
            Ok(Completion {
                text,
                usage,
                notes: Vec::new(),
            })
        }
        .boxed()
    }
}
