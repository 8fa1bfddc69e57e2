//! How a container of the fake engine behaves: data that tests write. Pure.

use std::time::Duration;

/// What can be wrong with a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symptom {
    /// Answers requests with 503.
    Unhealthy,
    /// Accepts connections and never answers.
    Hung,
    /// Refuses connections although it runs.
    Refusing,
    /// Answers as if it were well (say, while its memory grows).
    None,
}

/// What makes an ailment go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// A new run of the container.
    Restart,
    /// Time, counted from when it set in.
    After(Duration),
    /// Nothing.
    Never,
}

/// Something wrong with a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    /// How it shows.
    pub symptom: Symptom,
    /// Memory in use while it lasts; `None` for the usual amount.
    pub memory_bytes: Option<u64>,
    /// What ends it.
    pub cure: Cure,
}

impl Ailment {
    /// An ailment that changes nothing about the memory in use.
    pub fn new(symptom: Symptom, cure: Cure) -> Self {
        Self {
            symptom,
            memory_bytes: None,
            cure,
        }
    }

    /// With this much memory in use.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }
}

/// How containers of an image, or one container, behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Time from the start until it accepts connections.
    pub startup: Duration,
    /// Time it takes to answer a request.
    pub answers_in: Duration,
    /// Body of its answers.
    pub body: String,
    /// Ports it listens on; empty for every port.
    pub ports: Vec<u16>,
    /// It answers 400 to a client that does not name this host.
    pub host: Option<String>,
    /// It answers 400 to a client that does not come over TLS.
    pub tls: bool,
    /// Memory in use, bytes.
    pub memory_bytes: u64,
    /// CPU in use, thousandths of a core.
    pub cpu_millis: u32,
    /// Percent of scheduling periods in which its CPU limit holds it back.
    pub throttled_percent: u32,
    /// Processes and threads.
    pub pids: u64,
    /// What is wrong with it from its first start on.
    pub ailment: Option<Ailment>,
    /// It ends by itself (exit code 1) this long after a start, for the first `crashing_runs` runs.
    pub crash_after: Option<Duration>,
    /// See `crash_after`.
    pub crashing_runs: u32,
    /// The engine cannot start it and says this.
    pub start_error: Option<String>,
    /// SIGTERM does nothing: a stop takes the whole grace period.
    pub ignores_sigterm: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            startup: Duration::from_millis(50),
            answers_in: Duration::from_millis(1),
            body: "{\"status\":\"ok\"}".to_owned(),
            ports: Vec::new(),
            host: None,
            tls: false,
            memory_bytes: 20 * 1024 * 1024,
            cpu_millis: 10,
            throttled_percent: 0,
            pids: 1,
            ailment: None,
            crash_after: None,
            crashing_runs: u32::MAX,
            start_error: None,
            ignores_sigterm: false,
        }
    }
}
