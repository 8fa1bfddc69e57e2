//! Where work that blocks is done: on tokio's threads for it, or, in a simulation, on the simulation's own thread, so that
//! the same seed gives the same history.

use std::cell::Cell;

use tokio::task::{JoinError, JoinHandle};

thread_local! {
    static INLINE: Cell<bool> = const { Cell::new(false) };
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// From now on, short work that blocks is done on this thread at once: nothing else is to be done on it.
pub(crate) fn block_on_this_thread() {
    MAY_BLOCK.set(true);
}

/// Does short work that blocks: at once on a thread that has nothing else to do, else as [`offload`] does.
pub(crate) async fn at_once<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match MAY_BLOCK.get() {
        true => Ok(work()),
        false => offload(work).await,
    }
}

/// From now on, work offloaded from this thread is done on this thread, as a task among the others. For simulations on a
/// runtime of one thread.
pub fn stay_on_this_thread() {
    INLINE.set(true);
}

/// Does what blocks where it may. It runs to its end even if no caller waits for it.
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if INLINE.get() {
        tokio::spawn(async move { work() })
    } else {
        tokio::task::spawn_blocking(work)
    }
}
