//! What waits for the writer, in two queues: changes that clients request, and what no client waits for: statuses that reconcilers
//! write, counts of alerts. However many of these there are, a request waits for few of them: a storm of alerts is taken at the
//! disk's pace.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Request, StoreError};

/// How many requests of each kind may wait; more callers than that wait to hand theirs in.
const WAITING: usize = 1024;
/// The most requests in one batch.
const ASKED: usize = 256;
/// The most of what can wait in one batch: what is requested beside it waits for it to be written, too …
const UNHURRIED: usize = 4;
/// … and where nothing is requested just now.
const UNHURRIED_ALONE: usize = 8;

/// Where requests are handed in.
#[derive(Debug)]
pub(crate) struct RequestSender {
    asked: Sender<Request>,
    unhurried: Sender<Request>,
}

impl RequestSender {
    /// Hands one in, once there is room.
    pub(crate) async fn send(&self, request: Request) -> Result<(), StoreError> {
        let queue = match request.is_unhurried() {
            true => &self.unhurried,
            false => &self.asked,
        };
        queue.send(request).await.map_err(|_| StoreError::Closed)
    }
}

/// Where the writer takes them.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    asked: Receiver<Request>,
    unhurried: Receiver<Request>,
}

impl RequestQueue {
    pub(crate) fn new() -> (RequestSender, Self) {
        let (ask, asked) = mpsc::channel(WAITING);
        let (write, unhurried) = mpsc::channel(WAITING);
        let sender = RequestSender {
            asked: ask,
            unhurried: write,
        };
        (sender, Self { asked, unhurried })
    }

    /// The next batch, as soon as there is anything; none when every sender is gone. Nothing is lost if the caller
    /// stops waiting.
    pub(crate) async fn batch(&mut self) -> Vec<Request> {
        let (first, most) = tokio::select! {
            biased;
            Some(request) = self.asked.recv() => (request, UNHURRIED),
            Some(request) = self.unhurried.recv() => (request, UNHURRIED_ALONE),
            else => return Vec::new(),
        };
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok()).take(ASKED);
        let unhurried = std::iter::from_fn(|| self.unhurried.try_recv().ok()).take(most);
        std::iter::once(first).chain(asked).chain(unhurried).collect()
    }

    /// Callers that still wait learn that nothing happened.
    pub(crate) fn close(&mut self) {
        self.asked.close();
        self.unhurried.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::audit::Actor;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::Change;

    fn request(unhurried: bool) -> Request {
        Request {
            info: aegis_api::kinds::find("Incident").unwrap(),
            actor: Arc::new(Actor::system("test")),
            change: Change::Confirm { name: "i".to_owned() },
            dry_run: false,
            unhurried,
            answer: oneshot::channel().0,
        }
    }

    #[tokio::test]
    async fn what_is_requested_goes_before_what_can_wait_and_takes_few_of_that_with_it() {
        let (sender, mut queue) = RequestQueue::new();
        for _ in 0..UNHURRIED_ALONE * 3 {
            sender.send(request(true)).await.unwrap();
        }
        let alone = queue.batch().await;
        assert_eq!(alone.len(), 1 + UNHURRIED_ALONE);
        sender.send(request(false)).await.unwrap();
        let together = queue.batch().await;
        assert_eq!(together.len(), 1 + UNHURRIED);
        assert!(together.first().is_some_and(|first| !first.unhurried));
    }
}
