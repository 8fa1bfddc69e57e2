//! What waits for the writer, in two queues: changes that clients request, and statuses that reconcilers write. However
//! many statuses there are, a request waits for few of them: a storm of alerts is taken at the disk's pace.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Request, StoreError};

/// How many requests of each kind may wait; more callers than that wait to hand theirs in.
const WAITING: usize = 1024;
/// The most requests in one batch.
const ASKED: usize = 256;
/// The most status writes in one batch: what is requested beside them waits for them to be written, too …
const STATUS_WRITES: usize = 4;
/// … and where nothing is requested just now.
const STATUS_WRITES_ALONE: usize = 8;

/// Where requests are handed in.
#[derive(Debug)]
pub(crate) struct RequestSender {
    asked: Sender<Request>,
    status_writes: Sender<Request>,
}

impl RequestSender {
    /// Hands one in, once there is room.
    pub(crate) async fn send(&self, request: Request) -> Result<(), StoreError> {
        let queue = match request.is_status_write() {
            true => &self.status_writes,
            false => &self.asked,
        };
        queue.send(request).await.map_err(|_| StoreError::Closed)
    }
}

/// Where the writer takes them.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    asked: Receiver<Request>,
    status_writes: Receiver<Request>,
}

impl RequestQueue {
    pub(crate) fn new() -> (RequestSender, Self) {
        let (ask, asked) = mpsc::channel(WAITING);
        let (write, status_writes) = mpsc::channel(WAITING);
        let sender = RequestSender {
            asked: ask,
            status_writes: write,
        };
        (sender, Self { asked, status_writes })
    }

    /// The next batch, as soon as there is anything; none when every sender is gone. Nothing is lost if the caller
    /// stops waiting.
    pub(crate) async fn batch(&mut self) -> Vec<Request> {
        let (first, most) = tokio::select! {
            biased;
            Some(request) = self.asked.recv() => (request, STATUS_WRITES),
            Some(request) = self.status_writes.recv() => (request, STATUS_WRITES_ALONE),
            else => return Vec::new(),
        };
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok()).take(ASKED);
        let status_writes = std::iter::from_fn(|| self.status_writes.try_recv().ok()).take(most);
        std::iter::once(first).chain(asked).chain(status_writes).collect()
    }

    /// Callers that still wait learn that nothing happened.
    pub(crate) fn close(&mut self) {
        self.asked.close();
        self.status_writes.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::audit::Actor;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::{Change, Edited, Part};

    fn request(part: Part) -> Request {
        Request {
            info: aegis_api::kinds::find("Incident").unwrap(),
            actor: Arc::new(Actor::system("test")),
            change: Change::Edit {
                name: "i".to_owned(),
                part,
                edit: Box::new(|_, _| Ok(Edited::Same)),
            },
            dry_run: false,
            answer: oneshot::channel().0,
        }
    }

    #[tokio::test]
    async fn what_is_requested_goes_before_status_writes_and_takes_few_of_them_with_it() {
        let (sender, mut queue) = RequestQueue::new();
        for _ in 0..STATUS_WRITES_ALONE * 3 {
            sender.send(request(Part::Status)).await.unwrap();
        }
        let alone = queue.batch().await;
        assert_eq!(alone.len(), 1 + STATUS_WRITES_ALONE);
        sender.send(request(Part::Spec)).await.unwrap();
        let together = queue.batch().await;
        assert_eq!(together.len(), 1 + STATUS_WRITES);
        assert!(together.first().is_some_and(|first| !first.is_status_write()));
    }
}
