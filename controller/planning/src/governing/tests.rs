//! Policies and broken files in, who governs out.

use serde_json::json;

use super::*;

fn policy(name: &str, spec: serde_json::Value) -> Arc<RemediationPolicy> {
    Arc::new(RemediationPolicy::new(
        name,
        serde_json::from_value(spec).unwrap(),
    ))
}

fn broken(name: &str, text: &str) -> BrokenPolicy {
    BrokenPolicy {
        name: name.to_owned(),
        message: format!("remediationpolicies/{name}.yaml: it is broken"),
        selects: selectors(text),
    }
}

fn governs(policies: &[Arc<RemediationPolicy>], files: &[BrokenPolicy], workload: &str) -> Governing {
    let labels = BTreeMap::from([("tier".to_owned(), workload.to_owned())]);
    governing(
        policies,
        files,
        workload,
        &labels,
        Duration::from_secs(7),
        Duration::from_secs(30),
    )
}

#[test]
fn i5_without_any_policy_automation_asks_a_human() {
    let found = governs(&[], &[], "web");
    assert_eq!(
        (found.spec.mode, found.doubt),
        (Mode::Approve, Some(Doubt::NoPolicy))
    );
    assert_eq!(found.spec.cooldown, Duration::from_secs(7));
    let others = [policy(
        "db",
        json!({"workloads": {"names": ["db"]}, "mode": "Auto"}),
    )];
    assert_eq!(governs(&others, &[], "web").doubt, Some(Doubt::NoPolicy));
    assert_eq!(governs(&others, &[], "db").doubt, None);
}

#[test]
fn i5_a_broken_file_raises_doubt_about_every_workload_it_could_be_about_and_no_other() {
    let all = [policy("all", json!({"mode": "Auto"}))];
    for (what, text, web, db) in [
        (
            "its selector can be read",
            "spec: {workloads: {names: [web]}, mod: Approve}",
            true,
            false,
        ),
        (
            "by label",
            "spec: {workloads: {matchLabels: {tier: db}}, cooldown: soon}",
            false,
            true,
        ),
        (
            "several documents",
            "spec: {workloads: {names: [x]}}\n---\nspec: {workloads: {names: [db]}}",
            false,
            true,
        ),
        ("no selector", "spec: {mode: Aprove}", true, true),
        (
            "a selector under a wrong name",
            "spec: {workload: {names: [db]}}",
            true,
            true,
        ),
        (
            "a selector with a wrong field",
            "spec: {workloads: {name: db}}",
            true,
            true,
        ),
        ("no YAML", "spec: {workloads: [", true, true),
        ("no spec", "kind: RemediationPolicy", true, true),
        ("empty", "", true, true),
    ] {
        for (workload, expected) in [("web", web), ("db", db)] {
            let found = governs(&all, &[broken("pay", text)], workload);
            assert_eq!(found.doubt.is_some(), expected, "{what}: {workload}");
            assert_eq!(found.name, "all", "{what}");
        }
    }
}

#[test]
fn i5_what_the_last_good_version_of_a_broken_file_selects_is_in_doubt_too() {
    let policies = [policy(
        "pay",
        json!({"mode": "Auto", "workloads": {"names": ["web"]}}),
    )];
    let files = [broken("pay", "spec: {workloads: {names: [db]}, x: 1}")];
    assert!(governs(&policies, &files, "web").doubt.is_some());
    assert!(matches!(
        governs(&policies, &files, "db").doubt,
        Some(Doubt::Broken { .. })
    ));
    assert_eq!(governs(&policies, &files, "other").doubt, Some(Doubt::NoPolicy));
}
