//! Tells of every reconcile as a frame on the live stream. The log has it from the loop itself.

use aegis_reconcilers::Context;
use aegis_runtime::{FrameType, Observer, Reconciled};
use serde_json::json;

pub(crate) struct FeedObserver {
    context: Context,
}

impl FeedObserver {
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Observer for FeedObserver {
    fn reconciled(&self, r: &Reconciled<'_>) {
        let generation = aegis_api::kinds::find(r.kind)
            .and_then(|info| self.context.store.get_stored(info, r.name))
            .and_then(|object| object.value.pointer("/metadata/generation").cloned());
        let requeue = r
            .requeue_after
            .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        let data = json!({
            "kind": r.kind,
            "name": r.name,
            "generation": generation,
            "trigger": r.trigger,
            "result": r.result,
            "error": r.error.as_ref().map(|(category, chain)| json!({"category": category, "message": chain})),
            "duration_ms": r.duration.as_secs_f64() * 1000.0,
            "requeue_after_ms": requeue,
        });
        self.context.feed.publish(FrameType::Reconcile, None, &data);
    }
}
