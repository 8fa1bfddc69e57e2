//! A policy chooses who is asked, in which order and with which model.

use aegis_api::policy::AnalysisPolicy;
use aegis_api::yaml;

use super::scripted::{Scripted, text};
use super::*;

const APPROVED: &str = r#"{"verdict": "APPROVED", "reasoning": "fine"}"#;

fn policy(text: &str) -> AnalysisPolicy {
    serde_json::from_value(yaml::parse(text).unwrap().remove(0).value).unwrap()
}

/// Who analysed and voted as Security Officer and Auditor under a policy: provider and model.
async fn asked(brain: &Brain, policy: &AnalysisPolicy) -> Vec<String> {
    let brain = brain.under(policy).unwrap();
    let analysis = brain.analyse(&case(), &mut |_| {}).await.unwrap();
    let mut asked = vec![format!("{}/{}", analysis.provider, analysis.model)];
    for seat in [Seat::SecurityOfficer, Seat::Auditor] {
        let vote = brain.review(seat, &case(), &analysis, &[]).await;
        asked.push(match vote.asked {
            Some(by) => format!("{}/{}", by.provider.unwrap(), by.model.unwrap()),
            None => "rules".to_owned(),
        });
    }
    asked
}

fn one_and_two() -> (Scripted, Scripted, Brain) {
    let script = || [text(RESTART), text(APPROVED)];
    let (one, two) = (Scripted::new("one", script()), Scripted::new("two", script()));
    let brain = Brain::with_members(BrainConfig::default(), vec![one.member(), two.member()]).unwrap();
    (one, two, brain)
}

#[tokio::test]
async fn a_policy_brings_its_order_its_models_and_its_reviewers() {
    for (wanted, expected) in [
        ("{}", ["one/script", "one/script", "one/script"]),
        (
            "{providers: [two, one]}",
            ["two/script", "two/script", "two/script"],
        ),
        ("{models: {one: large}}", ["one/large", "one/large", "one/large"]),
        (
            "{providers: [two], models: {two: small}, seats: {auditor: builtin}}",
            ["two/small", "two/small", "rules"],
        ),
    ] {
        let (one, two, brain) = one_and_two();
        assert_eq!(asked(&brain, &policy(wanted)).await, expected, "{wanted}");
        let models: Vec<String> = one.models().into_iter().chain(two.models()).collect();
        let by_model: Vec<&str> = expected
            .iter()
            .filter_map(|it| it.split_once('/'))
            .map(|it| it.1)
            .collect();
        assert_eq!(models, by_model, "the requests themselves name the model");
    }
    let (one, two) = (
        Scripted::new("one", [text(RESTART)]),
        Scripted::new("two", [text(APPROVED)]),
    );
    let brain = Brain::with_members(BrainConfig::default(), vec![one.member(), two.member()]).unwrap();
    let seats =
        policy("{providers: [one], seats: {securityOfficer: two, auditor: two}, models: {two: careful}}");
    assert_eq!(
        asked(&brain, &seats).await,
        ["one/script", "two/careful", "two/careful"]
    );
}

#[tokio::test]
async fn builtin_alone_asks_no_model_and_ends_every_order() {
    let (one, two, brain) = one_and_two();
    let analysis = brain.under(&policy("{providers: [builtin]}")).unwrap();
    let analysis = analysis.analyse(&case(), &mut |_| {}).await.unwrap();
    assert_eq!(
        (analysis.provider.as_str(), one.asked().len() + two.asked().len()),
        (BUILTIN, 0)
    );
    let garbage = Scripted::new("one", [text("no idea")]);
    let brain = Brain::with_members(BrainConfig::default(), vec![garbage.member()]).unwrap();
    let brain = brain.under(&policy("{providers: [one]}")).unwrap();
    let analysis = brain.analyse(&case(), &mut |_| {}).await.unwrap();
    assert_eq!(
        (analysis.provider.as_str(), analysis.attempts.len()),
        (BUILTIN, 1)
    );
}

#[test]
fn an_unknown_provider_is_refused_wherever_it_is_named() {
    let (_, _, brain) = one_and_two();
    for wanted in [
        "{providers: [three]}",
        "{models: {three: m}}",
        "{seats: {auditor: three}}",
    ] {
        let error = brain.under(&policy(wanted)).unwrap_err().to_string();
        assert_eq!(
            error, "no provider is called \"three\": there are one, two, builtin",
            "{wanted}"
        );
    }
}

#[tokio::test]
async fn i9_a_model_that_a_policy_names_and_that_does_not_exist_takes_the_provider_from_no_other_policy() {
    let gone = crate::provider::ProviderError::Status {
        code: 404,
        retry_after: None,
        message: "no such model".to_owned(),
    };
    let script = [gone.clone(), gone.clone(), gone].map(scripted::Say::Fail);
    let model = Scripted::new("one", script.into_iter().chain([text(RESTART)]));
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let misled = brain.under(&policy("{models: {one: missing}}")).unwrap();
    for _ in 0..4 {
        let analysis = misled.analyse(&case(), &mut |_| {}).await.unwrap();
        assert_eq!(
            (analysis.provider.as_str(), analysis.attempts[0].model.as_str()),
            (BUILTIN, "missing")
        );
    }
    assert_eq!(
        model.models().len(),
        3,
        "the circuit of the missing model is open"
    );
    let analysis = brain.analyse(&case(), &mut |_| {}).await.unwrap();
    assert_eq!(analysis.provider, "one");
}
