//! The whole reconciler over an engine in memory: servers go, and so do templates, neighbours of our file, nginx itself and
//! the load balancer.

mod tcp;

use aegis_api::meta::LOAD_BALANCER_FINALIZER;
use aegis_api::{ConditionType, Workload, WorkloadStatus};
use aegis_planning::load_balancer::REVISION_PATH;
use aegis_runtime::controller::{OnError, ReconcileError, Reconciler};

use super::*;

const FILE: &str = "/etc/nginx/conf.d/upstream.conf";

/// An nginx in front of the container `web`, which a Workload of that name adopts.
struct Rig {
    engine: FakeEngine,
    context: crate::context::Context,
    reconciler: LoadBalancerReconciler,
    templates: tempfile::TempDir,
    address: String,
    _state: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let rig = Self::unconfigured().await;
        rig.pass().await.unwrap();
        assert_eq!(rig.served(), std::slice::from_ref(&rig.address));
        rig
    }

    /// Before the first pass.
    async fn unconfigured() -> Self {
        let engine = FakeEngine::new(FakeOptions {
            addresses_reused: true,
            ..FakeOptions::default()
        });
        engine
            .run_container(&RunSpec::nginx("nginx").network("net"))
            .unwrap();
        engine
            .run_container(&RunSpec::new("web", "app:1").network("net"))
            .unwrap();
        let templates = tempfile::tempdir().unwrap();
        let settings = Settings {
            templates: templates.path().to_owned(),
            ..Settings::default()
        };
        let (context, state) = crate::context::tests::over(&engine, settings).await;
        let mut rig = Self {
            reconciler: LoadBalancerReconciler::new(context.clone()),
            engine,
            context,
            templates,
            address: String::new(),
            _state: state,
        };
        rig.template(TEMPLATE);
        let web = rig.engine.inspect_now("web").unwrap();
        let ip = web.networks["net"].unwrap().to_string();
        rig.address = format!("{ip}:8000");
        rig.create(
            "wl",
            serde_json::json!({
                "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
                "spec": {"container": "web"},
            }),
        )
        .await;
        let workload = rig.context.store.get::<Workload>("web").unwrap();
        let row = InstanceStatus {
            id: web.id,
            index: 0,
            started_at: web.started_at,
            ..row("web", &ip, Health::Healthy)
        };
        let status = WorkloadStatus {
            instances: vec![row],
            ..WorkloadStatus::default()
        };
        let uid = workload.metadata.uid.clone().unwrap();
        rig.context
            .store
            .set_status::<Workload>("web", &uid, status)
            .await
            .unwrap();
        rig.create("lb", serde_json::to_value(balancer()).unwrap()).await;
        rig
    }

    /// The Workload marks its only container as on its way out.
    async fn leaves(&self, since: &str) {
        let workload = self.context.store.get::<Workload>("web").unwrap();
        let mut status = workload.status.clone().unwrap();
        status.instances[0].draining = true;
        status.instances[0].draining_since = Some(time(since));
        status.instances[0].leaving = Some(aegis_api::workload::Leaving::ScaleIn);
        let uid = workload.metadata.uid.clone().unwrap();
        let store = &self.context.store;
        store.set_status::<Workload>("web", &uid, status).await.unwrap();
    }

    /// A further container of the Workload, which is fit to serve.
    async fn second(&self) {
        self.engine
            .run_container(&RunSpec::new("web-2", "app:1").network("net"))
            .unwrap();
        let second = self.engine.inspect_now("web-2").unwrap();
        let ip = second.networks["net"].unwrap().to_string();
        let workload = self.context.store.get::<Workload>("web").unwrap();
        let mut status = workload.status.clone().unwrap();
        status.instances.push(InstanceStatus {
            id: second.id,
            started_at: second.started_at,
            ..row("web-2", &ip, Health::Healthy)
        });
        let uid = workload.metadata.uid.clone().unwrap();
        let store = &self.context.store;
        store.set_status::<Workload>("web", &uid, status).await.unwrap();
    }

    fn releases(&self) -> Vec<aegis_api::load_balancer::Release> {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        lb.status.clone().unwrap().releases
    }

    async fn create(&self, kind: &str, object: serde_json::Value) {
        let info = kinds::find(kind).unwrap();
        self.context.store.create(info, object, false).await.unwrap();
    }

    fn template(&self, text: &str) {
        std::fs::write(self.templates.path().join("nginx-upstream.conf.tera"), text).unwrap();
    }

    async fn pass(&self) -> Result<aegis_runtime::controller::Action, Error> {
        // What an event of the engine would do.
        self.context.endpoints.all_changed();
        self.reconciler.reconcile("lb").await
    }

    /// The servers nginx gives requests to.
    fn served(&self) -> Vec<String> {
        let loaded = self.engine.serving_config("nginx").unwrap();
        loaded.upstreams.into_values().flatten().collect()
    }

    /// The container is removed, and its address is given to the next one.
    fn replace_by_a_stranger(&self) {
        self.engine.remove_by_hand("web").unwrap();
        self.engine.create_bystander_on("stranger", "net").unwrap();
        let stranger = self.engine.inspect_now("stranger").unwrap();
        assert_eq!(
            format!("{}:8000", stranger.networks["net"].unwrap()),
            self.address
        );
    }

    fn ready(&self) -> String {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        let status = lb.status.clone().unwrap();
        let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
        format!("{} {} {}", ready.status, ready.reason, ready.message)
    }

    async fn neighbour(&self, text: &str) {
        let files = [("zz.conf".to_owned(), text.as_bytes().to_vec())];
        let nginx = self.engine.inspect_now("nginx").unwrap();
        self.engine
            .put_files(&nginx.id, "/etc/nginx/conf.d", &files)
            .await
            .unwrap();
    }

    async fn delete(&self) {
        let info = kinds::find("lb").unwrap();
        self.context
            .store
            .delete(info, "lb", None, None, false)
            .await
            .unwrap();
    }

    fn exists(&self) -> bool {
        self.context.store.get::<LoadBalancer>("lb").is_some()
    }

    fn file(&self) -> String {
        String::from_utf8(self.engine.file("nginx", FILE).unwrap()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_stranger_at_the_address_of_the_last_server_gets_nothing() {
    let rig = Rig::new().await;
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap();
    assert!(rig.served().is_empty());
    assert!(rig.file().contains("Retry-After"), "{}", rig.file());
    assert!(
        rig.ready()
            .starts_with("False NoServers upstream web answers 503 since"),
        "{}",
        rig.ready()
    );
}

#[tokio::test(start_paused = true)]
async fn i8_a_broken_template_keeps_no_stranger_in_nginx() {
    let cases = [
        ("{% for x in %}", "TemplateError"),
        (
            "{% if upstreams.0.unavailable %}upstream web { }{% endif %}",
            "ConfigRefused",
        ),
        ("server { listen 80; invalid_directive on; }", "ConfigRefused"),
    ];
    for (template, reason) in cases {
        let rig = Rig::new().await;
        rig.template(template);
        rig.replace_by_a_stranger();
        rig.pass().await.unwrap_err();
        assert!(rig.served().is_empty(), "{template}");
        assert!(rig.file().contains(" down;"), "{}", rig.file());
        let ready = rig.ready();
        assert!(
            ready.contains(reason) && ready.contains("taken out") && ready.contains(&rig.address),
            "{ready}"
        );
        // It is not loaded again and again.
        let loads = rig.engine.loaded_configs().len();
        rig.pass().await.unwrap_err();
        assert_eq!(rig.engine.loaded_configs().len(), loads, "{template}");
        rig.template(TEMPLATE);
        rig.pass().await.unwrap();
        assert!(rig.file().contains("return 503"), "{}", rig.file());
    }
    let rig = Rig::new().await;
    std::fs::remove_file(rig.templates.path().join("nginx-upstream.conf.tera")).unwrap();
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap_err();
    assert!(rig.served().is_empty());
}

#[tokio::test(start_paused = true)]
async fn i8_an_nginx_that_refuses_everything_is_tried_again_soon_and_who_is_served_is_reported() {
    let rig = Rig::new().await;
    rig.neighbour("invalid_directive on;\n").await;
    rig.replace_by_a_stranger();
    let error = rig.pass().await.unwrap_err();
    assert!(matches!(error.on_error(), OnError::BackoffWithin(_)), "{error:?}");
    let said = format!(
        "nginx still sends requests of upstream web to {}, which is not web's any more",
        rig.address
    );
    assert!(rig.ready().contains(&said), "{}", rig.ready());
    assert_eq!(
        rig.served(),
        std::slice::from_ref(&rig.address),
        "nothing can be loaded"
    );
    rig.engine
        .remove_file("nginx", "/etc/nginx/conf.d/zz.conf")
        .unwrap();
    rig.pass().await.unwrap();
    assert!(rig.served().is_empty());
}

#[tokio::test(start_paused = true)]
async fn i8_an_nginx_that_is_started_again_finds_no_stranger_in_its_file() {
    let rig = Rig::new().await;
    rig.engine.stop_by_hand("nginx").unwrap();
    rig.engine.remove_by_hand("web").unwrap();
    rig.pass().await.unwrap_err();
    rig.engine.start_by_hand("nginx").unwrap();
    assert!(rig.served().is_empty(), "{}", rig.file());
    rig.pass().await.unwrap();
    assert!(rig.file().contains("return 503"), "{}", rig.file());
}

#[tokio::test(start_paused = true)]
async fn i8_a_deleted_load_balancer_leaves_a_file_that_is_safe_and_foreign_files_as_they_were() {
    let rig = Rig::new().await;
    let foreign = "# not ours\n";
    rig.neighbour(foreign).await;
    rig.delete().await;
    let held = rig.context.store.get::<LoadBalancer>("lb").unwrap();
    assert_eq!(
        held.metadata.finalizers.as_deref().unwrap(),
        [LOAD_BALANCER_FINALIZER]
    );
    for _ in 0..50 {
        if !rig.exists() {
            break;
        }
        rig.pass().await.unwrap();
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    assert!(!rig.exists());
    assert!(
        rig.served().is_empty() && rig.file().contains("Retry-After"),
        "{}",
        rig.file()
    );
    assert_eq!(
        rig.engine.file("nginx", "/etc/nginx/conf.d/zz.conf").unwrap(),
        foreign.as_bytes()
    );
}

/// What becomes of nginx before its load balancer is deleted, and whether it is there to be made safe.
#[tokio::test(start_paused = true)]
async fn i8_no_state_of_nginx_or_its_template_keeps_a_deleted_load_balancer_for_ever() {
    let gone = Rig::new().await;
    gone.engine.remove_by_hand("nginx").unwrap();
    gone.delete().await;
    gone.pass().await.unwrap();
    assert!(!gone.exists());

    let stopped = Rig::new().await;
    stopped.engine.stop_by_hand("nginx").unwrap();
    stopped.delete().await;
    stopped.pass().await.unwrap();
    assert!(!stopped.exists());
    stopped.engine.start_by_hand("nginx").unwrap();
    assert!(stopped.served().is_empty(), "{}", stopped.file());

    let broken = Rig::new().await;
    broken.template("{% for x in %}");
    broken.delete().await;
    broken.pass().await.unwrap();
    assert!(
        !broken.exists() && broken.served().is_empty(),
        "{}",
        broken.file()
    );

    let refused = Rig::new().await;
    refused.neighbour("invalid_directive on;\n").await;
    refused.delete().await;
    refused.pass().await.unwrap_err();
    assert!(
        refused.exists() && refused.ready().contains("ConfigRefused"),
        "{}",
        refused.ready()
    );
}

#[tokio::test(start_paused = true)]
async fn i3_nothing_is_written_to_or_run_in_a_container_that_is_not_seen_to_run_nginx() {
    let rig = Rig::new().await;
    rig.engine
        .run_container(&RunSpec::new("shop", "app:1").network("net"))
        .unwrap();
    let mut other = balancer();
    other.metadata.name = Some("other".to_owned());
    other.spec.container = "shop".parse().unwrap();
    rig.create("lb", serde_json::to_value(other).unwrap()).await;
    let before = rig.engine.effects().len();
    rig.context.endpoints.all_changed();
    let error = rig.reconciler.reconcile("other").await.unwrap_err();
    assert_eq!(error.category(), "observe");
    assert_eq!(
        rig.engine.effects().len(),
        before,
        "{:?}",
        rig.engine.effects().last()
    );
    let other = rig.context.store.get::<LoadBalancer>("other").unwrap();
    let conditions = &other.status.as_ref().unwrap().conditions;
    let ready = aegis_api::condition::find(conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "NotNginx");
    assert!(
        ready.message.contains("container shop does not run nginx"),
        "{}",
        ready.message
    );
}

/// Commands and files that nginx's container got since.
fn touched(engine: &FakeEngine) -> Vec<String> {
    let effects = engine.effects();
    let writes = effects.iter().filter(|effect| effect.op == Op::PutFiles);
    writes.map(|effect| effect.detail.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_main_configuration_that_does_not_read_the_file_is_refused_before_anything_is_written() {
    let rig = Rig::new().await;
    let id = rig.engine.inspect_now("nginx").unwrap().id;
    let write = async |text: &str| {
        let files = [("nginx.conf".to_owned(), text.as_bytes().to_vec())];
        rig.engine.put_files(&id, "/etc/nginx", &files).await.unwrap();
    };
    write("events { }\nhttp {\n    include /etc/nginx/sites/*.conf;\n}\n").await;
    let before = touched(&rig.engine).len();
    rig.template(&format!("{TEMPLATE}\n# another\n"));
    rig.pass().await.unwrap_err();
    let ready = rig.ready();
    for part in [
        "False NotConfigurable",
        "add `include /etc/nginx/conf.d/upstream.conf;` to the http block of /etc/nginx/nginx.conf",
        "line 3 includes /etc/nginx/sites/*.conf",
    ] {
        assert!(ready.contains(part), "{ready}");
    }
    assert_eq!(touched(&rig.engine).len(), before, "nothing was written");

    // Relative, as OpenResty has it: the copy lies elsewhere, and is judged all the same.
    write("events { }\nhttp {\n    include mime.types;\n    include conf.d/*.conf;\n}\n").await;
    rig.pass().await.unwrap();
    assert!(rig.ready().starts_with("True"), "{}", rig.ready());

    rig.template("upstream x { }\n");
    let live = touched(&rig.engine)
        .iter()
        .filter(|files| files.contains("/etc/nginx/conf.d: upstream.conf"))
        .count();
    rig.pass().await.unwrap_err();
    assert!(rig.ready().contains("ConfigRefused"), "{}", rig.ready());
    let now = touched(&rig.engine);
    let now = now
        .iter()
        .filter(|files| files.contains("/etc/nginx/conf.d: upstream.conf"));
    assert_eq!(now.count(), live, "the live file was not touched");
}

#[tokio::test(start_paused = true)]
async fn i8_a_configuration_that_nginx_was_never_given_holds_no_container_that_leaves() {
    const SINCE: &str = "2026-11-22T11:59:58Z";
    type Break = fn(&Rig);
    let breaks: [(&str, Break); 5] = [
        ("ConfigRefused", |rig| {
            rig.template("server { listen 80; invalid_directive on; }");
        }),
        ("TemplateError", |rig| rig.template("{% for x in %}")),
        ("TemplateError", |rig| {
            std::fs::remove_file(rig.templates.path().join("nginx-upstream.conf.tera")).unwrap();
        }),
        ("NotNginx", |rig| {
            rig.engine.remove_by_hand("nginx").unwrap();
            let other = RunSpec::new("nginx", "app:1").network("net");
            rig.engine.run_container(&other).unwrap();
        }),
        ("ContainerMissing", |rig| {
            rig.engine.remove_by_hand("nginx").unwrap();
        }),
    ];
    for (reason, break_it) in breaks {
        let rig = Rig::unconfigured().await;
        break_it(&rig);
        rig.second().await;
        rig.leaves(SINCE).await;
        rig.pass().await.unwrap_err();
        assert!(rig.ready().contains(reason), "{}", rig.ready());
        let id = rig.engine.inspect_now("web").unwrap().id;
        assert_eq!(rig.releases(), [release(id.as_str(), Some(SINCE))], "{reason}");
        // One that came back and leaves once more is a new case.
        rig.leaves("2026-11-22T12:59:58Z").await;
        rig.pass().await.unwrap_err();
        assert_eq!(
            rig.releases(),
            [release(id.as_str(), Some("2026-11-22T12:59:58Z"))],
            "{reason}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn i8_where_no_status_speaks_of_the_file_that_nginx_has_none_of_its_servers_is_released() {
    let rig = Rig::unconfigured().await;
    let id = rig.engine.inspect_now("nginx").unwrap().id;
    // Of an earlier time, as after a lost status file; nginx does not answer with its revision.
    let text = format!("upstream web {{ server {}; }}\n# {REVISION_PATH}\n", rig.address);
    let files = [("upstream.conf".to_owned(), text.into_bytes())];
    rig.engine
        .put_files(&id, "/etc/nginx/conf.d", &files)
        .await
        .unwrap();
    rig.second().await;
    for template in ["server { listen 80; invalid_directive on; }", "{% for x in %}"] {
        rig.template(template);
        rig.leaves("2026-11-22T11:59:58Z").await;
        rig.pass().await.unwrap_err();
        assert!(rig.releases().is_empty(), "{template}: {:?}", rig.releases());
    }
}

#[tokio::test(start_paused = true)]
async fn i8_what_nginx_serves_is_not_released_by_a_configuration_that_it_refuses() {
    let rig = Rig::new().await;
    rig.template("server { listen 80; invalid_directive on; }");
    rig.leaves("2026-11-22T11:59:58Z").await;
    rig.pass().await.unwrap_err();
    assert!(rig.releases().is_empty(), "{:?}", rig.releases());
    assert_eq!(rig.served(), std::slice::from_ref(&rig.address));
}

/// The file of before is still read: both have the same upstream.
#[tokio::test(start_paused = true)]
async fn i8_another_config_path_is_judged_before_a_file_is_touched() {
    let rig = Rig::new().await;
    let file = rig.file();
    let edit = rig.context.store.edit_spec::<LoadBalancer, _>("lb", |lb| {
        let mut spec = lb.spec.clone();
        spec.config_path = "/etc/nginx/conf.d/other.conf".parse().unwrap();
        Ok(spec)
    });
    edit.await.unwrap();
    for servers in [1, 2] {
        if servers == 2 {
            rig.second().await;
        }
        rig.pass().await.unwrap_err();
        assert!(rig.ready().contains("duplicate upstream"), "{}", rig.ready());
        assert_eq!(rig.engine.file("nginx", "/etc/nginx/conf.d/other.conf"), None);
        assert_eq!(rig.file(), file);
    }
}
