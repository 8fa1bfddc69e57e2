//! Conditions that look back over a window, after a cure: what happened before it is no reason for a second action, nor for
//! a second incident. Over the engine in memory, with every loop of the controller and the default detectors.

use aegis_api::SymptomKind;
use aegis_api::proposal::Action;

use super::*;

const POLICY: &str = "auto";

pub(super) async fn under(policy: Value) -> (Life, tempfile::TempDir) {
    // The templates that ship.
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lb-templates").into();
    let settings = Settings {
        templates,
        ..Settings::default()
    };
    let brain = Brain::new(BrainConfig::default()).unwrap();
    let (life, state) = well_set("no", brain, settings).await;
    life.apply("RemediationPolicy", POLICY, policy).await;
    (life, state)
}

pub(super) fn auto() -> Value {
    json!({"workloads": {"names": ["web"]}, "mode": "Auto", "cooldown": "0s"})
}

impl Life {
    pub(super) fn all(&self) -> Vec<IncidentStatus> {
        let all = self.context.store.list::<Incident>();
        all.iter().filter_map(|it| it.status.clone()).collect()
    }

    /// The actions of all incidents.
    pub(super) fn actions(&self) -> Vec<Action> {
        let all = self.all();
        let done = all.iter().flat_map(|status| {
            let tried = status.tried.iter().map(|tried| tried.action);
            tried.chain(status.plan.iter().map(|plan| plan.action))
        });
        done.filter(|action| *action != Action::Noop).collect()
    }

    /// Puts a load balancer before `web`, whose log is counted.
    pub(super) async fn front(&mut self) {
        self.put_balancer().await;
        self.pass(30).await;
    }

    /// The load balancer answers a request so, by the server that it has in rotation, and then a pause.
    pub(super) async fn answer(&self, status: u16, took: &str, pause: Duration) {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        let mut servers = lb.status.iter().flat_map(|status| &status.servers);
        let address = servers.next().map_or("-", |server| server.address.as_str());
        self.log_of(address, status, took, pause).await;
    }

    /// Lines that report an error, one a second.
    async fn errors(&self, count: usize) {
        for n in 0..count {
            self.engine
                .say("web", true, &format!("ERROR: request {n} failed"))
                .unwrap();
            self.pass(1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn error_lines_of_before_a_cure_are_no_reason_for_a_second_action() {
    let (life, _state) = under(auto()).await;
    let spec = json!({"signal": "LogErrors", "for": "10s", "clear": "30s", "alertType": "ERRORS_LOGGED"});
    life.apply("Detector", "log-errors", spec).await;
    let begun = life.engine.starts("web");
    for _ in 0..40 {
        if life.engine.starts("web") > begun {
            break;
        }
        life.errors(5).await;
    }
    life.pass(3600).await;
    let all = life.all();
    assert_eq!(life.actions(), [Action::Restart], "{all:#?}");
    assert!(all.iter().all(|it| it.phase == Phase::Resolved), "{all:#?}");
    let cleared: Vec<Option<SymptomKind>> = all
        .iter()
        .map(|it| it.clears.as_ref().map(|it| it.kind))
        .collect();
    assert_eq!(cleared, [Some(SymptomKind::ErrorBurst)]);
    assert_eq!(all[0].relapses, 0);
    assert!(all[0].settled_at.is_some(), "it has stayed away");
    assert_eq!(life.engine.starts("web"), begun + 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn lines_that_matched_before_a_cure_are_no_reason_for_a_second_incident() {
    let (life, _state) = under(auto()).await;
    let spec = json!({"signal": "LogPattern", "pattern": "pool exhausted", "threshold": 3, "for": "5s", "clear": "30s",
        "alertType": "POOL_EXHAUSTED"});
    life.apply("Detector", "pool", spec).await;
    life.pass(20).await;
    for n in 0..12 {
        life.engine
            .say("web", false, &format!("pool exhausted ({n})"))
            .unwrap();
        life.pass(5).await;
    }
    assert_eq!(life.incidents(), ["POOL_EXHAUSTED"]);
    assert_eq!(
        life.status().phase,
        Phase::AwaitingApproval,
        "a human decides on what a pattern means"
    );
    let name = life.context.store.list::<Incident>()[0].name().to_owned();
    let restart = |incident: &Incident| {
        let order = json!({"action": "RESTART", "by": "ada"});
        let mut spec = incident.spec.clone();
        spec.override_ = Some(serde_json::from_value(order).unwrap());
        Ok(spec)
    };
    life.context
        .store
        .edit_spec::<Incident, _>(&name, restart)
        .await
        .unwrap();
    life.pass(3600).await;
    let all = life.all();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (all[0].phase, life.actions()),
        (Phase::Resolved, vec![Action::Restart])
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_budget_that_burned_before_a_cure_is_no_reason_for_a_second_action() {
    let (mut life, _state) = under(auto()).await;
    life.front().await;
    let spec = json!({"slo": {"objective": 99.0}, "for": "10s", "clear": "1m", "alertType": "BUDGET_BURNS"});
    life.apply("Detector", "slo", spec).await;
    let begun = life.engine.starts("web");
    for n in 0..1200 {
        // A third fails until something is done.
        let is_cured = life.engine.starts("web") > begun;
        let status = if n % 3 == 0 && !is_cured { 502 } else { 200 };
        life.answer(status, "0.004", Duration::from_secs(1)).await;
    }
    for _ in 0..1200 {
        life.answer(200, "0.004", Duration::from_secs(3)).await;
    }
    let all = life.all();
    assert_eq!(life.actions(), [Action::Restart], "{all:#?}");
    assert_eq!(life.engine.starts("web"), begun + 1);
    assert_eq!(all.len(), 1, "one episode: {:?}", life.alerts());
    assert!(all.iter().all(|it| it.phase == Phase::Resolved), "{all:#?}");
    assert!(!life.row("slo").firing, "{:?}", life.row("slo"));
    life.end().await;
}
