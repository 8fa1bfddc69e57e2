use super::*;
use aegis_api::wire::AiRestart;
use futures::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};

/// Anything as the contents of a frame of a type: the feed does not look into them.
struct As<T>(FrameType, T);

impl<T: Serialize> Serialize for As<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.serialize(serializer)
    }
}

impl<T: Serialize> Payload for As<T> {
    fn frame_type(&self) -> FrameType {
        self.0
    }
}

fn restart(provider: &str, reason: &str) -> AiRestart {
    AiRestart {
        provider: provider.to_owned(),
        reason: reason.to_owned(),
    }
}

const KB: usize = 1024;

fn publish(feed: &Feed, count: u64) {
    for n in 0..count {
        feed.publish(None, &As(FrameType::Reconcile, json!({"n": n})));
    }
}

/// Frames of about a kilobyte.
fn publish_large(feed: &Feed, count: u64) {
    for _ in 0..count {
        feed.publish(None, &As(FrameType::Resource, "x".repeat(700)));
    }
}

fn frames(subscription: &mut Subscription) -> Vec<FeedItem> {
    std::iter::from_fn(|| subscription.next().now_or_never().flatten()).collect()
}

/// The lock is released before anything else takes it.
fn floor_of(feed: &Feed) -> u64 {
    let ring = feed.inner.ring();
    ring.floor
}

fn ready(subscription: &mut Subscription) -> Vec<String> {
    let items = frames(subscription).into_iter();
    items
        .map(|item| match item {
            FeedItem::Frame(frame) => frame.seq.to_string(),
            FeedItem::Lagged(count) => format!("lagged {count}"),
        })
        .collect()
}

fn wire(frame: &Frame) -> Value {
    serde_json::from_slice(frame.message()).unwrap()
}

#[test]
fn a_frame_is_spelled_as_the_contract_says() {
    let feed = Feed::default();
    feed.publish(Some("inc-\"1"), &As(FrameType::CouncilVote, json!({"vote": 1})));
    feed.publish(None, &As(FrameType::Metrics, json!([])));
    let items = frames(&mut feed.subscribe(Some(0)));
    let [FeedItem::Frame(vote), FeedItem::Frame(metrics)] = items.as_slice() else {
        panic!("{items:?}")
    };
    let (one, two) = (wire(vote), wire(metrics));
    assert_eq!(one["type"], "council.vote");
    assert_eq!(one["incident_id"], "inc-\"1");
    assert_eq!((&one["seq"], &one["data"]), (&json!(1), &json!({"vote": 1})));
    assert!(one["timestamp"].is_string());
    assert_eq!(one.as_object().unwrap().len(), 5);
    assert_eq!((&two["incident_id"], &two["data"]), (&Value::Null, &json!([])));
    assert_eq!(vote.data(), json!({"vote": 1}));
}

#[test]
fn a_subscriber_replays_from_a_number_and_then_follows() {
    let feed = Feed::default();
    publish(&feed, 3);
    let mut from_one = feed.subscribe(Some(1));
    let mut new_only = feed.subscribe(None);
    assert!(!from_one.too_old());
    assert_eq!(ready(&mut from_one), ["2", "3"]);
    assert!(ready(&mut new_only).is_empty());
    publish(&feed, 1);
    assert_eq!(ready(&mut from_one), ["4"]);
    assert_eq!(ready(&mut new_only), ["4"]);
    assert_eq!(feed.seq(), 4);
}

#[test]
fn i12_whatever_is_published_the_feed_stays_within_its_bytes() {
    let feed = Feed::bounded(64 * KB);
    let says = |count: usize, size: usize| {
        let mut answer = feed.live_answer("i");
        (0..count).for_each(|_| answer.say(&"\n".repeat(size)));
        answer.restart("[again]", restart("p", "r"));
        answer.say("once more");
    };
    let large = json!({"object": "x".repeat(200 * KB)});
    let streams: [(&str, &dyn Fn()); 7] = [
        ("many small frames", &|| publish(&feed, 5000)),
        ("large frames", &|| publish_large(&feed, 500)),
        ("one that is larger than the bound", &|| {
            feed.publish(None, &As(FrameType::Resource, &large));
        }),
        ("a long answer in tiny pieces", &|| says(5000, 1)),
        ("a long answer in large pieces", &|| says(50, 10 * KB)),
        ("what stands, again and again", &|| {
            (0..5000).for_each(|n| feed.publish(None, &As(FrameType::Metrics, json!([n]))));
        }),
        ("what stands, larger than the bound", &|| {
            feed.publish(None, &As(FrameType::Topology, &large));
        }),
    ];
    for (what, stream) in streams {
        stream();
        assert!(feed.bytes() <= feed.limit(), "{what}: {} bytes", feed.bytes());
        // What it says that it holds is what a replay sends.
        let sent: usize = frames(&mut feed.subscribe(Some(floor_of(&feed))))
            .iter()
            .map(|item| match item {
                FeedItem::Frame(frame) => frame.message().len(),
                FeedItem::Lagged(_) => 0,
            })
            .sum();
        assert!(sent <= feed.bytes(), "{what}: {sent} of {} bytes", feed.bytes());
    }
    publish(&feed, 5000);
    let floor = floor_of(&feed);
    let held = feed.bytes();
    assert!(held > 60 * KB, "and makes use of them: {held}");
    assert!(floor < feed.seq(), "the newest are kept");
}

#[test]
fn an_answer_costs_its_own_length_and_not_that_times_its_pieces() {
    let feed = Feed::default();
    let mut answer = feed.live_answer("i");
    for _ in 0..1000 {
        answer.say(&"x".repeat(1000));
    }
    // A megabyte of words, as chunks and as one text, and what a thousand frames cost.
    assert!(feed.bytes() < 3 << 20, "{} bytes", feed.bytes());
}

#[test]
fn a_payload_is_serialised_once_however_many_read_it() {
    struct Counted<'a>(&'a std::cell::Cell<usize>);
    impl Serialize for Counted<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            serializer.serialize_str("payload")
        }
    }
    let (feed, count) = (Feed::default(), std::cell::Cell::new(0));
    let mut subscriptions: Vec<Subscription> = (0..256).map(|_| feed.subscribe(None)).collect();
    feed.publish(None, &As(FrameType::Resource, Counted(&count)));
    let mut texts = subscriptions.iter_mut().flat_map(|subscription| {
        let items = frames(subscription);
        items.into_iter().filter_map(|item| match item {
            FeedItem::Frame(frame) => Some(frame.message().as_ptr()),
            FeedItem::Lagged(_) => None,
        })
    });
    let first = texts.next().unwrap();
    assert_eq!(
        texts.filter(|text| *text == first).count(),
        255,
        "they share one text"
    );
    assert_eq!(count.get(), 1);
}

#[test]
fn of_the_current_state_only_the_newest_frame_is_kept() {
    let feed = Feed::default();
    let mut live = feed.subscribe(None);
    publish(&feed, 1);
    let held = feed.bytes();
    for round in 0..1200 {
        for kind in [
            FrameType::Metrics,
            FrameType::ContainerList,
            FrameType::Topology,
            FrameType::Heartbeat,
            FrameType::Automation,
        ] {
            feed.publish(None, &As(kind, json!([{"name": "web", "round": 10_000 + round}])));
        }
        assert_eq!(
            ready(&mut live).len(),
            if round == 0 { 6 } else { 5 },
            "a live subscriber gets each"
        );
    }
    assert!(feed.bytes() < held + 4 * KB, "{} bytes", feed.bytes());
    publish(&feed, 1);
    let mut back = feed.subscribe(Some(0));
    assert!(!back.too_old(), "nothing that happened is lost");
    assert_eq!(
        ready(&mut back),
        ["1", "5997", "5998", "5999", "6000", "6001", "6002"]
    );
    let mut later = feed.subscribe(Some(5999));
    assert_eq!(ready(&mut later), ["6000", "6001", "6002"]);
}

#[test]
fn a_slow_subscriber_learns_how_much_it_missed() {
    let feed = Feed::bounded(10 * KB);
    let mut subscription = feed.subscribe(None);
    publish_large(&feed, 100);
    let items = ready(&mut subscription);
    let floor = floor_of(&feed);
    assert!((88..99).contains(&floor), "{floor}");
    let mut expected = vec![format!("lagged {floor}")];
    expected.extend((floor + 1..=100).map(|seq| seq.to_string()));
    assert_eq!(items, expected);
}

#[test]
fn a_reader_takes_few_bytes_at_once() {
    let feed = Feed::default();
    let subscription = feed.subscribe(None);
    for _ in 0..20 {
        feed.publish(None, &As(FrameType::Resource, "x".repeat(40 * KB)));
    }
    assert_eq!(feed.inner.ring().after(0).len(), 2);
    drop(subscription);
    feed.publish(None, &As(FrameType::Resource, "x".repeat(400 * KB)));
    assert_eq!(feed.inner.ring().after(20).len(), 1, "one at least");
}

#[test]
fn a_number_that_is_no_longer_kept_or_of_another_process_says_so() {
    let feed = Feed::bounded(10 * KB);
    publish_large(&feed, 100);
    let floor = floor_of(&feed);
    assert!(!feed.subscribe(Some(floor)).too_old());
    assert!(feed.subscribe(Some(floor - 1)).too_old());
    assert!(feed.subscribe(Some(101)).too_old());
    assert!(!Feed::default().subscribe(Some(0)).too_old());
}

#[test]
fn a_frame_larger_than_the_feed_is_missed_and_the_next_is_not() {
    let feed = Feed::bounded(10 * KB);
    let mut subscription = feed.subscribe(None);
    feed.publish(None, &As(FrameType::Resource, "x".repeat(11 * KB)));
    publish(&feed, 1);
    assert_eq!(ready(&mut subscription), ["lagged 1", "2"]);
}

/// The frames of an answer, as clients that want the growing text get them, when nothing is left out.
fn full(feed: &Feed, since: u64) -> Vec<Value> {
    let items = frames(&mut feed.subscribe(Some(since)));
    let texts = items.iter().filter_map(|item| match item {
        FeedItem::Frame(frame) => frame.with_full_text(frame.answer()?.1),
        FeedItem::Lagged(_) => None,
    });
    texts.map(|text| serde_json::from_str(&text).unwrap()).collect()
}

#[test]
fn the_text_so_far_is_made_for_who_wants_it() {
    let feed = Feed::default();
    let mut answer = feed.live_answer("in\"c");
    let pieces = ["It \"leaks\"", "\n", "läuft über 🦀", "\\"];
    pieces.iter().for_each(|piece| answer.say(piece));
    answer.restart("\n[it failed]\n", restart("p", "r"));
    answer.say("So.");
    let messages = full(&feed, 0);
    let mut text = String::new();
    for (frame, piece) in messages.iter().zip(pieces) {
        text.push_str(piece);
        let data = json!({"incident_id": "in\"c", "chunk": piece, "full_text": text});
        assert_eq!((&frame["data"], &frame["incident_id"]), (&data, &json!("in\"c")));
        assert_eq!(frame.as_object().unwrap().len(), 5);
    }
    let restart = json!({"incident_id": "in\"c", "chunk": "\n[it failed]\n", "full_text": "",
        "restart": {"provider": "p", "reason": "r"}});
    assert_eq!(messages[4]["data"], restart);
    assert_eq!(messages[5]["data"]["full_text"], "So.");
    let items = frames(&mut feed.subscribe(Some(4)));
    let FeedItem::Frame(lean) = &items[0] else {
        panic!("{items:?}")
    };
    assert!(lean.data().get("full_text").is_none());
    assert_eq!(lean.data()["restart"]["provider"], "p");
}

#[test]
fn the_text_so_far_is_whole_also_when_the_frames_of_its_beginning_are_gone() {
    let feed = Feed::bounded(64 * KB);
    let mut answer = feed.live_answer("i");
    (0..500).for_each(|n| answer.say(&format!("{n} ")));
    let floor = floor_of(&feed);
    assert!(floor > 100, "{floor}");
    let messages = full(&feed, floor);
    let expected: String = (0..500).map(|n| format!("{n} ")).collect();
    assert_eq!(messages.last().unwrap()["data"]["full_text"], expected);
    assert_eq!(messages[0]["data"]["chunk"], format!("{floor} "));
}

#[test]
fn frames_that_were_left_out_are_made_up_for_by_the_next() {
    let feed = Feed::default();
    let mut answer = feed.live_answer("i");
    answer.restart("[again]", restart("p", "r"));
    ["a", "b", "c"].iter().for_each(|piece| answer.say(piece));
    let items = frames(&mut feed.subscribe(Some(0)));
    let superseded: Vec<bool> = items
        .iter()
        .map(|item| matches!(item, FeedItem::Frame(frame) if frame.is_superseded()))
        .collect();
    assert_eq!(superseded, [false, true, true, false], "a restart is always sent");
    let FeedItem::Frame(last) = &items[3] else {
        panic!("{items:?}")
    };
    let message: Value = serde_json::from_str(&last.with_full_text(0).unwrap()).unwrap();
    assert_eq!(
        message["data"],
        json!({"incident_id": "i", "chunk": "abc", "full_text": "abc"})
    );
}

#[test]
fn an_answer_that_takes_more_than_its_part_of_the_feed_is_cut_and_says_so() {
    let feed = Feed::bounded(64 * KB);
    let mut answer = feed.live_answer("i");
    (0..100).for_each(|_| answer.say(&"x".repeat(1000)));
    let last = full(&feed, floor_of(&feed)).pop().unwrap();
    assert!(
        last["data"]["chunk"]
            .as_str()
            .unwrap()
            .contains("the rest is not shown"),
        "{last}"
    );
    let seq = feed.seq();
    answer.say("more");
    assert_eq!(feed.seq(), seq, "nothing more is published");
    answer.restart("[again]", restart("p", "r"));
    answer.say("short");
    assert_eq!(full(&feed, seq).pop().unwrap()["data"]["full_text"], "short");
}

#[test]
fn every_feed_counts_in_a_stream_of_its_own() {
    let feed = Feed::default();
    assert_eq!(feed.stream(), feed.clone().stream());
    assert_ne!(feed.stream(), Feed::default().stream());
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken() {
    let feed = Feed::default();
    let mut subscription = feed.subscribe(None);
    let waiting = tokio::spawn(async move { subscription.next().await });
    tokio::task::yield_now().await;
    publish(&feed, 1);
    assert!(matches!(waiting.await.unwrap(), Some(FeedItem::Frame(_))));
}

#[tokio::test]
async fn words_come_after_the_change_that_they_belong_to_whichever_is_faster() {
    let feed = Feed::default();
    let mut frames = feed.subscribe(None);
    let mut kinds = async || match frames.next().await {
        Some(FeedItem::Frame(frame)) => (frame.kind, frame.data()["chunk"].clone()),
        other => panic!("{other:?}"),
    };
    // No publisher follows the store: there is nothing to wait for.
    feed.live_answer_after("i", 5).say("a");
    assert_eq!(kinds().await, (FrameType::AiStream, json!("a")));
    feed.published_up_to(4);
    let mut answer = feed.live_answer_after("i", 5);
    answer.say("b");
    answer.say("c");
    feed.publish(Some("i"), &As(FrameType::AiThinking, json!({})));
    feed.published_up_to(5);
    answer.say("d");
    assert_eq!(kinds().await.0, FrameType::AiThinking);
    for words in ["b", "c", "d"] {
        assert_eq!(kinds().await, (FrameType::AiStream, json!(words)));
    }
    // A publisher that is too far behind is not waited for.
    let mut answer = feed.live_answer_after("i", 9);
    for _ in 0..257 {
        answer.say("e");
    }
    assert_eq!(kinds().await, (FrameType::AiStream, json!("e")));
}
