//! Publishes every reconcile as a frame on the live stream. The log has it from the loop itself.

use aegis_api::wire::{ReconcileData, ReconcileError};
use aegis_reconcilers::Context;
use aegis_reconcilers::detector::DetectorReconciler;
use aegis_runtime::{Observer, Reconciled, Reconciler as _};

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
        // Every detector evaluates each round of readings: that it did is no news.
        if r.kind == DetectorReconciler::KIND && r.trigger != "store" && r.error.is_none() {
            return;
        }
        let generation = aegis_api::kinds::find(r.kind)
            .and_then(|info| self.context.store.get_stored(info, r.name))
            .and_then(|object| object.value.pointer("/metadata/generation")?.as_i64());
        let requeue = r
            .requeue_after
            .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        let error = r.error.as_ref().map(|(category, chain)| ReconcileError {
            category: (*category).to_owned(),
            message: chain.to_string(),
        });
        let data = ReconcileData {
            kind: r.kind.to_owned(),
            name: r.name.to_owned(),
            generation,
            trigger: r.trigger.to_owned(),
            result: r.result.to_owned(),
            error,
            duration_ms: r.duration.as_secs_f64() * 1000.0,
            requeue_after_ms: requeue,
        };
        self.context.feed.publish(None, &data);
    }
}
