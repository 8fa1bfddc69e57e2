//! What handlers work with. Owns the bounds on how much may be open at once; no I/O.

use std::sync::Arc;

use aegis_api::Workload;
use aegis_api::observed::ContainerDetails;
use aegis_api::wire::plan::WorkloadPlan;
use aegis_api::workload::ValueSource;
use aegis_runtime::{EventRecorder, Feed, Store};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::{Auth, Tokens};
use crate::compat::{Book, Bursts, KeyedMutex, Rate, Tally};
use crate::config::ServerConfig;
use crate::decoded::Recent;
use crate::host::HostView;
use crate::intake::{Intake, IntakeMetrics};
use crate::metrics::HttpMetrics;
use crate::notifications::Notifications;
use crate::places::Places;
use crate::probes::Readiness;
use crate::room::Room;

/// Most WebSocket clients at once, and of one sender.
pub(crate) const MAX_CLIENTS: usize = 256;
const CLIENTS_EACH: usize = 64;
/// Most watches and logs at once, and of one sender.
const MAX_WATCHES: usize = 512;
const WATCHES_EACH: usize = 128;
/// Most answers to what a change would do that are worked out at once, and for one sender.
const MAX_PLANNERS: usize = 4;
const PLANNERS_EACH: usize = 3;
/// Most requests at once, and of one sender; more wait a moment, then get 429 with `Retry-After`.
const MAX_REQUESTS: usize = 512;
const REQUESTS_EACH: usize = 256;
/// Most who are let in at once; and from addresses that failed too often, where only a valid token is taken.
const MAX_ENTERING: usize = 64;
const MAX_ENTERING_LATE: usize = 4;
/// Most requests at once that may be Slack's: anybody can send them.
const MAX_INTERACTIONS: usize = 16;
/// Most bytes of alerts in memory at once, as sent and as read, and of one sender's address; more get 503 with `Retry-After`.
const ALERT_BYTES: usize = 96 << 20;
const ALERT_BYTES_EACH: usize = 24 << 20;
/// Most searches of the runbook at once.
const MAX_SEARCHES: usize = 4;

/// One entry of the runbook that is similar to a text.
#[derive(Debug, Clone, PartialEq)]
pub struct RagHit {
    /// Name of the RunbookEntry.
    pub entry: String,
    /// Cosine similarity, 0 to 1.
    pub score: f64,
}

/// The entries that are similar to a text, best first, in both ways.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RagHits {
    /// As the earlier system found and scored them.
    pub earlier: Vec<RagHit>,
    /// As incidents are given them.
    pub operations: Vec<RagHit>,
    /// Whether the text has no word to search for.
    pub wordless: bool,
}

/// Retrieval: entries similar to a text.
pub type Recall = Arc<dyn Fn(&str) -> RagHits + Send + Sync>;

/// Which log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// Container name.
    pub container: String,
    /// Whether to go on with new lines.
    pub follow: bool,
    /// Lines from the end.
    pub tail: u32,
    /// Whether each line begins with its time.
    pub timestamps: bool,
}

/// Log lines of a container; the error is human-readable.
pub type Logs =
    Arc<dyn Fn(LogRequest) -> BoxFuture<'static, Result<BoxStream<'static, String>, String>> + Send + Sync>;

/// Why it cannot be said what a change would do; both are human-readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPlan {
    /// The spec cannot be followed as things stand.
    Invalid(String),
    /// The engine does not answer.
    Unknown(String),
}

/// What a Workload's containers would go through if it were stored like this. Reads only.
pub type Plans = Arc<dyn Fn(Arc<Workload>) -> BoxFuture<'static, Result<WorkloadPlan, NoPlan>> + Send + Sync>;

/// One container of the host by its exact name, if there is one; the error is human-readable.
pub type Containers =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<ContainerDetails>, String>> + Send + Sync>;

/// A secret that stands elsewhere; the error is human-readable and holds nothing of it. Reads a small file.
pub type Secrets = Arc<dyn Fn(&ValueSource) -> Result<secrecy::SecretString, String> + Send + Sync>;

/// What the server is made of.
pub struct ServerParts {
    /// Settings.
    pub config: ServerConfig,
    /// The resources.
    pub store: Store,
    /// The notes about them.
    pub events: EventRecorder,
    /// The frames of `/ws`.
    pub feed: Feed,
    /// What the host has.
    pub host: HostView,
    /// Every metric of the process, [`HttpMetrics`] among them.
    pub registry: Arc<Registry>,
    /// The server's own metrics.
    pub http: HttpMetrics,
    /// What becomes of alerts.
    pub intake_metrics: IntakeMetrics,
    /// Secrets of AlertSources.
    pub secrets: Secrets,
    /// Retrieval for `/rag/test`.
    pub recall: Recall,
    /// Log lines for `aegisctl logs`.
    pub logs: Logs,
    /// What changes would do.
    pub plans: Plans,
    /// Containers that specs name, to judge who may name them.
    pub containers: Containers,
    /// Where notifications go.
    pub notifications: Notifications,
    /// Ends watches and WebSockets.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerParts")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What handlers work with. Clones share it.
#[derive(Clone)]
pub struct ServerState {
    shared: Arc<Shared>,
}

/// What the clones of a [`ServerState`] share.
pub struct Shared {
    pub(crate) parts: ServerParts,
    pub(crate) auth: Auth,
    pub(crate) clients: Arc<Places>,
    pub(crate) watches: Arc<Places>,
    pub(crate) planners: Arc<Places>,
    pub(crate) searches: Semaphore,
    pub(crate) requests: Arc<Places>,
    pub(crate) alert_bytes: Arc<Room>,
    pub(crate) entrance: Arc<Semaphore>,
    pub(crate) late_entrance: Arc<Semaphore>,
    pub(crate) slow_entrance: Semaphore,
    pub(crate) readiness: Readiness,
    pub(crate) interactions: Semaphore,
    pub(crate) keyed_mutex: KeyedMutex,
    pub(crate) book: Book,
    pub(crate) decoded: Recent,
    pub(crate) rate: Rate,
    pub(crate) tally: Tally,
    pub(crate) bursts: Bursts,
    pub(crate) intake: Intake,
}

impl ServerState {
    /// The state over these parts.
    pub fn new(parts: ServerParts, tokens: Tokens) -> Self {
        let intake = Intake::new(parts.store.dir());
        parts.intake_metrics.resume(intake.unreadable.counted());
        let shared = Shared {
            auth: Auth::new(&parts.config, tokens),
            rate: Rate::new(parts.config.alerts_per_second),
            tally: Tally::default(),
            bursts: Bursts::default(),
            intake,
            parts,
            clients: Places::new(MAX_CLIENTS, CLIENTS_EACH),
            watches: Places::new(MAX_WATCHES, WATCHES_EACH),
            planners: Places::new(MAX_PLANNERS, PLANNERS_EACH),
            searches: Semaphore::new(MAX_SEARCHES),
            requests: Places::new(MAX_REQUESTS, REQUESTS_EACH),
            alert_bytes: Room::new(ALERT_BYTES, ALERT_BYTES_EACH),
            entrance: Arc::new(Semaphore::new(MAX_ENTERING)),
            late_entrance: Arc::new(Semaphore::new(MAX_ENTERING_LATE)),
            slow_entrance: Semaphore::new(MAX_ENTERING),
            readiness: Readiness::default(),
            interactions: Semaphore::new(MAX_INTERACTIONS),
            keyed_mutex: KeyedMutex::default(),
            book: Book::default(),
            decoded: Recent::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How many WebSocket clients are connected.
    pub fn ws_clients(&self) -> usize {
        self.clients.taken()
    }
}

impl std::ops::Deref for ServerState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl std::ops::Deref for Shared {
    type Target = ServerParts;

    fn deref(&self) -> &ServerParts {
        &self.parts
    }
}

impl std::fmt::Debug for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.fmt(f)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.fmt(f)
    }
}
