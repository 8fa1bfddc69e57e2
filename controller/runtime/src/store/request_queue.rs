//! Who waits for the writer. Two queues: what people and programs request, and what reconcilers note down about their
//! work. However much there is to note, a request waits for few notes: a storm of alerts is taken at the disk's pace.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Request, StoreError};

/// How many requests of each kind may wait; more callers than that wait to hand theirs in.
const WAITING: usize = 1024;
/// The most requests in one batch.
const ASKED: usize = 256;
/// The most notes in one batch: beyond this files only queue up in the file system's journal.
const NOTES: usize = 16;

/// Where requests are handed in.
#[derive(Debug)]
pub(crate) struct RequestSender {
    asked: Sender<Request>,
    notes: Sender<Request>,
}

impl RequestSender {
    /// Hands one in, once there is room.
    pub(crate) async fn send(&self, request: Request) -> Result<(), StoreError> {
        let queue = match request.is_status_write() {
            true => &self.notes,
            false => &self.asked,
        };
        queue.send(request).await.map_err(|_| StoreError::Closed)
    }
}

/// Where the writer takes them.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    asked: Receiver<Request>,
    notes: Receiver<Request>,
}

impl RequestQueue {
    pub(crate) fn new() -> (RequestSender, Self) {
        let (ask, asked) = mpsc::channel(WAITING);
        let (note, notes) = mpsc::channel(WAITING);
        let counter = RequestSender {
            asked: ask,
            notes: note,
        };
        (counter, Self { asked, notes })
    }

    /// The next batch, as soon as there is anything; none when every sender is gone. Nothing is lost if the caller
    /// stops waiting.
    pub(crate) async fn batch(&mut self) -> Vec<Request> {
        let first = tokio::select! {
            biased;
            Some(request) = self.asked.recv() => request,
            Some(request) = self.notes.recv() => request,
            else => return Vec::new(),
        };
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok()).take(ASKED);
        let notes = std::iter::from_fn(|| self.notes.try_recv().ok()).take(NOTES);
        std::iter::once(first).chain(asked).chain(notes).collect()
    }

    /// Callers that still wait learn that nothing happened.
    pub(crate) fn close(&mut self) {
        self.asked.close();
        self.notes.close();
    }
}
