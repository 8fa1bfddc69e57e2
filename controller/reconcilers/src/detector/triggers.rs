//! What makes a detector evaluate: a change of its spec, a round of readings, an event of the engine. Events come in bursts,
//! and a container's removal begins with its death: they are waited for a moment. No I/O.

use std::time::Duration;

use aegis_api::Detector;
use aegis_runtime::controller::Trigger;
use aegis_runtime::store::Store;
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
    let mut all = triggers::own::<Detector>(context);
    all.push(every_detector(context, settled(heard), "docker"));
    all.push(every_detector(context, context.samples.rounds(), "readings"));
    all
}

fn every_detector(
    context: &Context,
    words: impl Stream<Item = ()> + Send + 'static,
    why: &'static str,
) -> BoxStream<'static, Trigger> {
    let store: Store = context.store.clone();
    words
        .flat_map(move |()| stream::iter(triggers::all::<Detector>(&store)))
        .map(move |name| Trigger { name, why })
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
