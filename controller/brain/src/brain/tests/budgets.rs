//! What an incident may cost, in tokens and in time; time is virtual here.

use tokio::time::Instant;

use super::scripted::{Say, Scripted, text};
use super::*;
use crate::provider::ProviderError;

fn brain_of(members: &[&Scripted], budget: Budget, retry: RetryPolicy) -> Brain {
    let config = BrainConfig {
        budget,
        retry,
        ..BrainConfig::default()
    };
    Brain::with_members(config, members.iter().map(|it| it.member()).collect()).unwrap()
}

fn busy(retry_after: Option<u64>) -> Say {
    Say::Fail(ProviderError::Status {
        code: 503,
        retry_after: retry_after.map(Duration::from_secs),
        message: "busy".into(),
    })
}

#[tokio::test(start_paused = true)]
async fn waiting_for_models_ends_with_the_budget_of_time_and_the_analyst_answers() {
    let hangs = ["one", "two"].map(|name| Scripted::new(name, [Say::Hang]));
    let never = Scripted::new("three", [text(RESTART)]);
    let budget = Budget {
        wall: Duration::from_secs(90),
        ..Budget::default()
    };
    let started = Instant::now();
    let (analysis, _) = analyse(&brain_of(
        &[&hangs[0], &hangs[1], &never],
        budget,
        RetryPolicy::default(),
    ))
    .await;
    assert_eq!(
        (analysis.provider.as_str(), started.elapsed().as_secs()),
        ("builtin", 90)
    );
    assert_eq!(analysis.latency_ms, 90_000);
    assert!(analysis.attempts[2].reason.contains("budget of time is used up"));
    assert!(never.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_count_are_paid_for_until_the_budget_of_tokens_is_used_up() {
    let (one, two) = (
        Scripted::new("one", [text("no")]),
        Scripted::new("two", [text(RESTART)]),
    );
    let budget = Budget {
        tokens: 3800,
        ..Budget::default()
    };
    let (analysis, _) = analyse(&brain_of(&[&one, &two], budget, RetryPolicy::default())).await;
    assert_eq!((analysis.provider.as_str(), analysis.tokens), ("builtin", 3000));
    assert!(
        analysis.attempts[1]
            .reason
            .contains("budget of tokens is used up"),
        "{:?}",
        analysis.attempts
    );
    assert!(two.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn retries_wait_as_long_as_the_server_asks_and_no_longer_than_there_is_time() {
    let retry = RetryPolicy {
        retries: 5,
        base: Duration::from_millis(100),
        most: Duration::from_secs(30),
    };
    let one = Scripted::new("one", [busy(Some(20)), text(RESTART)]);
    let started = Instant::now();
    let (analysis, _) = analyse(&brain_of(&[&one], Budget::default(), retry)).await;
    assert_eq!(
        (analysis.provider.as_str(), started.elapsed()),
        ("one", Duration::from_secs(20))
    );

    let one = Scripted::new("one", [busy(Some(20)), text(RESTART)]);
    let budget = Budget {
        wall: Duration::from_secs(10),
        ..Budget::default()
    };
    let started = Instant::now();
    let (analysis, _) = analyse(&brain_of(&[&one], budget, retry)).await;
    assert_eq!(
        (analysis.provider.as_str(), started.elapsed()),
        ("builtin", Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn i1_the_votes_share_the_budget_that_the_analysis_left_also_after_a_restart() {
    let one = Scripted::new(
        "one",
        [
            text(RESTART),
            text(r#"{"reasoning": "r", "verdict": "APPROVED"}"#),
        ],
    );
    let budget = Budget {
        tokens: 3500,
        ..Budget::default()
    };
    let restarted = || brain_of(&[&one], budget, RetryPolicy::default());
    let (analysis, _) = analyse(&restarted()).await;
    let vote = restarted()
        .review(Seat::SecurityOfficer, &case(), &analysis, &[])
        .await;
    let asked = vote.asked.clone().unwrap();
    assert_eq!(
        (vote.verdict, asked.provider.as_deref(), asked.tokens),
        (Verdict::Approved, Some("one"), 1500)
    );
    let vote = restarted()
        .review(Seat::Auditor, &case(), &analysis, &[vote])
        .await;
    assert_eq!(vote.verdict, Verdict::NeedsReview);
    assert!(
        vote.reasoning.contains("budget of tokens is used up"),
        "{}",
        vote.reasoning
    );
    assert_eq!(one.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn reviewers_that_stall_one_after_the_other_end_with_the_time_of_their_incident() {
    let stall = || Say::Stall(Duration::from_secs(15));
    for (wall, votes, sum) in [(180, [30, 30], 60), (40, [30, 10], 40), (25, [25, 0], 25)] {
        let (one, two) = (
            Scripted::new("one", [text(RESTART), stall()]),
            Scripted::new("two", [stall()]),
        );
        let budget = Budget {
            wall: Duration::from_secs(wall),
            ..Budget::default()
        };
        let brain = brain_of(&[&one, &two], budget, RetryPolicy::default());
        let started = Instant::now();
        let (analysis, _) = analyse(&brain).await;
        assert_eq!((analysis.provider.as_str(), analysis.latency_ms), ("one", 0));
        let mut cast = Vec::new();
        for (seat, seconds) in [Seat::SecurityOfficer, Seat::Auditor].into_iter().zip(votes) {
            let before = Instant::now();
            let vote = brain.review(seat, &case(), &analysis, &cast).await;
            assert_eq!(before.elapsed().as_secs(), seconds, "{wall}: {vote:?}");
            assert_eq!(
                vote.verdict,
                Verdict::NeedsReview,
                "who says nothing approves nothing"
            );
            cast.push(vote);
        }
        assert_eq!(started.elapsed().as_secs(), sum);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_recovers_is_asked_again_after_its_pause() {
    let down = || Say::Fail(ProviderError::Transport("refused".into()));
    let one = Scripted::new("one", [down(), down(), down(), text(RESTART)]);
    let brain = brain_of(&[&one], Budget::default(), RetryPolicy::default());
    assert_eq!(analyse(&brain).await.0.provider, "builtin");
    assert_eq!(
        (analyse(&brain).await.0.provider.as_str(), one.asked().len()),
        ("builtin", 3)
    );
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(analyse(&brain).await.0.provider, "one");
}

#[tokio::test]
async fn routes_say_who_is_asked_what() {
    let (one, two) = (
        Scripted::new("one", [text(RESTART)]),
        Scripted::new("two", [text(r#"{"reasoning": "r", "verdict": "REJECTED"}"#)]),
    );
    let brain = brain_of(&[&one, &two], Budget::default(), RetryPolicy::default());
    let routed = brain.with_routes(Routes {
        models: Default::default(),
        analysis: vec!["one".into()],
        security_officer: Some(vec!["two".into()]),
        auditor: Some(Vec::new()),
    });
    let routed = routed.unwrap();
    let (analysis, _) = analyse(&routed).await;
    let security = routed
        .review(Seat::SecurityOfficer, &case(), &analysis, &[])
        .await;
    let auditor = routed.review(Seat::Auditor, &case(), &analysis, &[]).await;
    let sre = routed.review(Seat::SreAgent, &case(), &analysis, &[]).await;
    assert_eq!(security.asked.unwrap().provider.as_deref(), Some("two"));
    assert_eq!(
        (security.verdict, auditor.asked, sre.asked),
        (Verdict::Rejected, None, None)
    );
    let alone = brain.with_routes(Routes::all(["builtin", "one"])).unwrap();
    assert_eq!(analyse(&alone).await.0.provider, "builtin");
    assert!(brain.with_routes(Routes::all(["three"])).is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_what_a_provider_takes_side_by_side_wait_for_their_turn() {
    let one = Scripted::new("one", [Say::Hang, Say::Hang, text(RESTART)]);
    let brain = brain_of(&[&one], Budget::default(), RetryPolicy::default());
    let started = Instant::now();
    let (first, second, third) = tokio::join!(analyse(&brain), analyse(&brain), analyse(&brain));
    let providers = [&first, &second, &third].map(|(analysis, _)| analysis.provider.as_str());
    assert_eq!(providers, ["builtin", "builtin", "one"]);
    assert_eq!((third.0.latency_ms, started.elapsed().as_secs()), (60_000, 60));
}

#[tokio::test(start_paused = true)]
async fn i12_past_the_tokens_of_an_hour_the_analyst_answers_says_so_and_a_restart_does_not_forget() {
    let folder = tempfile::tempdir().unwrap();
    let config = || BrainConfig {
        spend: crate::SpendLimits {
            hour: 1000,
            day: 10_000,
        },
        spend_file: Some(folder.path().join("spent.json")),
        ..BrainConfig::default()
    };
    let one = Scripted::new("one", [text(RESTART), text(RESTART)]);
    let brain = Brain::with_members(config(), vec![one.member()]).unwrap();
    let (first, _) = analyse(&brain).await;
    assert_eq!((first.provider.as_str(), first.tokens >= 1000), ("one", true));
    for brain in [brain, Brain::with_members(config(), vec![one.member()]).unwrap()] {
        let (second, _) = analyse(&brain).await;
        assert_eq!((second.provider.as_str(), second.tokens), ("builtin", 0));
        assert!(
            second.attempts[0]
                .reason
                .contains("tokens of this hour are spent, over all incidents"),
            "{:?}",
            second.attempts
        );
    }
    assert_eq!(one.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_found_nothing_is_not_asked_about_the_same_again_a_moment_later() {
    const NOOP: &str = r#"{"root_cause": "none", "action": "NOOP", "justification": "all is well", "confidence": 0.9, "replica_count": 0}"#;
    let one = Scripted::new("one", [text(NOOP), text(NOOP)]);
    let brain = brain_of(&[&one], Budget::default(), RetryPolicy::default());
    assert_eq!(analyse(&brain).await.0.provider, "one");
    let (again, _) = analyse(&brain).await;
    assert_eq!(again.provider, "builtin");
    assert!(
        again.attempts[0]
            .reason
            .contains("found nothing to do about the same"),
        "{:?}",
        again.attempts
    );
    assert_eq!(one.asked().len(), 1);
}
