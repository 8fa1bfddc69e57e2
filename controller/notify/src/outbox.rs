//! Messages that wait to be sent to one destination, oldest first; bounded in number and bytes. Where it is full the oldest
//! that reports no end is dropped, and counted. Pure.

use std::collections::VecDeque;

use crate::message::Message;
use crate::stage::Mark;

/// Most cards that wait.
const MOST: usize = 256;
/// Most bytes of all that wait.
const MOST_BYTES: usize = 1024 * 1024;

/// A message that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Which one it is; another content is another one.
    pub(crate) number: u64,
    /// The incident's uid; empty for what is about none.
    pub(crate) uid: String,
    /// The incident's name.
    pub(crate) incident: String,
    /// What it reports: a stage, `MESSAGE`, `DIGEST`.
    pub(crate) about: &'static str,
    /// What counts as posted once it is, or given up.
    pub(crate) mark: Option<Mark>,
    /// An entry after that of which no message is made, and which counts as posted with it.
    pub(crate) settles: Option<Mark>,
    /// Whether it reports the end, or asks somebody to act.
    pub(crate) vital: bool,
    /// What is sent.
    pub(crate) message: Message,
    /// Of the message, about.
    pub(crate) bytes: usize,
}

impl Waiting {
    pub(crate) fn new(uid: &str, about: &'static str, message: Message) -> Self {
        let bytes = message.bytes();
        Self {
            number: 0,
            uid: uid.to_owned(),
            incident: String::new(),
            about,
            mark: None,
            settles: None,
            vital: false,
            message,
            bytes,
        }
    }

    /// The last entry that is settled with it.
    pub(crate) fn settled(&self) -> Option<&Mark> {
        self.settles.as_ref().or(self.mark.as_ref())
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    next: u64,
}

impl Outbox {
    /// Adds a message; returns those that had to go for it.
    pub(crate) fn push(&mut self, mut new: Waiting) -> Vec<Waiting> {
        new.number = self.number();
        self.bytes += new.bytes;
        self.waiting.push_back(new);
        self.shrink()
    }

    /// Puts the newest content of an incident's own message in the place of one that waits; what is new waits behind the
    /// others.
    pub(crate) fn put_root(&mut self, new: Waiting) -> Vec<Waiting> {
        let number = self.number();
        let same = |old: &&mut Waiting| old.uid == new.uid && matches!(old.message, Message::Root(_));
        let Some(old) = self.waiting.iter_mut().find(same) else {
            return self.push(new);
        };
        self.bytes = self.bytes.saturating_sub(old.bytes) + new.bytes;
        *old = Waiting { number, ..new };
        self.shrink()
    }

    /// Says again what waits about this incident: what `say` makes of each entry; where it makes nothing, it stays as it is.
    pub(crate) fn renew(&mut self, uid: &str, say: impl Fn(&Mark) -> Option<Message>) -> Vec<Waiting> {
        let mut next = self.next;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.uid == uid) {
            let Some(message) = waiting.mark.as_ref().and_then(&say) else {
                continue;
            };
            if message == waiting.message {
                continue;
            }
            let bytes = message.bytes();
            self.bytes = self.bytes.saturating_sub(waiting.bytes).saturating_add(bytes);
            next += 1;
            (waiting.number, waiting.message, waiting.bytes) = (next, message, bytes);
        }
        self.next = next;
        self.shrink()
    }

    /// The content of an incident's own message that waits.
    pub(crate) fn root(&self, uid: &str) -> Option<&Message> {
        let mut waiting = self
            .waiting
            .iter()
            .map(|waiting| (&waiting.uid, &waiting.message));
        waiting
            .find_map(|(of, message)| (of == uid && matches!(message, Message::Root(_))).then_some(message))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn shrink(&mut self) -> Vec<Waiting> {
        let mut gone = Vec::new();
        while self.waiting.len() > MOST || self.bytes > MOST_BYTES {
            let victim = self
                .waiting
                .iter()
                .position(|waiting| !waiting.vital)
                .unwrap_or(0);
            let Some(dropped) = self.waiting.remove(victim) else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(dropped.bytes);
            gone.push(dropped);
        }
        gone
    }

    /// What is sent next of that which does not wait for something else; it stays until it is taken.
    pub(crate) fn first(&self, waits: impl Fn(&str) -> bool) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| !waits(&waiting.uid))
    }

    /// Whom what waits is about, each as often as it has a message.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|waiting| waiting.uid.as_str())
    }

    /// Takes this one, if it still waits and is the same.
    pub(crate) fn take(&mut self, number: u64) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.number == number)?;
        let taken = self.waiting.remove(place)?;
        self.bytes = self.bytes.saturating_sub(taken.bytes);
        Some(taken)
    }

    /// Drops what waits about an incident that people are to hear nothing of; `stands` where its own message is posted, which
    /// is kept true. Answers whether something did.
    pub(crate) fn withhold(&mut self, uid: &str, stands: bool) -> bool {
        let before = self.waiting.len();
        let stays =
            |waiting: &Waiting| waiting.uid != uid || (stands && matches!(waiting.message, Message::Root(_)));
        self.waiting.retain(stays);
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        self.waiting.len() < before
    }

    /// Takes all of them.
    pub(crate) fn take_all(&mut self) -> Vec<Waiting> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into()
    }

    /// The newest entry of this incident that waits, or is settled with one that does.
    pub(crate) fn newest(&self, uid: &str) -> Option<&Mark> {
        let mut of = self.waiting.iter().rev().filter(|waiting| waiting.uid == uid);
        of.find_map(Waiting::settled)
    }

    /// An entry behind the newest of this incident that waits is settled with that; answers it where none waits.
    pub(crate) fn pass(&mut self, uid: &str, mark: Mark) -> Option<Mark> {
        let mut of = self.waiting.iter_mut().rev().filter(|waiting| waiting.uid == uid);
        let Some(newest) = of.find(|waiting| waiting.mark.is_some()) else {
            return Some(mark);
        };
        newest.settles = Some(mark);
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(number: usize, vital: bool, size: usize) -> Waiting {
        Waiting {
            vital,
            ..Waiting::new(
                &number.to_string(),
                "RECEIVED",
                Message::Card(json!("x".repeat(size))),
            )
        }
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_card_that_reports_no_end() {
        let mut outbox = Outbox::default();
        outbox.push(waiting(0, true, 10));
        let mut dropped = Vec::new();
        for number in 1..=MOST {
            dropped.extend(outbox.push(waiting(number, false, 10)));
        }
        assert_eq!(outbox.len(), MOST);
        assert_eq!(outbox.first(|_| false).unwrap().uid, "0");
        assert_eq!(dropped.len(), 1);
        let first = outbox.first(|_| false).unwrap().number;
        outbox.take(first).unwrap();
        assert_eq!(outbox.first(|_| false).unwrap().uid, "2");
        assert!(outbox.take(first).is_none(), "it is another one now");
    }

    #[test]
    fn what_waits_is_said_again_in_its_place() {
        let mut outbox = Outbox::default();
        let story = crate::card::tests::incident("1", "a leak", &[aegis_api::incident::Stage::Received]);
        let mark = Mark::of(&story.status.unwrap().timeline[0]);
        outbox.push(Waiting {
            mark: Some(mark),
            ..waiting(1, false, 10)
        });
        outbox.push(waiting(2, false, 10));
        let sending = outbox.first(|_| false).unwrap().number;
        outbox.renew("1", |_| {
            Some(Message::Card(json!("newer and longer than before")))
        });
        assert!(outbox.take(sending).is_none(), "what was sent is not what waits");
        let first = outbox.first(|_| false).unwrap();
        assert_eq!(
            first.message,
            Message::Card(json!("newer and longer than before"))
        );
        let sum = outbox.waiting.iter().map(|waiting| waiting.bytes).sum::<usize>();
        assert_eq!(outbox.bytes, sum);
    }

    #[test]
    fn what_waits_is_overtaken_and_keeps_its_place() {
        let mut outbox = Outbox::default();
        (0..3).for_each(|number| drop(outbox.push(waiting(number, false, 10))));
        let next = |outbox: &Outbox, held: &str| outbox.first(|uid| uid == held).unwrap().clone();
        let second = next(&outbox, "0");
        assert_eq!(second.uid, "1");
        assert!(outbox.take(second.number).is_some());
        assert_eq!(next(&outbox, "0").uid, "2");
        assert_eq!(next(&outbox, "").uid, "0");
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let mut outbox = Outbox::default();
        for number in 0..100 {
            outbox.push(waiting(number, number % 2 == 0, MOST_BYTES / 10));
        }
        assert!(outbox.bytes <= MOST_BYTES);
        let sum = outbox.waiting.iter().map(|waiting| waiting.bytes).sum::<usize>();
        assert_eq!(outbox.bytes, sum);
    }

    #[test]
    fn the_newest_content_of_an_incident_s_message_takes_the_place_of_the_older() {
        let mut outbox = Outbox::default();
        let root = |text: &str| Waiting::new("a", "MESSAGE", Message::Root(json!(text)));
        outbox.put_root(root("one"));
        outbox.push(waiting(1, false, 10));
        let sending = outbox.first(|_| false).unwrap().number;
        outbox.put_root(root("the other"));
        assert_eq!(outbox.len(), 2);
        assert!(outbox.take(sending).is_none(), "what was sent is not what waits");
        assert_eq!(
            outbox.first(|_| false).unwrap().message,
            Message::Root(json!("the other"))
        );
        let sum = outbox.waiting.iter().map(|waiting| waiting.bytes).sum::<usize>();
        assert_eq!(outbox.bytes, sum);
    }
}
