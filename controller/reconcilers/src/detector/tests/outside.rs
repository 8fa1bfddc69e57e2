//! What is measured outside of a container's evidence is acted upon like the rest: what clients of the load balancer meet,
//! how near a container is to its limit of processes, and what a trusted sender says. Over the engine in memory, with every
//! loop of the controller.

use aegis_api::SymptomKind;
use aegis_api::proposal::Action;

use super::windows::{auto, under};
use super::*;

/// What was done, and for which symptom.
fn done(status: &IncidentStatus) -> (Phase, Option<Action>, Option<SymptomKind>) {
    (
        status.phase,
        status.plan.as_ref().map(|plan| plan.action),
        status.clears.as_ref().map(|symptom| symptom.kind),
    )
}

#[tokio::test(start_paused = true)]
async fn slow_answers_are_scaled_out_and_errors_restarted() {
    for (status, seconds, action, kind) in [
        (200, "1.500", Action::ScaleUp, SymptomKind::HttpSlow),
        (502, "0.004", Action::Restart, SymptomKind::HttpErrors),
    ] {
        let (mut life, _state) = under(auto()).await;
        life.front().await;
        // What is slow because it is busy.
        let busy = if action == Action::ScaleUp { 800 } else { 10 };
        life.engine
            .set_behaviour("web", |it| it.cpu_millis = busy)
            .unwrap();
        for n in 0..2400 {
            let acted = life.all().iter().any(|it| it.execution.is_some());
            let (status, seconds) = if n % 3 == 0 && !acted {
                (status, seconds)
            } else {
                (200, "0.004")
            };
            life.answer(status, seconds, Duration::from_millis(500)).await;
        }
        let all = life.all();
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(
            done(&all[0]),
            (Phase::Resolved, Some(action), Some(kind)),
            "{all:#?}"
        );
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn i13_a_trusted_senders_alert_is_acted_upon_and_its_resolve_message_is_the_proof() {
    for resolves in [true, false] {
        let mut policy = auto();
        policy["trustedAlerts"] =
            json!([{"source": "webhook", "alertType": "SENSOR_FAULT", "actions": ["RESTART"]}]);
        let (life, _state) = under(policy).await;
        let begun = life.engine.starts("web");
        let spec = json!({"workloadRef": "web", "alertType": "SENSOR_FAULT", "source": {"kind": "webhook"}});
        life.apply("Incident", "sensor", spec).await;
        life.pass(5).await;
        assert_eq!(life.engine.starts("web"), begun + 1, "{:#?}", life.all());
        if resolves {
            let at = life.engine.now();
            let edit = move |incident: &Incident| {
                let mut spec = incident.spec.clone();
                spec.source.resolved_at = Some(at);
                Ok(spec)
            };
            life.context
                .store
                .edit_spec::<Incident, _>("sensor", edit)
                .await
                .unwrap();
        }
        let status = life.end_of("sensor", 120).await;
        let restarted = (Phase::Resolved, Some(Action::Restart), Some(SymptomKind::Trusted));
        assert_eq!(done(&status), restarted, "{status:#?}");
        assert_eq!(
            status.mitigated_at.is_some(),
            resolves,
            "without it, it stays open whether it helped"
        );
        assert_eq!(life.engine.starts("web"), begun + 1);
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn i13_the_same_alert_of_a_sender_that_is_not_trusted_changes_nothing() {
    let (life, _state) = under(auto()).await;
    let begun = life.engine.starts("web");
    let spec = json!({"workloadRef": "web", "alertType": "SENSOR_FAULT", "source": {"kind": "webhook"}});
    life.apply("Incident", "sensor", spec).await;
    let status = life.end_of("sensor", 120).await;
    assert_eq!(
        done(&status),
        (Phase::Resolved, Some(Action::Noop), None),
        "{status:#?}"
    );
    assert_eq!(life.engine.starts("web"), begun);
    life.end().await;
}
