//! Defaults of the resources that whoever starts the controller may choose. Owns their values; a resource always wins.
//!
//! They are one set for the whole process, given once before the first resource is read.

use std::sync::OnceLock;

use crate::scalar::{AbsolutePath, ContainerName, Duration};
use crate::workload::HealthProbe;

/// What a resource means where it is silent.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// `spec.container` of a LoadBalancer.
    pub nginx_container: ContainerName,
    /// `spec.configPath` of a LoadBalancer.
    pub nginx_config_path: AbsolutePath,
    /// `spec.health` of the Workload that adopts this container.
    pub probe: Option<(ContainerName, HealthProbe)>,
    /// `spec.health.timeout` of a Workload.
    pub probe_timeout: Duration,
    /// `spec.verification.deadline` of a RemediationPolicy.
    pub verification_deadline: Duration,
}

#[expect(
    clippy::expect_used,
    reason = "the literals are valid; a test constructs them"
)]
impl Default for Defaults {
    fn default() -> Self {
        Self {
            nginx_container: "aegis-lb".parse().expect("a container name"),
            nginx_config_path: "/etc/nginx/conf.d/upstream.conf"
                .parse()
                .expect("an absolute path"),
            probe: None,
            probe_timeout: Duration::from_secs(1),
            verification_deadline: Duration::from_secs(30),
        }
    }
}

/// The defaults were chosen already, or a resource has been read with the built-in ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the defaults of the resources are in use already")]
pub struct InUse;

static CHOSEN: OnceLock<Defaults> = OnceLock::new();

/// Chooses the defaults of this process.
pub fn choose(defaults: Defaults) -> Result<(), InUse> {
    CHOSEN.set(defaults).map_err(|_| InUse)
}

pub(crate) fn chosen() -> &'static Defaults {
    CHOSEN.get_or_init(Defaults::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_chosen_before_anything_is_read_or_never() {
        assert_eq!(chosen(), &Defaults::default());
        assert_eq!(choose(Defaults::default()), Err(InUse));
    }
}
