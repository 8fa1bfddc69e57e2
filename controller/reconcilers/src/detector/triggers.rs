//! What makes a detector evaluate: a change of its spec, a round of readings, an event of the engine. Events come in bursts,
//! and a container's removal begins with its death: they are waited for a moment. A process that ended by itself is not:
//! no signal came before, so that it is not being removed. No I/O.

use std::time::Duration;

use aegis_api::Detector;
use aegis_api::lifecycle::LastEnd;
use aegis_planning::detection::Watch;
use aegis_runtime::controller::Trigger;
use aegis_runtime::store::Store;
use aegis_signals::lifecycle::Lifecycle;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, Stream, StreamExt};

use super::inspections::Inspections;
use crate::context::Context;
use crate::docker_events::{DockerEvents, Notice};
use crate::triggers;

/// How long a burst of events is waited for: a fraction of the quarter of a second in which an incident is to be open.
const SETTLE: Duration = Duration::from_millis(100);

pub(super) fn all(
    context: &Context,
    events: &DockerEvents,
    inspections: &Inspections,
) -> Vec<BoxStream<'static, Trigger>> {
    let inspections = inspections.clone();
    let heard = events.subscribe().filter_map(move |notice| {
        let heard = match notice {
            Notice::Event(event) if event.action.starts_with("exec_") => None,
            Notice::Event(event) => {
                inspections.changed(&event.id);
                Some(())
            }
            Notice::Rescan => {
                inspections.all_changed();
                Some(())
            }
        };
        std::future::ready(heard)
    });
    let lifecycle = context.lifecycle.clone();
    let crashed = events.subscribe().filter_map(move |notice| {
        let crashed = ended_by_itself(&lifecycle, &notice).then_some(());
        std::future::ready(crashed)
    });
    let mut all = triggers::own::<Detector>(context);
    all.push(detectors(context, crashed, "docker", reads_ends));
    all.push(detectors(context, settled(heard), "docker", |_| true));
    all.push(detectors(context, context.samples.rounds(), "readings", |_| true));
    all
}

/// Whether a process ended without a signal that was sent through the engine, and not because it was done. It is on record
/// before it is heard of.
fn ended_by_itself(lifecycle: &Lifecycle, notice: &Notice) -> bool {
    let Notice::Event(event) = notice else {
        return false;
    };
    let ended = || lifecycle.last_end(&event.id);
    event.action == "die"
        && matches!(ended(), LastEnd::Known(death) if death.is_crash() && death.signal.is_none())
}

/// Whether a detector reads how containers end: it needs nothing else that would have to be waited for.
fn reads_ends(detector: &Detector) -> bool {
    let watch = Watch::of(&detector.spec);
    matches!(watch, Some(Watch::Workloads(condition)) if condition.reads_ends())
}

fn detectors(
    context: &Context,
    words: impl Stream<Item = ()> + Send + 'static,
    why: &'static str,
    which: fn(&Detector) -> bool,
) -> BoxStream<'static, Trigger> {
    let store: Store = context.store.clone();
    words
        .flat_map(move |()| {
            let mut found = store.list::<Detector>();
            found.retain(|detector| which(detector));
            stream::iter(found)
        })
        .map(move |detector| Trigger {
            name: aegis_api::Kind::name(&*detector).to_owned(),
            why,
        })
        .boxed()
}

/// One word for each burst.
fn settled(words: impl Stream<Item = ()> + Send + 'static) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(words.boxed(), |mut words| async move {
        words.next().await?;
        tokio::time::sleep(SETTLE).await;
        while let Some(Some(())) = words.next().now_or_never() {}
        Some(((), words))
    })
}
