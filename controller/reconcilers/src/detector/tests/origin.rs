//! Errors that clients get of `web` and that come from what it depends on: who is named, who is restarted, and who is not. Over
//! the engine in memory, with every loop of the controller, the default detectors, and a policy that lets it act.

use aegis_api::SymptomKind;
use aegis_api::incident::Origin;
use aegis_api::proposal::Action;

use super::windows::under;
use super::*;

const WEB: &str = "ERROR GET / answered 500: api answered 500";
const API: &str = "ERROR GET / answered 500: cache answered 500";
const OWN: &str = "ERROR GET / answered 500: checksum of the entry does not match";

/// nginx in front of `web`, which needs `api`, which needs `cache`; all well for a while.
async fn shop() -> (Life, tempfile::TempDir) {
    let (mut life, state) = under(json!({"workloads": {}, "mode": "Auto", "cooldown": "0s"})).await;
    let health = json!({"http": {"port": 8000, "path": "/health"}, "interval": "2s"});
    for (name, needs) in [("cache", json!([])), ("api", json!(["cache"]))] {
        let spec = RunSpec::new(name, "app:1").memory(LIMIT).restart_policy("no");
        life.engine.run_container(&spec).unwrap();
        let spec = json!({"container": name, "dependsOn": needs, "health": health});
        life.apply("Workload", name, spec).await;
    }
    let needs = |workload: &Workload| {
        let mut spec = workload.spec.clone();
        spec.depends_on = vec!["api".parse().unwrap()];
        Ok(spec)
    };
    life.context
        .store
        .edit_spec::<Workload, _>("web", needs)
        .await
        .unwrap();
    life.engine
        .run_container(&RunSpec::new("payments", "app:1"))
        .unwrap();
    life.front().await;
    life.pass(200).await;
    (life, state)
}

/// What each logs about a request that fails.
type Lines<'a> = &'a [(&'a str, &'a str)];

impl Life {
    /// Requests for so many seconds, two a second. One in two fails, of which these log this, until `cured` has been started again.
    async fn requests(&self, secs: u64, lines: Lines<'_>, cured: Option<&str>) {
        let begun = cured.map(|name| self.engine.starts(name));
        for number in 0..secs * 2 {
            let is_cured = cured.map(|name| self.engine.starts(name)) != begun;
            let fails = number % 2 == 0 && !is_cured;
            if fails {
                for (name, line) in lines {
                    self.engine.say(name, false, line).unwrap();
                }
            }
            let status = if fails { 500 } else { 200 };
            self.answer(status, "0.004", Duration::from_millis(500)).await;
            self.a_human_agrees().await;
        }
    }

    /// With what is proposed for what is at fault: it is what logs say, so nothing is done before.
    async fn a_human_agrees(&self) {
        for incident in self.context.store.list::<Incident>() {
            let asks = |status: &IncidentStatus| status.phase == Phase::AwaitingApproval;
            if incident.spec.source.dependent.is_none() || !incident.status.as_ref().is_some_and(asks) {
                continue;
            }
            let status = self.of(incident.name());
            let allows = condition::find(&status.conditions, ConditionType::PolicyAllows).unwrap();
            assert_eq!(allows.reason, Reason::PassedOn, "{status:#?}");
            if let (None, Some(plan)) = (&incident.spec.approval, status.plan) {
                self.approve(incident.name(), &plan.hash).await;
            }
        }
    }

    fn starts_of(&self, names: &[&str]) -> Vec<usize> {
        names.iter().map(|name| self.engine.starts(name)).collect()
    }

    /// The incidents about a workload.
    fn about(&self, workload: &str) -> Vec<std::sync::Arc<Incident>> {
        let mut all = self.context.store.list::<Incident>();
        all.retain(|incident| incident.workload().is_some_and(|name| name.as_str() == workload));
        all
    }

    /// The origin that the only incident about `web` names.
    fn origin(&self) -> Origin {
        let all = self.about("web");
        assert_eq!(all.len(), 1, "{all:#?}");
        let status = all[0].status.clone().unwrap();
        status.origin.clone().unwrap_or_else(|| panic!("{status:#?}"))
    }
}

const ALL: [&str; 4] = ["web", "api", "cache", "payments"];

#[tokio::test(start_paused = true)]
async fn what_is_at_fault_behind_a_front_is_named_restarted_and_proved_well_by_its_log_and_the_fronts_clients()
 {
    for (whose, lines) in [
        ("cache", &[("web", WEB), ("api", API), ("cache", OWN)][..]),
        ("api", &[("web", WEB), ("api", OWN)]),
    ] {
        let (life, _state) = shop().await;
        let before = life.starts_of(&ALL);
        life.requests(180, lines, Some(whose)).await;
        let origin = life.origin();
        let named = origin.workload.as_ref().map(ToString::to_string);
        assert_eq!(named.as_deref(), Some(whose), "{origin:?}");
        let about = life.about(whose);
        assert_eq!(about.len(), 1, "{about:#?}");
        let (spec, status) = (&about[0].spec, about[0].status.as_ref().unwrap());
        assert_eq!(origin.incident.as_ref().unwrap().as_str(), about[0].name());
        assert_eq!(
            spec.source.dependent.as_ref().unwrap().as_str(),
            life.about("web")[0].name()
        );
        assert_eq!(status.phase, Phase::Resolved, "{status:#?}");
        let cleared = condition::find(&status.conditions, ConditionType::SymptomCleared).unwrap();
        assert!(cleared.status == "True", "{cleared:?}");
        assert_eq!(status.clears.as_ref().unwrap().kind, SymptomKind::HttpErrors);
        let after: Vec<usize> = ALL
            .iter()
            .zip(before)
            .map(|(name, before)| life.engine.starts(name) - before)
            .collect();
        let expected = ALL.map(|name| usize::from(name == whose));
        assert_eq!(after, expected, "nothing but {whose} is touched");
        assert_eq!(
            life.actions(),
            [Action::Restart],
            "{:#?}",
            life.about("web")[0]
                .status
                .as_ref()
                .map(|status| &status.timeline)
        );
        life.well_for(300).await;
        // The front's ends by itself: nothing is wrong with it any more.
        let front = life.about("web")[0].status.clone().unwrap();
        assert_eq!(front.phase, Phase::Resolved, "{front:#?}");
        let said: Vec<&str> = front
            .timeline
            .iter()
            .map(|entry| entry.message.as_str())
            .collect();
        assert!(
            said.iter()
                .any(|said| said.contains(&format!("come from {whose}"))),
            "{said:#?}"
        );
        assert_eq!(
            life.starts_of(&ALL).iter().sum::<usize>(),
            5,
            "and nothing comes of it"
        );
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_is_not_named_and_a_human_is_shown_why_and_whom_logs_blame() {
    let (own, noise) = (OWN, "INFO the page error is shown to new customers");
    let not_found = "ERROR GET /favicon.ico answered 404: no such page exists";
    let payments = "ERROR GET / answered 500: payments answered 503";
    let outside = "ERROR GET / answered 500: charge failed at https://pay.example.com/v1";
    for (lines, said) in [
        // A provider outside, a container beside that is no Workload, and a log that says nothing.
        (&[("web", WEB), ("api", outside)][..], "pay.example.com"),
        (&[("web", WEB), ("api", payments)], "payments"),
        (&[("web", WEB), ("api", API)], "nothing measured says whose"),
        (&[], "nothing measured says whose"),
        (
            &[("web", WEB), ("api", API), ("cache", noise)],
            "nothing measured says whose",
        ),
        (
            &[("web", WEB), ("api", API), ("cache", not_found)],
            "nothing measured says whose",
        ),
        // Errors that say of none of them what they are.
        (
            &[("web", "ERROR GET / 500"), ("cache", "ERROR request failed")],
            "nothing measured says whose",
        ),
        // What blames another is not excused by errors of its own among them.
        (
            &[("web", WEB), ("api", API), ("api", own)],
            "nothing measured says whose",
        ),
    ] {
        let (life, _state) = shop().await;
        let before = life.starts_of(&ALL);
        life.requests(240, lines, None).await;
        let origin = life.origin();
        assert!(
            origin.workload.is_none() && origin.message.contains(said),
            "{origin:?}"
        );
        let front = life.about("web")[0].status.clone().unwrap();
        let allows = condition::find(&front.conditions, ConditionType::PolicyAllows).unwrap();
        assert_eq!(
            (front.phase, allows.reason == Reason::PassedOn),
            (Phase::AwaitingApproval, true),
            "{front:#?}"
        );
        assert!(allows.message.contains(said), "{}", allows.message);
        assert_eq!(life.starts_of(&ALL), before, "nothing is restarted: {lines:?}");
        assert_eq!(life.incidents().len(), 1, "{:?}", life.incidents());
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_always_reports_errors_is_not_at_fault_for_those_of_another() {
    let (life, _state) = shop().await;
    for _ in 0..660 {
        life.engine.say("cache", false, OWN).unwrap();
        life.pass(1).await;
    }
    let before = life.starts_of(&ALL);
    life.requests(180, &[("web", WEB), ("api", API), ("cache", OWN)], None)
        .await;
    assert!(life.origin().workload.is_none(), "{:?}", life.origin());
    assert_eq!(life.starts_of(&ALL), before);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn errors_in_a_log_without_errors_of_clients_are_nobodys_fault() {
    let (life, _state) = shop().await;
    let before = life.starts_of(&ALL);
    for _ in 0..120 {
        life.engine.say("cache", false, OWN).unwrap();
        life.answer(200, "0.004", Duration::from_millis(1000)).await;
    }
    assert_eq!((life.incidents(), life.starts_of(&ALL)), (Vec::new(), before));
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_does_not_end_them_is_no_cure_and_is_not_repeated() {
    let (life, _state) = shop().await;
    let before = life.starts_of(&ALL);
    life.requests(600, &[("web", WEB), ("api", API), ("cache", OWN)], None)
        .await;
    let about = life.about("cache");
    assert_eq!(about.len(), 1, "{about:#?}");
    let status = about[0].status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::Failed, "{status:#?}");
    let front = life.about("web")[0].status.clone().unwrap();
    assert_eq!(front.phase, Phase::AwaitingApproval, "{front:#?}");
    let after: Vec<usize> = ALL
        .iter()
        .zip(before)
        .map(|(name, before)| life.engine.starts(name) - before)
        .collect();
    assert_eq!(after, [0, 0, 1, 0]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn i2_after_a_restart_of_the_controller_at_any_time_there_is_one_incident_about_it_and_one_restart() {
    for after in [62, 64, 66, 70, 75] {
        let (life, _state) = shop().await;
        let before = life.engine.starts("cache");
        let lines = &[("web", WEB), ("api", API), ("cache", OWN)];
        life.requests(after, lines, Some("cache")).await;
        let was = life.engine.starts("cache") - before;
        let (engine, context) = (life.engine.clone(), life.context.clone());
        life.end().await;
        let mut life = Life::begin(&engine, &context);
        let (context, shutdown) = (life.context.clone(), life.shutdown.clone());
        life.tasks.spawn(crate::requests::run(context, shutdown));
        let lines: Lines<'_> = if was == 0 { lines } else { &[] };
        let cured = (was == 0).then_some("cache");
        match cured {
            Some(_) => life.requests(240, lines, cured).await,
            None => life.well_for(240).await,
        }
        assert_eq!(
            life.about("cache").len(),
            1,
            "{after}: {:#?}",
            life.about("cache")
        );
        assert_eq!(life.engine.starts("cache") - before, 1, "{after}");
        life.end().await;
    }
}

impl Life {
    async fn well_for(&self, secs: u64) {
        for _ in 0..secs * 2 {
            self.answer(200, "0.004", Duration::from_millis(500)).await;
        }
    }
}
