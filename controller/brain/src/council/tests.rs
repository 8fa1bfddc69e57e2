use aegis_api::incident::{Severity, Tried};
use aegis_api::proposal::{ContainerEvidence, Evidence, RecentAction};
use aegis_api::scalar::Time;
use aegis_api::symptom::{Symptom, SymptomKind};
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
        measured: Vec::new(),
        trusted: Vec::new(),
        balancers: Vec::new(),
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
    let it = proposal(Action::ScaleDown, 1);
    says(
        Seat::Auditor,
        &case(),
        &it,
        Verdict::Rejected,
        "Nothing in the evidence speaks for SCALE_DOWN",
    );
    let mut case = with_word_of(&[Action::ScaleDown]);
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

fn measured(kind: SymptomKind, message: &str) -> Symptom {
    Symptom {
        kind,
        container: None,
        value: None,
        message: message.into(),
    }
}

/// Nothing but the word of a sender that the policy trusts for these actions.
fn with_word_of(actions: &[Action]) -> Case {
    let mut case = case();
    case.measured = vec![measured(SymptomKind::Trusted, "QueueStuck fires")];
    case.trusted = actions.to_vec();
    case
}

fn recent(action: Action, verified: bool, relapsed: bool) -> RecentAction {
    RecentAction {
        incident: Some("i".into()),
        alert_type: Some("a".into()),
        replicas: None,
        action,
        at: EPOCH,
        verified: Some(verified),
        relapsed,
    }
}

fn saturated() -> Case {
    let mut case = case();
    case.evidence.containers[0].cpu_percent = Some(99.0);
    case
}

#[test]
fn the_sre_names_the_symptom_that_it_wants_cleared_and_repeats_no_proposal() {
    let sre = Seat::SreAgent;
    let it = proposal(Action::Restart, 0);
    says(
        sre,
        &leaking(),
        &it,
        Verdict::Approved,
        "I am 90 % sure that RESTART clears MemoryHigh of web-1.",
    );
    let answer = review_alone(sre, &leaking(), &it);
    assert!(!answer.reasoning.contains(&it.root_cause), "{answer:?}");
    let it = proposal(Action::Noop, 0);
    says(sre, &case(), &it, Verdict::Approved, "there is nothing to clear");
}

#[test]
fn i13_what_is_near_its_limit_is_no_symptom_and_carries_no_action() {
    let mut strained = case();
    strained.evidence.containers[0].memory_bytes = Some(205 << 20);
    strained.evidence.containers[1].cpu_percent = Some(80.0);
    for it in [proposal(Action::Restart, 0), proposal(Action::ScaleUp, 1)] {
        says(
            Seat::Auditor,
            &strained,
            &it,
            Verdict::Rejected,
            "no symptom is measured",
        );
    }
    let restart = proposal(Action::Restart, 0);
    says(
        Seat::SecurityOfficer,
        &strained,
        &restart,
        Verdict::Rejected,
        "no trouble at all",
    );
}

#[test]
fn i13_the_auditor_rejects_an_action_that_clears_none_of_what_is_measured() {
    says(
        Seat::Auditor,
        &saturated(),
        &proposal(Action::Restart, 0),
        Verdict::Rejected,
        "RESTART can clear nothing of what is measured: web-1 uses 99.0 % of a core.",
    );
    says(
        Seat::Auditor,
        &saturated(),
        &proposal(Action::ScaleUp, 1),
        Verdict::Approved,
        "web-1 uses 99.0 % of a core",
    );
    let mut errors = case();
    errors.measured = vec![measured(SymptomKind::HttpErrors, "4.0 % of 50 requests failed")];
    says(
        Seat::Auditor,
        &errors,
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "which can clear what is measured: 4.0 % of 50 requests failed.",
    );
}

#[test]
fn i13_a_trusted_senders_word_carries_what_the_policy_allows_for_it_and_no_more() {
    let case = with_word_of(&[Action::Restart]);
    let auditor = Seat::Auditor;
    says(
        auditor,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "QueueStuck fires",
    );
    says(
        auditor,
        &case,
        &proposal(Action::ScaleUp, 1),
        Verdict::Rejected,
        "SCALE_UP can clear nothing",
    );
}

#[test]
fn the_auditor_lets_a_palliative_pass_and_calls_for_a_cure() {
    let mut case = leaking();
    case.evidence.recent_actions = vec![
        recent(Action::Restart, true, true),
        recent(Action::Restart, true, true),
    ];
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Restart, 0),
        Verdict::Approved,
        "What it clears came back 2 times lately: it keeps web serving, and a cure is needed.",
    );
    let mut case = saturated();
    case.evidence.recent_actions = vec![recent(Action::ScaleUp, true, true)];
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::ScaleUp, 1),
        Verdict::NeedsReview,
        "more replicas are no cure",
    );
}

#[test]
fn the_auditor_lets_the_second_rung_of_a_ladder_pass_and_no_third() {
    let tried = |action| Tried {
        action,
        plan_hash: "h".into(),
        error: "e".into(),
        applied_at: None,
        generation: None,
        withdrawn: None,
    };
    let it = proposal(Action::ScaleUp, 1);
    let mut case = saturated();
    case.tried = vec![tried(Action::ScaleUp)];
    says(Seat::Auditor, &case, &it, Verdict::Approved, "");
    case.tried.push(tried(Action::ScaleUp));
    says(
        Seat::Auditor,
        &case,
        &it,
        Verdict::Rejected,
        "tried in this incident",
    );
}

#[test]
fn the_auditor_lets_no_trouble_elsewhere_end_unseen() {
    let mut case = case();
    case.evidence.containers[0].log_tail = "write: No space left on device\n".into();
    says(
        Seat::Auditor,
        &case,
        &proposal(Action::Noop, 0),
        Verdict::NeedsReview,
        "trouble elsewhere: a full disk, by the log of web-1",
    );
}

#[test]
fn the_auditor_stops_what_did_not_help() {
    let failed = |action| recent(action, false, false);
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
