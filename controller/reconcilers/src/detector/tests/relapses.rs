//! What comes back after it was cleared, what grows although it was scaled, and what starts slowly: over the engine in
//! memory, with every loop of the controller.

use aegis_api::proposal::Action;
use aegis_api::{RunbookEntry, SymptomKind, Time};

use super::*;

const POLICY: &str = "auto";

async fn for_policy(policy: Value) -> (Life, tempfile::TempDir) {
    for_policy_and(policy, Brain::new(BrainConfig::default()).unwrap()).await
}

/// The same, with this analyst and council.
pub(super) async fn for_policy_and(policy: Value, brain: Brain) -> (Life, tempfile::TempDir) {
    let (life, state) = well_under("no", brain).await;
    // What an alert opens is the story here, not what a detector would find a minute later.
    for detector in life.context.store.list::<Detector>() {
        let info = kinds::find("Detector").unwrap();
        life.context
            .store
            .delete(info, detector.name(), None, None, false)
            .await
            .unwrap();
    }
    life.apply("RemediationPolicy", POLICY, policy).await;
    (life, state)
}

impl Life {
    pub(super) async fn alert(&self, name: &str, alert_type: &str) {
        self.apply(
            "Incident",
            name,
            json!({"workloadRef": "web", "alertType": alert_type}),
        )
        .await;
    }

    pub(super) fn of(&self, name: &str) -> IncidentStatus {
        let incident = self.context.store.get::<Incident>(name).unwrap();
        incident.status.clone().unwrap_or_default()
    }

    /// The incident's end, or where it stands after so many seconds.
    pub(super) async fn end_of(&self, name: &str, secs: u64) -> IncidentStatus {
        for _ in 0..secs {
            let status = self.of(name);
            if status.phase.is_end() {
                return status;
            }
            self.pass(1).await;
        }
        self.of(name)
    }

    pub(super) fn leak(&self) {
        let leak = Ailment::new(Symptom::None, Cure::Restart).memory(LIMIT / 100 * 95);
        self.engine.ail("web", leak).unwrap();
    }

    pub(super) fn restarts(&self) -> usize {
        self.engine.starts("web")
    }
}

fn restarted(status: &IncidentStatus) -> bool {
    status.phase == Phase::Resolved
        && status
            .plan
            .as_ref()
            .is_some_and(|plan| plan.action == Action::Restart)
}

#[tokio::test(start_paused = true)]
async fn i6_a_leak_that_returns_is_relieved_again_with_growing_pauses_and_asks_for_a_cure_from_the_third_time()
 {
    for every in [120, 600] {
        let policy =
            json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "30s", "actionsPerHour": 4});
        let (life, _state) = for_policy(policy).await;
        let mut trust = f64::MAX;
        let mut acted: Option<Time> = None;
        for round in 1..=4_u32 {
            let name = format!("leak-{round}");
            life.leak();
            life.alert(&name, "MEMORY_LEAK").await;
            let status = life.end_of(&name, 900).await;
            assert!(restarted(&status), "{every} {round}: {status:#?}");
            assert_eq!(
                status.clears.as_ref().map(|it| it.kind),
                Some(SymptomKind::MemoryHigh)
            );
            assert_eq!(status.relapses, round - 1, "{every} {round}");
            let at = status
                .execution
                .as_ref()
                .and_then(|done| done.applied_at)
                .unwrap();
            if let Some(before) = acted.replace(at) {
                let pause = Duration::from_secs(30) * 2_u32.pow(round - 1);
                assert!(before.age(at) >= pause, "{every} {round}: {before} to {at}");
            }
            let earlier = (round > 1).then(|| format!("leak-{}", round - 1));
            assert_eq!(status.relapse_of, earlier, "{every} {round}");
            let asks = condition::is_true(&status.conditions, ConditionType::CureNeeded);
            assert_eq!(asks, round >= 3, "{every} {round}");
            if let Some(earlier) = &earlier {
                let before = life.of(earlier);
                assert_eq!(before.relapsed_in.as_ref(), Some(&name), "{every} {round}");
                let entry = life
                    .context
                    .store
                    .get::<RunbookEntry>(before.learned.as_ref().unwrap())
                    .unwrap();
                let now = entry.spec.outcomes.trust();
                assert!(now < trust, "{every} {round}: {now} after {trust}");
                trust = now;
            }
            let container = life.engine.inspect_now("web").unwrap();
            assert_eq!(container.state, ContainerState::Running, "it is kept up");
            life.pass(every).await;
        }
        // The budget is spent: a human decides on the fifth, or the hour is over.
        life.leak();
        life.alert("leak-5", "MEMORY_LEAK").await;
        let status = life.end_of("leak-5", 900).await;
        if every == 120 {
            let allows = condition::find(&status.conditions, ConditionType::PolicyAllows).unwrap();
            assert_eq!(
                (status.phase, allows.reason.as_str()),
                (Phase::AwaitingApproval, "BudgetExhausted")
            );
            assert_eq!(life.restarts(), 5, "once by its owner, four times for the leak");
        }
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cure_that_lasts_is_a_success_once_the_window_is_over() {
    let policy =
        json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s", "relapseWindow": "5m"});
    let (life, _state) = for_policy(policy).await;
    life.leak();
    life.alert("leak", "MEMORY_LEAK").await;
    let status = life.end_of("leak", 60).await;
    assert!(restarted(&status) && status.is_unsettled(), "{status:#?}");
    let entry = status.learned.unwrap();
    let outcomes = || {
        life.context
            .store
            .get::<RunbookEntry>(&entry)
            .unwrap()
            .spec
            .outcomes
            .clone()
    };
    assert_eq!((outcomes().successes, outcomes().provisional.len()), (0, 1));
    life.pass(310).await;
    assert!(life.of("leak").settled_at.is_some());
    assert_eq!((outcomes().successes, outcomes().provisional.len()), (1, 0));
    // After that the same is a new story.
    life.leak();
    life.alert("later", "MEMORY_LEAK").await;
    assert_eq!(life.end_of("later", 60).await.relapses, 0);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn saturation_that_grows_after_a_scale_up_is_never_answered_by_a_restart() {
    let policy = json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s", "replicas": {"max": 6},
        "fallback": [], "verification": {"deadline": "30s"}});
    let (life, _state) = for_policy(policy).await;
    let begun = life.restarts();
    life.engine
        .set_behaviour("web", |it| it.cpu_millis = 990)
        .unwrap();
    life.pass(10).await;
    life.alert("busy", "HIGH_CPU").await;
    let status = life.end_of("busy", 600).await;
    let done: Vec<Action> = status
        .tried
        .iter()
        .map(|tried| tried.action)
        .chain(status.plan.iter().map(|plan| plan.action))
        .collect();
    assert!(
        done.len() >= 2 && done.iter().all(|action| *action == Action::ScaleUp),
        "{done:?} {status:#?}"
    );
    assert!(
        matches!(status.phase, Phase::Failed | Phase::AwaitingApproval),
        "a human is called: {status:#?}"
    );
    assert_eq!(life.restarts(), begun);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_starts_slowly_and_busily_stands() {
    let policy = json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s", "verification": {"deadline": "10s"}});
    let (life, _state) = for_policy(policy).await;
    life.engine
        .set_behaviour("web", |it| {
            it.startup = Duration::from_secs(45);
            it.cpu_millis = 990;
        })
        .unwrap();
    life.engine
        .ail("web", Ailment::new(Symptom::Hung, Cure::Restart))
        .unwrap();
    life.alert("hang", "HEALTH_CHECK_FAILED").await;
    let status = life.end_of("hang", 300).await;
    assert!(restarted(&status), "{status:#?}");
    assert_eq!(life.restarts(), 2, "once by its owner, once for the hang");
    assert!(status.tried.is_empty(), "no next rung: {:?}", status.tried);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_oom_killed_or_crashed_before_a_cure_is_no_reason_for_a_second_action() {
    let policy = json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s"});
    let (life, _state) = for_policy(policy).await;
    for _ in 0..3 {
        life.engine.oom("web").unwrap();
        life.pass(30).await;
    }
    life.alert("first", "OOMKilled").await;
    life.end_of("first", 300).await;
    let begun = life.restarts();
    for name in ["second", "third"] {
        life.alert(name, "OOMKilled").await;
        let status = life.end_of(name, 300).await;
        let noop = status
            .plan
            .as_ref()
            .is_some_and(|plan| plan.action == Action::Noop);
        assert!(status.phase == Phase::Resolved && noop, "{name}: {status:#?}");
        assert_eq!(status.learned, None);
    }
    assert_eq!(life.restarts(), begun);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_with_growing_pauses_and_the_same_fix_at_most_twice() {
    let (life, _state) = well_with("no").await;
    let begun = life.restarts();
    let policy = json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s", "fallback": ["NOOP"],
        "allowedActions": ["RESTART"], "verification": {"deadline": "20s"}});
    life.apply("RemediationPolicy", POLICY, policy).await;
    let ailment = Ailment::new(Symptom::None, Cure::Never).memory(LIMIT / 100 * 97);
    life.engine.ail("web", ailment).unwrap();
    for _ in 0..240 {
        life.pass(60).await;
    }
    let mut all = life.context.store.list::<Incident>();
    all.retain(|it| it.spec.source.fingerprint == "detector/web/memory");
    let mut all: Vec<IncidentStatus> = all.iter().filter_map(|it| it.status.clone()).collect();
    all.sort_by_key(|status| status.timeline.first().map(|first| first.ts));
    assert!(all.iter().all(|status| status.phase == Phase::Failed), "{all:#?}");
    let pauses = all.iter().zip(all.iter().skip(1)).map(|(before, after)| {
        let began = after.timeline.first().unwrap().ts;
        before.finished_at.unwrap().age(began).as_secs() / 60
    });
    let pauses: Vec<u64> = pauses.collect();
    assert_eq!(pauses, [15, 30, 60, 120], "and the next one is four hours away");
    assert_eq!(
        life.restarts(),
        begun + 2,
        "the same fix is not tried a third time"
    );
    life.end().await;
}
