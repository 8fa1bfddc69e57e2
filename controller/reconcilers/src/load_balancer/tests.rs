//! What is done to nginx, on the engine in memory. What is decided is tested where it is: in the planner.

mod reconciling;
mod standby;

use aegis_api::load_balancer::LoadBalancerStatus;
use aegis_api::observed::{ContainerDetails, ContainerState, ExecOutput};
use aegis_api::workload::{Health, InstanceStatus};
use aegis_api::{LoadBalancer, condition, kinds};
use aegis_docker::Engine;
use aegis_docker_fake::{FakeEngine, FakeOptions, Op, RunSpec};
use aegis_planning::load_balancer::observed::Observed;
use aegis_planning::load_balancer::plan::{Step, plan};
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::status::{Outcome, next};
use aegis_planning::load_balancer::testing::{
    TEMPLATE, balancer, release, row, server, serving, time, world,
};
use aegis_planning::load_balancer::validate::validate;

use super::apply::{self, apply, restore};
use super::dereference::is_installed;
use super::memory::Memory;
use super::nginx::{self, Nginx};
use super::reload_batch::ReloadBatch;
use super::{Error, Failure, LoadBalancerReconciler, receipts};
use crate::context::Settings;

#[tokio::test(start_paused = true)]
async fn i8_what_was_said_before_a_failure_drains_no_server() {
    let engine = FakeEngine::default();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let store = &context.store;
    let object = serde_json::to_value(balancer()).unwrap();
    let stored = store
        .create(kinds::find("lb").unwrap(), object, false)
        .await
        .unwrap();
    let said = LoadBalancerStatus {
        held: vec!["id-a".into()],
        releases: vec![release("id-b", None)],
        ..LoadBalancerStatus::default()
    };
    let stored = store.set_status::<LoadBalancer>("lb", stored.uid(), said).await;
    let lb = stored.unwrap();
    let refused = apply::Error::Configure {
        revision: "r".to_owned(),
        source: nginx::Error::Refused {
            balancer: "lb".to_owned(),
            output: "no".to_owned(),
        },
    };
    let reconciler = LoadBalancerReconciler::new(context.clone());
    let failure = Failure::from(refused);
    reconciler.failed(&lb, failure).await.unwrap_err();
    let status = store.get::<LoadBalancer>("lb").unwrap().status.clone().unwrap();
    assert!(status.held.is_empty() && status.releases.is_empty(), "{status:?}");
}

#[test]
fn i8_a_file_of_tcp_that_cannot_be_noted_is_no_reason_to_keep_a_stranger_by_http() {
    let (kind, name) = ("LoadBalancer".to_owned(), "lb".to_owned());
    let source = aegis_runtime::store::StoreError::NotFound { kind, name };
    let balancer = "lb".to_owned();
    let note = apply::Error::Note(super::status::Error::Store { balancer, source });
    assert!(Error::from(note).is_of_configuration());
}

#[tokio::test(start_paused = true)]
async fn i8_a_neighbour_that_a_person_renamed_is_not_judged_twice() {
    let engine = FakeEngine::default();
    let nginx = RunSpec::nginx("nginx").network("net");
    let id = engine.run_container(&nginx).unwrap();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let neighbour = |name: &str| {
        let text = b"upstream other {\n    server 10.0.0.8:80;\n}\n".to_vec();
        [(name.to_owned(), text)]
    };
    let nginx = engine.inspect_now("nginx").unwrap();
    let address = nginx.networks.values().flatten().next().unwrap();
    let mut lb = balancer();
    lb.spec.config_path = "/etc/nginx/conf.d/upstream.conf".parse().unwrap();
    let configure = async |template: &str| {
        let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
        observed.container = Some(nginx.clone());
        observed.address = Some((*address, 80).into());
        observed.template = Ok(template.to_owned());
        let validated = validate(&lb, observed).unwrap();
        let prepared = plan(&validated).unwrap();
        apply(&context, &Memory::default(), &validated, prepared).await
    };

    let folder = "/etc/nginx/conf.d";
    engine.put_files(&id, folder, &neighbour("a.conf")).await.unwrap();
    configure(TEMPLATE).await.unwrap();
    engine.remove_file("nginx", "/etc/nginx/conf.d/a.conf").unwrap();
    engine.put_files(&id, folder, &neighbour("b.conf")).await.unwrap();
    configure(&format!("{TEMPLATE}\n# another\n")).await.unwrap();
    let loaded = engine.serving_config("nginx").unwrap();
    assert!(
        loaded.upstreams.contains_key("other") && loaded.upstreams.contains_key("web"),
        "{loaded:?}"
    );
}

/// Signals that nginx got from the engine while a first configuration was brought to it.
async fn signals_while_configuring(engine: &FakeEngine) -> usize {
    engine
        .run_container(&RunSpec::nginx("nginx").network("net"))
        .unwrap();
    let (context, _state) = crate::context::tests::over(engine, Settings::default()).await;
    let nginx = engine.inspect_now("nginx").unwrap();
    let mut observed = world(vec![row("a", "10.0.0.1", Health::Healthy)]);
    let address = nginx.networks.values().flatten().next().unwrap();
    observed.address = Some((*address, 80).into());
    observed.container = Some(nginx);
    let validated = validate(&balancer(), observed).unwrap();
    let plan = plan(&validated).unwrap();
    let applied = apply(&context, &Memory::default(), &validated, plan).await;
    assert!(applied.unwrap().reload.is_some());
    let effects = engine.effects();
    effects.iter().filter(|effect| effect.op == Op::Signal).count()
}

/// The engine does not restart a container any more that it signalled, not even after a reboot.
#[tokio::test(start_paused = true)]
async fn nginx_is_reloaded_without_a_signal_from_the_engine() {
    let engine = FakeEngine::default();
    assert_eq!(signals_while_configuring(&engine).await, 0);
}

#[tokio::test(start_paused = true)]
async fn nginx_is_signalled_where_it_cannot_find_its_master_by_itself() {
    let engine = FakeEngine::default();
    let output = "nginx: [error] invalid PID number \"\" in \"/run/nginx.pid\"\n".to_owned();
    let lost = ExecOutput { exit_code: 1, output };
    engine.answer_exec("nginx", "reload", lost);
    assert_eq!(signals_while_configuring(&engine).await, 1);
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_that_a_dead_controller_left_behind_is_noticed() {
    let engine = FakeEngine::default();
    let nginx = RunSpec::nginx("nginx").network("net");
    let id = engine.run_container(&nginx).unwrap();
    let mut lb = balancer();
    lb.spec.config_path = "/etc/nginx/conf.d/upstream.conf".parse().unwrap();
    let nginx = Nginx::new(&engine, "lb", &lb.spec, None, &id);
    let write = async |text: &str| {
        let files = [("upstream.conf".to_owned(), text.as_bytes().to_vec())];
        engine.put_files(&id, "/etc/nginx/conf.d", &files).await.unwrap();
    };
    let good = Rendered {
        revision: "r".to_owned(),
        text: "good".to_owned(),
        stream: None,
    };
    let look = async |memory: &Memory| {
        let looked = is_installed(memory, &nginx, &good);
        looked.await.unwrap()
    };
    let memory = Memory::default();
    write("left behind").await;
    assert!(!look(&memory).await);
    write("good").await;
    assert!(look(&memory).await);
    write("left behind").await;
    assert!(look(&memory).await, "read once in a life");
    memory.forget("lb");
    assert!(!look(&memory).await);

    let rows = vec![row("a", "10.0.0.1", Health::Healthy)];
    let prepare = |observed| plan(&validate(&balancer(), observed).unwrap()).unwrap();
    let first = prepare(world(rows.clone()));
    let mut observed = world(rows);
    observed.served = first.rendered.map(|rendered| rendered.revision);
    observed.installed = false;
    let plan = prepare(observed);
    assert!(matches!(plan.step, Step::Configure(_)), "{plan:?}");
}

#[tokio::test(start_paused = true)]
async fn i8_an_nginx_that_does_not_run_finds_the_last_good_file_when_it_starts() {
    let engine = FakeEngine::default();
    let nginx = RunSpec::nginx("nginx").network("net");
    let id = engine.run_container(&nginx).unwrap();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let mut lb = balancer();
    lb.spec.config_path = "/etc/nginx/conf.d/upstream.conf".parse().unwrap();
    let content = async || {
        let files = engine.read_files(&id, "/etc/nginx/conf.d/upstream.conf").await;
        String::from_utf8(files.unwrap().remove(0).1).unwrap()
    };
    let left = [("upstream.conf".to_owned(), b"left behind".to_vec())];
    engine.put_files(&id, "/etc/nginx/conf.d", &left).await.unwrap();
    let pass = async |state| {
        let mut observed = world(Vec::new());
        observed.container = engine
            .inspect_now("nginx")
            .map(|found| ContainerDetails { state, ..found });
        observed.installed = false;
        observed.file = Some(Rendered {
            revision: "r".to_owned(),
            text: "good".to_owned(),
            stream: None,
        });
        let memory = Memory::default();
        restore(&context, &memory, &lb, &observed).await.unwrap();
        content().await
    };
    assert_eq!(
        pass(ContainerState::Running).await,
        "left behind",
        "a reload follows"
    );
    assert_eq!(pass(ContainerState::Exited).await, "good");
}

/// An nginx that serves `a`; brings what each list of servers desires, and answers what the engine did for the last.
struct Loaded {
    engine: FakeEngine,
    context: crate::context::Context,
    _state: tempfile::TempDir,
    memory: Memory,
    lb: LoadBalancer,
}

impl Loaded {
    async fn new(options: FakeOptions) -> Self {
        let engine = FakeEngine::new(options);
        let nginx = RunSpec::nginx("nginx").network("net");
        engine.run_container(&nginx).unwrap();
        let (context, state) = crate::context::tests::over(&engine, Settings::default()).await;
        let mut loaded = Self {
            engine,
            context,
            _state: state,
            memory: Memory::default(),
            lb: balancer(),
        };
        loaded.bring(vec![row("a", "10.0.0.1", Health::Healthy)]).await;
        loaded
    }

    async fn bring(&mut self, rows: Vec<InstanceStatus>) -> Vec<Op> {
        self.bring_where(rows, true).await
    }

    /// The same where the last good file is known to lie in its place, or not to.
    async fn bring_where(&mut self, rows: Vec<InstanceStatus>, installed: bool) -> Vec<Op> {
        let observed = self.observed(rows, installed);
        let before = self.engine.effects().len();
        self.apply(observed).await.unwrap();
        let done = self.engine.effects().split_off(before);
        let tried = [Op::PutFiles, Op::Exec, Op::Reload];
        done.iter()
            .map(|effect| effect.op)
            .filter(|op| tried.contains(op))
            .collect()
    }

    fn observed(&self, rows: Vec<InstanceStatus>, installed: bool) -> Observed {
        let nginx = self.engine.inspect_now("nginx").unwrap();
        let address = nginx.networks.values().flatten().next().unwrap();
        let mut observed = world(rows);
        observed.address = Some((*address, 80).into());
        observed.served = self.lb.status.as_ref().and_then(|status| status.revision.clone());
        observed.container = Some(nginx);
        observed.installed = installed;
        observed
    }

    async fn apply(&mut self, observed: Observed) -> Result<(), apply::Error> {
        let validated = validate(&self.lb, observed).unwrap();
        let prepared = plan(&validated).unwrap();
        let applied = apply(&self.context, &self.memory, &validated, prepared).await?;
        self.lb.status = Some(next(Outcome { validated, applied }));
        Ok(())
    }

    async fn try_to_bring(&mut self, rows: Vec<InstanceStatus>) -> Result<(), apply::Error> {
        let observed = self.observed(rows, true);
        self.apply(observed).await
    }

    fn serves(&self) -> Vec<String> {
        self.engine.serving_config("nginx").unwrap().upstreams["web"].clone()
    }
}

fn two() -> Vec<InstanceStatus> {
    vec![
        row("a", "10.0.0.1", Health::Healthy),
        row("b", "10.0.0.2", Health::Healthy),
    ]
}

#[tokio::test(start_paused = true)]
async fn other_servers_are_brought_to_nginx_by_one_command() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    // The command, and what runs inside it.
    assert_eq!(
        loaded.bring(two()).await,
        [Op::Exec, Op::Exec, Op::Exec, Op::Reload]
    );
    assert_eq!(loaded.serves(), ["10.0.0.1:8000", "10.0.0.2:8000"]);
}

#[tokio::test(start_paused = true)]
async fn i8_what_a_dead_controller_left_behind_is_never_put_back() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    // It is staged, with what is asked of nginx and the removal, and then put in its place and loaded.
    let steps = [
        Op::PutFiles,
        Op::Exec,
        Op::Exec,
        Op::Exec,
        Op::PutFiles,
        Op::Exec,
        Op::Reload,
    ];
    assert_eq!(loaded.bring_where(two(), false).await, steps);
}

#[tokio::test(start_paused = true)]
async fn an_nginx_without_a_shell_gets_them_step_by_step() {
    let options = FakeOptions {
        shells: false,
        ..FakeOptions::default()
    };
    let mut loaded = Loaded::new(options).await;
    let steps = [Op::PutFiles, Op::Exec, Op::Exec, Op::Reload];
    let done = loaded.bring(two()).await;
    assert_eq!(done[0], Op::Exec, "it is tried");
    assert_eq!(done[1..], steps);
    assert_eq!(loaded.serves(), ["10.0.0.1:8000", "10.0.0.2:8000"]);
    let one = two().split_off(1);
    assert_eq!(loaded.bring(one).await, steps, "once is enough to know");
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
}

#[tokio::test(start_paused = true)]
async fn ready_servers_wait_for_starting_ones_a_moment_and_no_longer() {
    let serves_a = {
        let mut lb = serving(&[server("a", "10.0.0.1")]);
        lb.status.as_mut().unwrap().revision = Some("r".to_owned());
        lb
    };
    let with = |others: Vec<InstanceStatus>| {
        let rows = std::iter::once(row("a", "10.0.0.1", Health::Healthy)).chain(others);
        let mut observed = world(rows.collect());
        observed.served = Some("r".to_owned());
        let validated = validate(&serves_a, observed).unwrap();
        let plan = plan(&validated).unwrap();
        (validated, plan)
    };
    let starting = |health, started: &str| {
        let mut starting = row("c", "10.0.0.3", health);
        starting.started_at = Some(time(started));
        starting
    };
    let ready = || row("b", "10.0.0.2", Health::Healthy);
    let mut batch = ReloadBatch::default();
    let mut put_off = |rows| {
        let (validated, plan) = with(rows);
        batch.pause(&validated, &plan)
    };

    assert_eq!(put_off(vec![ready()]), None, "no other server is on the way");
    let long_unhealthy = starting(Health::Unhealthy, "2026-11-22T11:00:00Z");
    assert_eq!(
        put_off(vec![ready(), long_unhealthy]),
        None,
        "it will hardly be ready soon"
    );
    let fresh = || starting(Health::Unknown, "2026-11-22T11:59:59.9Z");
    let pause = put_off(vec![ready(), fresh()]).unwrap();
    tokio::time::advance(pause / 2).await;
    assert_eq!(put_off(vec![ready(), fresh()]), Some(pause - pause / 2));
    tokio::time::advance(pause / 2).await;
    assert_eq!(put_off(vec![ready(), fresh()]), None, "it has waited long enough");
    let mut leaving = ready();
    leaving.draining = true;
    assert_eq!(put_off(vec![leaving, fresh()]), None, "who leaves never waits");
}

#[tokio::test(start_paused = true)]
async fn i9_drains_are_counted_side_by_side_and_a_log_that_hangs_holds_up_a_pass_once() {
    let engine = FakeEngine::default();
    engine
        .run_container(&RunSpec::nginx("nginx").network("net"))
        .unwrap();
    engine.on_operation(Some(std::sync::Arc::new(|op: &str, _| op == "logs")));
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let receipt = serde_json::json!({
        "containers": ["web-1"], "addresses": ["10.0.0.2:80"],
        "startedAt": "2020-01-01T12:00:00Z", "finishedAt": "2020-01-01T12:00:05Z", "drained": true,
    });
    let status = serde_json::json!({
        "config": "log_format aegis_receipt;", "receipts": vec![receipt; 50],
    });
    let mut lb = balancer();
    lb.status = Some(serde_json::from_value::<LoadBalancerStatus>(status).unwrap());
    let nginx = Nginx::new(&*context.engine, "lb", &lb.spec, None, "nginx");
    let begun = tokio::time::Instant::now();
    let receipts = receipts::count(&context, &lb, std::time::Duration::ZERO, Some(&nginx)).await;
    let given_up = receipts
        .iter()
        .filter(|receipt| receipt.uncounted.is_some())
        .count();
    assert_eq!((begun.elapsed().as_secs(), given_up, receipts.len()), (15, 8, 50));
}
