//! What a LoadBalancer's status says after a pass. Pure: the reconciler stores it.

use std::collections::{BTreeMap, BTreeSet};

use aegis_api::condition::Conditions;
use aegis_api::load_balancer::{Release, Reload};
use aegis_api::{ConditionType, ContainerId, LoadBalancerStatus, Reason, Time};

use super::plan::Prepared;
use super::validate::ValidatedLoadBalancer;
use super::{receipts, shutdown, stream};

/// What became of a plan.
#[derive(Debug)]
pub struct Applied {
    pub plan: Prepared,
    pub reload: Option<Reload>,
}

/// A pass that went through.
#[derive(Debug)]
pub struct Outcome {
    pub validated: ValidatedLoadBalancer,
    pub applied: Applied,
}

/// What nginx was proved to serve.
pub fn take(status: &mut LoadBalancerStatus, plan: Prepared, reload: Option<Reload>) {
    if let Some(rendered) = plan.rendered {
        status.stream_config = rendered.listening().map(str::to_owned);
        status.revision = Some(rendered.revision);
        status.config = Some(rendered.text);
    }
    status.server_count = u32::try_from(plan.servers.len()).unwrap_or(u32::MAX);
    status.servers = plan.servers;
    status.last_reload = reload.or(status.last_reload.take());
}

/// Lets containers go that are on their way out and that nginx was never given, or has been done with: a configuration that
/// cannot be loaded must not hold what it never had. Only where nginx is known to have no other servers than the status names;
/// the next pass sees the marks and admits none of these.
pub fn release_unserved(status: &mut LoadBalancerStatus, marked: &BTreeMap<ContainerId, Option<Time>>) {
    let served = status.servers.iter().map(|server| &server.id);
    let draining = status.draining.iter().flat_map(|drain| &drain.ids);
    let released = status.releases.iter().map(|release| &release.id);
    let kept: BTreeSet<&ContainerId> = served.chain(draining).chain(released).collect();
    let new = marked.iter().filter(|(id, _)| !kept.contains(id));
    let new = new.map(|(id, since)| Release {
        id: id.clone(),
        since: *since,
    });
    let new: Vec<Release> = new.collect();
    status.releases.extend(new);
}

/// The status after a pass that went through.
pub fn next(outcome: Outcome) -> LoadBalancerStatus {
    let Outcome {
        validated: balancer,
        applied: Applied { plan, reload },
    } = outcome;
    let before = balancer.before.clone();
    let (generation, now) = (Some(balancer.generation), balancer.now);
    let path = stream::path(&balancer.spec, Some(&before));
    let mut conditions = before.conditions;
    let servers = plan.servers.len();
    let (reason, mut message) = words(&balancer, servers, plan.rendered.is_none());
    let last = reload.as_ref().or(before.last_reload.as_ref());
    if let (Reason::Ready, Some(shadowed)) = (reason, last.and_then(|last| last.shadowed.as_ref())) {
        message = format!("{message}; {shadowed}");
    }
    let timeout = last.and_then(|last| last.shutdown_timeout.as_deref());
    let advice = timeout.and_then(|said| shutdown::advice(&balancer.spec, said));
    if let (Reason::Ready, Some(advice)) = (reason, advice) {
        message = format!("{message}; {advice}");
    }
    let (ready, degraded) = match reason {
        Reason::Ready => (true, false),
        Reason::NoReadyServers => (false, false),
        _ => (false, !(balancer.as_wanted && balancer.held.is_empty())),
    };
    let (why, trouble) = match degraded {
        true => (reason, message.clone()),
        false => (Reason::Configured, String::new()),
    };
    Conditions::at(&mut conditions, generation, now)
        .set(ConditionType::Ready, ready, reason, message)
        .set(ConditionType::Degraded, degraded, why, trouble);
    let kept = plan.rendered.is_none();
    let (revision, config, stream_config, stream_config_path) = match plan.rendered {
        Some(rendered) => {
            let stream = rendered.listening().map(str::to_owned);
            let path = stream.is_some().then_some(path);
            (Some(rendered.revision), Some(rendered.text), stream, path)
        }
        None => (
            before.revision,
            before.config,
            before.stream_config,
            before.stream_config_path,
        ),
    };
    LoadBalancerStatus {
        observed_generation: generation,
        server_count: u32::try_from(servers).unwrap_or(u32::MAX),
        servers: plan.servers,
        revision,
        config,
        stream_config,
        stream_config_path,
        last_reload: reload.or(before.last_reload),
        draining: plan.draining.into_iter().chain(plan.leaving).collect(),
        receipts: receipts::kept(balancer.counted, plan.receipts),
        unavailable: if kept { Vec::new() } else { balancer.unavailable },
        held: balancer
            .held
            .into_iter()
            .filter(|id| balancer.marked.contains_key(id))
            .collect(),
        releases: plan.releases,
        conditions,
    }
}

/// Reason and message of the condition `Ready`. `kept`: nothing was ever configured.
fn words(balancer: &ValidatedLoadBalancer, servers: usize, kept: bool) -> (Reason, String) {
    let counted = match servers {
        1 => "1 server".to_owned(),
        _ => format!("{servers} servers"),
    };
    let unavailable = balancer.unavailable.iter();
    let mut words: Vec<String> = match kept {
        true => unavailable.map(|upstream| upstream.reason.clone()).collect(),
        false => unavailable
            .map(|one| {
                let (upstream, answer, since) = (&one.upstream, one.answer(), one.since);
                format!("upstream {upstream} {answer} since {since}: {}", one.reason)
            })
            .collect(),
    };
    if kept {
        let why = words.join("; ");
        let text =
            format!("no backend has a ready container yet: nginx keeps its present configuration ({why})");
        return (Reason::NoReadyServers, text);
    }
    let held = (!balancer.held_words.is_empty()).then(|| {
        let held = balancer.held_words.join(", ");
        format!("no ready server is left, the last ones stay in rotation while they run: {held}")
    });
    words.extend(held);
    match (servers, balancer.unavailable.is_empty(), balancer.held.is_empty()) {
        (_, true, true) => {
            let more = balancer
                .closes_idle
                .iter()
                .chain(&balancer.holds_none)
                .chain(&balancer.unread);
            let more: String = more.map(|words| format!("; {words}")).collect();
            (Reason::Ready, format!("{counted} in rotation{more}"))
        }
        (_, true, false) => (Reason::LastServersHeld, words.join("; ")),
        (0, ..) => (Reason::NoServers, words.join("; ")),
        _ => (Reason::Partial, format!("{counted}; {}", words.join("; "))),
    }
}
