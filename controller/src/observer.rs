//! Publishes every reconcile as a frame on the live stream. The log has it from the loop itself.

use aegis_api::wire::{ReconcileData, ReconcileError};
use aegis_reconcilers::Context;
use aegis_reconcilers::autoscale::Autoscaler;
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

/// Whether it is no news: every detector evaluates each round of readings, and every object is resynced twice a minute.
fn is_routine(r: &Reconciled<'_>) -> bool {
    let measures = [DetectorReconciler::KIND, Autoscaler::KIND].contains(&r.kind);
    let by_time = r.trigger == "resync" || (measures && r.trigger != "store");
    by_time && r.error.is_none()
}

impl Observer for FeedObserver {
    fn reconciled(&self, r: &Reconciled<'_>) {
        if is_routine(r) {
            return;
        }
        let generation = aegis_api::kinds::find(r.kind)
            .and_then(|info| self.context.store.get_stored(info, r.name))
            .map(|object| object.generation());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_reconciled_by_time_alone_is_published_only_where_it_fails() {
        let routine = |kind, trigger, failed: bool| {
            is_routine(&Reconciled {
                kind,
                name: "web",
                trigger,
                result: if failed { "error" } else { "success" },
                error: failed.then(|| ("transport", "no answer".to_owned())),
                duration: Duration::ZERO,
                requeue_after: None,
            })
        };
        for (kind, trigger, failed, wanted) in [
            ("Workload", "resync", false, true),
            ("Workload", "resync", true, false),
            ("Workload", "docker", false, false),
            ("Detector", "readings", false, true),
            ("Detector", "store", false, false),
            ("Detector", "readings", true, false),
        ] {
            assert_eq!(
                routine(kind, trigger, failed),
                wanted,
                "{kind} {trigger} {failed}"
            );
        }
    }
}
