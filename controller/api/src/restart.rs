//! Why a container is not stopped to be started again: the reasons that stand in a Workload's condition `Degraded`. Pure.

use crate::condition::Reason;

/// Why a start would fail, or why a stop could not be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CannotRestart {
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
}

impl CannotRestart {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AutoRemove,
        Self::SwarmTask,
        Self::NetworkOwnerGone,
        Self::NetworkOwnerDown,
        Self::NamespaceOwnerGone,
        Self::NamespaceOwnerDown,
        Self::NetworkGone,
        Self::PortTaken,
        Self::LinkDown,
        Self::BindSourceGone,
        Self::DeviceGone,
        Self::RuntimeGone,
        Self::ImageGone,
    ];

    /// As the condition's reason has it.
    pub fn reason(self) -> Reason {
        match self {
            Self::AutoRemove => Reason::AutoRemove,
            Self::SwarmTask => Reason::SwarmTask,
            Self::NetworkOwnerGone => Reason::NetworkOwnerGone,
            Self::NetworkOwnerDown => Reason::NetworkOwnerDown,
            Self::NamespaceOwnerGone => Reason::NamespaceOwnerGone,
            Self::NamespaceOwnerDown => Reason::NamespaceOwnerDown,
            Self::NetworkGone => Reason::NetworkGone,
            Self::PortTaken => Reason::PortTaken,
            Self::LinkDown => Reason::LinkDown,
            Self::BindSourceGone => Reason::BindSourceGone,
            Self::DeviceGone => Reason::DeviceGone,
            Self::RuntimeGone => Reason::RuntimeGone,
            Self::ImageGone => Reason::ImageGone,
        }
    }

    /// The reason's word.
    pub fn as_str(self) -> &'static str {
        self.reason().as_str()
    }

    /// Reads a condition's reason; `None` for any other.
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_is_written() {
        for reason in CannotRestart::ALL {
            assert_eq!(CannotRestart::from_reason(reason.as_str()), Some(reason));
        }
        assert_eq!(CannotRestart::from_reason("Unhealthy"), None);
    }
}
