//! Why a container is not stopped to be started again: the reasons that stand in a Workload's condition `Degraded`. Pure.

use crate::condition::Reason;

macro_rules! cannot_restart {
    ($($name:ident),* $(,)?) => {
        /// Why a start would fail, or why a stop could not be undone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CannotRestart {
            $(
                #[doc = concat!("As [`Reason::", stringify!($name), "`] says.")]
                $name,
            )*
        }

        impl CannotRestart {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As the condition's reason has it.
            pub fn reason(self) -> Reason {
                match self {
                    $(Self::$name => Reason::$name,)*
                }
            }
        }
    };
}

cannot_restart!(
    AutoRemove,
    SwarmTask,
    NetworkOwnerGone,
    NetworkOwnerDown,
    NamespaceOwnerGone,
    NamespaceOwnerDown,
    NetworkGone,
    PortTaken,
    AddressTaken,
    LinkDown,
    BindSourceGone,
    DeviceGone,
    RuntimeGone,
    ImageGone,
    ContainerPaused,
);

impl CannotRestart {
    /// The reason's word.
    pub fn as_str(self) -> &'static str {
        self.reason().as_str()
    }

    /// Reads a condition's reason; `None` for any other.
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_is_written() {
        for reason in CannotRestart::ALL {
            assert_eq!(CannotRestart::from_reason(reason.as_str()), Some(*reason));
        }
        assert_eq!(CannotRestart::from_reason("Unhealthy"), None);
    }
}
