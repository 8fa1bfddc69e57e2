//! The types and reasons of conditions: one table each, where variant, word and meaning stand together. Pure.
//!
//! The word on the wire and on disk is the variant's name. What is stored stays a string, so a version that knows more
//! words, or fewer, reads the same file: [`Reason::parse`] answers `None` for a word of another version. For the same
//! reason the CRDs have plain strings there: with an enum a cluster, or a client of an earlier version, would refuse the
//! objects of a later one. The OpenAPI document has both enums as schemas of their own, which the page takes its names from.

/// An enum whose words are its variants' names.
macro_rules! vocabulary {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])+ $variant:ident,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$doc])+ $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire and on disk.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// Reads the word; `None` for one that this version does not know.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $(stringify!($variant) => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq<$name> for str {
            fn eq(&self, other: &$name) -> bool {
                self == other.as_str()
            }
        }

        impl PartialEq<$name> for String {
            fn eq(&self, other: &$name) -> bool {
                self == other.as_str()
            }
        }
    };
}

vocabulary! {
    /// What a condition is about.
    ConditionType {
        // Every kind but the Incident.
        /// The object is as its spec says.
        Ready,
        // Workload, LoadBalancer.
        /// Something is wrong that does not go away by waiting.
        Degraded,
        // Workload.
        /// A change is under way.
        Progressing,
        /// Automation leaves the workload alone.
        Paused,
        /// A person stopped the adopted container; it is left to them.
        StoppedByHand,
        /// Containers carry the labels of the workload's replicas and are none.
        ForeignContainers,
        /// The number of replicas follows the load.
        AutoscalingActive,
        // LoadBalancer.
        /// Requests are counted from its access log.
        RequestsCounted,
        // Incident.
        /// The alert itself said which container it is about.
        ContainerNamed,
        /// The sender says that the trouble is over.
        SenderResolved,
        /// A silence keeps people from being notified of it.
        Silenced,
        /// The incident waits, and goes on by itself.
        Held,
        /// Policy lets the plan be carried out without a human.
        PolicyAllows,
        /// The plan was applied.
        Executed,
        /// The workload's own probe passed after the action.
        HealthVerified,
        /// The symptom that the action was for is gone.
        SymptomCleared,
        /// A runbook entry was written.
        Learned,
        /// The same symptom comes back again and again: what clears it is no cure, and a human should find one.
        CureNeeded,
    }
}

vocabulary! {
    /// Why a condition is as it is.
    Reason {
        // Every kind.
        /// All is as the spec says.
        Ready,
        /// The engine does not answer.
        EngineUnavailable,
        /// The status could not be worked out or stored.
        Failed,
        /// The engine did not do a step, and may do it later.
        StepFailed,
        /// The spec has what this version does not support.
        NotSupported,
        /// The container that the spec names does not exist.
        ContainerMissing,

        // Workload: the spec cannot be followed.
        /// An older workload adopts the same container.
        AlreadyAdopted,
        /// The container is the one this controller runs in.
        AdoptsItself,
        /// The container was made for another workload.
        NotAdoptable,

        // Workload: Ready, Degraded.
        /// The engine refuses a step: trying again changes nothing.
        StepRefused,
        /// A container fails its probe.
        Unhealthy,
        /// From where this controller is, a container cannot be probed: whether it is well is not known.
        ProbeUnreachable,
        /// No container fails its probe.
        Healthy,
        /// Automatic restarts have ended without success: what is left is a human's.
        RestartLimit,
        /// An unhealthy container waits for what it needs.
        DependencyDown,
        /// A person stopped the adopted container, or somebody requested that and it is not yet known who.
        StoppedByHand,
        /// The newest revision was rolled back; the one before it serves.
        RolledBack,
        /// The workload is being deleted.
        Deleting,
        /// A change is under way.
        Progressing,

        // Workload: a container must not be stopped, or could not be started again.
        /// It was started with `--rm`: the engine deletes it when it stops.
        AutoRemove,
        /// It is a task of a Swarm service: Swarm replaces what stops.
        SwarmTask,
        /// The container whose network it shares no longer exists.
        NetworkOwnerGone,
        /// The container whose network it shares does not run.
        NetworkOwnerDown,
        /// The container whose process or IPC namespace it shares no longer exists.
        NamespaceOwnerGone,
        /// The container whose process or IPC namespace it shares does not run.
        NamespaceOwnerDown,
        /// A network that it is attached to no longer exists.
        NetworkGone,
        /// Another container has a host port that it publishes.
        PortTaken,
        /// Another container has the fixed address that it is to have.
        AddressTaken,
        /// A container that it is linked to does not run.
        LinkDown,
        /// A file or folder of the host that it mounts is not there.
        BindSourceGone,
        /// A device of the host that it is given is not there.
        DeviceGone,
        /// The engine no longer has the runtime that it was made with.
        RuntimeGone,
        /// The image of what is to take its place is not there.
        ImageGone,
        /// It is paused: what is requested meanwhile is not done, also not once it goes on.
        ContainerPaused,

        // Workload: Progressing.
        /// A revision was rolled back: it is tried again once the template is changed.
        RolloutFailed,
        /// The last change is complete.
        Settled,
        /// Containers are made, removed or waited for.
        Working,

        // Workload: Paused, StoppedByHand, ForeignContainers.
        /// A pause, of the host or of the workload, holds automation.
        Paused,
        /// Automation goes on after a pause.
        Resumed,
        /// The adopted container was stopped by a person.
        Stopped,
        /// The adopted container was removed by a person, or by a tool.
        Removed,
        /// It was started again.
        Started,
        /// Their labels say that they are the workload's replicas, their names do not.
        NotOurs,

        // LoadBalancer.
        /// nginx serves the desired configuration.
        Configured,
        /// No backend has had a ready container yet: nginx keeps what it has.
        NoReadyServers,
        /// No ready server is left; the last ones stay in rotation while they run.
        LastServersHeld,
        /// No upstream has a server.
        NoServers,
        /// Some upstream has no server.
        Partial,
        /// nginx's container does not run.
        ContainerNotRunning,
        /// The container runs something else than nginx: nothing is written to it or run in it.
        NotNginx,
        /// nginx's container has no address on any network.
        NoAddress,
        /// The template cannot be read or rendered.
        TemplateError,
        /// `nginx -t` refuses the configuration; the last good one stays.
        ConfigRefused,
        /// nginx's files or mounts do not allow it; the message names the line or the mount to change. Nothing was touched.
        NotConfigurable,
        /// nginx did not come to serve the configuration; the last good one was put back.
        ReloadUnproved,

        // Workload: AutoscalingActive.
        /// There are more replicas: the targets ask for them.
        ScaledOut,
        /// There are fewer replicas: the targets need no more.
        ScaledIn,
        /// As many replicas as the targets ask for.
        OnTarget,
        /// What the targets ask for must hold for the window of its direction.
        Stabilizing,
        /// The policies of its direction allow no more just now.
        RateLimited,
        /// Replicas come that do not serve yet.
        WarmingUp,
        /// The targets ask for more than there may be.
        AtMaximum,
        /// There were fewer than there must be.
        AtMinimum,
        /// The direction is paused by its `selectPolicy`.
        DirectionPaused,
        /// So many requests are answered with 5xx that nothing is scaled.
        ErrorBrake,
        /// A person set the replicas.
        ManualHold,
        /// A target cannot be measured.
        MetricUnavailable,

        // LoadBalancer: RequestsCounted.
        /// Its log is read.
        LogRead,
        /// Its log cannot be read.
        LogUnreadable,
        /// Its configuration does not log what can be counted.
        LogMissing,

        // RemediationPolicy, RunbookEntry.
        /// All of the policy is in force.
        InForce,
        /// The policy names a provider that is not configured.
        UnknownProvider,
        /// The entry can be recalled.
        Indexed,

        // Detector.
        /// What the detector watches was measured and judged.
        Evaluated,
        /// Nothing of what the detector watches could be measured.
        NotMeasured,

        // Incident: ContainerNamed, SenderResolved.
        /// The alert names no container: it is taken to be about the default one.
        DefaultTarget,
        /// The alert names the container.
        NamedByAlert,
        /// The sender says that it is over.
        Resolved,
        /// The sender says that it fires again.
        FiresAgain,

        // Incident: Silenced.
        /// A silence is in force for it.
        SilenceInForce,
        /// The silence has ended, and the incident has not.
        SilenceEnded,

        // Incident: Held.
        /// The workload has not been reconciled yet.
        WorkloadNotObserved,
        /// Another incident is being remedied on the same workload.
        RemediationUnderWay,
        /// The policy has mode Off.
        AutomationOff,
        /// The last action on the workload was a short while ago.
        Cooldown,
        /// As many workloads are remedied on the host as may be at a time.
        HostBusy,
        /// Nothing is measured yet of what was reported: it is watched for the policy's `confirmWithin`.
        Confirming,
        /// What cleared the symptom before is done again, after a pause that grows.
        Relapsed,
        /// What crashed is being restarted by `spec.restart`, which has attempts left.
        RestartsUnderWay,
        /// It waits no more.
        Released,

        // Incident: PolicyAllows.
        /// A detector fires, and nothing is measured that an action is known to clear.
        DetectorFires,
        /// Policy lets the plan be carried out.
        Allowed,
        /// The action can clear none of the symptoms.
        CannotClear,
        /// Errors or slow answers alone are measured, and what the workload depends on may be where they come from.
        PassedOn,
        /// Nothing was measured of what was reported, and the policy asks a human then.
        Unconfirmed,
        /// No council has agreed to the action.
        CouncilNeedsReview,
        /// The action failed too often in a row on this workload.
        FailedBefore,
        /// `spec.replicas` is 0.
        ScaledToZero,
        /// The workload is protected: automation asks first.
        Protected,
        /// No policy governs the workload.
        NoPolicy,
        /// A policy file that may govern the workload is broken.
        BrokenPolicy,
        /// The policy asks a human before each action.
        ApprovalMode,
        /// It is a time in which nothing is changed.
        FreezeWindow,
        /// The workload's actions of this hour are used up.
        BudgetExhausted,
        /// The host is short of what the action needs.
        HostShort,
        /// The host's actions of this hour are used up.
        HostBudgetExhausted,
        /// So many workloads are concerned at once that automation pauses itself.
        BlastRadius,
        /// The workload's spec was changed too often while a plan was made for it.
        SpecChanged,
        /// Something changed each time the action was decided on.
        ChangedTooOften,
        /// The action has waited as often as it may.
        WaitedTooOften,

        // Incident: what came of it.
        /// The plan was applied.
        Applied,
        /// The policy has mode DryRun: nothing was done.
        DryRun,
        /// Every requested probe passed.
        ProbesPassed,
        /// What was measured before the action is not measured any more.
        NotMeasuredAnyMore,
        /// What was measured before the action is still measured.
        StillMeasured,
        /// What was measured before the action could not be measured after it: it is neither cured nor not.
        Inconclusive,
        /// It came back within the policy's `relapseWindow`.
        CameBack,
        /// What was learned is an entry of the runbook.
        RunbookEntry,
    }
}
