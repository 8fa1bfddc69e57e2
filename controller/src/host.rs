//! Keeps the server's picture of the host: containers, their load, the topology, and whether the engine answers. Reads and
//! publishes; what the picture is follows from what was read.

use std::time::Duration;

use aegis_api::observed::ContainerSummary;
use aegis_api::signals::HostSignals;
use aegis_api::wire::HostMetrics;
use aegis_api::{ContainerId, Time};
use aegis_docker::ListFilter;
use aegis_reconcilers::docker_events::{DockerEvents, Link, Notice};
use aegis_reconcilers::host_picture::{self, Starts};
use aegis_reconcilers::{Context, triggers};
use aegis_server::HostView;
use aegis_signals::collector::{Reading, collect};
use aegis_signals::journal::Journal;
use futures::StreamExt as _;
use futures::future::{Fuse, FusedFuture as _, FutureExt as _};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Pause after an event before the picture is drawn again, so that a burst is one picture.
const SETTLE: Duration = Duration::from_millis(100);

/// Draws the picture every `interval` and whenever a container comes or goes, until `shutdown`. What is there is
/// published at once; the counters follow, since an older engine takes a second to read them.
pub(crate) async fn watch(
    context: Context,
    events: DockerEvents,
    view: HostView,
    interval: Duration,
    shutdown: CancellationToken,
) {
    let mut starts = Starts::default();
    let journal = Journal::new(context.store.dir());
    journal
        .restore(
            context.samples.history(),
            context.samples.traffic(),
            context.clock.now(),
        )
        .await;
    let mut notices = std::pin::pin!(events.subscribe());
    let mut resources = triggers::topology(&context);
    let mut link = events.link();
    // The engine may have been reached before this subscribed: that counts as news, too.
    link.mark_changed();
    let mut up = false;
    let mut timer = every(interval);
    let mut containers = Vec::new();
    let mut measuring = std::pin::pin!(Fuse::terminated());
    loop {
        let due = tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = link.changed() => {
                up = log_link(&view, &link.borrow_and_update().clone());
                up
            }
            _ = timer.tick(), if up => true,
            notice = notices.next() => match notice {
                Some(Notice::Event(event)) => starts.forget(&event.id, &event.action),
                Some(Notice::Rescan) => starts.forget_all(),
                None => return,
            },
            Some(()) = resources.next() => {
                connect(&context, &view, &containers, Publish::OnChange);
                false
            }
            measured = &mut measuring => {
                let Measured { readings, starts: learned, host } = measured;
                starts.add(learned, &readings);
                show_load(&context, &view, &readings, &starts);
                view.set_host(HostMetrics::of(&host, context.clock.now()));
                let samples = &context.samples;
                journal.keep(samples.history(), samples.traffic(), context.clock.now()).await;
                false
            }
        };
        if !due {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SETTLE) => {}
        }
        let Some(seen) = list_containers(&context).await else {
            continue;
        };
        show(&context, &view, &seen);
        connect(&context, &view, &seen, Publish::Always);
        if measuring.is_terminated() {
            measuring.set(measure(&context, seen.clone(), starts.unknown(&seen)).fuse());
        }
        containers = seen;
    }
}

fn every(interval: Duration) -> Interval {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Logs whether the engine answers, which is what this answers, too.
fn log_link(view: &HostView, link: &Link) -> bool {
    let news = match link {
        Link::Connecting => return false,
        Link::Up => view.set_engine(Ok(())),
        Link::Down(reason) => view.set_engine(Err(reason.clone())),
    };
    match link {
        Link::Down(reason) if news => tracing::warn!("the Docker engine is away: {reason}"),
        Link::Up if news => tracing::info!("connected to the Docker engine"),
        _ => {}
    }
    *link == Link::Up
}

/// What the host has now; `None` while the engine is away.
async fn list_containers(context: &Context) -> Option<Vec<ContainerSummary>> {
    match context.engine.list(ListFilter::default()).await {
        Ok(mut containers) => {
            containers.sort_by(|a, b| a.name.cmp(&b.name));
            Some(containers)
        }
        // The event stream reports an engine that is away; saying it every interval would only fill the log.
        Err(error) => {
            tracing::debug!("the host's containers cannot be listed: {error}");
            None
        }
    }
}

/// A round of readings.
struct Measured {
    readings: Vec<Reading>,
    /// When containers started of which that was not known.
    starts: Vec<(ContainerId, Time)>,
    host: HostSignals,
}

/// Counters of these containers, when those of `unknown` start started, and the host.
async fn measure(
    context: &Context,
    containers: Vec<ContainerSummary>,
    unknown: Vec<ContainerId>,
) -> Measured {
    let engine = &*context.engine;
    let starts = unknown.into_iter().map(|id| async move {
        let details = engine.inspect(&id).await.ok()??;
        Some((id, details.started_at?))
    });
    let (readings, starts, host) = futures::join!(
        collect(engine, &context.samples, containers),
        futures::future::join_all(starts),
        context.read_host()
    );
    Measured {
        readings,
        starts: starts.into_iter().flatten().collect(),
        host,
    }
}

fn show(context: &Context, view: &HostView, containers: &[ContainerSummary]) {
    let rows = host_picture::rows(containers);
    context.feed.publish(None, &rows);
    view.set_containers(rows);
}

fn show_load(context: &Context, view: &HostView, readings: &[Reading], starts: &Starts) {
    let now = context.clock.now();
    context.samples.remember(now, readings);
    let metrics = host_picture::load(readings, starts, now);
    context.feed.publish(None, &metrics);
    view.set_metrics(metrics);
}

/// Whether a picture that is the same as before is published again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publish {
    Always,
    OnChange,
}

/// Recomputes the lines between containers.
fn connect(context: &Context, view: &HostView, containers: &[ContainerSummary], publish: Publish) {
    let topology = host_picture::topology(context, containers);
    if view.set_topology(topology) || publish == Publish::Always {
        context.feed.publish(None, &*view.topology());
    }
}
