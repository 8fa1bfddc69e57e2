//! Who may do what: the one table. Pure.
//!
//! The role `dashboard` reads the five routes that the dashboard shows and nothing else. The values of environment
//! variables are shown to operators and admins alone.
//!
//! | | webhook | viewer | operator | admin |
//! |---|---|---|---|---|
//! | post alerts to `/webhook` | yes | | yes | yes |
//! | pause and resume automation; test notifications | | | yes | yes |
//! | read resources, metrics, logs, `/ws` | | yes | yes | yes |
//! | create and change Workloads, LoadBalancers, Incidents (approve, override), RunbookEntries; `/scale` | | | yes | yes |
//! | delete RunbookEntries; create, change, delete Silences; `/intake` | | | yes | yes |
//! | delete Workloads, LoadBalancers, Incidents; confirm their deletions by file | | | | yes |
//! | create, change, delete RemediationPolicies, Detectors and AlertSources | | | | yes |
//! | tokens, audit log | | | | yes |
//!
//! The line is drawn where a shift ends and a team decides: what is in care at all, by which rules, and who may act.
//! A Workload's template can mount what the host has, so an operator is trusted with the host.

use axum::http::Method;

use super::role::Need;

/// What changing, and what deleting an object of a kind takes.
const KINDS: [(&str, Need, Need); 8] = [
    ("workloads", Need::Operate, Need::Administer),
    ("loadbalancers", Need::Operate, Need::Administer),
    ("incidents", Need::Operate, Need::Administer),
    ("runbookentries", Need::Operate, Need::Operate),
    ("remediationpolicies", Need::Administer, Need::Administer),
    ("detectors", Need::Administer, Need::Administer),
    // Who may prove to be a sender is decided like a token.
    ("alertsources", Need::Administer, Need::Administer),
    // Silence is for everybody on a shift, as the brake is.
    ("silences", Need::Operate, Need::Operate),
];

/// Routes that are about no kind, and whose need does not follow from their method alone. The first that fits decides.
const ROUTES: [(&str, Match, Need); 19] = [
    ("", Match::Below("/intake"), Need::Operate),
    ("post", Match::Below("/webhook"), Need::Alert),
    ("get", Match::Exactly("/incidents"), Need::Glance),
    ("get", Match::Exactly("/containers"), Need::Glance),
    ("get", Match::Exactly("/metrics"), Need::Glance),
    ("get", Match::Exactly("/runbook"), Need::Glance),
    ("get", Match::Exactly("/detectors"), Need::Glance),
    ("post", Match::Below("/scale"), Need::Operate),
    // It changes nothing.
    ("post", Match::Exactly("/autoscale/simulate"), Need::Read),
    // A brake is for everybody on a shift.
    ("post", Match::Below("/automation"), Need::Operate),
    ("post", Match::Below("/notifications"), Need::Operate),
    ("get", Match::Exactly("/auth/session"), Need::Known),
    ("post", Match::Exactly("/auth/logout"), Need::Known),
    ("post", Match::Exactly("/auth/once"), Need::Read),
    ("", Match::Below("/auth"), Need::Administer),
    ("", Match::Below("/audit"), Need::Administer),
    // Whether this sender may delete objects of the kind is asked where the kind is known.
    ("post", Match::Exactly("/files/confirm"), Need::Operate),
    // Asking what one may do changes nothing.
    ("create", Match::Below("/apis/authorization.k8s.io"), Need::Known),
    ("create", Match::Below("/apis/authentication.k8s.io"), Need::Known),
];

#[derive(Debug, Clone, Copy)]
enum Match {
    Exactly(&'static str),
    Below(&'static str),
}

impl Match {
    fn fits(self, path: &str) -> bool {
        match self {
            Self::Exactly(exact) => path == exact,
            Self::Below(root) => path
                .strip_prefix(root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// Whether a verb only looks.
fn reads(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

/// What this verb on this path, or on objects of this kind, takes.
pub(crate) fn need(verb: &str, path: &str, kind: Option<(&str, &str)>) -> Need {
    let listed = ROUTES
        .iter()
        .find(|(verbs, route, _)| (verbs.is_empty() || *verbs == verb) && route.fits(path));
    if let Some((_, _, need)) = listed {
        return *need;
    }
    if reads(verb) {
        return Need::Read;
    }
    let ours = kind.filter(|(group, _)| *group == aegis_api::GROUP);
    let row = ours.and_then(|(_, plural)| KINDS.iter().find(|(known, _, _)| *known == plural));
    match (row, verb) {
        (Some((_, change, _)), "create" | "update" | "patch") => *change,
        (Some((_, _, delete)), "delete") => *delete,
        // What has no rule of its own yet requires an administrator.
        _ => Need::Administer,
    }
}

/// Whether a method changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn who(verb: &str, path: &str, kind: Option<&str>) -> Vec<&'static str> {
        let need = need(verb, path, kind.map(|plural| (aegis_api::GROUP, plural)));
        let may = Role::ALL.into_iter().filter(|role| need.is_of(*role));
        may.map(Role::as_str).collect()
    }

    #[test]
    fn the_table_says_who_may_do_what() {
        let all = ["webhook", "dashboard", "viewer", "operator", "admin"];
        let (board, readers, workers) = (&all[1..], &all[2..], &all[3..]);
        for (verb, path, kind, expected) in [
            ("get", "/incidents", None, board),
            ("get", "/containers", None, board),
            ("get", "/metrics", None, board),
            ("get", "/detectors", None, board),
            ("get", "/runbook", None, board),
            ("get", "/incidents/i1", None, readers),
            ("get", "/metrics/history", None, readers),
            ("get", "/topology", None, readers),
            ("list", "", Some("incidents"), readers),
            ("watch", "", Some("workloads"), readers),
            ("get", "/ws", None, readers),
            ("post", "/webhook", None, &["webhook", "operator", "admin"][..]),
            ("get", "/webhook", None, readers),
            (
                "post",
                "/webhook/grafana",
                None,
                &["webhook", "operator", "admin"],
            ),
            ("post", "/webhookx", None, &["admin"]),
            ("post", "/intake/test", None, workers),
            ("get", "/intake/unreadable", None, workers),
            ("create", "", Some("silences"), workers),
            ("patch", "", Some("alertsources"), &["admin"]),
            ("post", "/scale/up", None, workers),
            ("post", "/autoscale/simulate", None, readers),
            ("get", "/automation", None, readers),
            ("post", "/automation/pause", None, workers),
            ("get", "/notifications", None, readers),
            ("post", "/notifications/test", None, workers),
            ("post", "/automation/resume", None, workers),
            ("get", "/files", None, readers),
            ("post", "/files/confirm", None, workers),
            ("patch", "", Some("workloads"), workers),
            ("create", "", Some("incidents"), workers),
            ("delete", "", Some("runbookentries"), workers),
            ("delete", "", Some("workloads"), &["admin"]),
            ("delete", "", Some("incidents"), &["admin"]),
            ("patch", "", Some("remediationpolicies"), &["admin"]),
            ("create", "", Some("detectors"), &["admin"]),
            ("get", "/audit", None, &["admin"]),
            ("get", "/auth/tokens", None, &["admin"]),
            ("delete", "/auth/tokens/ci", None, &["admin"]),
            ("get", "/auth/session", None, &all[..]),
            ("post", "/auth/logout", None, &all[..]),
            ("post", "/auth/once", None, readers),
            (
                "create",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                None,
                &all[..],
            ),
            ("post", "/something/new", None, &["admin"]),
            ("*", "", Some("workloads"), &["admin"]),
            ("delete", "", Some("*"), &["admin"]),
        ] {
            assert_eq!(who(verb, path, kind), expected, "{verb} {path} {kind:?}");
        }
    }

    #[test]
    fn every_kind_has_a_row() {
        for info in aegis_api::KINDS.iter() {
            assert!(
                KINDS.iter().any(|(plural, _, _)| *plural == info.plural),
                "{}",
                info.plural
            );
        }
    }
}
