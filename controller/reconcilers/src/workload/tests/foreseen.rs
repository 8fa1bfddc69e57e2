//! What is planned for a change is what is done: hundreds of generated workloads, states they are found in and changes;
//! for each the answer of the plan route's function against what the reconciler then does, step by step.

use std::time::Duration;

use aegis_api::wire::plan::{PlannedAction, PlannedStep, WorkloadPlan};
use aegis_api::workload::StrategyType;
use aegis_api::{KindInfo, Workload, WorkloadSpec};
use aegis_docker_fake::{Actor, Behaviour, Effect, Op, RunSpec};
use aegis_runtime::Part;
use aegis_runtime::controller::{Action, Reconciler};
use serde_json::{Value, json};

use super::host::Host;
use crate::workload::preview;

const STATES: u64 = 300;
/// How many of them must be such that all of the change can be done: the others wait for a person or for time.
const COMPLETE: usize = 200;

/// SplitMix64: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Host {
    /// With both images, and a network to join.
    async fn with_images() -> Self {
        let host = Self::new().await;
        for image in ["app:1", "app:2"] {
            let quick = Behaviour {
                startup: Duration::from_millis(1),
                ..Behaviour::default()
            };
            host.engine.add_image(image, quick);
        }
        host.engine.create_bystander_on("other", "front").unwrap();
        host
    }

    /// Reconciles until nothing has been left to do for a while: there is no watch here for what changes by itself.
    async fn comes_to_rest(&self) {
        let mut quiet = 0;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match self.reconciler.reconcile("web").await {
                Ok(Action::AwaitChange) => quiet += 1,
                Ok(Action::Requeue(pause)) => tokio::time::sleep(pause).await,
                Err(_) => {}
            }
            if quiet > 3 {
                return;
            }
            if quiet > 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }

    /// The state that a change finds it in: settled, or with a replica that ended or is gone.
    fn disturb(&self, dice: &mut Dice) {
        let name = format!("web-replica-{}", 1 + dice.below(3));
        match dice.below(4) {
            0 => drop(self.engine.crash(&name, 3)),
            1 => drop(self.engine.remove_by_hand(&name)),
            _ => {}
        }
    }

    /// The changed Workload as it would be stored, and then is.
    async fn change(&self, spec: WorkloadSpec, dry_run: bool) -> Workload {
        let spec = serde_json::to_value(spec).unwrap();
        let edit = move |current: &aegis_runtime::Stored| {
            let mut object = current.value();
            object["spec"] = spec;
            Ok(object)
        };
        let store = &self.context.store;
        let stored = store
            .edit(KindInfo::of::<Workload>(), "web", Part::Spec, dry_run, edit)
            .await;
        (*stored.unwrap().typed::<Workload>().unwrap()).clone()
    }

    /// What this controller did, in the words of a plan, from the given effect on.
    fn taken(&self, since: usize) -> Vec<(PlannedAction, String)> {
        let effects = self.engine.effects();
        let (mut made, mut stopped): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut taken = Vec::new();
        for Effect {
            actor,
            op,
            container,
            id,
            ..
        } in effects.iter().skip(since)
        {
            if *actor != Actor::Client {
                continue;
            }
            match op {
                Op::Create => {
                    made.push(id);
                    taken.push((PlannedAction::Create, container.clone()));
                }
                Op::Stop => stopped.push(id),
                Op::Start if made.contains(&id.as_str()) => {}
                Op::Start if stopped.contains(&id.as_str()) => {
                    taken.push((PlannedAction::Restart, container.clone()));
                }
                Op::Start => taken.push((PlannedAction::Start, container.clone())),
                Op::Remove => taken.push((PlannedAction::Remove, container.clone())),
                _ => {}
            }
        }
        taken
    }
}

fn workload(dice: &mut Dice) -> Value {
    let adopted = dice.one_in(2);
    let kind = if dice.one_in(3) {
        StrategyType::InPlace
    } else {
        StrategyType::RollingUpdate
    };
    let surge = dice.below(3);
    // Without either nothing could ever be replaced.
    let unavailable = dice.below(3).max(u64::from(surge == 0));
    let mut spec = json!({
        "replicas": 1 + dice.below(4),
        "strategy": {"type": kind, "maxSurge": surge, "maxUnavailable": unavailable,
            "minHealthy": format!("{}s", dice.below(2) * 3)},
    });
    match adopted {
        true => spec["container"] = json!("web"),
        false => spec["template"] = json!({"image": "app:1", "networks": ["front"]}),
    }
    spec
}

fn changed(mut spec: WorkloadSpec, dice: &mut Dice, now: aegis_api::Time) -> WorkloadSpec {
    let what = dice.below(4);
    if what != 1 {
        spec.replicas = u32::try_from(1 + dice.below(5)).unwrap();
    }
    if what == 1 || what == 3 {
        spec.restarted_at = Some(now);
    }
    if let Some(template) = spec.template.as_mut().filter(|_| what == 2) {
        template.image = "app:2".parse().unwrap();
    }
    spec
}

/// Passes are compared as sets: steps of one are taken at the same time.
fn compare(seed: u64, plan: &WorkloadPlan, taken: &[(PlannedAction, String)]) {
    let mut rest = taken;
    for pass in plan.steps.chunk_by(|a, b| a.pass == b.pass) {
        let (now, later) = rest.split_at(pass.len().min(rest.len()));
        let mut planned: Vec<_> = pass
            .iter()
            .map(
                |PlannedStep {
                     action, container, ..
                 }| (*action, container.clone()),
            )
            .collect();
        let mut done = now.to_vec();
        planned.sort_unstable();
        done.sort_unstable();
        assert_eq!(
            planned, done,
            "seed {seed}: planned {:#?}, taken {taken:#?}",
            plan.steps
        );
        rest = later;
    }
    assert_eq!(rest, [], "seed {seed}: planned {:#?}", plan.steps);
}

#[tokio::test(start_paused = true)]
async fn i14_what_is_planned_for_a_change_is_what_is_done_in_hundreds_of_generated_states() {
    let mut complete = 0;
    let mut steps = 0;
    for seed in 0..STATES {
        let dice = &mut Dice(seed);
        let host = Host::with_images().await;
        let spec = workload(dice);
        if spec["container"] == "web" {
            host.engine
                .run_container(&RunSpec::new("web", "app:1").network("front"))
                .unwrap();
        }
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
        let made = host
            .context
            .store
            .create(KindInfo::of::<Workload>(), object, false)
            .await;
        made.unwrap();
        host.comes_to_rest().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        host.disturb(dice);
        let now = host.context.store.get::<Workload>("web").unwrap();
        let wanted = changed(now.spec.clone(), dice, host.engine.now());
        let asked = host.change(wanted.clone(), true).await;
        let plan = preview(&host.context, &asked).await.unwrap();
        let before = host.engine.effects().len();
        assert_eq!(
            preview(&host.context, &asked).await.unwrap(),
            plan,
            "seed {seed}: asked twice"
        );
        assert_eq!(
            host.engine.effects().len(),
            before,
            "seed {seed}: asking changes nothing"
        );
        host.change(wanted.clone(), false).await;
        host.comes_to_rest().await;
        if plan.complete {
            complete += 1;
            steps += plan.steps.len();
            compare(seed, &plan, &host.taken(before));
            // What was planned leads to the desired state.
            let status = host
                .context
                .store
                .get::<Workload>("web")
                .unwrap()
                .status
                .clone()
                .unwrap();
            assert_eq!(status.ready_replicas, wanted.replicas, "seed {seed}: {plan:#?}");
        }
    }
    assert!(
        complete >= COMPLETE && steps > complete,
        "{complete} of {STATES} states, {steps} steps"
    );
}
