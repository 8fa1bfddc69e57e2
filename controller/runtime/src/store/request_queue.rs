//! What waits for the writer, in two queues: changes that clients request, and statuses that reconcilers write. However
//! many statuses there are, a request waits for few of them: a storm of alerts is taken at the disk's pace.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Request, StoreError};

/// How many requests of each kind may wait; more callers than that wait to hand theirs in.
const WAITING: usize = 1024;
/// The most requests in one batch.
const ASKED: usize = 256;
/// The most status writes in one batch: what is requested beside them waits for them to be written, too.
const STATUS_WRITES: usize = 16;

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
        let first = tokio::select! {
            biased;
            Some(request) = self.asked.recv() => request,
            Some(request) = self.status_writes.recv() => request,
            else => return Vec::new(),
        };
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok()).take(ASKED);
        let status_writes = std::iter::from_fn(|| self.status_writes.try_recv().ok()).take(STATUS_WRITES);
        std::iter::once(first).chain(asked).chain(status_writes).collect()
    }

    /// Callers that still wait learn that nothing happened.
    pub(crate) fn close(&mut self) {
        self.asked.close();
        self.status_writes.close();
    }
}
