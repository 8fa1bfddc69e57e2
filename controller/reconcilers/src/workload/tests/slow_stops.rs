//! Containers that ignore SIGTERM: all the loops, on the engine in memory, in virtual time.

use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::{Time, kinds};
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Behaviour, RunSpec};
use serde_json::{Value, json};

use super::host::Host;
use crate::assembly::tests::run_all;

impl Host {
    async fn store(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name}, "spec": spec});
        let info = kinds::find("wl").unwrap();
        self.context.store.create(info, object, false).await.unwrap();
    }

    fn started(&self, name: &str) -> Option<Time> {
        let found = self.engine.inspect_now(name)?;
        found
            .started_at
            .filter(|_| found.state == ContainerState::Running)
    }
}

#[tokio::test(start_paused = true)]
async fn i9_twice_as_many_containers_that_ignore_sigterm_as_there_are_slots_hold_up_no_other_workload() {
    let host = Host::new().await;
    let stubborn = Behaviour {
        ignores_sigterm: true,
        ..Behaviour::default()
    };
    host.engine.add_image("stubborn:1", stubborn);
    let names: Vec<String> = (0..32).map(|number| format!("stubborn-{number}")).collect();
    for name in &names {
        host.engine
            .run_container(&RunSpec::new(name, "stubborn:1"))
            .unwrap();
    }
    host.engine.run_container(&RunSpec::new("web", "app:1")).unwrap();
    let began: Vec<_> = names.iter().map(|name| host.started(name)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for name in &names {
        host.store(name, json!({"container": name, "restartedAt": host.engine.now()}))
            .await;
    }
    let _end = run_all(&host.context, Brain::new(BrainConfig::default()).unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;

    host.engine.crash("web", 3).unwrap();
    host.store("web", json!({"container": "web"})).await;
    for _ in 0..200 {
        if host.started("web").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        host.started("web").is_some(),
        "the one that ended is started meanwhile"
    );
    let now: Vec<_> = names.iter().map(|name| host.started(name)).collect();
    assert_eq!(now, began, "none of the others has ended yet");

    // Each is restarted once, when its grace period is over.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (name, began) in names.iter().zip(began) {
        let now = host.started(name);
        assert!(now.is_some() && now > began, "{name}: {now:?}");
        let stops = host.engine.effects();
        let stops = stops
            .iter()
            .filter(|effect| effect.op == aegis_docker_fake::Op::Stop && effect.container == *name);
        assert_eq!(stops.count(), 1, "{name}");
    }
}
