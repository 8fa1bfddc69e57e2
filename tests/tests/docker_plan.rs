//! Promise: what a change would do is shown before it is made, by what then does it: the steps that `aegisctl plan` shows
//! are the steps that the engine sees, for scaling out and in, a restart of one behind a load balancer, and a new template.

use aegis_tests::{Controller, Nginx, World, eventually, manifests};
use serde_json::{Value, json};

struct Stage {
    controller: Controller,
    front: Nginx,
    /// Last: it is dropped when no controller is left that would recreate containers.
    world: World,
}

/// A Workload behind a load balancer, settled at so many replicas.
async fn stage(workload: &Value, world: World) -> Stage {
    let front = world.nginx("lb").await;
    let controller = world.controller().start().await;
    let name = workload["metadata"]["name"].as_str().expect("a name");
    controller.api().apply(workload).await;
    let balancer = manifests::balancing(&front.name, name);
    controller.api().apply(&balancer).await;
    let stage = Stage {
        controller,
        front,
        world,
    };
    stage
        .settles_at(name, workload["spec"]["replicas"].as_u64().unwrap_or(1))
        .await;
    stage
}

impl Stage {
    async fn settles_at(&self, name: &str, replicas: u64) {
        let api = self.controller.api();
        api.workload_ready(name, replicas).await;
        api.balancer_serves(&self.front.name, replicas).await;
        eventually("no change is under way", async || {
            let workload = api.object("workloads", name).await.ok_or("gone")?;
            let rows = workload["status"]["instances"].as_array().map_or(0, Vec::len);
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let open = [&workload["status"]["rollout"], &balancer["status"]["draining"]];
            match open.iter().all(|field| field.is_null()) && u64::try_from(rows) == Ok(replicas) {
                true => Ok(()),
                false => Err(format!("{rows} containers, {open:?}")),
            }
        })
        .await;
    }

    /// What `aegisctl plan` shows beforehand.
    async fn plan(&self, change: &[&str]) -> Value {
        let asked: Vec<&str> = [&["plan"], change, &["-o", "json"]].concat();
        let shown = self.controller.ctl().ok(&asked).await;
        serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"))
    }

    /// Shows the change, makes it, and compares.
    async fn does_what_it_showed(&self, name: &str, change: &[&str], make: &[&str], replicas: u64) -> Value {
        let before = self.world.events().so_far().await.len();
        let plan = self.plan(change).await;
        assert_eq!(
            self.taken(name, before).await,
            Vec::<String>::new(),
            "asking changes nothing"
        );
        assert_eq!(plan["complete"], true, "{plan:#}");
        self.controller.ctl().ok(make).await;
        let steps = plan["steps"].as_array().expect("steps");
        eventually("as many steps are taken as were shown", async || {
            let taken = self.taken(name, before).await;
            match taken.len() >= steps.len() {
                true => Ok(()),
                false => Err(format!("{taken:?} of {steps:?}")),
            }
        })
        .await;
        self.settles_at(name, replicas).await;
        let taken = self.taken(name, before).await;
        let mut shown = Vec::new();
        // Steps of one pass are taken at the same time: their order among each other means nothing.
        for pass in steps.chunk_by(|a, b| a["pass"] == b["pass"]) {
            let mut pass: Vec<String> = pass.iter().map(words).collect();
            let mut seen: Vec<String> = taken.iter().skip(shown.len()).take(pass.len()).cloned().collect();
            pass.sort_unstable();
            seen.sort_unstable();
            assert_eq!(pass, seen, "shown {steps:#?}, taken {taken:#?}");
            shown.extend(pass);
        }
        assert_eq!(shown.len(), taken.len(), "shown {shown:#?}, taken {taken:#?}");
        plan
    }

    /// What the engine saw done to containers of this name, or made from it, since then.
    async fn taken(&self, name: &str, since: usize) -> Vec<String> {
        let events = self.world.events().so_far().await;
        let mut fresh = Vec::new();
        let mut taken = Vec::new();
        for event in events
            .iter()
            .skip(since)
            .filter(|event| event.name.starts_with(name))
        {
            match event.action.as_str() {
                "create" => {
                    fresh.push(event.id.clone());
                    taken.push(format!("create {}", event.name));
                }
                "start" if !fresh.contains(&event.id) => taken.push(format!("restart {}", event.name)),
                "destroy" => taken.push(format!("remove {}", event.name)),
                _ => {}
            }
        }
        taken
    }
}

fn words(step: &Value) -> String {
    let part = |key: &str| step[key].as_str().unwrap_or_default();
    format!("{} {}", part("action"), part("container"))
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_and_restarting_an_adopted_container_take_the_steps_that_were_shown() {
    let world = World::new().await;
    let patient = world.patient("shop").start().await;
    let name = patient.name.clone();
    let stage = stage(&manifests::adopting(&name, 1), world).await;
    let target = format!("workload/{name}");
    let plan = stage
        .does_what_it_showed(
            &name,
            &[&target, "--replicas=3"],
            &["scale", &target, "--replicas=3"],
            3,
        )
        .await;
    assert_eq!(plan["clients"]["message"], "nothing that runs is stopped");
    let plan = stage
        .does_what_it_showed(
            &name,
            &[&target, "--replicas=1"],
            &["scale", &target, "--replicas=1"],
            1,
        )
        .await;
    assert_eq!(plan["untouched"], json!([name]));
    let plan = stage
        .does_what_it_showed(&name, &[&target, "--restart"], &["restart", &target], 1)
        .await;
    // A stand-in answers meanwhile.
    assert_eq!(plan["clients"]["servingLeast"], 1, "{plan:#}");
    let text = stage
        .controller
        .ctl()
        .ok(&["plan", &target, "--replicas=2"])
        .await;
    assert!(
        text.contains(&format!("{name}-replica-1")) && text.contains("create"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_template_takes_the_steps_that_were_shown() {
    let world = World::new().await;
    let name = world.name("web");
    let mut workload = manifests::templated(&name, world.network(), 2, &Value::Null);
    workload["spec"]["strategy"] = json!({"maxSurge": 1, "maxUnavailable": 0});
    let file = world.folder().join("web.yaml");
    let stage = stage(&workload, world).await;
    workload["spec"]["template"]["env"]["RELEASE"] = json!("2");
    std::fs::write(&file, workload.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    let plan = stage
        .does_what_it_showed(&name, &["-f", file], &["apply", "-f", file], 2)
        .await;
    assert_eq!(plan["clients"]["servingLeast"], 2, "{plan:#}");
    let message = plan["clients"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("no request is dropped"), "{message}");
}
