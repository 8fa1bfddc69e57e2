//! Incidents and workloads in, what the host allows out.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Time {
    NOW.parse().unwrap()
}

fn ago(seconds: i64) -> Time {
    Time(now().0 - jiff::SignedDuration::from_secs(seconds))
}

fn incident(workload: &str, spec: &Value, status: &Value) -> Arc<Incident> {
    let mut all = json!({"workloadRef": workload, "alertType": "odd"});
    all.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let mut incident = Incident::new(workload, serde_json::from_value(all).unwrap());
    let mut whole = json!({"workload": workload, "phase": "RESOLVED"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(status.as_object().unwrap().clone());
    incident.status = Some(serde_json::from_value(whole).unwrap());
    Arc::new(incident)
}

fn plan(action: &str) -> Value {
    json!({"hash": "1", "action": action, "target": "x", "parentGeneration": 1, "patch": {}, "createdAt": NOW})
}

/// One that was acted on so long ago, and ended.
fn acted(workload: &str, seconds: i64) -> Arc<Incident> {
    let status =
        json!({"plan": plan("RESTART"), "execution": {"appliedAt": ago(seconds)}, "finishedAt": NOW});
    incident(workload, &json!({}), &status)
}

fn healed(workload: &str, seconds: i64) -> Arc<Workload> {
    let mut found = Workload::new(
        workload,
        serde_json::from_value(json!({"container": workload})).unwrap(),
    );
    let status = json!({"captures": [{"takenAt": ago(seconds), "because": "unhealthy", "container": {}}]});
    found.status = Some(serde_json::from_value(status).unwrap());
    Arc::new(found)
}

fn word(incidents: &[Arc<Incident>], workloads: &[Arc<Workload>], resumed: Option<Time>) -> &'static str {
    asked(incidents, workloads, resumed, None)
}

/// The ruling on the workload `me`, where it has been unhealthy since then.
fn asked(
    incidents: &[Arc<Incident>],
    workloads: &[Arc<Workload>],
    resumed: Option<Time>,
    since: Option<Time>,
) -> &'static str {
    let asker = Asker {
        workload: "me",
        since,
        severity: Severity::Warning,
        waits: None,
    };
    let used = host_use(incidents, workloads, asker, resumed, now());
    match judge(&HostLimits::default(), &used, "me") {
        None => "go",
        Some(HostRuling::Busy(_)) => "busy",
        Some(HostRuling::Exhausted(_)) => "exhausted",
        Some(HostRuling::BlastRadius(_)) => "blast radius",
    }
}

#[test]
fn i6_the_fourth_workload_within_a_minute_is_one_too_many() {
    let three = [acted("a", 50), acted("b", 30), acted("c", 1)];
    assert_eq!(word(&three, &[], None), "blast radius");
    assert_eq!(word(&three[1..], &[], None), "go");
    assert_eq!(
        word(&[acted("a", 61), acted("b", 30), acted("c", 1)], &[], None),
        "go"
    );
    assert_eq!(
        word(
            &[acted("a", 9), acted("a", 5), acted("me", 3), acted("b", 1)],
            &[],
            None
        ),
        "go"
    );
    let noop = json!({"plan": plan("NOOP"), "execution": {"appliedAt": ago(1)}, "finishedAt": NOW});
    assert_eq!(
        word(
            &[acted("a", 9), acted("b", 9), incident("c", &json!({}), &noop)],
            &[],
            None
        ),
        "go"
    );
    // What people ordered is theirs, and what was before somebody resumed is answered.
    let ordered = json!({"override": {"action": "RESTART", "by": "ada"}});
    let status = json!({"plan": plan("RESTART"), "execution": {"appliedAt": ago(1)}, "finishedAt": NOW});
    assert_eq!(
        word(
            &[acted("a", 9), acted("b", 9), incident("c", &ordered, &status)],
            &[],
            None
        ),
        "go"
    );
    assert_eq!(word(&three, &[], Some(ago(20))), "go");
}

#[test]
fn i6_restarts_of_unhealthy_containers_and_those_who_wait_their_turn_are_among_the_workloads_of_a_minute() {
    assert_eq!(
        word(&[acted("a", 5)], &[healed("b", 5), healed("c", 59)], None),
        "blast radius"
    );
    assert_eq!(
        word(&[acted("a", 5)], &[healed("b", 5), healed("c", 61)], None),
        "go"
    );
    for (since, expected) in [(0, "blast radius"), (61, "go")] {
        let held = json!({"type": "Held", "status": "True", "reason": "HostBusy", "message": "",
            "lastTransitionTime": ago(since)});
        let waits = json!({"phase": "COUNCIL_REVIEW", "conditions": [held]});
        let all = [acted("a", 5), acted("b", 5), incident("c", &json!({}), &waits)];
        assert_eq!(
            word(&all, &[], None),
            expected,
            "a queue that grows slowly is no blast"
        );
    }
}

#[test]
fn i6_what_people_have_seen_when_they_resume_pauses_nothing_again() {
    let three = [acted("a", 9), acted("b", 5), acted("c", 1)];
    let opened_at = |seconds: i64| {
        let mut three: Vec<Incident> = three.iter().map(|incident| (**incident).clone()).collect();
        for incident in &mut three {
            incident.metadata.creation_timestamp = Some(ago(seconds).meta());
        }
        three.into_iter().map(Arc::new).collect::<Vec<_>>()
    };
    let resumed = Some(ago(20));
    // Acted on after somebody resumed, known before, and the other way round.
    assert_eq!(asked(&opened_at(30), &[], resumed, Some(ago(10))), "go");
    assert_eq!(asked(&opened_at(15), &[], resumed, Some(ago(10))), "blast radius");
    assert_eq!(asked(&opened_at(15), &[], resumed, Some(ago(25))), "go");
}

#[test]
fn i6_two_workloads_at_a_time_are_remedied_and_the_third_waits() {
    let under_way = |workload: &str, phase: &str, action: &str| {
        let status = json!({"phase": phase, "plan": plan(action)});
        incident(workload, &json!({}), &status)
    };
    let two = [
        under_way("a", "VERIFYING", "RESTART"),
        under_way("b", "APPROVED", "SCALE_UP"),
    ];
    assert_eq!(word(&two, &[], None), "busy");
    assert_eq!(word(&two[1..], &[], None), "go");
    assert_eq!(
        word(
            &[
                under_way("a", "EXECUTING", "RESTART"),
                under_way("b", "VERIFYING", "NOOP")
            ],
            &[],
            None
        ),
        "go"
    );
    assert_eq!(
        word(
            &[
                under_way("a", "EXECUTING", "RESTART"),
                under_way("a", "SCALING", "SCALE_UP")
            ],
            &[],
            None
        ),
        "go"
    );
    assert_eq!(
        word(
            &[
                under_way("a", "EXECUTING", "RESTART"),
                under_way("me", "EXECUTING", "RESTART")
            ],
            &[],
            None
        ),
        "go"
    );
    // Restarts of what is unhealthy are among them until it is well, or a minute is over.
    let one = [under_way("a", "EXECUTING", "RESTART")];
    for (seconds, health, expected) in [
        (5, "Unhealthy", "busy"),
        (5, "Unknown", "busy"),
        (5, "Healthy", "go"),
        (61, "Unhealthy", "go"),
    ] {
        let mut unhealthy = (*healed("b", seconds)).clone();
        let row = json!({"name": "b", "id": "1", "index": 0, "state": "running", "health": health, "revision": "r"});
        if let Some(status) = &mut unhealthy.status {
            status.captures[0].container.id = "1".into();
            status.instances = vec![serde_json::from_value(row).unwrap()];
        }
        assert_eq!(
            word(&one, &[Arc::new(unhealthy)], None),
            expected,
            "{seconds} {health}"
        );
    }
}

/// One with `spec.restart` that has been unhealthy for so long, of which nothing was stored but that.
fn unhealthy(workload: &str, seconds: i64) -> Arc<Workload> {
    let spec = json!({"container": workload, "restart": {"unhealthyAfter": "30s"}});
    let mut found = Workload::new(workload, serde_json::from_value(spec).unwrap());
    let row = json!({"name": workload, "id": workload, "index": 0, "state": "running", "health": "Unhealthy",
        "revision": "r", "unhealthySince": ago(seconds)});
    found.status = Some(serde_json::from_value(json!({"instances": [row]})).unwrap());
    Arc::new(found)
}

#[test]
fn i6_what_is_unhealthy_long_enough_to_be_restarted_counts_whether_or_not_it_had_its_turn() {
    let three = |seconds| {
        [
            unhealthy("a", seconds),
            unhealthy("b", seconds),
            unhealthy("c", seconds),
        ]
    };
    assert_eq!(word(&[], &three(30), None), "blast radius");
    assert_eq!(word(&[], &three(89), None), "blast radius");
    assert_eq!(
        word(&[], &three(29), None),
        "go",
        "they may recover by themselves"
    );
    assert_eq!(word(&[], &three(91), None), "go", "that was long ago");
    assert_eq!(word(&[], &three(40)[..2], None), "go");
    assert_eq!(
        word(&[], &three(40), Some(ago(20))),
        "go",
        "known when somebody resumed"
    );
}

#[test]
fn i6_an_approved_plan_that_a_pause_caught_takes_nobodys_turn() {
    let approved = |workload: &str, reason: &str| {
        let held = json!({"type": "Held", "status": "True", "reason": reason, "message": "", "lastTransitionTime": NOW});
        let created = json!({"hash": "1", "action": "RESTART", "target": "x", "parentGeneration": 1, "patch": {},
            "createdAt": ago(600)});
        let status = json!({"phase": "APPROVED", "plan": created, "conditions": [held]});
        incident(workload, &json!({}), &status)
    };
    assert_eq!(
        word(&[approved("a", "Paused"), approved("b", "Paused")], &[], None),
        "go"
    );
    assert_eq!(
        word(&[approved("a", "Odd"), approved("b", "Odd")], &[], None),
        "busy"
    );
}

#[test]
fn i6_those_about_to_act_count_as_if_it_were_stored() {
    let about_to = |names: &[&str]| {
        let names = names.iter().map(|name| ((*name).to_owned(), Severity::Warning));
        let used = HostUse::default().and(&names.collect(), Severity::Warning);
        judge(&HostLimits::default(), &used, "me")
    };
    assert_eq!(about_to(&["a"]), None);
    assert!(matches!(about_to(&["a", "b"]), Some(HostRuling::Busy(_))));
    assert!(matches!(
        about_to(&["a", "b", "c"]),
        Some(HostRuling::BlastRadius(_))
    ));
}

#[test]
fn i12_a_message_names_a_few_workloads_however_many_there_are() {
    let many: BTreeSet<String> = (0..900).map(|n| format!("w{n:03}")).collect();
    assert_eq!(list(&many), "w000, w001, w002, w003, w004 and 895 more");
    assert_eq!(list(&many.into_iter().take(2).collect()), "w000, w001");
}

#[test]
fn i6_the_hosts_hourly_budget_counts_every_workload_and_every_rung() {
    let one = |seconds: i64| acted("a", seconds);
    // Of thirty; the last three are for what is critical.
    let many: Vec<_> = (0..27).map(|n| one(600 + n)).collect();
    assert_eq!(word(&many, &[], None), "exhausted");
    assert_eq!(word(&many[1..], &[], None), "go");
    assert_eq!(word(&many[1..], &[healed("b", 3000)], None), "exhausted");
    let old: Vec<_> = (0..40).map(|n| one(3601 + n)).collect();
    assert_eq!(word(&old, &[], None), "go");
    let rungs = json!({"tried": [{"action": "RESTART", "planHash": "1", "error": "no", "appliedAt": ago(700)}], "finishedAt": NOW});
    let all: Vec<_> = many[1..]
        .iter()
        .cloned()
        .chain([incident("b", &json!({}), &rungs)])
        .collect();
    assert_eq!(word(&all, &[], None), "exhausted");
}

#[test]
fn i6_every_restart_of_an_unhealthy_container_counts_however_few_of_them_are_remembered_in_full() {
    let mut restless = (*healed("a", 1000)).clone();
    if let Some(status) = &mut restless.status {
        status.heals = (1..=26).map(|nth| ago(nth * 120)).collect();
    }
    assert_eq!(word(&[], &[Arc::new(restless.clone())], None), "go");
    if let Some(status) = &mut restless.status {
        status.heals.push(ago(90));
    }
    assert_eq!(word(&[], &[Arc::new(restless.clone())], None), "exhausted");
    // Those of more than an hour ago are over.
    if let Some(status) = &mut restless.status {
        status.heals.push(ago(3601));
        status.heals.swap_remove(0);
    }
    assert_eq!(word(&[], &[Arc::new(restless)], None), "go");
}

#[test]
fn what_is_graver_and_waits_for_its_turn_goes_first_and_keeps_no_more_places_than_it_needs() {
    let waits = |workload: &str, severity: &str| {
        let held = json!({"phase": "COUNCIL_REVIEW", "conditions": [{"type": "Held", "status": "True", "reason": "HostBusy",
            "message": "", "lastTransitionTime": NOW}]});
        incident(workload, &json!({"severity": severity}), &held)
    };
    let works = |workload: &str| {
        incident(
            workload,
            &json!({}),
            &json!({"phase": "EXECUTING", "plan": plan("RESTART")}),
        )
    };
    let of = |severity, incidents: &[Arc<Incident>]| {
        let asker = Asker {
            workload: "me",
            since: None,
            severity,
            waits: None,
        };
        let used = host_use(incidents, &[], asker, None, now());
        judge(
            &HostLimits {
                workloads_per_minute: usize::MAX,
                ..HostLimits::default()
            },
            &used,
            "me",
        )
    };
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    // Two at a time.
    let one_of_two = [works("a"), waits("b", "critical")];
    assert!(
        matches!(of(warning, &one_of_two), Some(HostRuling::Busy(why)) if why.contains("graver trouble goes first: b"))
    );
    assert_eq!(
        of(critical, &one_of_two),
        None,
        "equals do not wait for each other"
    );
    assert_eq!(of(warning, &[works("a"), waits("b", "warning")]), None);
    assert_eq!(
        of(warning, &[waits("b", "critical")]),
        None,
        "there is a place for each"
    );
    let two_wait = [waits("b", "critical"), waits("c", "critical")];
    assert!(of(warning, &two_wait).is_some());
    assert_eq!(of(critical, &two_wait), None);
    let own = [works("a"), waits("me", "critical")];
    assert_eq!(of(warning, &own), None, "of one's own workload the lease decides");
}

/// One that waits for its turn for so many seconds.
fn waiting(workload: &str, severity: &str, seconds: i64) -> Arc<Incident> {
    let held = json!({"type": "Held", "status": "True", "reason": "HostBusy", "message": "",
        "lastTransitionTime": ago(seconds)});
    let status = json!({"phase": "COUNCIL_REVIEW", "conditions": [held]});
    incident(workload, &json!({"severity": severity}), &status)
}

fn working(workload: &str, severity: &str) -> Arc<Incident> {
    let status = json!({"phase": "VERIFYING", "plan": plan("RESTART")});
    incident(workload, &json!({"severity": severity}), &status)
}

/// Whether an incident of this severity, which waits for so many seconds, may act on `me` now.
fn goes(limits: HostLimits, severity: Severity, waits: Option<i64>, incidents: &[Arc<Incident>]) -> bool {
    let asker = Asker {
        workload: "me",
        since: None,
        severity,
        waits: waits.map(ago),
    };
    let used = host_use(incidents, &[], asker, None, now());
    let limits = HostLimits {
        workloads_per_minute: usize::MAX,
        ..limits
    };
    judge(&limits, &used, "me").is_none()
}

const TWO: HostLimits = HostLimits {
    concurrency: 2,
    reserve: 1,
    ..HostLimits::NONE
};

#[test]
fn i6_a_critical_one_acts_beside_the_less_grave_ones_that_hold_the_places_and_no_more_than_the_reserve_do() {
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    let two_warnings = [working("a", "warning"), working("b", "warning")];
    assert!(goes(TWO, critical, None, &two_warnings));
    assert!(!goes(TWO, warning, None, &two_warnings));
    assert!(!goes(TWO, Severity::Info, None, &two_warnings));
    let none_kept = HostLimits { reserve: 0, ..TWO };
    assert!(!goes(none_kept, critical, None, &two_warnings));
    // The reserve has one place, and is for going beside what is less grave.
    let mixed = [
        working("a", "warning"),
        working("b", "warning"),
        working("c", "critical"),
    ];
    assert!(!goes(TWO, critical, None, &mixed));
    assert!(goes(TWO, critical, None, &mixed[1..]));
    let two_critical = [working("a", "critical"), working("b", "critical")];
    assert!(!goes(TWO, critical, None, &two_critical));
    let one_at_a_time = HostLimits {
        concurrency: 1,
        ..TWO
    };
    assert!(goes(one_at_a_time, critical, None, &two_warnings[..1]));
    assert!(!goes(one_at_a_time, critical, None, &two_critical[..1]));
    // Of what is about to act the same holds.
    let about_to: BTreeMap<String, Severity> = [("a", warning), ("b", warning)]
        .map(|(name, severity)| (name.to_owned(), severity))
        .into();
    let used = |critical_asks| HostUse {
        critical: critical_asks,
        ..HostUse::default()
    };
    assert_eq!(busy(&TWO, &used(true).and(&about_to, critical)), None);
    assert!(busy(&TWO, &used(false).and(&about_to, warning)).is_some());
}

#[test]
fn i6_the_last_tenth_of_the_hours_actions_is_for_what_is_critical() {
    let of = |used, critical| {
        let used = HostUse {
            used,
            critical,
            ..HostUse::default()
        };
        exhausted(&HostLimits::default(), &used)
    };
    assert_eq!(of(26, false), None);
    assert!(of(27, false).is_some_and(|why| why.contains("the last 3 are for what is critical")));
    assert_eq!(of(29, true), None);
    assert!(of(30, true).is_some());
}

#[test]
fn what_has_let_others_go_first_for_five_minutes_goes_beside_them_and_keeps_no_critical_one_from_the_reserve()
{
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    let one_free = [
        working("a", "warning"),
        waiting("b", "critical", 10),
        waiting("c", "critical", 9),
    ];
    assert!(!goes(TWO, warning, Some(299), &one_free));
    assert!(goes(TWO, warning, Some(300), &one_free));
    // Beside critical ones that hold the places, too; but not beside its equals.
    let both = [working("a", "critical"), working("b", "critical")];
    assert!(!goes(TWO, warning, Some(299), &both));
    assert!(goes(TWO, warning, Some(300), &both));
    assert!(!goes(
        TWO,
        warning,
        Some(300),
        &[working("a", "warning"), working("b", "warning")]
    ));
    // However many are overdue, the reserve is there for what is critical.
    let many: Vec<_> = (0..50)
        .map(|n| waiting(&format!("w{n}"), "warning", 400))
        .collect();
    assert!(goes(TWO, critical, None, &many));
    let held = [vec![working("a", "warning"), working("b", "warning")], many].concat();
    assert!(goes(TWO, critical, None, &held));
    // Where none is kept, it is let go first.
    let none_kept = HostLimits { reserve: 0, ..TWO };
    let one = |waits| [working("a", "warning"), waiting("b", "warning", waits)];
    assert!(!goes(none_kept, critical, None, &one(300)));
    assert!(goes(none_kept, critical, None, &one(299)));
}

/// Critical trouble that never ceases, each of which takes a minute; and warnings.
#[test]
fn an_endless_stream_of_critical_trouble_keeps_no_warning_waiting_for_more_than_five_minutes_and_their_remedies()
 {
    for reserve in [0, 1] {
        endless(HostLimits { reserve, ..TWO });
    }
}

fn endless(limits: HostLimits) {
    const TAKES: i64 = 60;
    // Name, severity, since when it waits, since when it is worked on.
    let mut all: Vec<(String, &str, i64, Option<i64>)> = (0..3)
        .map(|n| (format!("warning-{n}"), "warning", 0, None))
        .collect();
    let mut begun: BTreeMap<String, i64> = BTreeMap::new();
    for second in (0..900_i64).step_by(10) {
        all.retain(|(.., since)| since.is_none_or(|since| second - since < TAKES));
        if second % 20 == 0 {
            all.push((format!("critical-{second}"), "critical", second, None));
        }
        // Those of the first names are reconciled first: the worst order for the warnings.
        let mut names: Vec<String> = all
            .iter()
            .filter(|one| one.3.is_none())
            .map(|one| one.0.clone())
            .collect();
        names.sort();
        for name in names {
            let me = all.iter().position(|one| one.0 == name).unwrap();
            let others: Vec<Arc<Incident>> = all
                .iter()
                .filter(|one| one.0 != name)
                .map(|(name, severity, since, at)| match at {
                    Some(_) => working(name, severity),
                    None => waiting(name, severity, second - since),
                })
                .collect();
            let severity = match all[me].1 {
                "critical" => Severity::Critical,
                _ => Severity::Warning,
            };
            if goes(limits, severity, Some(second - all[me].2), &others) {
                all[me].3 = Some(second);
                begun.insert(name, second - all[me].2);
            }
        }
        let at_work = all.iter().filter(|one| one.3.is_some()).count();
        assert!(
            at_work <= limits.concurrency + limits.reserve,
            "{at_work} at {second}"
        );
    }
    let bound = i64::try_from(YIELDS_AT_MOST.as_secs()).unwrap() + 3 * TAKES + 10;
    for n in 0..3 {
        let waited = begun.get(&format!("warning-{n}")).copied();
        assert!(
            waited.is_some_and(|waited| waited <= bound),
            "warning-{n} waited {waited:?} s"
        );
    }
    assert!(begun.keys().any(|name| name.starts_with("critical")));
}
