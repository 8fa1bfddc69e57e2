use super::*;
use serde_json::json;

fn now() -> Time {
    "2026-01-31T12:10:00Z".parse().unwrap()
}

#[test]
fn a_workload_shows_its_containers_revisions_and_conditions() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
        "metadata": {"name": "buggy-app-v2", "generation": 4, "creationTimestamp": "2026-01-31T12:00:00Z",
            "labels": {"app": "buggy"}, "annotations": {"aegisops.io/protected": "true", aegis_api::meta::LAST_APPLIED: "{}"}},
        "spec": {"container": "buggy-app-v2", "replicas": 2, "health": {"http": {"path": "/health", "port": 8000}}},
        "status": {"observedGeneration": 3, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "revision": "aabbccddee",
            "instances": [
                {"name": "buggy-app-v2", "id": "0123456789abcdef", "index": 0, "addresses": {"aegis-network": "172.20.0.2"},
                 "state": "running", "health": "Healthy", "revision": "aabbccddee", "startedAt": "2026-01-31T12:05:00Z"},
                {"name": "buggy-app-v2-replica-1", "id": "fedcba9876543210", "index": 1, "state": "running",
                 "health": "Unhealthy", "revision": "aabbccddee", "restarts": 2, "message": "timed out \u{1b}[2J"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "NotAllReady", "message": "1 of 2",
                "lastTransitionTime": "2026-01-31T12:09:00Z"}]},
    });
    insta::assert_snapshot!(describe(&object, None, &[], now()));
}

#[test]
fn a_load_balancer_shows_what_nginx_serves_and_the_proof() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "LoadBalancer", "metadata": {"name": "aegis-lb", "generation": 1},
        "spec": {"container": "aegis-lb", "backends": [{"workload": "buggy-app-v2", "port": 8000, "upstream": "buggy_app"}]},
        "status": {"observedGeneration": 1, "serverCount": 1, "revision": "r7",
            "servers": [{"upstream": "buggy_app", "workload": "buggy-app-v2", "container": "buggy-app-v2", "id": "i", "address": "172.20.0.2:8000"}],
            "lastReload": {"revision": "r7", "at": "2026-01-31T12:09:00Z", "provedAt": "2026-01-31T12:09:00.120Z", "check": "syntax is ok"},
            "receipts": [{"containers": ["buggy-app-v2-replica-1"], "causes": ["ScaleIn"], "startedAt": "2026-01-31T12:08:00Z", "finishedAt": "2026-01-31T12:08:01.5Z", "drained": true, "requests": {"inFlight": 3, "drained": 3, "forced": 0, "failed": 0}}]},
    });
    insta::assert_snapshot!(describe(&object, None, &[], now()));
}

#[test]
fn a_load_balancer_shows_where_tcp_is_served_and_that_its_connections_are_closed() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "LoadBalancer", "metadata": {"name": "aegis-lb", "generation": 1},
        "spec": {"container": "aegis-lb", "backends": [
            {"workload": "web", "port": 8000, "upstream": "web"},
            {"workload": "db", "port": 5432, "upstream": "db", "protocol": "Tcp", "listenPort": 15432}]},
        "status": {"observedGeneration": 1, "serverCount": 0, "unavailable": [
            {"upstream": "db", "since": "2026-01-31T12:09:00Z", "reason": "workload db is scaled to 0", "tcp": true}]},
    });
    let shown = describe(&object, None, &[], now());
    for part in [
        "/etc/nginx/stream.d/, named as Config (by nginx-stream.conf.tera)",
        "SERVED AT",
        "15432/tcp",
        "db closes connections since",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn an_incident_shows_its_whole_story() {
    let at = "2026-01-31T12:09:00Z";
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc-1", "generation": 1},
        "spec": {"workloadRef": "buggy-app-v2", "alertType": "MEMORY \u{1b}]0;x\u{7}", "severity": "critical",
            "logs": "line one\nline \u{1b}[31mtwo", "source": {"kind": "webhook", "incidentId": "INC-1", "labels": {"details.message": "86 percent"}}},
        "status": {"observedGeneration": 1, "phase": "RESOLVED", "workload": "buggy-app-v2", "resolvedAt": "2026-01-31T12:09:03Z",
            "evidence": {"containers": [{"name": "buggy-app-v2", "id": "i", "image": "x", "state": "running", "oomKilled": false,
                "restartCount": 0, "health": "Healthy", "memoryBytes": 91, "memoryLimitBytes": 100, "cpuPercent": 3.2}],
                "desiredReplicas": 1, "readyReplicas": 1, "canRollBack": false, "gaps": ["no events"],
                "recentActions": [
                    {"incident": "inc-0", "alertType": "MEMORY", "action": "RESTART", "at": at, "verified": true},
                    {"action": "SCALE_UP", "replicas": 3, "at": at}, {"action": "RESTART", "at": at}]},
            "retrieved": [{"entry": "rb-1", "score": 0.51239, "action": "RESTART", "rootCause": "a leak", "trust": 0.75, "recommended": true}],
            "analysis": {"proposal": {"rootCause": "a leak", "action": "RESTART", "justification": "memory rises", "confidence": 0.9, "replicaCount": 0},
                "reasoning": "r", "provider": "ollama", "model": "llama3.2", "latencyMs": 2, "tokens": 900, "promptHash": "c0ffee", "at": at,
                "attempts": [{"provider": "fastrouter", "model": "claude", "reason": "answered HTTP 503: busy"}]},
            "council": {"votes": [
                {"role": "SECURITY_OFFICER", "verdict": "APPROVED", "reasoning": "safe", "timestamp": at},
                {"role": "AUDITOR", "verdict": "APPROVED", "reasoning": "carried", "timestamp": at,
                    "asked": {"provider": "ollama", "model": "llama3.2", "tokens": 700, "latencyMs": 40,
                        "promptHash": "beef0123456789abcdef"}}],
                "finalVerdict": "APPROVED", "consensus": "3/3 approved", "summary": "all agree"},
            "plan": {"hash": "abc123", "action": "RESTART", "target": "buggy-app-v2", "parentGeneration": 2,
                "patch": {"restartedAt": at}, "createdAt": at},
            "execution": {"appliedAt": at, "convergedAt": "2026-01-31T12:09:01.25Z", "containers": ["buggy-app-v2"], "lbConfigured": true},
            "verification": {"attempts": [
                {"number": 1, "at": "2026-01-31T12:09:02Z", "healthy": false, "message": "connection refused"},
                {"number": 2, "at": "2026-01-31T12:09:03Z", "healthy": true, "message": "200 in 3 ms"}], "healthVerified": true},
            "tried": [{"action": "SCALE_UP", "planHash": "zzz", "error": "no capacity"}],
            "timeline": [
                {"ts": at, "status": "RECEIVED", "message": "webhook"},
                {"ts": "2026-01-31T12:09:00.4Z", "status": "COUNCIL_VOTE", "message": "APPROVED", "agent": "AUDITOR"},
                {"ts": "2026-01-31T12:09:03Z", "status": "RESOLVED", "message": "healthy"}],
            "learned": "rb-2"},
    });
    let events = [
        json!({"type": "Normal", "reason": "Resolved", "message": "done", "lastTimestamp": "2026-01-31T12:09:03Z", "count": 1}),
    ];
    insta::assert_snapshot!(describe(&object, None, &events, now()));
}

#[test]
fn an_incident_under_a_silence_says_which_whose_why_and_until_when() {
    let silenced = |until: serde_json::Value| {
        let object = json!({
            "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc-1", "generation": 1},
            "spec": {"workloadRef": "web", "alertType": "DOWN"},
            "status": {"phase": "RECEIVED", "silenced": {"silence": "disks", "owner": "ada", "reason": "new \u{1b}[31mdisks",
                "until": until, "since": "2026-01-31T12:00:00Z"}},
        });
        describe(&object, None, &[], now())
    };
    let page = silenced(json!("2026-01-31T13:00:00Z"));
    for shown in ["silence/disks", "ada", "2026-01-31 13:00:00Z"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains('\u{1b}'), "{page}");
    assert!(silenced(serde_json::Value::Null).contains("its weekly window ends"));
}

#[test]
fn an_object_that_this_client_does_not_understand_is_shown_as_data() {
    let object = json!({"kind": "Workload", "metadata": {"name": "web"}, "spec": {"container": "web", "fromTheFuture": 1}});
    let page = describe(&object, None, &[], now());
    assert!(
        page.contains("Spec:\n  container: web\n  fromTheFuture: 1\n") && page.contains("Events:   <none>"),
        "{page}"
    );
}

#[test]
fn a_detector_shows_what_it_sees_of_each_workload() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Detector", "metadata": {"name": "memory-high", "generation": 1},
        "spec": {"signal": "Memory", "for": "1m", "clear": "2m", "alertType": "MEMORY_HIGH"},
        "status": {"observedGeneration": 1, "firing": 1, "incidentsOpened": 3, "value": 91.25, "workloads": [
            {"workload": "web", "firing": true, "condition": "True", "since": "2026-01-31T12:07:00Z", "value": 91.25,
                "message": "web uses 91.3 % of its memory limit \u{1b}[2J", "incident": "web-memory-high-1"},
            {"workload": "db", "firing": false, "condition": "Unknown", "message": "db was not measured lately"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Evaluated", "message": "",
                "lastTransitionTime": "2026-01-31T12:00:00Z"}]},
    });
    let page = describe(&object, None, &[], now());
    for wanted in [
        "84.5 % of the limit",
        "after 1m, is over after 2m without",
        "web-memory-high-1",
        "Unknown",
        "Incidents opened",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains('\u{1b}'), "{page}");
}

#[test]
fn the_requests_of_a_load_balancer_are_shown_where_they_are_counted() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "LoadBalancer", "metadata": {"name": "lb", "generation": 1},
        "spec": {"container": "lb", "backends": [{"workload": "web", "port": 8000, "upstream": "web"}]},
        "status": {"observedGeneration": 1, "serverCount": 1, "servers": []},
    });
    let metrics = json!({"name": "lb", "countedSince": "2026-01-31T12:00:00Z", "overSeconds": 60,
        "connections": {"t": "2026-01-31T12:09:59Z", "active": 9, "reading": 1, "writing": 2, "waiting": 6,
            "accepted": 100, "handled": 99, "requests": 1000},
        "upstreams": [{"upstream": "web", "rates": {"requestsPerSecond": 10.5, "errorsPerSecond": 0.5, "p50Ms": 4.2, "p95Ms": 80.0, "inFlight": 0.3}}],
        "servers": [
            {"upstream": "web", "container": "web-1", "inRotation": true, "rates": {"requestsPerSecond": 10.0, "p95Ms": 75.0}},
            {"upstream": "web", "container": "web-0\u{1b}[2J", "inRotation": false, "rates": {"cancelledPerSecond": 0.2, "requestsPerSecond": 0.7}}]});
    let metrics: BalancerMetrics = serde_json::from_value(metrics).unwrap();
    let page = describe(&object, Some(&metrics), &[], now());
    insta::assert_snapshot!(page);
    let uncounted = BalancerMetrics {
        counted_since: None,
        ..metrics
    };
    let page = describe(&object, Some(&uncounted), &[], now());
    assert!(page.contains("<not counted") && !page.contains("REQ/S"), "{page}");
}

#[test]
fn an_entry_of_the_runbook_shows_how_its_fix_turned_out() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "RunbookEntry", "metadata": {"name": "rb-1", "generation": 3},
        "spec": {"incidentId": "inc-1", "alertType": "MEMORY_LEAK", "rootCause": "a leak", "action": "RESTART",
            "justification": "memory rises", "confidence": 0.9, "symptom": "memory at 95 %", "verifiedBy": "200 in 3 ms",
            "resolvedAt": "2026-01-31T12:00:00Z", "logs": "one\ntwo",
            "outcomes": {"successes": 2, "failures": 1, "relapses": 1, "inconclusive": 3, "provisional": ["inc-9"]}},
        "status": {"observedGeneration": 3, "trust": 0.5, "timesRecalled": 4, "lastUsed": "2026-01-31T12:09:00Z"},
    });
    insta::assert_snapshot!(describe(&object, None, &[], now()));
}

#[test]
fn an_autoscaled_workload_shows_targets_current_and_desired_numbers_windows_and_why() {
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
        "metadata": {"name": "shop", "generation": 7, "creationTimestamp": "2026-01-31T12:00:00Z"},
        "spec": {"template": {"image": "shop:3"}, "replicas": 4, "autoscale": {
            "min": 2, "max": 10, "scaleUpWindow": "10s", "scaleDown": {"selectPolicy": "Disabled"},
            "targets": [{"metric": "RequestsPerSecond", "value": 40}, {"metric": "InFlight", "value": 8},
                {"metric": "External", "value": 5, "url": "http://queue/length"}],
            "schedule": [{"start": "0 8 * * *", "end": "0 18 * * *", "min": 4}]}},
        "status": {"observedGeneration": 7, "replicas": 4, "readyReplicas": 3, "updatedReplicas": 4, "revision": "aabbccddee",
            "autoscale": {
                "current": 4, "desired": 4, "wanted": 6, "min": 4, "max": 10, "serving": 3,
                "decision": "ManualHold", "since": "2026-01-31T12:05:00Z",
                "message": "a person set 4 replicas: held until 2026-01-31T12:15:00Z (holdAfterManual)",
                "lowestInWindow": 5, "highestInWindow": 7,
                "held": {"by": "Manual", "until": "2026-01-31T12:15:00Z", "message": "a person set 4 replicas"},
                "manualUntil": "2026-01-31T12:15:00Z",
                "saturation": {"requestsPerSecond": 61.25, "at": "2026-01-31T12:01:00Z"},
                "targets": [
                    {"metric": "RequestsPerSecond", "target": 40, "current": 230, "desired": 6,
                        "message": "RequestsPerSecond 230, of 40 a replica needs 6"},
                    {"metric": "InFlight", "target": 8, "current": 12.5, "desired": 4, "message": "InFlight 12.5, of 8 a replica"},
                    {"metric": "External", "target": 5, "lostSince": "2026-01-31T12:09:00Z",
                        "message": "External cannot be measured: targets[2].url: it answers \"\u{1b}[2J\", not a number of 0 or more"}],
                "changes": [
                    {"at": "2026-01-31T12:02:00Z", "generation": 4, "from": 2, "to": 6},
                    {"at": "2026-01-31T12:04:00Z", "generation": 5, "from": 6, "to": 5}]},
            "conditions": [{"type": "AutoscalingActive", "status": "False", "reason": "ManualHold",
                "message": "a person set 4 replicas: held until 2026-01-31T12:15:00Z (holdAfterManual)",
                "lastTransitionTime": "2026-01-31T12:05:00Z"}]},
    });
    insta::assert_snapshot!(describe(&object, None, &[], now()));
}
