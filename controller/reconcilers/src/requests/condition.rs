//! Says on each LoadBalancer whether its requests are counted, while something needs them: the condition `RequestsCounted`.
//! Writes this one condition of its status, and leaves the rest to the LoadBalancer's reconciler.

use std::sync::Arc;

use aegis_api::condition::{self, Conditions};
use aegis_api::error::chain;
use aegis_api::redact::bound;
use aegis_api::{ConditionType, Kind, LoadBalancer, Reason};
use aegis_planning::load_balancer::access_log::FORMAT;
use aegis_runtime::events::{EventType, ObjectRef};

use crate::context::Context;

/// Characters of an engine's words.
const WORDS: usize = 300;

/// Stores what is new.
pub(super) async fn report(context: &Context, asked: bool) {
    for balancer in context.store.list::<LoadBalancer>() {
        let Some(said) = found(context, &balancer, asked) else {
            continue;
        };
        if !is_news(&balancer, said.as_ref()) {
            continue;
        }
        if let Some((false, reason, message)) = &said {
            let about = ObjectRef::of(&*balancer);
            context
                .events
                .record(&about, EventType::Warning, reason.as_str(), message.clone());
        }
        let (generation, now) = (Some(balancer.generation()), context.clock.now());
        let edit = move |current: &LoadBalancer| {
            let mut status = current.status.clone().unwrap_or_default();
            let mut conditions = Conditions::at(&mut status.conditions, generation, now);
            match said {
                Some((counted, reason, message)) => {
                    conditions.set(ConditionType::RequestsCounted, counted, reason, message);
                }
                None => {
                    conditions.remove(ConditionType::RequestsCounted);
                }
            }
            status
        };
        if let Err(error) = context.edit_status(&*balancer, edit).await {
            tracing::debug!(
                balancer = balancer.name(),
                error = chain(&error),
                "its condition could not be stored"
            );
        }
    }
}

type Said = (bool, Reason, String);

/// What is to be said: nothing where nothing needs its requests, and what was said before (`None`) where it is not known yet.
fn found(context: &Context, balancer: &Arc<LoadBalancer>, asked: bool) -> Option<Option<Said>> {
    let config = balancer.status.as_ref().and_then(|status| status.config.as_ref());
    if !asked {
        return Some(None);
    }
    if !config?.contains(FORMAT) {
        let message = format!(
            "its configuration logs nothing in the format {FORMAT}: requests, errors and latency are unknown"
        );
        return Some(Some((false, Reason::LogMissing, message)));
    }
    let traffic = context.samples.traffic();
    if traffic.followed_since(balancer.name()).is_some() {
        return Some(Some((true, Reason::LogRead, String::new())));
    }
    let why = traffic.unreadable(balancer.name())?;
    let message = format!(
        "the log of container {} cannot be read, so requests, errors and latency are unknown: {}",
        balancer.spec.container,
        bound(&why, WORDS)
    );
    Some(Some((false, Reason::LogUnreadable, message)))
}

fn is_news(balancer: &LoadBalancer, said: Option<&Said>) -> bool {
    let before = balancer.status.as_ref();
    let before =
        before.and_then(|status| condition::find(&status.conditions, ConditionType::RequestsCounted));
    match (before, said) {
        (None, None) => false,
        (Some(before), Some((counted, reason, message))) => {
            (before.status == "True") != *counted || before.reason != *reason || before.message != *message
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use aegis_docker_fake::FakeEngine;
    use serde_json::json;

    use super::*;
    use crate::context::Settings;

    #[tokio::test(start_paused = true)]
    async fn a_load_balancer_says_whether_its_requests_are_counted_while_they_are_needed() {
        let engine = FakeEngine::default();
        let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
        let balancer = |config: &str| -> Arc<LoadBalancer> {
            let object = json!({
                "apiVersion": aegis_api::API_VERSION, "kind": "LoadBalancer", "metadata": {"name": "lb"},
                "spec": {"container": "front", "backends": []}, "status": {"config": config},
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let logs = balancer("log_format aegis_receipt_1 '…';");
        let traffic = context.samples.traffic();
        let said = |balancer: &Arc<LoadBalancer>, asked: bool| found(&context, balancer, asked);

        assert_eq!(said(&logs, true), None, "it has not been tried yet");
        let (counted, reason, message) = said(&balancer("server { }"), true).unwrap().unwrap();
        assert!(
            !counted && reason == Reason::LogMissing && message.contains("aegis_receipt"),
            "{message}"
        );
        traffic.set_unreadable(
            "lb",
            "configured logging driver does not support reading".to_owned(),
        );
        let (counted, reason, message) = said(&logs, true).unwrap().unwrap();
        assert!(
            !counted
                && reason == Reason::LogUnreadable
                && message.contains("front")
                && message.contains("does not support"),
            "{message}"
        );
        traffic.set_followed("lb", context.clock.now());
        assert_eq!(
            said(&logs, true),
            Some(Some((true, Reason::LogRead, String::new())))
        );
        assert_eq!(said(&logs, false), Some(None), "nothing needs them any more");
    }
}
