//! Builds store, engine, brain, reconcilers and server, and runs them side by side until one ends or the shutdown.
//! The only file that sees every crate; it decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::error::chain;
use aegis_api::redact::{LineRedactor, bound};
use aegis_brain::Brain;
use aegis_docker::daemon::Docker;
use aegis_docker::{Engine, LogQuery};
use aegis_planning::admission::HostMounts;
use aegis_reconcilers::docker_events::DockerEvents;
use aegis_reconcilers::endpoints::Endpoints;
use aegis_reconcilers::host_reader::HostReader;
use aegis_reconcilers::probe::Prober;
use aegis_reconcilers::recall::Recall;
use aegis_reconcilers::rule_files::RuleFiles;
use aegis_reconcilers::{
    Context, Parts, Settings, Surroundings, Turns, autoscale, balancer_metrics, detector, requests,
};
use aegis_runtime::{Clock, EventRecorder, Feed, Metrics, Store, StoreDriver, StoreError, StoreOptions};
use aegis_server::{
    HostView, HttpMetrics, IntakeMetrics, LogRequest, RagHit, RagHits, ServerConfig, ServerParts,
    ServerState, Tokens,
};
use aegis_signals::collector::Samples;
use aegis_signals::lifecycle::Lifecycle;
use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::args::{AnonymousRole, Args};
use crate::audit_head::HeadNotes;
use crate::model_metrics::ModelMetrics;
use crate::notifications::Notifiers;
use crate::observer::FeedObserver;
use crate::reach::Reach;
use crate::{anonymous, defaults, host, models, notifications, secrets, shutdown};

/// Most characters of one log line that is handed on.
const LOG_LINE: usize = 16_384;

/// Runs the controller until the shutdown.
pub(crate) async fn run(mut args: Args) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    // Before anything is made or asked.
    args.tls.check(args.listen)?;
    args.anonymous_from = anonymous::peers(args.anonymous_role, &args.anonymous_from, args.listen)?;
    args.read_secret_files()?;
    let reach = Reach::of(&mut args).await?;
    let proxies = reach.proxies.clone();
    let webhook_token = secrets::given(
        "AEGIS_WEBHOOK_TOKEN (--webhook-token)",
        args.webhook_token.as_ref(),
    )?;
    let defaults = defaults::of(&args)?;
    let mut models = models::brain(&args.models)?;
    models.spend_file = Some(args.state_dir.join(".model-spend.json"));
    models.prompts_dir = models::prompts(models.prompts_dir, &args.state_dir);
    tracing::info!("incidents are put before {}", models::order(&models));
    let brain = Brain::new(models)?;
    let events = EventRecorder::new();
    let options = StoreOptions {
        defaults,
        retention: args.limits.retention(),
        audit: args.limits.audit(),
        ..StoreOptions::new(&args.state_dir)
    };
    let (store, driver) = Store::open(options, events.clone()).await?;
    let access = Access::open(&store, webhook_token)?;
    let tls = args.tls.open(args.listen, store.dir())?;
    let heads = HeadNotes::of(store.dir(), args.audit_head_file.as_deref())?;
    let listener = listen(args.listen).await?;
    let engine: Arc<dyn Engine> =
        Arc::new(Docker::connect(args.docker_host.as_deref())?.for_instance(store.instance_id()));
    let context = context(&args, store, engine, events);
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let instruments = (HttpMetrics::new(&mut registry), IntakeMetrics::new(&mut registry));
    let around = notifications::Around {
        store: &context.store,
        events: &context.events,
        mounts: host_mounts(&args),
        cooldown: context.settings.cooldown,
        closeness: args.limits.closeness(),
    };
    let notifiers = Notifiers::open(&args.notifications, &around, &mut registry).await?;
    let notifications = notifiers.view.clone();
    let parts = Wired {
        docker_events: DockerEvents::new(&context),
        recall: Recall::default(),
        view: HostView::new()
            .with_history(history(&context, args.metrics_interval_secs))
            .with_balancers(balancers(&context))
            .with_workloads(requested(&context), traces(&context)),
        brain: Arc::new(brain.observed(Arc::new(ModelMetrics::new(&mut registry)))),
        context,
    };
    let instruments = (registry, instruments);
    let state = parts.server(&args, access, reach, instruments, notifications, shutdown.clone());
    let mut tasks = Tasks {
        set: JoinSet::new(),
        shutdown,
        store: StoreTask::start(driver),
    };
    if args.default_detectors {
        // Given at the next start, then: without them it only sees less.
        if let Err(error) = detector::defaults::give(&parts.context.store).await {
            tracing::warn!(error = chain(&error), "the default detectors could not be stored");
        }
    }
    parts.spawn_reconcilers(&mut tasks, metrics).await;
    parts.spawn_watchers(
        &mut tasks,
        notifiers,
        Duration::from_secs(args.metrics_interval_secs),
    );
    let counting = state.clone();
    tasks.spawn("repeats of alerts", |shutdown| {
        aegis_server::tally(counting, shutdown)
    });
    let holding = state.clone();
    tasks.spawn("inhibited alerts", |shutdown| {
        aegis_server::release(holding, shutdown)
    });
    let workloads = state.config.alerts_only.clone();
    let router = aegis_server::router(state);
    tasks.spawn("audit head", |shutdown| heads.run(shutdown));
    let serving = tls.clone();
    tasks.try_spawn("http", move |shutdown| async move {
        Ok(aegis_server::serve(listener, serving, router, workloads, shutdown).await?)
    });
    if let Some(tls) = tls.clone() {
        tasks.spawn("certificate", |shutdown| async move {
            let _ = shutdown.run_until_cancelled(tls.keep_up()).await;
        });
    }
    tasks.spawn("proxies", |shutdown| async move {
        let _ = shutdown.run_until_cancelled(proxies.keep_up()).await;
        shutdown.cancelled().await;
    });
    tasks.try_spawn("signals", shutdown::on_signal);
    if let Some(tls) = &tls {
        tracing::info!("the certificate's fingerprint (SHA-256) is {}", tls.fingerprint());
    }
    tracing::info!(
        "serving on {}://{}, state in {}",
        if tls.is_some() { "https" } else { "http" },
        args.listen,
        parts.context.store.dir().display()
    );
    tasks.join().await
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is the port taken? move it with --listen or AEGIS_LISTEN")
    })
}

/// What authenticates clients.
struct Access {
    admin_token: SecretString,
    webhook_token: SecretString,
    tokens: Tokens,
}

impl Access {
    /// Tokens that were not given are generated.
    fn open(store: &Store, webhook_token: Option<SecretString>) -> anyhow::Result<Self> {
        let admin_token = secrets::token(store.dir(), "admin-token")?;
        let webhook_token = match webhook_token {
            Some(token) => token,
            None => secrets::token(store.dir(), "webhook-token")?,
        };
        Ok(Self {
            admin_token,
            webhook_token,
            tokens: Tokens::open(store.dir())?,
        })
    }
}

/// What several of the tasks share.
struct Wired {
    context: Context,
    docker_events: DockerEvents,
    recall: Recall,
    view: HostView,
    brain: Arc<Brain>,
}

impl Wired {
    fn server(
        &self,
        args: &Args,
        access: Access,
        reach: Reach,
        (registry, instruments): (Registry, (HttpMetrics, IntakeMetrics)),
        notifications: aegis_server::Notifications,
        shutdown: CancellationToken,
    ) -> ServerState {
        let context = &self.context;
        ServerState::new(
            ServerParts {
                config: ServerConfig {
                    anonymous_role: args.anonymous_role.map(role),
                    anonymous_from: args.anonymous_from.clone(),
                    admin_token: access.admin_token,
                    webhook_token: Some(access.webhook_token),
                    target_container: args.target_container.clone(),
                    max_replicas: args.max_replicas,
                    alerts_per_second: args.limits.alerts_per_second,
                    open_incidents: usize::try_from(args.limits.open_incidents).unwrap_or(usize::MAX),
                    closeness: args.limits.closeness(),
                    allowed_origins: args.allowed_origins.clone(),
                    trusted_proxies: reach.proxies,
                    alerts_only: reach.alerts_only,
                    tls: args.tls.is_on(),
                    own_hosts: reach.hosts,
                    host_mounts: host_mounts(args),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                },
                store: context.store.clone(),
                events: context.events.clone(),
                feed: context.feed.clone(),
                host: self.view.clone(),
                registry: Arc::new(registry),
                http: instruments.0,
                intake_metrics: instruments.1,
                secrets: secrets_of(args),
                recall: rag(context, &self.recall),
                logs: logs(context),
                plans: plans(context),
                containers: containers(context),
                notifications,
                shutdown,
            },
            access.tokens,
        )
    }

    /// The loop of each kind, and what incidents are judged by.
    async fn spawn_reconcilers(&self, tasks: &mut Tasks, metrics: Arc<Metrics>) {
        let context = &self.context;
        let mut rules = RuleFiles::new(context, Arc::clone(&self.brain));
        // Before the first incident is judged.
        rules.rescan().await;
        tasks.spawn("rules", |shutdown| rules.run(shutdown));
        let (index, store) = (self.recall.clone(), context.store.clone());
        tasks.try_spawn("runbook index", move |shutdown| async move {
            tokio::task::spawn_blocking(move || index.prepare(&store)).await?;
            shutdown.cancelled().await;
            Ok(())
        });
        let parts = Parts {
            context,
            events: &self.docker_events,
            brain: &self.brain,
            recall: &self.recall,
        };
        let surroundings = Surroundings {
            observers: vec![metrics, Arc::new(FeedObserver::new(context.clone()))],
            jitter: None,
            shutdown: tasks.shutdown.clone(),
        };
        for (kind, run) in aegis_reconcilers::controllers(parts, surroundings) {
            tasks.spawn(kind, |_| run);
        }
    }

    /// What watches the host and the store, and notifies clients.
    fn spawn_watchers(&self, tasks: &mut Tasks, notifiers: Notifiers, interval: Duration) {
        let context = &self.context;
        let (prober, follow, engine) = (
            context.prober.clone(),
            self.docker_events.clone(),
            Arc::clone(&context.engine),
        );
        tasks.spawn("probes", |shutdown| async move { prober.run(shutdown).await });
        tasks.spawn("docker events", |shutdown| async move {
            follow.run(engine, shutdown).await;
        });
        for (name, task) in notifiers.tasks(&context.store, &context.feed, &tasks.shutdown.clone()) {
            tasks.spawn(name, |_| task);
        }
        let counted = context.clone();
        tasks.spawn("requests", |shutdown| requests::run(counted, shutdown));
        let (watched, events, view) = (context.clone(), self.docker_events.clone(), self.view.clone());
        tasks.spawn("host", move |shutdown| {
            host::watch(watched, events, view, interval, shutdown)
        });
        let (store, feed) = (context.store.clone(), context.feed.clone());
        tasks.spawn("frames", move |shutdown| {
            aegis_server::pump(store, feed, shutdown)
        });
    }
}

fn context(args: &Args, store: Store, engine: Arc<dyn Engine>, events: EventRecorder) -> Context {
    let settings = Settings {
        templates: args.lb_templates.clone(),
        secrets: secrets_dir(args),
        max_replicas: args.max_replicas,
        cooldown: aegis_api::Duration::from_secs(args.scale_cooldown_secs),
        verification_deadline: store.defaults().verification_deadline,
        log_chars: usize::try_from(args.log_truncate_chars).unwrap_or(2000),
        limits: args.limits.of_host(),
        // An engine elsewhere has another host, of which nothing is known.
        host: is_here(args.docker_host.as_deref()).then_some(aegis_signals::host::read),
        own_container: own_container(),
    };
    Context {
        prober: Prober::new(Arc::clone(&engine)),
        store,
        engine,
        events,
        feed: Feed::bounded(args.feed_bytes()),
        samples: Samples::default(),
        host: HostReader::default(),
        lifecycle: Lifecycle::default(),
        endpoints: Endpoints::default(),
        turns: Turns::default(),
        clock: Clock::default(),
        settings: Arc::new(settings),
    }
}

/// Folders that operators may mount; each was checked when the arguments were read.
fn host_mounts(args: &Args) -> HostMounts {
    HostMounts::new(args.allow_host_mounts.iter().map(String::as_str)).unwrap_or_default()
}

/// What AlertSources prove their senders with.
fn secrets_of(args: &Args) -> aegis_server::Secrets {
    let folder = secrets_dir(args);
    Arc::new(move |source| {
        let value = aegis_reconcilers::secret_value(&folder, source);
        value.map(Into::into)
    })
}

/// Where templates take values from.
fn secrets_dir(args: &Args) -> std::path::PathBuf {
    let own = || args.state_dir.join(".secrets").join("env");
    args.secrets_dir.clone().unwrap_or_else(own)
}

/// Whether the engine runs on this machine.
fn is_here(docker_host: Option<&str>) -> bool {
    docker_host.is_none_or(|host| host.starts_with("unix://") || host.starts_with('/'))
}

/// Id of the container this process runs in: Docker makes the short id its host name.
fn own_container() -> Option<String> {
    if !std::path::Path::new("/.dockerenv").exists() {
        return None;
    }
    let name = std::fs::read_to_string("/etc/hostname").ok()?;
    let name = name.trim();
    (name.len() == 12 && name.chars().all(|c| c.is_ascii_hexdigit())).then(|| name.to_owned())
}

fn history(context: &Context, interval_secs: u64) -> aegis_server::LoadHistory {
    let history = context.samples.history().clone();
    Arc::new(move |now, minutes, names| history.last(now, minutes, names, interval_secs))
}

fn balancers(context: &Context) -> aegis_server::Balancers {
    let context = context.clone();
    Arc::new(move |now, names| balancer_metrics::all(&context, now, names))
}

fn requested(context: &Context) -> aegis_server::Requested {
    let context = context.clone();
    Arc::new(move |now| balancer_metrics::workloads(&context, now))
}

fn traces(context: &Context) -> aegis_server::Traces {
    let context = context.clone();
    Arc::new(move |workload| {
        let context = context.clone();
        async move { autoscale::trace::recorded(&context, &workload).await }.boxed()
    })
}

fn rag(context: &Context, recall: &Recall) -> aegis_server::Recall {
    let (store, recall) = (context.store.clone(), recall.clone());
    Arc::new(move |text: &str| {
        let rows = |hits: Vec<aegis_brain::rag::Hit>| {
            let rows = hits.into_iter().map(|hit| RagHit {
                entry: hit.id,
                score: hit.score,
            });
            rows.collect()
        };
        let (earlier, operations) = recall.compared(&store, text);
        RagHits {
            earlier: rows(earlier),
            operations: rows(operations),
            wordless: !aegis_brain::rag::has_words(text),
        }
    })
}

/// What a changed Workload would do, as the reconciler would plan it.
fn plans(context: &Context) -> aegis_server::Plans {
    let context = context.clone();
    Arc::new(move |workload| {
        let context = context.clone();
        async move {
            let planned = aegis_reconcilers::preview(&context, &workload).await;
            planned.map_err(|error| match error.is_invalid() {
                true => aegis_server::NoPlan::Invalid(chain(&error)),
                false => aegis_server::NoPlan::Unknown(format!("{:#}", anyhow::Error::from(error))),
            })
        }
        .boxed()
    })
}

/// Containers by their exact name: the beginning of an id would mean one, too.
fn containers(context: &Context) -> aegis_server::Containers {
    let engine = Arc::clone(&context.engine);
    Arc::new(move |name: String| {
        let engine = Arc::clone(&engine);
        async move {
            let found = engine.inspect(&name).await.map_err(|error| error.to_string())?;
            Ok(found.filter(|found| found.name == name))
        }
        .boxed()
    })
}

/// Log lines for display: secrets and control characters go on the way.
fn logs(context: &Context) -> aegis_server::Logs {
    let engine = Arc::clone(&context.engine);
    Arc::new(move |request: LogRequest| {
        let engine = Arc::clone(&engine);
        async move {
            let query = LogQuery {
                tail: request.tail,
                follow: request.follow,
                timestamps: request.timestamps,
                since: 0,
            };
            let lines = engine
                .logs(&request.container, query)
                .await
                .map_err(|error| error.to_string())?;
            let mut redactor = LineRedactor::default();
            let lines = lines.map(move |line| match line {
                Ok(line) => bound(&redactor.line(&line.text), LOG_LINE),
                Err(error) => format!("the log cannot be read on: {error}"),
            });
            Ok(lines.boxed())
        }
        .boxed()
    })
}

fn role(role: AnonymousRole) -> aegis_server::Role {
    match role {
        AnonymousRole::Viewer => aegis_server::Role::Viewer,
        AnonymousRole::Operator => aegis_server::Role::Operator,
        AnonymousRole::Admin => aegis_server::Role::Admin,
    }
}

/// What runs side by side. One that fails ends them all: a controller that only half works would look healthy.
struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
    store: StoreTask,
}

/// The store outlives the others: what they write while they end is still stored.
struct StoreTask {
    task: JoinHandle<Result<(), StoreError>>,
    closing: CancellationToken,
}

impl StoreTask {
    fn start(driver: StoreDriver) -> Self {
        let closing = CancellationToken::new();
        Self {
            task: tokio::spawn(driver.run_on_a_thread(closing.clone())),
            closing,
        }
    }
}

impl Tasks {
    fn spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.shutdown.clone());
        self.set.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    fn try_spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = task(self.shutdown.clone());
        self.set.spawn(async move { (name, task.await) });
    }

    async fn join(self) -> anyhow::Result<()> {
        let Self {
            mut set,
            shutdown,
            mut store,
        } = self;
        let mut first_error = None;
        let mut stored = false;
        loop {
            let (name, result) = tokio::select! {
                ended = set.join_next() => match ended {
                    Some(ended) => ended.unwrap_or_else(|error| ("a task", Err(error.into()))),
                    None => break,
                },
                ended = &mut store.task, if !stored => {
                    stored = true;
                    ("the store", flat(ended))
                }
            };
            if let Err(error) = result {
                first_error.get_or_insert(error.context(format!("{name} failed")));
            } else if !shutdown.is_cancelled() {
                first_error.get_or_insert_with(|| anyhow::anyhow!("{name} ended by itself"));
            }
            shutdown.cancel();
        }
        store.closing.cancel();
        if !stored && let Err(error) = flat(store.task.await) {
            first_error.get_or_insert(error.context("the store failed"));
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn flat(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) -> anyhow::Result<()> {
    Ok(ended??)
}
