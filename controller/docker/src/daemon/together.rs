//! One answer for all who ask for the same at the same time. Each caller gets what was read after it asked, as if the
//! call had been its own. No task of its own: one of those who ask makes the call.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::engine::EngineResult;

/// The calls of one kind.
#[derive(Debug)]
pub(super) struct Together<T> {
    /// How many have asked so far.
    asked: AtomicU64,
    /// Held by who makes a call.
    last: Mutex<Option<Last<T>>>,
}

/// The last answer, as long as others wait for it.
#[derive(Debug)]
struct Last<T> {
    answer: EngineResult<T>,
    /// It is for the first so many who asked.
    up_to: u64,
    /// How many of those have not taken it yet.
    awaited_by: u64,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self {
            asked: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

impl<T: Clone> Together<T> {
    /// What `call` answers, or what another call did that began after this moment.
    pub(super) async fn ask(&self, call: impl Future<Output = EngineResult<T>>) -> EngineResult<T> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let mut last = self.last.lock().await;
        if let Some(known) = last.as_mut().filter(|known| known.up_to >= number) {
            known.awaited_by = known.awaited_by.saturating_sub(1);
            if known.awaited_by > 0 {
                return known.answer.clone();
            }
            if let Some(known) = last.take() {
                return known.answer;
            }
        }
        *last = None;
        // It is for all who asked before it begins.
        let up_to = self.asked.load(Ordering::SeqCst);
        let answer = call.await;
        let awaited_by = up_to.saturating_sub(number);
        if awaited_by > 0 {
            *last = Some(Last {
                answer: answer.clone(),
                up_to,
                awaited_by,
            });
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_hundred_who_ask_while_a_call_is_under_way_share_the_next_one() {
        let together = Together::default();
        let (calls, gate) = (AtomicUsize::new(0), Semaphore::new(0));
        let call = async || {
            together
                .ask(async {
                    let number = calls.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    Ok(number)
                })
                .await
                .unwrap()
        };
        let open = async {
            // Every one of them waits by now: each was polled once before this is.
            gate.add_permits(2);
        };
        let all = async { tokio::join!(call(), join_all((0..100).map(|_| call()))) };
        let ((first, others), ()) = tokio::join!(all, open);
        assert_eq!(first, 0);
        assert!(
            others.iter().all(|answer| *answer == 1),
            "none that began before it asked"
        );
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert!(
            together.last.lock().await.is_none(),
            "what none waits for is not kept"
        );
        gate.add_permits(1);
        assert_eq!(call().await, 2, "who asks later has an answer of its own");
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_holds_up_no_other() {
        let together = Together::default();
        {
            let hangs = together.ask(std::future::pending::<EngineResult<u32>>());
            assert!(futures::poll!(std::pin::pin!(hangs)).is_pending());
        }
        assert_eq!(together.ask(async { Ok(7) }).await.unwrap(), 7);
    }
}
