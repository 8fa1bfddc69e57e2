//! Messages as they go over the socket. Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use aegis_api::Time;
use aegis_api::wire::{FrameType, Payload};
use aegis_runtime::Frame;
use axum::extract::ws::Utf8Bytes;
use serde::Serialize;

use crate::sight::Sight;

/// How a client is sent the frames of the feed. What `full_text` comes to is bounded: it repeats itself with every
/// frame, and may come to a thousand times the answer.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Every frame as the feed holds it.
    Lean,
    /// `ai.stream` frames with the text so far.
    Full {
        /// Bytes of text so far that a client which is behind may still be sent. Beyond that, of the frames of one answer
        /// that wait only the newest is sent, with all the words of those before it.
        spare: usize,
        /// By answer: how much of it the client knows, where frames were left out.
        known: HashMap<u64, usize>,
    },
}

impl Delivery {
    /// What is sent of a frame; `None` where a newer one says it.
    pub(super) fn message(&mut self, frame: &Frame) -> Option<Utf8Bytes> {
        match (self, frame.answer()) {
            (Self::Full { spare, known }, Some((answer, from))) => {
                let cost = frame.full_text_bytes();
                if frame.is_superseded() && cost > *spare {
                    known.entry(answer).or_insert(from);
                    return None;
                }
                *spare = spare.saturating_sub(cost);
                let sent = known.remove(&answer).unwrap_or(from);
                frame.with_full_text(sent).map(Utf8Bytes::from)
            }
            _ => Utf8Bytes::try_from(frame.message().clone()).ok(),
        }
    }

    /// The client has caught up: what waits next may again take so much.
    pub(super) fn caught_up(&mut self, room: usize) {
        if let Self::Full { spare, .. } = self {
            *spare = room;
        }
    }
}

/// The message as this client is shown it: only objects hold what is hidden from some.
pub(super) fn shown(sight: Sight, kind: FrameType, text: Utf8Bytes) -> Utf8Bytes {
    if sight == Sight::Whole || kind != FrameType::Resource {
        return text;
    }
    match serde_json::from_str(&text) {
        Ok(message) => match sight.shows(&message) {
            Cow::Borrowed(_) => text,
            Cow::Owned(shown) => shown.to_string().into(),
        },
        // Not sent rather than sent whole; our own messages are JSON.
        Err(_) => Utf8Bytes::from_static("{}"),
    }
}

/// A message of the connection itself. `seq` is that of the last frame that was sent: a client may come back with it.
pub(super) fn own(seq: u64, data: &impl Payload) -> String {
    #[derive(Serialize)]
    struct Own<'a, T> {
        seq: u64,
        r#type: FrameType,
        incident_id: Option<&'a str>,
        data: &'a T,
        timestamp: Time,
    }
    let message = Own {
        seq,
        r#type: data.frame_type(),
        incident_id: None,
        data,
        timestamp: aegis_clock::now(),
    };
    serde_json::to_string(&message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::wire::AiRestart;
    use aegis_runtime::{Feed, FeedItem};
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn frames(feed: &Feed) -> Vec<Arc<Frame>> {
        let mut items = feed.subscribe(Some(0));
        let items = std::iter::from_fn(|| items.next().now_or_never().flatten());
        items
            .filter_map(|item| match item {
                FeedItem::Frame(frame) => Some(frame),
                FeedItem::Lagged(_) => None,
            })
            .collect()
    }

    fn full(spare: usize) -> Delivery {
        Delivery::Full {
            spare,
            known: HashMap::new(),
        }
    }

    fn sent(delivery: &mut Delivery, feed: &Feed) -> Vec<Value> {
        let frames = frames(feed);
        let messages = frames.iter().filter_map(|frame| delivery.message(frame));
        messages.map(|text| read(&text)).collect()
    }

    #[test]
    fn a_viewer_is_sent_objects_without_values_and_everything_else_as_it_is() {
        let text = json!({"type": "resource", "data": {"object": {"spec": {"template": {"env": {"A": "hunter2"}}}}}});
        let message = |kind, sight| shown(sight, kind, text.to_string().into());
        assert!(message(FrameType::Resource, Sight::Whole).contains("hunter2"));
        let hidden = message(FrameType::Resource, Sight::Concealed);
        assert!(!hidden.contains("hunter2") && hidden.contains("•••"), "{hidden}");
        let plain = json!({"type": "resource", "data": {"object": {"spec": {"replicas": 2}}}}).to_string();
        assert_eq!(
            shown(Sight::Concealed, FrameType::Resource, plain.clone().into()).as_str(),
            plain
        );
    }

    #[test]
    fn a_client_may_opt_out_of_the_growing_text() {
        let feed = Feed::default();
        let mut answer = feed.live_answer("i");
        ["ab", "c"].iter().for_each(|words| answer.say(words));
        let whole = sent(&mut full(100), &feed);
        assert_eq!(whole[1]["data"]["full_text"], "abc");
        let without = sent(&mut Delivery::Lean, &feed);
        assert_eq!(without[1]["data"], json!({"incident_id": "i", "chunk": "c"}));
        assert_eq!(
            (&without[1]["seq"], &without[1]["type"]),
            (&json!(2), &json!("ai.stream"))
        );
    }

    #[test]
    fn i12_the_growing_text_of_a_long_answer_is_not_repeated_to_who_is_behind() {
        let feed = Feed::default();
        let mut answer = feed.live_answer("i");
        let words: Vec<String> = (0..1000).map(|n| format!("word {n}. ")).collect();
        words.iter().for_each(|words| answer.say(words));
        let restart = AiRestart {
            provider: "p".to_owned(),
            reason: "r".to_owned(),
        };
        answer.restart("[again]", restart);
        words.iter().for_each(|words| answer.say(words));
        let length = words.concat().len();
        // Each with the text so far: some ten megabytes.
        let all = sent(&mut full(usize::MAX), &feed);
        assert_eq!(all.len(), 2001);
        let some = sent(&mut full(10 * length), &feed);
        let bytes: usize = some.iter().map(|message| message.to_string().len()).sum();
        assert!(bytes < 20 * length + feed.bytes(), "{bytes} bytes");
        // A client that appends and one that replaces have the same in the end, and at every step between.
        let mut text = String::new();
        for message in &some {
            let data = &message["data"];
            if data["restart"].is_object() {
                text.clear();
            } else {
                text.push_str(data["chunk"].as_str().unwrap());
            }
            assert_eq!(data["full_text"], text.as_str());
        }
        assert_eq!(text, words.concat());
        assert_eq!(
            some.iter()
                .filter(|message| message["data"]["restart"].is_object())
                .count(),
            1
        );
    }

    #[test]
    fn who_keeps_up_is_sent_every_word_by_itself() {
        let feed = Feed::default();
        let mut answer = feed.live_answer("i");
        let mut delivery = full(0);
        for n in 1..50_usize {
            answer.say("word ");
            let newest = frames(&feed).pop().unwrap();
            let message = read(&delivery.message(&newest).unwrap());
            assert_eq!(message["data"]["full_text"], "word ".repeat(n));
            assert_eq!(message["data"]["chunk"], "word ");
        }
    }
}
