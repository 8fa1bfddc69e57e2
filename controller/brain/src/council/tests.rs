use aegis_api::incident::{Severity, Tried};
use aegis_api::proposal::{ContainerEvidence, Evidence, RecentAction};
use aegis_api::scalar::Time;
use aegis_api::workload::Health;

use super::*;
use crate::case::ReplicaBounds;

const EPOCH: Time = Time(jiff::Timestamp::UNIX_EPOCH);

fn healthy(name: &str) -> ContainerEvidence {
    ContainerEvidence {
        name: name.into(),
        state: "running".into(),
        health: Health::Healthy,
        cpu_percent: Some(5.0),
        memory_bytes: Some(20 << 20),
        memory_limit_bytes: Some(256 << 20),
        ..ContainerEvidence::default()
    }
}

/// A workload of two healthy, idle containers, three at most.
fn case() -> Case {
    let containers = vec![healthy("web-1"), healthy("web-2")];
    Case {
        incident: "inc".into(),
        alert_type: "a".into(),
        severity: Severity::Warning,
        logs: String::new(),
        details: std::collections::BTreeMap::new(),
        workload: "web".into(),
        container: None,
        evidence: Evidence {
            collected_at: Some(EPOCH),
            containers,
            desired_replicas: 2,
            ready_replicas: 2,
            ..Evidence::default()
        },
        recalled: Vec::new(),
        replicas: ReplicaBounds {
            min: 1,
            max: 6,
            current: 2,
        },
        protected: false,
        tried: Vec::new(),
        terms: Default::default(),
        now: EPOCH,
    }
}

fn leaking() -> Case {
    let mut case = case();
    case.evidence.containers[0].memory_bytes = Some(240 << 20);
    case
}

fn proposal(action: Action, replica_count: u32) -> Proposal {
    Proposal {
        root_cause: "because".into(),
        action,
        justification: "so".into(),
        confidence: 0.9,
        replica_count,
    }
}

fn review_alone(seat: Seat, case: &Case, proposal: &Proposal) -> SeatReview {
    review(0.6, seat, case, proposal, &[])
}

#[track_caller]
fn says(seat: Seat, case: &Case, proposal: &Proposal, verdict: Verdict, words: &str) {
    let answer = review_alone(seat, case, proposal);
    assert_eq!(answer.verdict, verdict, "{}", answer.reasoning);
    assert!(
        answer.reasoning.contains(words),
        "{words:?} is missing in {:?}",
        answer.reasoning
    );
}

#[test]
fn the_sre_stands_behind_what_it_is_sure_of() {
    let mut it = proposal(Action::Restart, 0);
    says(Seat::SreAgent, &leaking(), &it, Verdict::Approved, "90 % sure");
    it.confidence = 0.6;
    says(Seat::SreAgent, &leaking(), &it, Verdict::Approved, "60 %");
    it.confidence = 0.59;
    says(
        Seat::SreAgent,
        &leaking(),
        &it,
        Verdict::NeedsReview,
        "below 60 %",
    );
}

#[test]
fn the_sre_disowns_what_it_cannot_have_proposed() {
    for confidence in [f64::NAN, -0.1, 1.1] {
        let it = Proposal {
            confidence,
            ..proposal(Action::Restart, 0)
        };
        says(
            Seat::SreAgent,
            &leaking(),
            &it,
            Verdict::Rejected,
            "means nothing",
        );
    }
    says(
        Seat::SreAgent,
        &leaking(),
        &proposal(Action::ScaleUp, 0),
        Verdict::Rejected,
        "SCALE_UP by 0",
    );
    says(
        Seat::SreAgent,
        &leaking(),
        &proposal(Action::Restart, 3),
        Verdict::Rejected,
        "RESTART by 3",
    );
}

#[test]
fn the_security_officer_protects_the_protected() {
    let mut case = leaking();
    case.protected = true;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::Rejected,
        "protected",
    );
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::Noop, 0),
        Verdict::Approved,
        "",
    );
}

#[test]
fn the_security_officer_rejects_growth_out_of_bounds_or_proportion() {
    let mut case = case();
    case.replicas.max = 20;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleUp, 3),
        Verdict::Approved,
        "in proportion",
    );
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleUp, 4),
        Verdict::Rejected,
        "out of proportion",
    );
    case.replicas.max = 3;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleUp, 2),
        Verdict::Rejected,
        "beyond the bound of 3",
    );
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleUp, u32::MAX),
        Verdict::Rejected,
        "beyond the bound",
    );
}

#[test]
fn the_security_officer_rejects_interrupting_what_works() {
    says(
        Seat::SecurityOfficer,
        &case(),
        &proposal(Action::Restart, 0),
        Verdict::Rejected,
        "no trouble at all",
    );
    says(
        Seat::SecurityOfficer,
        &case(),
        &proposal(Action::Rollback, 0),
        Verdict::Rejected,
        "no trouble at all",
    );
    says(
        Seat::SecurityOfficer,
        &leaking(),
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "",
    );
}

#[test]
fn the_security_officer_asks_before_the_last_working_server_goes() {
    let mut case = case();
    case.evidence.containers[0].health = Health::Unhealthy;
    case.evidence.ready_replicas = 1;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::NeedsReview,
        "web-2, the last of several",
    );
    case.evidence.containers[1].memory_bytes = Some(250 << 20);
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "",
    );
    case.evidence.containers.truncate(1);
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "",
    );
}

#[test]
fn the_security_officer_keeps_enough_servers() {
    let mut case = case();
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleDown, 1),
        Verdict::Approved,
        "healthy servers remain",
    );
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleDown, 2),
        Verdict::Rejected,
        "last healthy server",
    );
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleDown, 9),
        Verdict::Rejected,
        "below the bound",
    );
    case.replicas.min = 2;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleDown, 1),
        Verdict::Rejected,
        "below the bound of 2",
    );
    case.replicas.min = 1;
    case.evidence.containers[0].health = Health::Unknown;
    says(
        Seat::SecurityOfficer,
        &case,
        &proposal(Action::ScaleDown, 1),
        Verdict::Rejected,
        "no time for fewer",
    );
}

#[test]
fn the_auditor_wants_evidence_for_an_action() {
    let auditor = Seat::Auditor;
    says(
        auditor,
        &leaking(),
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "web-1 uses 93.8 % of its memory limit",
    );
    says(
        auditor,
        &case(),
        &proposal(Action::Restart, 0),
        Verdict::Rejected,
        "Nothing in the evidence speaks for RESTART",
    );
    says(
        auditor,
        &case(),
        &proposal(Action::ScaleUp, 1),
        Verdict::Rejected,
        "Nothing in the evidence speaks for SCALE_UP",
    );
    says(
        auditor,
        &leaking(),
        &proposal(Action::ScaleUp, 1),
        Verdict::Approved,
        "memory limit",
    );
    says(
        auditor,
        &case(),
        &proposal(Action::Noop, 0),
        Verdict::Approved,
        "no trouble",
    );
}

#[test]
fn the_auditor_rejects_a_rollback_to_nowhere() {
    let mut case = leaking();
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Rollback, 0),
        Verdict::Rejected,
        "no earlier revision",
    );
    case.evidence.can_roll_back = true;
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Rollback, 0),
        Verdict::Approved,
        "carries ROLLBACK",
    );
}

#[test]
fn the_auditor_rejects_looking_away_but_not_asking_for_help() {
    let mut it = proposal(Action::Noop, 0);
    says(
        Seat::Auditor,
        &leaking(),
        &it,
        Verdict::Rejected,
        "NOOP leaves this as it is",
    );
    it.confidence = 0.2;
    says(
        Seat::Auditor,
        &leaking(),
        &it,
        Verdict::NeedsReview,
        "NOOP leaves this as it is",
    );
}

#[test]
fn the_auditor_wants_idleness_before_there_are_fewer() {
    let mut case = case();
    let it = proposal(Action::ScaleDown, 1);
    says(Seat::Auditor, &case, &it, Verdict::Approved, "idles at 5.0 %");
    case.evidence.containers[1].cpu_percent = Some(40.0);
    says(
        Seat::Auditor,
        &case,
        &it,
        Verdict::NeedsReview,
        "neither busy nor idle",
    );
    case.evidence.containers[1].cpu_percent = Some(70.0);
    says(Seat::Auditor, &case, &it, Verdict::Rejected, "is busy");
    case.evidence.containers[1].cpu_percent = None;
    says(Seat::Auditor, &case, &it, Verdict::Rejected, "does not show");
}

#[test]
fn the_auditor_stops_what_did_not_help() {
    let failed = |action| RecentAction {
        incident: Some("i".into()),
        alert_type: Some("a".into()),
        replicas: None,
        action,
        at: EPOCH,
        verified: Some(false),
        relapsed: false,
    };
    let it = proposal(Action::Restart, 0);
    let mut case = leaking();
    case.evidence.recent_actions = vec![failed(Action::Restart)];
    says(Seat::Auditor, &case, &it, Verdict::NeedsReview, "did not help");
    case.evidence.recent_actions = vec![failed(Action::Restart), failed(Action::ScaleUp)];
    says(Seat::Auditor, &case, &it, Verdict::Approved, "");
    case.evidence.recent_actions = vec![failed(Action::Restart), failed(Action::Restart)];
    says(Seat::Auditor, &case, &it, Verdict::Rejected, "failed 2 times");
    case.evidence.recent_actions.clear();
    case.tried = vec![Tried {
        action: Action::Restart,
        plan_hash: "h".into(),
        error: "e".into(),
        applied_at: None,
        generation: None,
        withdrawn: None,
    }];
    says(
        Seat::Auditor,
        &case,
        &it,
        Verdict::Rejected,
        "tried in this incident",
    );
}

#[test]
fn the_auditor_does_not_sign_what_was_not_seen() {
    let mut case = leaking();
    case.evidence.gaps = vec!["the logs of web-1".into()];
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::NeedsReview,
        "gaps: the logs of web-1",
    );
    case.evidence = Evidence::default();
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Noop, 0),
        Verdict::NeedsReview,
        "No container was seen",
    );
}

#[test]
fn a_seat_that_approves_mentions_another_ones_objection() {
    let against = [Vote {
        role: Seat::SecurityOfficer,
        verdict: Verdict::Rejected,
        reasoning: "r".into(),
        timestamp: EPOCH,
        asked: None,
    }];
    let answer = review(
        0.6,
        Seat::Auditor,
        &leaking(),
        &proposal(Action::Restart, 0),
        &against,
    );
    assert_eq!(answer.verdict, Verdict::Approved);
    assert!(
        answer
            .reasoning
            .ends_with("The Security Officer's objection is not mine to judge.")
    );
}
