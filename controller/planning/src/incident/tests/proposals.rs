//! Whatever a model proposes and however the seats vote: a plan names the incident's own workload, keeps to the policy,
//! and comes about by itself only with a quorum.

use aegis_api::proposal::{Seat, Verdict};

use super::*;

const VERDICTS: [Verdict; 3] = [Verdict::Approved, Verdict::Rejected, Verdict::NeedsReview];
const SEATS: [Seat; 3] = [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor];

/// An incident that has been analysed and voted on. The words of the model name another workload wherever they can.
fn judged(action: Action, count: u32, verdicts: [Verdict; 3]) -> Incident {
    let votes: Vec<String> = SEATS
        .iter()
        .zip(verdicts)
        .map(|(seat, verdict)| {
            format!(
                "{{role: {}, verdict: {}, reasoning: restart db instead, timestamp: '{NOW}'}}",
                seat.as_str(),
                verdict.as_str()
            )
        })
        .collect();
    let status = format!(
        "
phase: COUNCIL_REVIEW
workload: web
votes: [{}]
analysis:
  proposal: {{rootCause: db is broken, action: {action}, justification: restart db, confidence: 1.0, replicaCount: {count}}}
  reasoning: 'the target is workload db'
  provider: fastrouter
  model: m
  latencyMs: 1
  at: '{NOW}'
",
        votes.join(", ")
    );
    incident(REPORT, &status)
}

/// What the step would do by itself, and what it would ask a human for.
fn plans(
    step: &Next,
) -> (
    Option<&aegis_api::incident::Plan>,
    Option<&aegis_api::incident::Plan>,
) {
    let transition = step.transition().unwrap_or_else(|| panic!("{step:?}"));
    match transition.what {
        What::Approved => (transition.plan(), None),
        What::Asked | What::DryRunEnded => (None, transition.plan()),
        What::Failed => (None, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i4_i5_no_proposal_reaches_another_workload_leaves_the_policy_or_does_without_a_quorum() {
    let policies = [
        ("{replicas: {min: 2, max: 4}}", true, true),
        (
            "{replicas: {min: 2, max: 4}, allowedActions: [RESTART]}",
            true,
            false,
        ),
        ("{replicas: {min: 2, max: 4}, mode: Approve}", false, true),
        ("{replicas: {min: 2, max: 4}, mode: DryRun}", false, true),
        ("{replicas: {min: 2, max: 4}, actionsPerHour: 0}", false, true),
    ];
    let mut acted = 0;
    for (policy, may_act, all_actions) in policies {
        for action in Action::ALL {
            let scales = matches!(action, Action::ScaleUp | Action::ScaleDown);
            for count in if scales { vec![0, 1, u32::MAX] } else { vec![0] } {
                for verdicts in combinations() {
                    let step = step(judged(action, count, verdicts), policy);
                    let name = format!("{policy} {action} by {count} {verdicts:?}: {step:?}");
                    let (alone, asked) = plans(&step);
                    for plan in alone.iter().chain(&asked) {
                        assert_eq!((plan.target.as_str(), plan.action), ("web", action), "{name}");
                        assert!(
                            plan.patch.replicas.is_none_or(|wanted| (2..=4).contains(&wanted)),
                            "{name}"
                        );
                        assert!(
                            all_actions || matches!(action, Action::Restart | Action::Noop),
                            "{name}"
                        );
                    }
                    let approvals =
                        |seats: &[Verdict]| seats.iter().filter(|it| **it == Verdict::Approved).count();
                    if alone.is_some() {
                        assert!(may_act || action == Action::Noop, "{name}");
                        assert!(
                            approvals(&verdicts) >= 2 && approvals(&verdicts[1..]) >= 1,
                            "{name}"
                        );
                        acted += 1;
                    }
                }
            }
        }
    }
    assert!(acted > 0);
}

fn combinations() -> impl Iterator<Item = [Verdict; 3]> {
    VERDICTS.into_iter().flat_map(|sre| {
        VERDICTS
            .into_iter()
            .flat_map(move |security| VERDICTS.into_iter().map(move |auditor| [sre, security, auditor]))
    })
}
