//! Keeps the server's picture of the host: containers, their load, the topology, and whether the engine answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::{ContainerState, ContainerSummary};
use aegis_api::wire::{ContainerMetrics, ContainerRow, LABEL_ROLE, Topology, TopologyContainer};
use aegis_api::{LoadBalancer, Time, Workload};
use aegis_docker::ListFilter;
use aegis_reconcilers::collector::{Reading, collect};
use aegis_reconcilers::docker_events::{DockerEvents, Link, Notice};
use aegis_reconcilers::{Context, triggers};
use aegis_runtime::FrameType;
use aegis_server::HostView;
use futures::StreamExt as _;
use futures::future::{Fuse, FusedFuture as _, FutureExt as _};
use tokio_util::sync::CancellationToken;

const MIB: f64 = 1_048_576.0;
/// Pause after an event before the picture is drawn again, so that a burst is one picture.
const SETTLE: Duration = Duration::from_millis(100);

/// Draws the picture every `interval` and whenever a container comes or goes, until `shutdown`. What is there is told
/// at once; the counters follow, since an older engine takes a second to read them.
pub(crate) async fn watch(
    context: Context,
    events: DockerEvents,
    view: HostView,
    interval: Duration,
    shutdown: CancellationToken,
) {
    let mut starts = Starts::default();
    let mut notices = std::pin::pin!(events.subscribe());
    let mut resources = triggers::topology(&context);
    let mut link = events.link();
    // The engine may have been reached before anybody asked: that counts as news, too.
    link.mark_changed();
    let mut up = false;
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut containers = Vec::new();
    let mut measuring = std::pin::pin!(Fuse::terminated());
    loop {
        let due = tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = link.changed() => {
                let state = link.borrow_and_update().clone();
                tell_link(&view, &state);
                up = state == Link::Up;
                up
            }
            _ = timer.tick(), if up => true,
            notice = notices.next() => match notice {
                Some(Notice::Event(event)) => starts.forget(&event.id, &event.action),
                Some(Notice::Rescan) => starts.forget_all(),
                None => return,
            },
            Some(()) = resources.next() => {
                connect(&context, &view, &containers, Tell::OnChange);
                false
            }
            measured = &mut measuring => {
                let (readings, learned): (Vec<Reading>, Vec<(String, Time)>) = measured;
                starts.add(learned, &readings);
                show_load(&context, &view, &readings, &starts);
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
        let Some(seen) = look(&context).await else {
            continue;
        };
        show(&context, &view, &seen);
        connect(&context, &view, &seen, Tell::Always);
        if measuring.is_terminated() {
            measuring.set(measure(&context, seen.clone(), starts.unknown(&seen)).fuse());
        }
        containers = seen;
    }
}

fn tell_link(view: &HostView, link: &Link) {
    let news = match link {
        Link::Connecting => return,
        Link::Up => view.set_engine(Ok(())),
        Link::Down(reason) => view.set_engine(Err(reason.clone())),
    };
    match link {
        Link::Down(reason) if news => tracing::warn!("the Docker engine is away: {reason}"),
        Link::Up if news => tracing::info!("connected to the Docker engine"),
        _ => {}
    }
}

/// What the host has now; `None` while the engine is away.
async fn look(context: &Context) -> Option<Vec<ContainerSummary>> {
    match context.engine.list(ListFilter::default()).await {
        Ok(mut containers) => {
            containers.sort_by(|a, b| a.name.cmp(&b.name));
            Some(containers)
        }
        // The event stream tells of an engine that is away; saying it every interval would only fill the log.
        Err(error) => {
            tracing::debug!("the host could not be looked at: {error}");
            None
        }
    }
}

/// Counters of these containers, and when those of `unknown` start started.
async fn measure(
    context: &Context,
    containers: Vec<ContainerSummary>,
    unknown: Vec<String>,
) -> (Vec<Reading>, Vec<(String, Time)>) {
    let engine = &*context.engine;
    let starts = unknown.into_iter().map(|id| async move {
        let details = engine.inspect(&id).await.ok()??;
        Some((id, details.started_at?))
    });
    let (readings, starts) = futures::join!(
        collect(engine, &context.samples, containers),
        futures::future::join_all(starts)
    );
    (readings, starts.into_iter().flatten().collect())
}

fn show(context: &Context, view: &HostView, containers: &[ContainerSummary]) {
    let rows: Vec<ContainerRow> = containers.iter().map(row).collect();
    context.feed.publish(FrameType::ContainerList, None, &rows);
    view.set_containers(rows);
}

fn show_load(context: &Context, view: &HostView, readings: &[Reading], starts: &Starts) {
    let now = context.clock.now();
    context.samples.remember(now, readings);
    let metrics: Vec<ContainerMetrics> = readings
        .iter()
        .filter_map(|reading| load(reading, starts, now))
        .collect();
    context.feed.publish(FrameType::Metrics, None, &metrics);
    view.set_metrics(metrics);
}

/// Whether a picture that is the same as before is told again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    Always,
    OnChange,
}

/// Draws the lines between containers anew.
fn connect(context: &Context, view: &HostView, containers: &[ContainerSummary], tell: Tell) {
    let topology = topology(context, containers);
    if view.set_topology(topology) || tell == Tell::Always {
        context.feed.publish(FrameType::Topology, None, &*view.topology());
    }
}

fn row(container: &ContainerSummary) -> ContainerRow {
    ContainerRow {
        name: container.name.clone(),
        status: container.state.as_str().to_owned(),
        image: container.image.clone(),
        id: container.id.chars().take(12).collect(),
    }
}

#[expect(
    clippy::as_conversions,
    reason = "bytes to MiB for people: the rounding of u64 to f64 is below what is shown"
)]
fn load(reading: &Reading, starts: &Starts, now: Time) -> Option<ContainerMetrics> {
    let stats = reading.stats.as_ref()?;
    let (used, limit) = (stats.memory_bytes as f64, stats.memory_limit_bytes as f64);
    Some(ContainerMetrics {
        name: reading.container.name.clone(),
        cpu_percent: reading.cpu_percent.unwrap_or_default(),
        memory_mb: used / MIB,
        memory_limit_mb: limit / MIB,
        memory_percent: if limit > 0.0 { used / limit * 100.0 } else { 0.0 },
        net_rx_bytes: stats.net_rx_bytes,
        net_tx_bytes: stats.net_tx_bytes,
        status: reading.container.state.as_str().to_owned(),
        uptime_seconds: starts
            .get(&reading.container.id)
            .map_or(0.0, |start| start.age(now).as_secs_f64()),
        image: reading.container.image.clone(),
    })
}

fn topology(context: &Context, containers: &[ContainerSummary]) -> Topology {
    let own = context.settings.own_container.as_deref();
    let containers: Vec<TopologyContainer> = containers
        .iter()
        .map(|container| {
            let is_own = own.is_some_and(|own| container.id.starts_with(own));
            TopologyContainer {
                name: container.name.clone(),
                status: container.state.as_str().to_owned(),
                image: container.image.clone(),
                role: container
                    .labels
                    .get(LABEL_ROLE)
                    .cloned()
                    .or_else(|| is_own.then(|| "agent".to_owned())),
            }
        })
        .collect();
    let workloads = context.store.list::<Workload>();
    let balancers = context.store.list::<LoadBalancer>();
    Topology::derive(
        &containers,
        workloads.iter().map(Arc::as_ref),
        balancers.iter().map(Arc::as_ref),
    )
}

/// When each running container started: read once a run, since a list does not tell.
#[derive(Default)]
struct Starts {
    known: HashMap<String, Time>,
    /// Those that changed since they were last asked for: the answer may be of before.
    changed: HashSet<String>,
}

impl Starts {
    fn get(&self, id: &str) -> Option<Time> {
        self.known.get(id).copied()
    }

    /// Forgets a container that started, ended or went; answers whether the picture changed with it.
    fn forget(&mut self, id: &str, action: &str) -> bool {
        let changed = matches!(
            action,
            "create" | "start" | "die" | "destroy" | "rename" | "pause" | "unpause"
        );
        if changed {
            self.known.remove(id);
            self.changed.insert(id.to_owned());
        }
        changed
    }

    fn forget_all(&mut self) -> bool {
        self.changed.extend(self.known.drain().map(|(id, _)| id));
        true
    }

    /// Ids of running containers whose start is not known yet.
    fn unknown(&mut self, containers: &[ContainerSummary]) -> Vec<String> {
        self.changed.clear();
        let running = containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        running
            .map(|container| container.id.clone())
            .filter(|id| !self.known.contains_key(id))
            .collect()
    }

    /// Adds what was learned and drops what is gone.
    fn add(&mut self, learned: Vec<(String, Time)>, readings: &[Reading]) {
        let current = learned.into_iter().filter(|(id, _)| !self.changed.contains(id));
        self.known.extend(current);
        self.known
            .retain(|id, _| readings.iter().any(|reading| reading.container.id == *id));
    }
}
