//! What the store keeps beside an object, so that a few are found without going through all of a kind: when it ended, and the
//! keys under which it is found. Pure.

use crate::incident::{DETECTOR, JoinedAlert, MOST_JOINED, Severity};
use crate::proposal::Action;
use crate::{
    AlertSource, ConditionType, Detector, Duration, Incident, LoadBalancer, Phase, Reason, RemediationPolicy,
    RunbookEntry, Silence, Time, Workload, condition,
};

/// How long what was done counts for budgets, cooldowns and relapses after an incident ended.
const ACTED_KEPT: Duration = Duration::from_secs(2 * 3600);
/// How long what may still come back is needed, whatever the policy's `relapseWindow` is.
const UNSETTLED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the incident of a detector is the last word on its episode.
const EPISODE_KEPT: Duration = Duration::from_secs(4 * 3600);
/// How far back failures about the same trouble count: the pauses between attempts grow with them.
pub const FAILURES_COUNT: Duration = Duration::from_secs(24 * 3600);
/// Seconds of the spans in which actions are found.
const HOUR: i64 = 3600;

/// What is kept beside an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// That it ended; absent before, and for kinds that do not end.
    pub ended: Option<Ended>,
    /// Keys under which it is found, such as those of [`key`].
    pub keys: Vec<String>,
}

/// The end of an object, as retention goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// Whether anything was done: what did nothing goes first.
    pub acted: bool,
    /// Until when something decides by it; absent where nothing does.
    pub needed_until: Option<Time>,
}

/// Kinds say here what is kept beside their objects.
pub trait Faceted {
    /// What the change to this later version comes to, where it only counts further reports, and lists who sent them.
    fn counted(&self, _later: &Self) -> Option<String> {
        None
    }

    /// What is kept beside this object.
    fn facets(&self) -> Facets {
        Facets::default()
    }
}

impl Faceted for Workload {}
impl Faceted for LoadBalancer {}
impl Faceted for RemediationPolicy {}
impl Faceted for Detector {}
impl Faceted for AlertSource {}
impl Faceted for Silence {}
impl Faceted for RunbookEntry {}

/// The keys of incidents.
pub mod key {
    use super::HOUR;
    use crate::Time;

    /// Those that have not ended.
    pub const OPEN: &str = "open";
    /// Of these, those of which the workload is not found yet.
    pub const UNPLACED: &str = "open/unplaced";
    /// Of these, those that have a plan or wait for their turn: they count for the limits of the host.
    pub const AT_WORK: &str = "open/at-work";
    /// Of those that have not ended, the critical ones about a workload.
    pub fn critical(workload: &str) -> String {
        format!("open/critical/{workload}")
    }

    /// Those that list alerts which were inhibited by them and still fire, whether they have ended or not.
    pub const INHIBITS: &str = "inhibits";
    /// Those that ended, and whose symptom may still come back.
    pub const UNSETTLED: &str = "unsettled";

    /// Those about a workload.
    pub fn workload(name: &str) -> String {
        format!("workload/{name}")
    }

    /// Those that have not ended about a container, as their senders named it.
    pub fn container(name: &str) -> String {
        format!("open/container/{name}")
    }

    /// Those with a fingerprint.
    pub fn fingerprint(text: &str) -> String {
        format!("fingerprint/{text}")
    }

    /// Those for which an entry of the runbook was recalled.
    pub fn recalled(entry: &str) -> String {
        format!("recalled/{entry}")
    }

    /// Those that last acted in the hour of this time. Keys of later hours sort after it.
    pub fn acted(at: Time) -> String {
        let hour = at.0.as_second().div_euclid(HOUR).max(0);
        format!("acted/{hour:010}")
    }

    /// After all keys of [`acted`].
    pub const ACTED_END: &str = "acted/~";
}

impl Faceted for Incident {
    fn counted(&self, later: &Self) -> Option<String> {
        let (old, new) = (&self.spec, &later.spec);
        let mut repeated = old.clone();
        repeated.count = new.count;
        repeated.source.joined.clone_from(&new.source.joined);
        repeated.source.aliases.clone_from(&new.source.aliases);
        // All but the oldest are still listed, and nothing is said of what became of them but that they fire again.
        let may_drop = new.source.joined.len() == MOST_JOINED;
        let is_kept = |alert: &JoinedAlert| {
            let mut listed = new.source.joined.iter();
            let same = listed.find(|listed| listed.incident_id == alert.incident_id);
            same.map_or(may_drop, |same| {
                let ended = same.resolved_at.is_none() || same.resolved_at == alert.resolved_at;
                ended && same.released_at == alert.released_at && same.inhibited == alert.inhibited
            })
        };
        if old.count >= new.count || repeated != *new || !old.source.joined.iter().all(is_kept) {
            return None;
        }
        let joined = new.source.joined.iter();
        let joined = joined
            .filter(|alert| !old.source.has_joined(&alert.incident_id))
            .count();
        let counts = format!("count {} → {}", old.count, new.count);
        Some(match joined {
            0 => counts,
            joined => format!("{counts}, other ids that joined: {joined}"),
        })
    }

    fn facets(&self) -> Facets {
        Facets {
            ended: ended(self),
            keys: keys(self),
        }
    }
}

/// When it last did something to a workload.
fn last_action(incident: &Incident) -> Option<Time> {
    let status = incident.status.as_ref()?;
    let changes = |action: Action| action != Action::Noop;
    let plan = status.plan.as_ref().filter(|plan| changes(plan.action));
    let current = plan
        .and(status.execution.as_ref())
        .and_then(|done| done.applied_at);
    let tried = status.tried.iter().filter(|tried| changes(tried.action));
    tried.filter_map(|tried| tried.applied_at).chain(current).max()
}

fn ended(incident: &Incident) -> Option<Ended> {
    let status = incident.status.as_ref()?;
    let at = status.finished_at?;
    let acted = last_action(incident).is_some();
    let of_an_episode = incident.spec.source.kind == DETECTOR;
    let failed = of_an_episode && status.phase == Phase::Failed;
    let needed = [
        failed.then_some(FAILURES_COUNT),
        acted.then_some(ACTED_KEPT),
        status.is_unsettled().then_some(UNSETTLED_KEPT),
        of_an_episode.then_some(EPISODE_KEPT),
    ];
    Some(Ended {
        at,
        acted,
        needed_until: needed.into_iter().flatten().max().map(|kept| at.plus(kept)),
    })
}

fn keys(incident: &Incident) -> Vec<String> {
    let status = incident.status.as_ref();
    let mut keys = Vec::new();
    keys.extend(incident.workload().map(|name| key::workload(name.as_str())));
    let fingerprint = &incident.spec.source.fingerprint;
    keys.extend(
        Some(fingerprint)
            .filter(|text| !text.is_empty())
            .map(|text| key::fingerprint(text)),
    );
    keys.extend(last_action(incident).map(key::acted));
    let recalled = status.iter().flat_map(|status| &status.retrieved);
    keys.extend(recalled.map(|hit| key::recalled(&hit.entry)));
    if incident.spec.source.inhibits() {
        keys.push(key::INHIBITS.to_owned());
    }
    if status.is_some_and(|status| status.is_unsettled()) {
        keys.push(key::UNSETTLED.to_owned());
    }
    if incident.is_finished() {
        return keys;
    }
    keys.push(key::OPEN.to_owned());
    let container = incident.spec.container_name.as_ref();
    keys.extend(container.map(|name| key::container(name.as_str())));
    let critical = incident
        .workload()
        .filter(|_| incident.spec.severity == Severity::Critical);
    keys.extend(critical.map(|name| key::critical(name.as_str())));
    if status.is_none_or(|status| status.workload.is_none()) {
        keys.push(key::UNPLACED.to_owned());
    }
    let is_at_work = status.is_some_and(|status| {
        let plans = status
            .plan
            .as_ref()
            .is_some_and(|plan| plan.action != Action::Noop);
        plans || condition::is_true_for(&status.conditions, ConditionType::Held, Reason::HostBusy)
    });
    if is_at_work {
        keys.push(key::AT_WORK.to_owned());
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn incident(spec: &Value, status: &Value) -> Incident {
        let mut whole = json!({"containerName": "web", "alertType": "x", "source": {"kind": "webhook"}});
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        serde_json::from_value(json!({"metadata": {"name": "i"}, "spec": whole, "status": status})).unwrap()
    }

    fn plan(action: &str) -> Value {
        json!({"hash": "h", "action": action, "target": "web", "parentGeneration": 1, "patch": {},
            "createdAt": "2026-01-31T12:00:00Z"})
    }

    const END: &str = "2026-01-31T12:00:00Z";

    #[test]
    fn what_did_nothing_is_needed_by_nothing_once_it_has_ended() {
        let open = incident(&json!({}), &json!({"phase": "RECEIVED", "timeline": []}));
        assert_eq!(open.facets().ended, None);
        let nothing = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": END, "plan": plan("NOOP"),
            "execution": {"appliedAt": END}});
        let ended = incident(&json!({}), &nothing).facets().ended.unwrap();
        assert_eq!((ended.acted, ended.needed_until), (false, None));
    }

    #[test]
    fn what_acted_or_may_come_back_is_needed_for_as_long_as_it_decides() {
        let at: Time = END.parse().unwrap();
        let hours = |hours: u64| Some(at.plus(Duration::from_secs(hours * 3600)));
        let acted = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": END, "plan": plan("RESTART"),
            "execution": {"appliedAt": END}});
        let ended = incident(&json!({}), &acted).facets().ended.unwrap();
        assert_eq!((ended.acted, ended.needed_until), (true, hours(2)));
        let mut unsettled = acted;
        unsettled["mitigatedAt"] = END.into();
        let ended = incident(&json!({}), &unsettled).facets().ended.unwrap();
        assert_eq!(ended.needed_until, hours(7 * 24));
        let failed = json!({"phase": "FAILED", "timeline": [], "finishedAt": END});
        let detector = json!({"source": {"kind": "detector", "fingerprint": "f"}});
        let of_detector = incident(&detector, &failed);
        assert_eq!(
            of_detector.facets().ended.unwrap().needed_until,
            Some(at.plus(FAILURES_COUNT)),
            "for as long as pauses are counted from it"
        );
        let resolved = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": END});
        let of_detector = incident(&detector, &resolved);
        assert_eq!(of_detector.facets().ended.unwrap().needed_until, hours(4));
    }

    #[test]
    fn an_incident_is_found_by_what_it_is_about_and_how_it_stands() {
        let status = json!({"phase": "EXECUTING", "timeline": [], "workload": "shop", "plan": plan("RESTART"),
            "execution": {"appliedAt": END}});
        let keys = incident(
            &json!({"source": {"kind": "webhook", "fingerprint": "f"}}),
            &status,
        )
        .facets()
        .keys;
        let acted = key::acted(END.parse().unwrap());
        for key in [
            "workload/shop",
            "fingerprint/f",
            "open",
            "open/container/web",
            "open/at-work",
            acted.as_str(),
        ] {
            assert!(keys.iter().any(|known| known == key), "{key}: {keys:?}");
        }
        assert!(!keys.iter().any(|known| known == key::UNPLACED));
        assert!(acted.as_str() < key::ACTED_END);
        let later = key::acted("2026-01-31T14:00:00Z".parse().unwrap());
        assert!(acted < later);
    }
}
