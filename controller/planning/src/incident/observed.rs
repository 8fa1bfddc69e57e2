//! The world as one Incident sees it, as data. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::automation::Pause;
use aegis_api::{
    ContainerId, Detector, Duration, Incident, LoadBalancer, RemediationPolicy, Silence, Time, Workload,
};

use crate::governing::BrokenPolicy;
use crate::host_limit::HostLimits;
use crate::host_reading::HostReading;
use crate::set_back::Leap;

/// The world as one Incident sees it.
#[derive(Debug, Clone)]
pub struct Observed {
    pub workloads: Vec<Arc<Workload>>,
    pub policies: Vec<Arc<RemediationPolicy>>,
    /// Files of policies that are not in force as they are.
    pub broken_policies: Vec<BrokenPolicy>,
    /// Those about the incident's workload, and those that count for the limits of the host.
    pub incidents: Vec<Arc<Incident>>,
    /// Those about other workloads that it is linked to: about the origin of its errors, or about the dependent whose clients
    /// get its errors.
    pub linked: Vec<Arc<Incident>>,
    pub balancers: Vec<Arc<LoadBalancer>>,
    pub detectors: Vec<Arc<Detector>>,
    /// Adopted containers that ended, by id, where a person did that or may have done it: their Workload's status does not
    /// say so yet.
    pub stopped: BTreeSet<ContainerId>,
    /// The brake of the host, if it is on.
    pub paused: Option<Pause>,
    pub silences: Vec<Arc<Silence>>,
    /// When somebody last let automation go on.
    pub resumed: Option<Time>,
    /// What the host has left, where that matters.
    pub reading: HostReading,
    /// How long automation leaves a workload alone that no policy governs.
    pub cooldown: Duration,
    /// How long verification may take where no policy governs.
    pub verification_deadline: Duration,
    /// The most replicas that automation may request beside the first, where a policy does not say.
    pub max_replicas: u32,
    /// What automation may do on the whole host.
    pub limits: HostLimits,
    /// When this controller started, or its clock was set ahead: what it has not observed since, it has not observed.
    pub awake_since: Time,
    /// How the clock was set ahead lately.
    pub leaps: Vec<Leap>,
    pub now: Time,
}
