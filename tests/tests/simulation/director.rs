//! Carries a scenario out: lets virtual time pass, does what people and fate do, kills and restarts the controller, and
//! in the end lets everything calm down and waits until it has converged.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::audit::Actor;
use aegis_api::automation::Resume;
use aegis_api::incident::{Approval, ApprovalDecision, Override};
use aegis_api::proposal::Action;
use aegis_api::scalar::Time;
use aegis_api::{Incident, IncidentSpec, Kind, Phase, RemediationPolicy, Workload, WorkloadSpec, kinds};
use aegis_docker_fake::{FaultPlan, RunSpec};
use aegis_runtime::{Store, StoreError};
use serde_json::Value;
use tokio::time::Instant;

use super::acts::{Act, Hand, Moment, Weather};
use super::faults;
use super::process::Process;
use super::scenario::{Scenario, Service};
use super::settled;
use super::world::{BALANCER, NETWORK, World, adopted, balancer, incident, workload};

/// How long everything may take to converge once the faults have ended: a workload in the longest pause of a crash
/// loop, then an incident with every rung of its ladder.
const CONVERGES_WITHIN: Duration = Duration::from_secs(1_800);
/// How long it must stay converged.
const STAYS: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(500);
/// More reconciles than any run needs: beyond them something spins.
const TOO_BUSY: u64 = 60_000;

/// A run in progress.
pub(crate) struct Director {
    pub(crate) world: World,
    process: Option<Process>,
    lives: u64,
    incidents: usize,
    strangers: usize,
    /// Calls to the engine go wrong.
    stormy: bool,
    /// How long the next death lasts.
    down: Duration,
    restart_at: Option<Instant>,
    begun: Instant,
    incidents_at_end: Vec<Arc<Incident>>,
}

impl Director {
    pub(crate) async fn begin(scenario: &Scenario) -> Self {
        let mut director = Self {
            world: World::new(scenario),
            process: None,
            lives: 0,
            incidents: 0,
            strangers: 0,
            stormy: false,
            down: Duration::ZERO,
            restart_at: None,
            begun: Instant::now(),
            incidents_at_end: Vec::new(),
        };
        director.start().await;
        for manifest in director.world.manifests() {
            director.create(manifest).await;
        }
        director
    }

    /// The whole run.
    pub(crate) async fn play(&mut self) {
        let acts = self.world.scenario.acts.clone();
        let mut due = Instant::now();
        for (pause, act) in acts {
            due += Duration::from_millis(pause);
            self.wait_until(due).await;
            self.world.ledger.say(format!("# {act:?}"));
            self.perform(act).await;
        }
        let load = self.world.scenario.load.as_ref();
        let lasts = load.map_or(0, super::scenario::Load::lasts);
        let loaded = self.begun + Duration::from_secs(lasts);
        self.wait_until(loaded.max(due + Duration::from_secs(5))).await;
        self.calm().await;
        self.converge().await;
        self.incidents_at_end = self.store().map(|store| store.list()).unwrap_or_default();
        if let Some(process) = self.process.take() {
            process.end(true).await;
        }
    }

    /// Every incident as the run left it.
    pub(crate) fn incidents(&self) -> Vec<Arc<Incident>> {
        self.incidents_at_end.clone()
    }

    pub(crate) fn store(&self) -> Option<Store> {
        self.process.as_ref().map(|process| process.store.clone())
    }

    async fn start(&mut self) {
        self.lives += 1;
        self.restart_at = None;
        self.world
            .ledger
            .say(format!("# the controller starts (life {})", self.lives));
        self.process = Some(Process::start(&self.world, self.lives).await);
        self.note_calm();
    }

    async fn stop(&mut self, orderly: bool) {
        let Some(process) = self.process.take() else {
            return;
        };
        self.world.ledger.say(if orderly {
            "# the controller ends"
        } else {
            "# the controller is killed"
        });
        self.world.ledger.calm(false);
        process.end(orderly).await;
        self.world.ledger.end();
        self.restart_at = Some(Instant::now() + self.down);
    }

    /// Lets time pass, with deaths and restarts as they come.
    async fn wait_until(&mut self, due: Instant) {
        loop {
            match &mut self.process {
                Some(process) => {
                    if let Some(casualty) = process.casualty() {
                        self.world.ledger.complain(casualty);
                    }
                    let kill = Arc::clone(&process.kill);
                    tokio::select! {
                        biased;
                        () = kill.died() => self.stop(false).await,
                        () = tokio::time::sleep_until(due) => return,
                    }
                }
                None => {
                    let restart = self.restart_at.unwrap_or(due);
                    if restart > due {
                        tokio::time::sleep_until(due).await;
                        return;
                    }
                    tokio::time::sleep_until(restart).await;
                    self.start().await;
                }
            }
        }
    }

    /// A client's request: answered, or cut off by the controller's death.
    async fn ask<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        let process = self.process.as_ref()?;
        let kill = Arc::clone(&process.kill);
        tokio::select! {
            biased;
            () = kill.died() => None,
            answer = request => match answer {
                Ok(answer) => Some(answer),
                Err(error) => {
                    self.world.ledger.say(format!("  refused: {error}"));
                    None
                }
            },
        }
    }

    async fn create(&mut self, manifest: Value) {
        let Some(store) = self.store() else { return };
        let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
        let info = kinds::find(&kind).expect("a kind");
        if let ("Workload", Some(name)) = (info.kind, manifest["metadata"]["name"].as_str()) {
            self.world.ledger.wish(name, &manifest["spec"]);
        }
        if let Some(stored) = self
            .ask(async move { store.create(info, manifest, false).await })
            .await
        {
            self.world.ledger.acknowledge(&stored);
        }
    }

    async fn edit_workload(
        &mut self,
        name: &str,
        edit: impl FnOnce(&mut WorkloadSpec, Time) + Send + 'static,
    ) {
        let Some(store) = self.store() else { return };
        let (ledger, now) = (self.world.ledger.clone(), self.world.engine.now());
        let name = name.to_owned();
        let of = name.clone();
        let edited = self.ask(async move {
            let change = move |workload: &Workload| {
                let mut spec = workload.spec.clone();
                edit(&mut spec, now);
                ledger.wish(&of, &serde_json::to_value(&spec).expect("a spec is data"));
                Ok(spec)
            };
            store.edit_spec::<Workload, _>(&name, change).await
        });
        let edited = edited.await;
        self.acknowledged(edited);
    }

    async fn edit_incident(&mut self, name: &str, edit: impl FnOnce(&mut IncidentSpec) + Send + 'static) {
        let Some(store) = self.store() else { return };
        let name = name.to_owned();
        let edited = self.ask(async move {
            let change = move |incident: &Incident| {
                let mut spec = incident.spec.clone();
                edit(&mut spec);
                Ok(spec)
            };
            store.edit_spec::<Incident, _>(&name, change).await
        });
        let edited = edited.await;
        self.acknowledged(edited);
    }

    fn acknowledged<K: Kind>(&self, object: Option<Arc<K>>) {
        let (Some(object), Some(store)) = (object, self.store()) else {
            return;
        };
        let info = kinds::find(K::PLURAL).expect("a kind");
        // What the store holds by now is at least what was answered.
        if let Some(stored) = store.get_stored(info, object.name()) {
            self.world.ledger.acknowledge(&stored);
        }
    }

    async fn delete(&mut self, kind: &'static str, name: &str) {
        let Some(store) = self.store() else { return };
        self.world.ledger.ask_deletion(kind, name);
        let (info, name) = (kinds::find(kind).expect("a kind"), name.to_owned());
        self.ask(async move { store.delete(info, &name, None, None, false).await })
            .await;
    }

    fn service(&self, number: usize) -> Service {
        let services = &self.world.scenario.services;
        services[number % services.len()].clone()
    }

    /// The n-th container of a service, by name.
    fn container(&self, service: &Service, nth: usize) -> Option<String> {
        let all = settled::containers(&self.world.engine, service.name);
        (!all.is_empty()).then(|| all[nth % all.len()].name.clone())
    }

    async fn perform(&mut self, act: Act) {
        match act {
            Act::Report {
                service,
                nth,
                illness,
                alert,
                by_container,
            } => {
                let service = self.service(service);
                let container = self.container(&service, nth);
                if let (Some(illness), Some(container)) = (illness, &container) {
                    faults::inject(&self.world, container, illness);
                }
                self.incidents += 1;
                let named = container.filter(|_| by_container);
                let report = incident(self.incidents, service.name, named.as_deref(), alert);
                self.create(report).await;
            }
            Act::FallIll {
                service,
                nth,
                illness,
            } => {
                if let Some(container) = self.container(&self.service(service), nth) {
                    faults::inject(&self.world, &container, illness);
                }
            }
            Act::Scale { service, replicas } => {
                let name = self.service(service).name;
                self.edit_workload(name, move |spec, _| {
                    spec.replicas = if spec.container.is_some() {
                        replicas.max(1)
                    } else {
                        replicas
                    };
                })
                .await;
            }
            Act::Restart { service, ahead } => {
                let name = self.service(service).name;
                self.edit_workload(name, move |spec, now| {
                    let ahead = jiff::SignedDuration::from_secs(ahead);
                    spec.restarted_at = Some(Time(now.0.checked_add(ahead).expect("a near time")));
                })
                .await;
            }
            Act::Release { service, image } => {
                let name = self.service(service).name;
                self.edit_workload(name, move |spec, _| {
                    if let Some(template) = &mut spec.template {
                        template.image = image.parse().expect("an image");
                    }
                })
                .await;
            }
            Act::Hand { service, nth, hand } => {
                let service = self.service(service);
                if let Some(container) = self.container(&service, nth) {
                    faults::act_by_hand(&self.world, &container, hand);
                }
            }
            Act::Restore { service } => {
                let service = self.service(service);
                self.restore(&service);
            }
            Act::Delete { service } => {
                let name = self.service(service).name;
                self.delete("Workload", name).await;
            }
            Act::Apply { service } => {
                let service = self.service(service);
                let manifest = workload(&service, self.world.scenario.load.as_ref());
                self.create(manifest).await;
            }
            Act::Decide { approve } => self.decide(approve).await,
            Act::Override { action } => self.take_over(action).await,
            Act::Clear => self.clear().await,
            Act::Forget => {
                let name = format!("inc-{:02}", self.incidents);
                self.delete("Incident", &name).await;
            }
            Act::Mode { mode } => self.set_mode(mode).await,
            Act::Balancer(Hand::Remove) => self.remake(BALANCER, &balancer()),
            Act::Balancer(Hand::Rename) => {}
            Act::Stranger => {
                self.strangers += 1;
                let name = format!("stranger-{}", self.strangers);
                let made = self.world.engine.create_bystander_on(&name, NETWORK);
                made.expect("the name is free");
            }
            Act::Balancer(hand) => faults::act_by_hand(&self.world, BALANCER, hand),
            Act::Weather { kind, seed } => {
                self.world.engine.faults(faults::faults(kind, seed));
                self.stormy = kind != Weather::Fine;
                self.note_calm();
            }
            Act::Away { ms } => self.go_away(ms).await,
            Act::CutEvents => {
                self.world.engine.cut_events();
                self.world.ledger.calm(false);
                self.note_calm();
            }
            Act::Crash { at, down } => {
                self.down = Duration::from_millis(down);
                match (&self.process, at) {
                    (Some(_), Moment::Orderly) => self.stop(true).await,
                    (Some(process), at) => process.kill.at(at),
                    (None, _) => {}
                }
            }
        }
    }

    /// Whether anything keeps the controller from its work.
    fn note_calm(&self) {
        self.world.ledger.calm(self.process.is_some() && !self.stormy);
    }

    async fn go_away(&mut self, ms: u64) {
        self.world.engine.set_down(true);
        self.world.ledger.calm(false);
        self.wait_until(Instant::now() + Duration::from_millis(ms)).await;
        self.world.engine.set_down(false);
        self.world.ledger.say("# the engine is back");
        self.note_calm();
    }

    async fn decide(&mut self, approve: bool) {
        let Some(store) = self.store() else { return };
        for incident in store.list::<Incident>() {
            let Some(status) = incident
                .status
                .as_ref()
                .filter(|status| status.phase == Phase::AwaitingApproval && status.finished_at.is_none())
            else {
                continue;
            };
            let Some(plan) = &status.plan else { continue };
            let decision = if approve {
                ApprovalDecision::Approve
            } else {
                ApprovalDecision::Reject
            };
            let approval = Approval {
                decision,
                by: "operator".to_owned(),
                plan_hash: plan.hash.clone(),
            };
            self.edit_incident(incident.name(), |spec| spec.approval = Some(approval))
                .await;
        }
    }

    async fn take_over(&mut self, action: &str) {
        let Some(store) = self.store() else { return };
        let open = store
            .list::<Incident>()
            .into_iter()
            .rev()
            .find(|incident| !incident.is_finished());
        let Some(open) = open else { return };
        let action = Action::ALL
            .into_iter()
            .find(|known| known.as_str() == action)
            .expect("an action");
        let scales = matches!(action, Action::ScaleUp | Action::ScaleDown);
        let chosen = Override {
            action,
            replica_count: u32::from(scales),
            by: "operator".to_owned(),
        };
        self.edit_incident(open.name(), |spec| spec.override_ = Some(chosen))
            .await;
    }

    async fn clear(&mut self) {
        let Some(store) = self.store() else { return };
        let mut open = store.list::<Incident>().into_iter().rev();
        let Some(open) = open.find(|incident| !incident.is_finished()) else {
            return;
        };
        let now = self.world.engine.now();
        self.edit_incident(open.name(), move |spec| spec.source.resolved_at = Some(now))
            .await;
    }

    async fn set_mode(&mut self, mode: &'static str) {
        let Some(store) = self.store() else { return };
        let edited = self.ask(async move {
            let change = move |policy: &RemediationPolicy| {
                let mut spec = policy.spec.clone();
                spec.mode = serde_json::from_value(mode.into()).expect("a mode");
                Ok(spec)
            };
            store.edit_spec::<RemediationPolicy, _>("all", change).await
        });
        let edited = edited.await;
        self.acknowledged(edited);
    }

    fn remake(&self, name: &str, spec: &RunSpec) {
        drop(self.world.engine.remove_by_hand(name));
        self.world.engine.run_container(spec).expect("the name is free");
    }

    /// The adopted container is there again, as Compose would make it.
    fn restore(&self, service: &Service) {
        if service.adopted && self.world.engine.inspect_now(service.name).is_none() {
            // One that somebody renamed still has the port.
            drop(
                self.world
                    .engine
                    .remove_by_hand(&format!("{}-aside", service.name)),
            );
            let made = self.world.engine.run_container(&adopted(service));
            made.expect("the name is free");
        }
    }

    /// The faults end, what was taken away is brought back, and what can be cured is.
    async fn calm(&mut self) {
        self.world.ledger.say("# calm");
        self.world.engine.faults(FaultPlan::default());
        self.world.engine.set_down(false);
        self.stormy = false;
        self.note_calm();
        if let Some(process) = &self.process
            && process.kill.is_dead()
        {
            self.stop(false).await;
        }
        if self.process.is_none() {
            self.start().await;
        }
        if let Some(process) = &self.process {
            process.kill.disarm();
        }
        if self.world.engine.inspect_now(BALANCER).is_none() {
            self.remake(BALANCER, &balancer());
        }
        // One that runs is left alone.
        drop(self.world.engine.start_by_hand(BALANCER));
        for service in self.world.scenario.services.clone() {
            self.restore(&service);
            if service.adopted && self.world.was_stopped(service.name) {
                // The person who stopped it by hand hands it back: nothing else does.
                drop(self.world.engine.start_by_hand(service.name));
            }
        }
        faults::cure(&self.world);
    }

    /// Automation that paused itself is resumed by a person.
    async fn resume(&self, store: &Store) {
        if store.automation().paused().is_none() {
            return;
        }
        let resume = Resume {
            by: "operator".to_owned(),
            reason: String::new(),
            at: self.world.engine.now(),
        };
        self.world.ledger.say("# an operator lets automation go on");
        let (actor, automation) = (Actor::system("operator"), store.automation().clone());
        self.ask(async move { Ok(automation.resume(actor, resume).await?) })
            .await;
    }

    async fn converge(&mut self) {
        let end = Instant::now() + CONVERGES_WITHIN;
        let busy = self.world.ledger.reconciles() + TOO_BUSY;
        let mut since: Option<Instant> = None;
        loop {
            let Some(store) = self.store() else { return };
            self.resume(&store).await;
            let missing = settled::missing(&self.world, &store);
            if missing.is_empty() {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= STAYS {
                    self.world.ledger.say("# converged");
                    return;
                }
            } else {
                since = None;
            }
            if Instant::now() >= end {
                let bound = CONVERGES_WITHIN.as_secs();
                self.world.ledger.complain(format!(
                    "not converged after {bound} s:\n  {}",
                    missing.join("\n  ")
                ));
                return;
            }
            if self.world.ledger.reconciles() > busy {
                self.world.ledger.complain(format!(
                    "{TOO_BUSY} reconciles since the calm: something spins; still missing:\n  {}",
                    missing.join("\n  ")
                ));
                return;
            }
            self.wait_until(Instant::now() + LOOK).await;
        }
    }
}
