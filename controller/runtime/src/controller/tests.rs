use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot have it")]
struct Failure {
    follow: OnError,
    #[source]
    cause: std::fmt::Error,
}

impl ReconcileError for Failure {
    fn category(&self) -> &'static str {
        "scripted"
    }
    fn on_error(&self) -> OnError {
        self.follow
    }
}

fn fails(follow: OnError) -> Result<Action, Failure> {
    Err(Failure {
        follow,
        cause: std::fmt::Error,
    })
}

type Script = Box<dyn Fn(String, u32) -> BoxFuture<'static, Result<Action, Failure>> + Send + Sync>;

/// Runs a script that is given the name and which run of it this is, counted from 1; fails a test that lets two runs of
/// one name overlap.
struct Scripted {
    script: Script,
    runs: Mutex<BTreeMap<String, u32>>,
    running: Mutex<BTreeSet<String>>,
    most: Mutex<usize>,
}

struct Leave<'a>(&'a Scripted, String);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().remove(&self.1);
    }
}

impl Reconciler for Scripted {
    type Error = Failure;
    const KIND: &'static str = "Thing";

    async fn reconcile(&self, name: &str) -> Result<Action, Failure> {
        let run = {
            let mut running = self.running.lock().unwrap();
            assert!(running.insert(name.to_owned()), "{name} runs twice at a time");
            let mut most = self.most.lock().unwrap();
            *most = (*most).max(running.len());
            let mut runs = self.runs.lock().unwrap();
            let run = runs.entry(name.to_owned()).or_default();
            *run += 1;
            *run
        };
        let _leave = Leave(self, name.to_owned());
        (self.script)(name.to_owned(), run).await
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    name: String,
    trigger: &'static str,
    result: String,
    error: Option<(String, String)>,
    requeue_after: Option<Duration>,
    at: Instant,
}

struct Recorder(mpsc::Sender<Seen>);

impl Observer for Recorder {
    fn reconciled(&self, r: &Reconciled<'_>) {
        let seen = Seen {
            name: r.name.to_owned(),
            trigger: r.trigger,
            result: r.result.to_owned(),
            error: r
                .error
                .clone()
                .map(|(category, chain)| (category.to_owned(), chain)),
            requeue_after: r.requeue_after,
            at: Instant::now(),
        };
        self.0.try_send(seen).unwrap();
    }
}

/// A loop that runs, what feeds it, and what it reports.
struct Rig {
    scripted: Arc<Scripted>,
    triggers: mpsc::Sender<Trigger>,
    seen: mpsc::Receiver<Seen>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    start: Instant,
}

fn rig<F>(script: impl Fn(String, u32) -> F + Send + Sync + 'static) -> Rig
where
    F: Future<Output = Result<Action, Failure>> + Send + 'static,
{
    rig_with(script, |controller| controller)
}

fn rig_with<F>(
    script: impl Fn(String, u32) -> F + Send + Sync + 'static,
    shape: impl FnOnce(Controller<Scripted>) -> Controller<Scripted>,
) -> Rig
where
    F: Future<Output = Result<Action, Failure>> + Send + 'static,
{
    let scripted = Arc::new(Scripted {
        script: Box::new(move |name, run| script(name, run).boxed()),
        runs: Mutex::default(),
        running: Mutex::default(),
        most: Mutex::default(),
    });
    let (triggers, fed) = mpsc::channel(4096);
    let (record, seen) = mpsc::channel(4096);
    let controller = Controller::new(Arc::clone(&scripted))
        .trigger(tokio_stream::wrappers::ReceiverStream::new(fed))
        .observe(Arc::new(Recorder(record)))
        .random(|| 0.0);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(shape(controller).run(shutdown.clone()));
    Rig {
        scripted,
        triggers,
        seen,
        shutdown,
        task,
        start: Instant::now(),
    }
}

impl Rig {
    fn ask(&self, name: &str, why: &'static str) {
        self.triggers
            .try_send(Trigger {
                name: name.to_owned(),
                why,
            })
            .unwrap();
    }

    async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(1000 * MINUTE, self.seen.recv()).await;
        seen.expect("nothing ran").expect("the loop ended")
    }

    /// What was seen, and how many milliseconds after the start.
    async fn next_at(&mut self) -> (Seen, u128) {
        let seen = self.next().await;
        let at = seen.at.duration_since(self.start).as_millis();
        (seen, at)
    }

    async fn nothing_for(&mut self, span: Duration) {
        if let Ok(seen) = tokio::time::timeout(span, self.next()).await {
            panic!("nothing should have run: {seen:?}");
        }
    }

    fn runs(&self, name: &str) -> u32 {
        self.scripted
            .runs
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or_default()
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_trigger_leads_to_one_run() {
    let mut rig = rig(|_, _| async { Ok(Action::AwaitChange) });
    rig.ask("web", "store");
    let seen = rig.next().await;
    assert_eq!(
        (seen.name.as_str(), seen.trigger, seen.result.as_str()),
        ("web", "store", "success")
    );
    rig.nothing_for(60 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn triggers_that_arrive_while_it_runs_lead_to_exactly_one_more_run() {
    let mut rig = rig(|_, _| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Action::AwaitChange)
    });
    rig.ask("web", "store");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for why in ["docker", "probe", "store"] {
        rig.ask("web", why);
    }
    assert_eq!(rig.next().await.trigger, "store");
    assert_eq!(rig.next().await.trigger, "docker");
    rig.nothing_for(60 * MINUTE).await;
    assert_eq!(rig.runs("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn many_keys_run_side_by_side_up_to_the_limit() {
    let slow = |_: String, run: u32| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(if run < 3 {
            Action::Requeue(Duration::from_millis(5))
        } else {
            Action::AwaitChange
        })
    };
    let mut rig = rig_with(slow, |controller| controller.concurrency(3));
    for round in 0..10 {
        for key in 0..20 {
            rig.ask(
                &format!("thing-{key}"),
                if round % 2 == 0 { "store" } else { "docker" },
            );
        }
    }
    for _ in 0..60 {
        rig.next().await;
    }
    rig.nothing_for(MINUTE).await;
    assert_eq!(*rig.scripted.most.lock().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn i9_an_object_whose_reconcile_panics_is_retried_and_stops_no_other() {
    let mut rig = rig(|name, run| async move {
        assert!(name != "bad" || run > 2, "boom at run {run}");
        Ok(Action::AwaitChange)
    });
    rig.ask("bad", "store");
    rig.ask("good", "store");
    let (mut failures, mut good) = (Vec::new(), 0);
    loop {
        let seen = rig.next().await;
        match (seen.name.as_str(), seen.error) {
            ("bad", Some(error)) => failures.push((error, seen.requeue_after.unwrap().as_millis())),
            ("bad", None) => break,
            _ => good += 1,
        }
    }
    assert_eq!(good, 1);
    let message = |run| {
        (
            "panic".to_owned(),
            format!("the reconcile panicked: boom at run {run}"),
        )
    };
    assert_eq!(failures, [(message(1), 50), (message(2), 100)]);
}

#[tokio::test(start_paused = true)]
async fn i9_hung_reconciles_free_their_place_soon_and_are_dropped_at_the_deadline() {
    let hang = |name: String, _: u32| async move {
        if name.starts_with("hung") {
            std::future::pending::<()>().await;
        }
        Ok(Action::AwaitChange)
    };
    let mut rig = rig_with(hang, |controller| controller.concurrency(2).deadline(MINUTE));
    for name in ["hung-1", "hung-2", "good"] {
        rig.ask(name, "store");
    }
    let (good, at) = rig.next_at().await;
    assert_eq!((good.name.as_str(), at), ("good", 5_000));
    let hung = [rig.next().await, rig.next().await];
    assert!(
        hung.iter()
            .all(|seen| seen.error.as_ref().unwrap().0 == "timeout"),
        "{hung:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn i9_twice_as_many_that_wait_aside_as_there_are_slots_delay_no_other() {
    let hang = |name: String, _: u32| async move {
        if name.starts_with("hung") {
            crate::slot::aside(tokio::time::sleep(MINUTE)).await;
        }
        Ok(Action::AwaitChange)
    };
    let mut rig = rig_with(hang, |controller| controller.concurrency(4));
    for number in 0..8 {
        rig.ask(&format!("hung-{number}"), "store");
    }
    rig.ask("good", "store");
    let (good, at) = rig.next_at().await;
    assert_eq!((good.name.as_str(), at), ("good", 0));
    for _ in 0..8 {
        let (hung, at) = rig.next_at().await;
        assert!(hung.name.starts_with("hung") && at == 60_000, "{hung:?} {at}");
    }
    // What came back from aside holds no slot any more.
    rig.ask("good", "store");
    assert_eq!(rig.next_at().await.1, 60_000);
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_a_success_starts_over() {
    let mut rig = rig(|_, run| async move {
        if run == 4 {
            Ok(Action::Requeue(Duration::from_secs(1)))
        } else {
            fails(OnError::Backoff)
        }
    });
    rig.ask("web", "store");
    let mut times = Vec::new();
    for _ in 0..6 {
        let (seen, at) = rig.next_at().await;
        times.push((seen.trigger, seen.result, at));
    }
    let expected = [
        ("store", "error", 0),
        ("retry", "error", 50),
        ("retry", "error", 150),
        ("retry", "requeue", 350),
        ("timer", "error", 1350),
        ("retry", "error", 1400),
    ];
    assert_eq!(
        times,
        expected.map(|(trigger, result, at)| (trigger, result.to_owned(), at))
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_is_reported_with_its_category_and_its_causes() {
    let mut rig = rig(|_, _| async { fails(OnError::Backoff) });
    rig.ask("web", "store");
    let (category, chain) = rig.next().await.error.unwrap();
    assert_eq!(category, "scripted");
    assert_eq!(chain, format!("cannot have it: {}", std::fmt::Error));
}

#[tokio::test(start_paused = true)]
async fn the_delay_stays_at_60_seconds_however_long_it_fails() {
    let mut rig = rig_with(
        |_, _| async { fails(OnError::Backoff) },
        |controller| controller.random(|| 0.999_999),
    );
    rig.ask("web", "store");
    let mut last = Duration::ZERO;
    for _ in 0..40 {
        last = rig.next().await.requeue_after.unwrap();
        assert!(last <= MINUTE);
    }
    assert!(last > Duration::from_secs(59), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_harm_while_it_lasts_is_never_put_off_for_longer_than_it_says() {
    let cap = Duration::from_secs(2);
    let mut rig = rig(|_, _| async { fails(OnError::BackoffWithin(Duration::from_secs(2))) });
    rig.ask("web", "store");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pauses.push(rig.next().await.requeue_after.unwrap());
    }
    assert!(
        pauses[0] < cap && pauses.iter().all(|pause| *pause <= cap),
        "{pauses:?}"
    );
    assert_eq!(pauses.last(), Some(&cap));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_waits_for_a_change_is_not_retried() {
    let mut rig = rig(|_, _| async { fails(OnError::AwaitChange) });
    rig.ask("web", "store");
    assert_eq!(rig.next().await.requeue_after, None);
    rig.nothing_for(60 * MINUTE).await;
    rig.ask("web", "store");
    assert_eq!(rig.next().await.result, "error");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_comes_before_a_requeue_and_replaces_it() {
    let mut rig = rig(|_, _| async { Ok(Action::Requeue(MINUTE)) });
    rig.ask("web", "store");
    assert_eq!(rig.next_at().await.1, 0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    rig.ask("web", "docker");
    let (seen, at) = rig.next_at().await;
    assert_eq!((seen.trigger, at), ("docker", 20_000));
    let (seen, at) = rig.next_at().await;
    assert_eq!((seen.trigger, at), ("timer", 80_000));
}

#[tokio::test(start_paused = true)]
async fn a_requeue_of_zero_comes_at_once_and_is_no_busy_loop() {
    let mut rig = rig(|_, _| async { Ok(Action::Requeue(Duration::ZERO)) });
    rig.ask("web", "store");
    for _ in 0..AT_ONCE {
        rig.next().await;
    }
    assert_eq!(rig.start.elapsed(), Duration::ZERO);
    for _ in 0..10 * AT_ONCE {
        rig.next().await;
    }
    assert!(rig.start.elapsed() >= Duration::from_millis(9));
}

#[tokio::test(start_paused = true)]
async fn a_requeue_for_ever_does_not_overflow_the_clock() {
    let mut rig = rig(|_, _| async { Ok(Action::Requeue(Duration::MAX)) });
    rig.ask("web", "store");
    assert_eq!(rig.next().await.requeue_after, Some(REQUEUE.1));
    rig.ask("web", "store");
    rig.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_triggers_that_ends_or_panics_stops_no_other() {
    let mut rig = rig_with(
        |_, _| async { Ok(Action::AwaitChange) },
        |controller| {
            let panics = stream::once(async { panic!("a broken source") });
            controller.trigger(stream::empty()).trigger(panics)
        },
    );
    tokio::time::sleep(MINUTE).await;
    rig.ask("web", "store");
    assert_eq!(rig.next().await.name, "web");
}

#[tokio::test(start_paused = true)]
async fn the_loop_lives_on_when_its_last_stream_of_triggers_has_ended() {
    let Rig {
        triggers, mut seen, ..
    } = rig_with(
        |_, _| async { Ok(Action::AwaitChange) },
        |controller| controller.resync(MINUTE, || vec!["web".to_owned()]),
    );
    drop(triggers);
    for _ in 0..3 {
        assert_eq!(seen.recv().await.unwrap().trigger, "resync");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resync_looks_at_every_object_at_the_start_and_then_about_once_an_interval() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    let mut rig = rig_with(
        |_, _| async { Ok(Action::AwaitChange) },
        |controller| controller.random(|| 0.5).resync(10 * MINUTE, names),
    );
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (run, at) = rig.next_at().await;
        seen.push((run.name, run.trigger, at / 1000));
    }
    let expected = [("a", 0), ("b", 0), ("a", 630), ("b", 630)];
    assert_eq!(seen, expected.map(|(name, at)| (name.to_owned(), "resync", at)));
}

#[tokio::test(start_paused = true)]
async fn a_later_resync_is_spread_in_parts_of_objects_that_are_reconciled_together() {
    let names = || (0..100).map(|number| number.to_string()).collect();
    let mut drawn = 0_u32;
    let evenly = move || {
        drawn += 1;
        f64::from(drawn % 97) / 97.0
    };
    let mut rig = rig_with(
        |_, _| async { Ok(Action::AwaitChange) },
        |controller| controller.random(evenly).resync(10 * MINUTE, names),
    );
    let mut times = std::collections::BTreeSet::new();
    for number in 0..200 {
        let (_, at) = rig.next_at().await;
        if number >= 100 {
            times.insert(at);
        }
    }
    assert_eq!(times.len(), 8, "{times:?}");
    assert!(
        times.last().unwrap() - times.first().unwrap() > 50_000,
        "{times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_shutdown_running_reconciles_end_and_no_other_starts() {
    let slow = |_: String, _: u32| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(Action::Requeue(Duration::from_millis(1)))
    };
    let mut rig = rig_with(slow, |controller| controller.concurrency(1));
    rig.ask("first", "store");
    rig.ask("second", "store");
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.shutdown.cancel();
    rig.task.await.unwrap();
    assert_eq!(rig.start.elapsed(), Duration::from_secs(5));
    assert_eq!(rig.seen.recv().await.unwrap().name, "first");
    assert_eq!(rig.seen.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_ever() {
    let rig = rig(|_, _| std::future::pending());
    rig.ask("web", "store");
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.shutdown.cancel();
    rig.task.await.unwrap();
    assert_eq!(rig.start.elapsed(), Duration::from_secs(1) + DRAIN);
}

#[derive(Default)]
struct Activities(Mutex<Vec<Activity>>);

impl Observer for Activities {
    fn reconciled(&self, _: &Reconciled<'_>) {}
    fn activity(&self, kind: &'static str, activity: &Activity) {
        assert_eq!(kind, "Thing");
        self.0.lock().unwrap().push(*activity);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_what_waits_and_what_runs() {
    let activities = Arc::new(Activities::default());
    let heard = Arc::clone(&activities);
    let slow = |_: String, run: u32| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if run == 1 {
            fails(OnError::Backoff)
        } else {
            Ok(Action::AwaitChange)
        }
    };
    let mut rig = rig_with(slow, |controller| controller.concurrency(1).observe(heard));
    rig.ask("a", "store");
    rig.ask("b", "store");
    for _ in 0..4 {
        rig.next().await;
    }
    tokio::time::sleep(MINUTE).await;
    let heard = activities.0.lock().unwrap();
    assert_eq!(heard.first(), Some(&Activity::Limit { concurrency: 1 }));
    assert!(
        heard.contains(&Activity::Load { depth: 1, active: 1 }),
        "{heard:?}"
    );
    assert!(
        heard.contains(&Activity::Started {
            waited: Duration::from_secs(1)
        }),
        "{heard:?}"
    );
    assert_eq!(
        heard
            .iter()
            .filter(|activity| **activity == Activity::Retried)
            .count(),
        2
    );
    assert_eq!(heard.last(), Some(&Activity::Load { depth: 0, active: 0 }));
}

/// Names that begin with `critical` are urgent.
fn by_name(name: &str) -> Urgency {
    match name.starts_with("critical") {
        true => Urgency::Urgent,
        false => Urgency::Ordinary,
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_ordinary_objects_hold_their_places_an_urgent_one_starts_at_once() {
    let slow = |name: String, _| async move {
        if !name.starts_with("critical") {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        Ok(Action::AwaitChange)
    };
    let mut rig = rig_with(slow, |controller| controller.concurrency(4).urgent(by_name));
    for number in 0..40 {
        rig.ask(&format!("warning-{number}"), "store");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.ask("critical", "store");
    let (first, at) = rig.next_at().await;
    assert_eq!((first.name.as_str(), at), ("critical", 100));
    // The others get on, three at a time.
    for _ in 0..40 {
        rig.next().await;
    }
    rig.nothing_for(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn urgent_objects_that_never_cease_keep_an_ordinary_one_waiting_for_eight_of_them_and_no_longer() {
    let endless = |name: String, _| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(match name.starts_with("critical") {
            true => Action::Requeue(Duration::from_millis(1)),
            false => Action::AwaitChange,
        })
    };
    let mut rig = rig_with(endless, |controller| controller.concurrency(1).urgent(by_name));
    for number in 0..20 {
        rig.ask(&format!("critical-{number:02}"), "store");
        rig.ask(&format!("warning-{number:02}"), "store");
    }
    let mut warnings = 0;
    for _ in 0..20 * 9 {
        let seen = rig.next().await;
        warnings += u32::from(seen.name.starts_with("warning"));
    }
    // The very first may have passed none over.
    assert!((19..=20).contains(&warnings), "{warnings}: one of nine");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_knows_nothing_urgent_keeps_no_place_back() {
    let slow = |_: String, _| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Action::AwaitChange)
    };
    let mut rig = rig_with(slow, |controller| controller.concurrency(4));
    for number in 0..4 {
        rig.ask(&format!("thing-{number}"), "store");
    }
    for _ in 0..4 {
        assert_eq!(rig.next_at().await.1, 1000);
    }
}
