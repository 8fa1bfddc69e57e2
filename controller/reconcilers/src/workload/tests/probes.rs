//! Probes that accuse nothing that is well: networks that cannot be reached, the host's network, commands, gRPC. The
//! reconciler and the prober on the engine in memory, in virtual time.

use std::time::Duration;

use aegis_api::condition;
use aegis_api::workload::Health;
use aegis_api::{ConditionType, Workload, kinds};
use aegis_docker_fake::{Actor, Behaviour, FakeEngine, Op, RunSpec};
use aegis_runtime::controller::Reconciler;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::host::Host;

impl Host {
    /// Adopts `web` with this probe, heals it, and lets so many seconds pass.
    async fn adopt(
        health: Value,
        run: RunSpec,
        prepare: impl FnOnce(&FakeEngine),
        seconds: u64,
    ) -> (Self, Workload) {
        let host = Self::new().await;
        host.engine.run_container(&run).unwrap();
        prepare(&host.engine);
        let (prober, shutdown) = (host.context.prober.clone(), CancellationToken::new());
        tokio::spawn(async move { prober.run(shutdown).await });
        let spec = json!({"container": "web", "health": health, "restart": {"unhealthyAfter": "5s"}});
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
        let info = kinds::find("wl").unwrap();
        host.context.store.create(info, object, false).await.unwrap();
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            host.reconciler.reconcile("web").await.unwrap();
        }
        let workload = (*host.context.store.get::<Workload>("web").unwrap()).clone();
        (host, workload)
    }

    fn stopped_by_us(&self) -> usize {
        let effects = self.engine.effects();
        let ours = effects.iter();
        ours.filter(|effect| effect.actor == Actor::Client && effect.op == Op::Stop)
            .count()
    }
}

fn said(workload: &Workload) -> (Health, String) {
    let row = &workload.status.as_ref().unwrap().instances[0];
    (row.health, row.message.clone().unwrap_or_default())
}

fn degraded(workload: &Workload) -> String {
    let conditions = &workload.status.as_ref().unwrap().conditions;
    condition::find(conditions, ConditionType::Degraded)
        .unwrap()
        .reason
        .clone()
}

/// On a network that sorts first and cannot be reached, and on one that can.
fn on_two() -> RunSpec {
    RunSpec::new("web", "app:1").network("a-lan").network("z-bridge")
}

#[tokio::test(start_paused = true)]
async fn a_container_is_found_on_whichever_of_its_networks_leads_to_it() {
    for health in [
        json!({"http": {"port": 8000}}),
        json!({"tcp": {"port": 8000}}),
        json!({"grpc": {"port": 8000}}),
        json!({"http": {"port": 8000}, "network": "z-bridge"}),
    ] {
        let hide = |engine: &FakeEngine| engine.hide_network("a-lan");
        let (host, workload) = Host::adopt(health.clone(), on_two(), hide, 120).await;
        assert_eq!(said(&workload), (Health::Healthy, String::new()), "{health}");
        assert_eq!(host.stopped_by_us(), 0, "{health}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_network_leads_to_is_said_so_and_never_restarted() {
    let hide = |engine: &FakeEngine| {
        engine.hide_network("a-lan");
        engine.hide_network("z-bridge");
    };
    for health in [
        json!({"http": {"port": 8000}}),
        json!({"tcp": {"port": 8000}}),
        json!({"http": {"port": 8000}, "network": "a-lan"}),
    ] {
        let (host, workload) = Host::adopt(health.clone(), on_two(), hide, 600).await;
        let (is, why) = said(&workload);
        assert_eq!(
            (is, host.stopped_by_us()),
            (Health::Unknown, 0),
            "{health}: {why}"
        );
        assert!(why.contains("cannot be reached from here"), "{health}: {why}");
        assert_eq!(degraded(&workload), "ProbeUnreachable", "{health}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_on_the_hosts_network_is_probed_and_one_without_a_network_is_said_so() {
    let host = RunSpec::new("web", "app:1").network("host");
    let (_, workload) = Host::adopt(json!({"http": {"port": 8777}}), host, |_| {}, 10).await;
    assert_eq!(said(&workload), (Health::Healthy, String::new()));
    let none = RunSpec::new("web", "app:1").network("none");
    let (_, workload) = Host::adopt(json!({"http": {"port": 8777}}), none, |_| {}, 10).await;
    let (is, why) = said(&workload);
    assert_eq!(is, Health::Unknown);
    assert!(
        why.contains("network none") && degraded(&workload) == "ProbeUnreachable",
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_inside_decides_and_one_that_the_image_lacks_restarts_nothing() {
    let probe = json!({"exec": {"command": ["/bin/check", "--ready"]}});
    let app = || RunSpec::new("web", "app:1").network("none");
    let answer = |exit_code| {
        move |engine: &FakeEngine| {
            let output = aegis_api::observed::ExecOutput {
                exit_code,
                output: "no leader".to_owned(),
            };
            engine.answer_exec("web", "/bin/check", output);
        }
    };
    let (_, workload) = Host::adopt(probe.clone(), app(), answer(0), 10).await;
    assert_eq!(said(&workload), (Health::Healthy, String::new()));
    let (host, workload) = Host::adopt(probe.clone(), app(), answer(1), 120).await;
    let (_, why) = said(&workload);
    assert!(why.contains("exit code 1") && why.contains("no leader"), "{why}");
    assert!(host.stopped_by_us() > 0, "it says that it is unwell");
    let (host, workload) = Host::adopt(probe, app(), |_| {}, 600).await;
    let (is, why) = said(&workload);
    assert_eq!((is, host.stopped_by_us()), (Health::Unhealthy, 0), "{why}");
    assert!(
        why.contains("exit code 126") && why.contains("health.exec.command"),
        "{why}"
    );
    assert_eq!(degraded(&workload), "RestartLimit");
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_of_an_answer_is_the_applications_own_measure() {
    let app = || {
        let behaviour = Behaviour {
            body: "{\"status\":\"UP\"}".to_owned(),
            ..Behaviour::default()
        };
        RunSpec::new("web", "app:1").network("front").behaviour(behaviour)
    };
    for (http, healthy) in [
        (json!({"port": 8000, "expectedBody": "\"UP\""}), true),
        (json!({"port": 8000, "expectedBody": "\"DOWN\""}), false),
        (json!({"port": 8000, "expectedStatus": "200"}), true),
        (json!({"port": 8000, "expectedStatus": "204,300-399"}), false),
    ] {
        let (_, workload) = Host::adopt(json!({"http": http}), app(), |_| {}, 63).await;
        assert_eq!(
            said(&workload).0 == Health::Healthy,
            healthy,
            "{http}: {:?}",
            said(&workload)
        );
    }
}
