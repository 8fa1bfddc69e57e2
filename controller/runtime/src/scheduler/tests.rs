use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn taken(scheduler: &mut Scheduler<u8>) -> Option<u8> {
    scheduler.next().now_or_never().flatten().map(|due| due.key)
}

#[tokio::test(start_paused = true)]
async fn keys_come_out_at_their_time_earliest_first() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    scheduler.schedule('b', now + ms(20), "timer");
    scheduler.schedule('a', now + ms(10), "timer");
    scheduler.schedule('c', now, "store");
    for (key, after) in [('c', 0), ('a', 10), ('b', 20)] {
        let due = scheduler.next().await.unwrap();
        assert_eq!((due.key, due.at), (key, now + ms(after)));
        assert_eq!(Instant::now(), now + ms(after));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_times_the_earlier_wins_and_says_why() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    scheduler.schedule(1, now + ms(500), "timer");
    scheduler.schedule(1, now + ms(5), "store");
    scheduler.schedule(1, now + ms(50), "resync");
    let due = scheduler.next().await.unwrap();
    assert_eq!(
        due,
        Due {
            key: 1,
            why: "store",
            at: now + ms(5),
            urgency: Urgency::Ordinary,
        }
    );
    scheduler.finish(&1);
    tokio::time::advance(ms(1000)).await;
    assert_eq!(
        taken(&mut scheduler),
        None,
        "the later ones were merged into the one run"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_asked_for_while_it_runs_runs_once_more_and_not_before_it_finished() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    scheduler.schedule(1, now, "store");
    assert_eq!(taken(&mut scheduler), Some(1));
    scheduler.schedule(1, now, "docker");
    scheduler.schedule(1, now, "probe");
    assert_eq!(taken(&mut scheduler), None);
    assert_eq!((scheduler.depth(), scheduler.running()), (0, 1));
    scheduler.finish(&1);
    let due = tokio::time::timeout(ms(10), scheduler.next())
        .await
        .expect("it was lost");
    assert_eq!(due.unwrap().why, "docker");
    scheduler.finish(&1);
    assert_eq!(taken(&mut scheduler), None);
    assert_eq!((scheduler.depth(), scheduler.running()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_is_woken_by_a_key_that_is_added_later() {
    let scheduler = std::sync::Arc::new(std::sync::Mutex::new(Scheduler::new()));
    let waiting = {
        let scheduler = std::sync::Arc::clone(&scheduler);
        tokio::spawn(std::future::poll_fn(move |cx| {
            scheduler.lock().unwrap().poll_next_unpin(cx)
        }))
    };
    tokio::time::advance(ms(10)).await;
    assert!(!waiting.is_finished());
    scheduler
        .lock()
        .unwrap()
        .schedule(7, Instant::now() + ms(3), "store");
    let due = tokio::time::timeout(ms(1000), waiting)
        .await
        .expect("it was not woken");
    assert_eq!(due.unwrap().unwrap().key, 7);
}

#[tokio::test(start_paused = true)]
async fn finishing_what_does_not_run_changes_nothing() {
    let mut scheduler = Scheduler::new();
    scheduler.finish(&1);
    scheduler.schedule(1, Instant::now() + ms(1), "store");
    scheduler.finish(&1);
    assert_eq!(scheduler.next().await.unwrap().key, 1);
}

#[derive(Debug, Clone)]
enum Step {
    Schedule { key: u8, after: u64 },
    Advance(u64),
    Take,
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..6, 0_u64..40).prop_map(|(key, after)| Step::Schedule { key, after }),
        2 => (0_u64..25).prop_map(Step::Advance),
        4 => Just(Step::Take),
        3 => (0_usize..6).prop_map(Step::Finish),
    ]
}

/// What the scheduler promises, written as plainly as possible.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u8, Instant>,
    running: BTreeMap<u8, Option<Instant>>,
}

impl Model {
    fn schedule(&mut self, key: u8, at: Instant) {
        match self.running.get_mut(&key) {
            Some(parked) => *parked = Some(parked.map_or(at, |earlier| earlier.min(at))),
            None => {
                self.waiting
                    .entry(key)
                    .and_modify(|earlier| *earlier = (*earlier).min(at))
                    .or_insert(at);
            }
        }
    }

    fn earliest(&self) -> Option<Instant> {
        self.waiting
            .values()
            .min()
            .copied()
            .filter(|at| *at <= Instant::now())
    }

    fn take(&mut self, due: Option<Due<u8>>) {
        match due {
            None => assert_eq!(
                self.earliest(),
                None,
                "a key whose time has come was not handed out"
            ),
            Some(due) => {
                assert!(
                    !self.running.contains_key(&due.key),
                    "key {} would run twice at a time",
                    due.key
                );
                assert_eq!(
                    self.waiting.remove(&due.key),
                    Some(due.at),
                    "not the requested time"
                );
                assert!(due.at <= Instant::now(), "before its time");
                assert!(
                    self.earliest().is_none_or(|other| due.at <= other),
                    "an earlier one was passed over"
                );
                self.running.insert(due.key, None);
            }
        }
    }

    fn finish(&mut self, nth: usize) -> Option<u8> {
        let key = *self.running.keys().nth(nth)?;
        if let Some(Some(at)) = self.running.remove(&key) {
            self.waiting.insert(key, at);
        }
        Some(key)
    }
}

async fn follow_the_model(steps: Vec<Step>) {
    let (mut scheduler, mut model) = (Scheduler::new(), Model::default());
    for step in steps {
        match step {
            Step::Schedule { key, after } => {
                let at = Instant::now() + ms(after);
                scheduler.schedule(key, at, "store");
                model.schedule(key, at);
            }
            Step::Advance(by) => tokio::time::advance(ms(by)).await,
            Step::Take => model.take(scheduler.next().now_or_never().flatten()),
            Step::Finish(nth) => {
                if let Some(key) = model.finish(nth) {
                    scheduler.finish(&key);
                }
            }
        }
        assert_eq!(scheduler.running(), model.running.len());
    }
    // No request is lost: let everything finish, and every key that still waits comes out.
    while let Some(key) = model.finish(0) {
        scheduler.finish(&key);
    }
    while !model.waiting.is_empty() {
        let due = tokio::time::timeout(ms(10_000), scheduler.next())
            .await
            .expect("a key was lost");
        let key = due.as_ref().unwrap().key;
        model.take(due);
        scheduler.finish(&key);
        model.running.remove(&key);
    }
    assert_eq!((taken(&mut scheduler), scheduler.running()), (None, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_steps_keeps_the_promises(steps in prop::collection::vec(step(), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(follow_the_model(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_whose_time_has_come_the_urgent_ones_come_out_first_each_line_in_its_order() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    scheduler.schedule('a', now, "store");
    scheduler.schedule_as('y', now + ms(2), "store", Urgency::Urgent);
    scheduler.schedule_as('x', now + ms(1), "store", Urgency::Urgent);
    scheduler.schedule_as('z', now + ms(100), "store", Urgency::Urgent);
    scheduler.schedule('b', now, "store");
    tokio::time::advance(ms(5)).await;
    assert_eq!(scheduler.depth(), 4);
    for key in ['x', 'y', 'a', 'b', 'z'] {
        assert_eq!(scheduler.next().await.unwrap().key, key);
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_urgent_while_it_waits_or_runs_moves_to_the_other_line_at_the_time_it_had() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    for key in 1..=3 {
        scheduler.schedule(key, now, "store");
    }
    scheduler.schedule_as(3, now + ms(50), "resync", Urgency::Urgent);
    let due = scheduler.next().await.unwrap();
    assert_eq!((due.key, due.at, due.why), (3, now, "store"));
    scheduler.schedule_as(3, now, "docker", Urgency::Urgent);
    scheduler.finish(&3);
    assert_eq!(taken(&mut scheduler), Some(3));
    // And back, where it is not urgent any more.
    scheduler.schedule_as(2, now, "store", Urgency::Urgent);
    scheduler.schedule(2, now, "store");
    assert_eq!((taken(&mut scheduler), taken(&mut scheduler)), (Some(1), Some(2)));
    assert_eq!((scheduler.depth(), scheduler.running()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn where_only_urgent_ones_fit_an_ordinary_one_waits_and_is_not_lost() {
    let mut scheduler = Scheduler::new();
    let now = Instant::now();
    scheduler.schedule(1, now, "store");
    let urgent_only = std::future::poll_fn(|cx| scheduler.poll_due(cx, false));
    assert!(tokio::time::timeout(ms(100), urgent_only).await.is_err());
    scheduler.schedule_as(2, now, "store", Urgency::Urgent);
    let due = std::future::poll_fn(|cx| scheduler.poll_due(cx, false)).await;
    assert_eq!((due.key, due.urgency), (2, Urgency::Urgent));
    assert_eq!(taken(&mut scheduler), Some(1));
}
