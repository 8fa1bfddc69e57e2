//! The command that waits in nginx's container for the next configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aegis_api::observed::ExecOutput;
use aegis_api::workload::InstanceStatus;
use aegis_docker::{Engine, script};
use aegis_docker_fake::{FakeOptions, FaultPlan, Op, When};

use super::{Loaded, two};
use crate::load_balancer::memory::Memory;
use crate::load_balancer::standby;

/// The command that does it all, and what runs inside it.
const AT_ONCE: [Op; 4] = [Op::Exec, Op::Exec, Op::Exec, Op::Reload];

fn one(index: usize) -> Vec<InstanceStatus> {
    vec![two().remove(index)]
}

impl Loaded {
    /// Starts of a command that bring a configuration while this many are brought.
    async fn starts_while_bringing(&mut self, all: Vec<Vec<InstanceStatus>>) -> usize {
        let count = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&count);
        self.engine
            .on_operation(Some(Arc::new(move |operation: &str, when| {
                if (operation, when) == ("open_session", When::Before) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                false
            })));
        for rows in all {
            assert_eq!(self.bring(rows).await, AT_ONCE);
        }
        self.engine.on_operation(None);
        count.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn the_command_that_brought_one_configuration_brings_the_next() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    let all = vec![two(), one(0), two(), one(1)];
    assert_eq!(loaded.starts_while_bringing(all).await, 1);
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
    assert_eq!(loaded.engine.open_sessions("nginx"), 1);
}

#[tokio::test(start_paused = true)]
async fn no_command_waits_in_nginx_for_longer_than_its_time() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    tokio::time::sleep(standby::KEPT - Duration::from_secs(1)).await;
    assert_eq!(loaded.engine.open_sessions("nginx"), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(loaded.engine.open_sessions("nginx"), 0);
    assert_eq!(loaded.starts_while_bringing(vec![one(0)]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn no_command_outlives_its_load_balancer_or_the_controller() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    loaded.memory.forget("lb");
    assert_eq!(loaded.engine.open_sessions("nginx"), 0);
    loaded.bring(one(0)).await;
    assert_eq!(loaded.engine.open_sessions("nginx"), 1);
    loaded.memory = Memory::default();
    assert_eq!(loaded.engine.open_sessions("nginx"), 0);
}

#[tokio::test(start_paused = true)]
async fn i8_a_command_that_has_ended_is_replaced_within_the_pass() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    loaded.engine.end_sessions();
    assert_eq!(loaded.starts_while_bringing(vec![one(1)]).await, 1);
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
}

#[tokio::test(start_paused = true)]
async fn i8_a_command_of_an_earlier_run_of_nginx_is_not_used() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    let id = loaded.engine.inspect_now("nginx").unwrap().id;
    loaded.engine.stop(&id, None).await.unwrap();
    loaded.engine.start(&id).await.unwrap();
    assert_eq!(loaded.engine.open_sessions("nginx"), 0);
    assert_eq!(loaded.starts_while_bringing(vec![one(1)]).await, 1);
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
}

#[tokio::test(start_paused = true)]
async fn i8_a_command_that_was_killed_at_work_is_made_up_for_step_by_step() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    let killed = ExecOutput {
        exit_code: 137,
        output: String::new(),
    };
    loaded.engine.answer_exec("nginx", script::FAST_RELOAD, killed);
    let done = loaded.bring(one(1)).await;
    assert_eq!(done[1..], [Op::PutFiles, Op::Exec, Op::Exec, Op::Reload]);
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
    loaded.engine.forget_answers();
    let again = loaded.starts_while_bringing(vec![two()]).await;
    assert_eq!(again, 1, "a shell is still there");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_says_nothing_about_the_container() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    for exit_code in [script::INPUT_ENDED, 137] {
        let output = String::new();
        let ended = ExecOutput { exit_code, output };
        loaded.engine.answer_exec("nginx", script::FAST_RELOAD, ended);
        let done = loaded.bring(two()).await;
        assert_eq!(done[1..], [Op::PutFiles, Op::Exec, Op::Exec, Op::Reload]);
        loaded.engine.forget_answers();
        assert_eq!(loaded.starts_while_bringing(vec![one(0)]).await, 1);
        loaded.memory.forget("lb");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_leaves_no_command_behind() {
    let mut loaded = Loaded::new(FakeOptions::default()).await;
    loaded.bring(two()).await;
    let plan = FaultPlan {
        timeout_after: 1.0,
        only: vec![Op::Exec],
        ..FaultPlan::default()
    };
    loaded.engine.faults(plan);
    loaded.try_to_bring(one(1)).await.unwrap_err();
    assert_eq!(loaded.engine.open_sessions("nginx"), 0);
    loaded.engine.faults(FaultPlan::default());
    loaded.bring_where(one(1), false).await;
    assert_eq!(loaded.serves(), ["10.0.0.2:8000"]);
}
