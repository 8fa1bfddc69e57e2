//! `Engine`: what AegisOps needs of a container engine, and no more. Two implementors: [`crate::daemon::Docker`] and the
//! engine in memory of aegis-docker-fake (virtual time, scripted faults). Nothing above may assume which one it has.
//!
//! Every operation is idempotent in effect: requesting a state that already holds is a success, and each is bounded in
//! time by the implementor. Names of containers are never patterns.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::ContainerId;
use aegis_api::create::CreateSpec;
use aegis_api::observed::{
    ContainerDetails, ContainerSummary, EngineEvent, ExecOutput, FileChange, HostFacts, HostQuery, LogLine,
    ProcessRow, Stats,
};
use aegis_api::probe::{Failing, HttpRequest};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::probe::KeptConnection;
use crate::version::EngineInfo;

/// Most bytes of what a command printed: [`Engine::exec`] answers the first ones.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// What an engine could not do. Display names the operation's object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine does not answer (down, socket missing, connection cut). Worth a retry.
    #[error("the Docker engine does not answer ({operation}): {message}")]
    Unreachable { operation: String, message: String },
    /// No answer within the bound; the operation may still have taken effect.
    #[error("{operation} took longer than {seconds} s")]
    Timeout { operation: String, seconds: u64 },
    /// There is no such container, image, network, …
    #[error("{operation}: not found: {message}")]
    NotFound { operation: String, message: String },
    /// The name is taken, or the state does not allow it.
    #[error("{operation}: conflict: {message}")]
    Conflict { operation: String, message: String },
    /// The engine refuses: bad parameter, missing image, not permitted.
    #[error("{operation}: refused by the engine: {message}")]
    Refused { operation: String, message: String },
    /// Any other failure of the engine.
    #[error("{operation}: engine error: {message}")]
    Server { operation: String, message: String },
}

impl EngineError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Server { .. }
        )
    }

    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Shorthand for what every operation answers.
pub type EngineResult<T> = Result<T, EngineError>;

/// Files below some folder: relative path and content.
pub type Files = Vec<(String, Vec<u8>)>;

/// Which containers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Labels that must have exactly these values.
    pub labels: BTreeMap<String, String>,
}

/// Bounds of a log read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Lines from the end.
    pub tail: u32,
    /// Keep following (the stream then ends only with the container or by being dropped).
    pub follow: bool,
    /// Prefix each line with its time.
    pub timestamps: bool,
    /// Only lines since this unix time in seconds; 0 for all.
    pub since: i64,
}

/// What a GET of a container's address answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// The body's first 64 KiB.
    pub body: String,
    /// Time to the complete answer.
    pub latency: Duration,
}

/// Why a probe got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ProbeError {
    /// For programs.
    pub failing: Failing,
    /// Human-readable; names the address.
    pub text: String,
}

/// A command inside a container that answers one request after the other, so that each but the first costs no start of a
/// command. Dropping it ends the command's input: commands are to end by themselves then.
pub trait Session: Send + std::fmt::Debug {
    /// Gives it `input` and waits for what it prints up to a line that consists of `mark`, a blank and a number, which is
    /// answered in the place of an exit code; the line itself is left out. Where it ends instead, its exit code. Output is
    /// bounded to its last 64 KiB, time as that of [`Engine::exec`]. `Conflict`: one that has answered before had ended
    /// since, or ended before it had taken all of `input`. After any error, or when the wait was given up, it is of no
    /// more use.
    fn ask<'a>(&'a mut self, input: &'a [u8], mark: &'a str) -> BoxFuture<'a, EngineResult<ExecOutput>>;
}

/// A container engine.
pub trait Engine: Send + Sync + 'static {
    /// Version and capabilities, read from the engine (the implementor may cache it per connection).
    fn info(&self) -> BoxFuture<'_, EngineResult<EngineInfo>>;

    /// Containers in any state.
    fn list(&self, filter: ListFilter) -> BoxFuture<'_, EngineResult<Vec<ContainerSummary>>>;

    /// Facts of the engine's host. What cannot be seen from here is `None`, not absent.
    fn host_facts<'a>(&'a self, query: &'a HostQuery) -> BoxFuture<'a, EngineResult<HostFacts>>;

    /// One container by id or exact name; `None` if there is none.
    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Option<ContainerDetails>>>;

    /// Creates (does not start); answers its id. A container of this name that already exists is `Conflict`.
    fn create(&self, spec: CreateSpec) -> BoxFuture<'_, EngineResult<String>>;

    /// Starts; a running container is left alone.
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>>;

    /// Stops with SIGTERM, then SIGKILL after the container's own grace period (`None`) or this one; a stopped
    /// container is left alone.
    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> BoxFuture<'a, EngineResult<()>>;

    /// Removes a stopped container and its anonymous volumes; one that is gone is a success.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<()>>;

    /// Sends a signal (such as `HUP`) to the first process.
    fn signal<'a>(&'a self, id: &'a str, signal: &'a str) -> BoxFuture<'a, EngineResult<()>>;

    /// Runs a command inside, without a shell, and waits for it. It reads `input` where that is not empty. Output is
    /// bounded to its first [`OUTPUT_LIMIT`] bytes.
    fn exec<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
        input: &'a [u8],
    ) -> BoxFuture<'a, EngineResult<ExecOutput>>;

    /// Starts a command inside, without a shell, that waits for requests. Whether there is such a command shows when it is
    /// asked.
    fn open_session<'a>(
        &'a self,
        id: &'a str,
        command: &'a [&'a str],
    ) -> BoxFuture<'a, EngineResult<Box<dyn Session>>>;

    /// Puts files below `folder` (which must exist): relative path → content. Missing sub-folders are made.
    /// Works on stopped containers, too.
    fn put_files<'a>(
        &'a self,
        id: &'a str,
        folder: &'a str,
        files: &'a [(String, Vec<u8>)],
    ) -> BoxFuture<'a, EngineResult<()>>;

    /// Reads a file, or the regular files directly inside a folder: relative path → content; at most 4 MiB in all.
    /// A path that does not exist is `NotFound`.
    fn read_files<'a>(&'a self, id: &'a str, path: &'a str) -> BoxFuture<'a, EngineResult<Files>>;

    /// Processes inside (`docker top`), with their titles.
    fn processes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<ProcessRow>>>;

    /// What differs from the image (`docker diff`), volumes left out.
    fn changes<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Vec<FileChange>>>;

    /// Log lines, oldest first; a line is bounded to 16 KiB.
    fn logs<'a>(
        &'a self,
        id: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, EngineResult<BoxStream<'static, EngineResult<LogLine>>>>;

    /// One reading of CPU, memory and network counters, without waiting for a second sample.
    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Stats>>;

    /// Readings as [`Engine::stats`] takes them, of those of these containers of which the implementor can take one without asking
    /// the engine. The others are to be asked about.
    fn stats_at_hand(&self, _ids: Vec<ContainerId>) -> BoxFuture<'_, HashMap<ContainerId, Stats>> {
        std::future::ready(HashMap::new()).boxed()
    }

    /// As [`Engine::stats`], but at once where the implementor can, and then without network counters: for evidence,
    /// which must not wait for an engine's next tick.
    fn usage<'a>(&'a self, id: &'a str) -> BoxFuture<'a, EngineResult<Stats>> {
        self.stats(id)
    }

    /// Container events from now on. The stream ends or errs when the connection does; the caller reconnects and rescans.
    fn events(&self) -> BoxFuture<'_, EngineResult<BoxStream<'static, EngineResult<EngineEvent>>>>;

    /// GET of a container's own address, bounded by `timeout`; redirects are not followed.
    fn http_ask<'a>(
        &'a self,
        request: &'a HttpRequest,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>>;

    /// As [`Engine::http_ask`], for who asks the same again and again: the implementor may keep a connection open in
    /// between, and answers as if it had not.
    fn http_ask_again<'a>(
        &'a self,
        _kept: &'a mut KeptConnection,
        request: &'a HttpRequest,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>> {
        self.http_ask(request, timeout)
    }

    /// As [`Engine::http_ask`], without more than a path.
    fn http_get<'a>(
        &'a self,
        address: SocketAddr,
        path: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<HttpAnswer, ProbeError>> {
        async move { self.http_ask(&HttpRequest::new(address, path), timeout).await }.boxed()
    }

    /// What gRPC's health service at a container's own address says of a service (empty: of the server as a whole), in its
    /// own word: `SERVING`, `NOT_SERVING`, `SERVICE_UNKNOWN`, `UNKNOWN`.
    fn grpc_check<'a>(
        &'a self,
        address: SocketAddr,
        service: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<&'static str, ProbeError>>;

    /// Whether a TCP connection to a container's own address is accepted.
    fn tcp_connect(&self, address: SocketAddr, timeout: Duration) -> BoxFuture<'_, Result<(), ProbeError>>;
}
