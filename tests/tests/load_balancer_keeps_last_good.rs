//! Promise: whatever is wrong with a template or with the servers, nginx goes on serving its last good configuration,
//! and the resource says why (I8).

use std::path::Path;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::binaries::repository;
use aegis_tests::{Api, Container, Controller, Nginx, World, eventually, manifests};
use serde_json::{Value, json};

const GOOD: &str = "nginx-upstream.conf.tera";

struct Stage {
    _controller: Controller,
    api: Api,
    patient: Container,
    front: Nginx,
}

/// A patient behind nginx, with templates that a test may change.
async fn stage(world: &World) -> Stage {
    let templates = world.folder().join("templates");
    std::fs::create_dir(&templates).unwrap_or_else(|error| panic!("{}: {error}", templates.display()));
    let good = read(&repository().join("lb-templates").join(GOOD));
    write(&templates.join(GOOD), &good);
    write(
        &templates.join("syntax.tera"),
        "upstream {{ upstreams }} {% for %}\n",
    );
    write(
        &templates.join("refused.tera"),
        &good.replace("proxy_http_version 1.1;", "proxy_htp_version 1.1;"),
    );
    write(
        &templates.join("unproved.tera"),
        &good.replace("{{ revision_path }}", "/somewhere-else"),
    );
    let patient = world.patient("buggy").start().await;
    let front = world.nginx("lb").await;
    let controller = world.controller().templates(&templates).start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::balancing(&front.name, &patient.name)).await;
    api.balancer_serves(&front.name, 1).await;
    Stage {
        _controller: controller,
        api,
        patient,
        front,
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

impl Stage {
    async fn template(&self, name: &str) {
        let patch = json!({"spec": {"template": name}});
        self.api.merge_ok("LoadBalancer", &self.front.name, &patch).await;
    }

    /// Waits until the resource is `Ready` or not for this reason, and answers the whole of it.
    async fn reports(&self, reason: &str) -> Value {
        self.api
            .until("LoadBalancer", &self.front.name, reason, |object| {
                let ready = condition(object, ConditionType::Ready);
                if ready["reason"] == reason {
                    Ok(object.clone())
                } else {
                    Err(ready.to_string())
                }
            })
            .await
    }

    async fn serves_its_patient(&self) {
        assert_eq!(
            self.front.who_answers().await.as_deref(),
            Ok(self.patient.short_id())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_with_a_syntax_error_changes_nothing_and_is_reported_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    let before = stage.front.config().await;
    stage.template("syntax.tera").await;
    let object = stage.reports("TemplateError").await;
    let message = condition(&object, ConditionType::Ready)["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("syntax.tera"), "{message}");
    assert_eq!(stage.front.config().await, before);
    stage.serves_its_patient().await;

    stage.template(GOOD).await;
    stage.reports("Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_template_changes_nothing_and_is_reported_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    let before = stage.front.config().await;
    stage.template("nowhere.tera").await;
    let object = stage.reports("TemplateError").await;
    assert!(
        condition(&object, ConditionType::Ready)["message"]
            .as_str()
            .unwrap()
            .contains("nowhere.tera")
    );
    assert_eq!(stage.front.config().await, before);
    stage.serves_its_patient().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_nginx_refuses_never_goes_live_and_its_complaint_is_reported_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    let before = stage.front.config().await;
    stage.template("refused.tera").await;
    let object = stage.reports("ConfigRefused").await;
    let message = condition(&object, ConditionType::Ready)["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("proxy_htp_version"),
        "nginx's own words: {message}"
    );
    assert_eq!(
        object["status"]["config"],
        before.as_str(),
        "the last good one is remembered"
    );
    assert_eq!(stage.front.config().await, before);
    stage.serves_its_patient().await;

    stage.template(GOOD).await;
    stage.reports("Ready").await;
    stage.serves_its_patient().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_cannot_be_proved_is_rolled_back_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    let before = stage.front.config().await;
    stage.template("unproved.tera").await;
    stage.reports("ReloadUnproved").await;
    // It is tried again and again, with growing pauses; between two tries the last good one is live.
    eventually("the last good configuration is back", async || {
        if stage.front.config().await == before {
            Ok(())
        } else {
            Err("another one is there".to_owned())
        }
    })
    .await;
    stage.serves_its_patient().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_never_emptied_even_when_nothing_is_healthy_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.patient.trigger("hang").await;
    let object = stage.reports("LastServersHeld").await;
    assert_eq!(object["status"]["serverCount"], 1);
    assert_eq!(stage.front.servers().await.len(), 1);
    // Its health hangs, its requests do not: they are still served.
    stage.serves_its_patient().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_admitted_only_when_it_is_healthy_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    // Listens elsewhere than its probe asks: it runs and is never ready.
    let sick = world.name("sick");
    let deaf = json!({"env": {"PORT": "9000"}});
    let mut workload = manifests::templated(&sick, world.network(), 1, &deaf);
    workload["spec"]["health"]["startPeriod"] = json!("0s");
    stage.api.apply(&workload).await;
    let both = json!({"spec": {"backends": [
        {"workload": stage.patient.name, "port": 8000, "upstream": "buggy_app"},
        {"workload": sick, "port": 8000, "upstream": "sick"},
    ]}});
    stage.api.merge_ok("LoadBalancer", &stage.front.name, &both).await;
    stage
        .api
        .until(
            "Workload",
            &sick,
            "its container runs and is not ready",
            |object| {
                let row = &object["status"]["instances"][0];
                if row["state"] == "running" && row["health"] == "Unhealthy" {
                    Ok(())
                } else {
                    Err(object["status"].to_string())
                }
            },
        )
        .await;
    let object = stage.reports("Partial").await;
    assert_eq!(object["status"]["serverCount"], 1, "{object:#}");
    let config = stage.front.config().await;
    assert!(!config.contains("upstream sick {"), "{config}");
    stage.serves_its_patient().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_that_was_restarted_gets_its_configuration_again_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.front.container.remove_by_force().await;
    stage.reports("ContainerMissing").await;
    let front = world.nginx("lb").await;
    eventually("the new nginx serves the patient", async || {
        let host = front.who_answers().await?;
        if host == stage.patient.short_id() {
            Ok(())
        } else {
            Err(host)
        }
    })
    .await;
}
