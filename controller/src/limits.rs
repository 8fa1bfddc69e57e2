//! What automation may do on the whole host, and how much is kept, as flags. Parses and bounds; what the limits mean is the
//! reconcilers', the store's and the server's.

use aegis_api::Duration;
use aegis_planning::correlation::burst::Closeness;
use aegis_planning::host_limit::HostLimits;
use aegis_runtime::{AuditRetention, Retention};

/// The limits of the host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of the host")]
pub(crate) struct Limits {
    /// Automated actions on the whole host in an hour; past it a human must approve.
    #[arg(long, env = "AEGIS_HOST_ACTIONS_PER_HOUR", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub(crate) host_actions_per_hour: u32,
    /// Workloads that are remedied at the same time on the host [default: 2]
    #[arg(long, env = "AEGIS_HOST_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub(crate) host_concurrency: Option<u32>,
    /// Further workloads that may be remedied at the same time, so that critical trouble goes beside less grave trouble that
    /// holds the other places. 0: it waits for one of these [default: 1, and 0 where the workloads at the same time are set]
    #[arg(long, env = "AEGIS_HOST_RESERVE", value_parser = clap::value_parser!(u32).range(0..=1000), value_name = "N")]
    pub(crate) host_reserve: Option<u32>,
    /// Workloads that may be acted on within a minute; one more pauses all automation until it is resumed.
    #[arg(long, env = "AEGIS_HOST_BLAST_RADIUS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub(crate) host_blast_radius: u32,
    /// Incidents that may be open at once; past it alerts are counted on the open incident about the same workload.
    #[arg(long, env = "AEGIS_OPEN_INCIDENTS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=100_000), value_name = "N")]
    pub(crate) open_incidents: u32,
    /// Finished incidents that are kept. Those that did nothing go first; those that budgets are counted from stay meanwhile.
    #[arg(long, env = "AEGIS_FINISHED_INCIDENTS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000), value_name = "N")]
    pub(crate) finished_incidents: u32,
    /// Days that finished incidents are kept.
    #[arg(long, env = "AEGIS_FINISHED_INCIDENT_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650), value_name = "DAYS")]
    pub(crate) finished_incident_days: u32,
    /// Incidents a second, sustained, that the alerts of one token may open; more are answered 429 with Retry-After. An
    /// alert that is only counted is never refused.
    #[arg(long, env = "AEGIS_ALERTS_PER_SECOND", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub(crate) alerts_per_second: u32,
    /// Seconds within which an alert about a workload follows another to be of the same burst, and is folded into its
    /// incident; a burst ends after six times that. 0: each alert stands alone.
    #[arg(long, env = "AEGIS_COALESCE_SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=60), value_name = "SECS")]
    pub(crate) coalesce_secs: u64,
    /// Size of the audit log, MiB. Past it the oldest records go, behind a checkpoint that the rest is verified from.
    #[arg(long, env = "AEGIS_AUDIT_MB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_048_576), value_name = "MIB")]
    pub(crate) audit_mb: u32,
    /// Days that records of the audit log are kept.
    #[arg(long, env = "AEGIS_AUDIT_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "DAYS")]
    pub(crate) audit_days: u32,
    /// Load of the host, per core, above which automation does not scale up.
    #[arg(long, env = "AEGIS_HOST_LOAD_PER_CORE", default_value_t = 4.0, value_parser = load, value_name = "LOAD")]
    pub(crate) host_load_per_core: f64,
}

impl Limits {
    /// How long the store keeps what has ended.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            max_finished: usize::try_from(self.finished_incidents).unwrap_or(usize::MAX),
            max_age: days(self.finished_incident_days),
            // Past the cap each workload may have a first one.
            max_open: usize::try_from(self.open_incidents)
                .unwrap_or(usize::MAX)
                .saturating_add(1000),
        }
    }

    /// How close alerts of one burst are.
    pub(crate) fn closeness(&self) -> Closeness {
        Closeness {
            quiet: Duration::from_secs(self.coalesce_secs),
            longest: Duration::from_secs(self.coalesce_secs.saturating_mul(6)),
        }
    }

    /// How much of the audit log is kept.
    pub(crate) fn audit(&self) -> AuditRetention {
        AuditRetention {
            max_bytes: u64::from(self.audit_mb) << 20,
            max_age: days(self.audit_days),
        }
    }

    /// As the reconcilers take them.
    pub(crate) fn of_host(&self) -> HostLimits {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        HostLimits {
            concurrency: self
                .host_concurrency
                .map_or(HostLimits::default().concurrency, count),
            // A number that a person set is not exceeded.
            reserve: match (self.host_reserve, self.host_concurrency) {
                (Some(reserve), _) => count(reserve),
                (None, Some(_)) => 0,
                (None, None) => HostLimits::default().reserve,
            },
            actions_per_hour: count(self.host_actions_per_hour),
            workloads_per_minute: count(self.host_blast_radius),
            load_per_core: self.host_load_per_core,
        }
    }
}

fn days(days: u32) -> aegis_api::Duration {
    aegis_api::Duration::from_secs(u64::from(days) * 86_400)
}

fn load(text: &str) -> Result<f64, String> {
    let refused = || format!("{text:?} is no load: use a number from 0.1 to 1000, such as 4");
    let load: f64 = text.trim().parse().map_err(|_| refused())?;
    (0.1..=1000.0).contains(&load).then_some(load).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        limits: Limits,
    }

    fn parse(argument: &str) -> Result<Limits, String> {
        let command = Command::try_parse_from(["aegis-controller", argument]);
        command
            .map(|command| command.limits)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn i6_how_many_at_a_time_a_person_has_set_is_exceeded_by_no_reserve_that_is_not_set() {
        let limits = |argument: &str| {
            let limits = parse(argument).unwrap().of_host();
            (limits.concurrency, limits.reserve)
        };
        assert_eq!(limits("--host-actions-per-hour=30"), (2, 1));
        assert_eq!(limits("--host-concurrency=1"), (1, 0));
        assert_eq!(limits("--host-concurrency=2"), (2, 0));
        assert_eq!(limits("--host-reserve=3"), (2, 3));
    }

    #[test]
    fn i6_a_limit_of_nothing_or_nonsense_is_refused_with_what_is_allowed() {
        for (argument, said) in [
            ("--host-concurrency=0", "1..=1000"),
            ("--host-concurrency=-1", "--host-concurrency"),
            ("--host-blast-radius=0", "1..=1000"),
            ("--host-actions-per-hour=0", "1..=1000000"),
            ("--host-actions-per-hour=many", "many"),
            ("--host-load-per-core=0", "from 0.1 to 1000"),
            ("--host-load-per-core=NaN", "from 0.1 to 1000"),
            ("--host-load-per-core=-4", "from 0.1 to 1000"),
            ("--host-load-per-core=inf", "from 0.1 to 1000"),
        ] {
            let error = parse(argument).unwrap_err();
            assert!(error.contains(said), "{argument}: {error}");
        }
        let limits = parse("--host-load-per-core=0.5").unwrap().of_host();
        assert_eq!(
            limits,
            HostLimits {
                load_per_core: 0.5,
                ..HostLimits::default()
            }
        );
    }
}
