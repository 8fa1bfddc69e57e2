use super::*;

fn report() -> Value {
    let held = |plural: &str, kind: &str, name: &str| {
        json!({"kind": kind, "plural": plural, "name": name,
        "since": "2026-01-31T12:00:00.5Z", "reason": "ManyAtOnce"})
    };
    let mut renamed = held("workloads", "Workload", "web");
    renamed["reason"] = "Renamed".into();
    renamed["renamedTo"] = "web.yaml.bak".into();
    json!({
        "held": [held("workloads", "Workload", "api"), renamed, held("detectors", "Detector", "cpu")],
        "faults": [
            {"kind": "Workload", "name": "", "path": "workloads", "message": "workloads: the folder is not there: put it back"},
            {"kind": "Workload", "name": "bad", "path": "workloads/bad.yaml", "message": "workloads/bad.yaml: line 3"},
        ],
    })
}

#[tokio::test]
async fn confirm_shows_what_is_held_and_sends_just_that_kind_by_kind() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/files", json_body(&report())).await;
    let refused = json!({"deleted": ["api"], "refused": [{"name": "web", "message": "its deletion is not held any more"}]});
    answers(&server, "POST", "/files/confirm", json_body(&refused)).await;
    let run = aegisctl(&server.uri(), &["confirm", "wl", "--yes"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(
        run.out,
        "WHAT           HELD SINCE             WHY\n\
         workload/api   2026-01-31T12:00:00Z   many files went at once\n\
         workload/web   2026-01-31T12:00:00Z   the file was renamed to web.yaml.bak\n\
         workload/api deleted\n"
    );
    assert!(
        run.err
            .contains("workload/web: its deletion is not held any more"),
        "{run:?}"
    );
    let (body, _) = last_body(&server, "POST").await;
    assert_eq!(body, json!({"kind": "workloads", "names": ["api", "web"]}));
    let run = aegisctl(&server.uri(), &["confirm", "--yes"]).await;
    assert!(run.out.contains("detector/cpu"), "{run:?}");
    let posts = requests(&server).await;
    assert_eq!(
        posts.iter().filter(|line| line.starts_with("POST")).count(),
        3,
        "{posts:?}"
    );
}

#[tokio::test]
async fn confirm_deletes_nothing_without_a_terminal() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/files", json_body(&report())).await;
    let run = aegisctl(&server.uri(), &["confirm", "wl/api"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.out.contains("workload/api") && !run.out.contains("workload/web"),
        "{run:?}"
    );
    assert!(run.err.contains("--yes"), "{run:?}");
    assert_eq!(requests(&server).await, ["GET /files"]);
    let run = aegisctl(&server.uri(), &["confirm", "incidents"]).await;
    assert_eq!(
        (run.code, run.err.as_str()),
        (0, "No deletions are held.\n"),
        "{run:?}"
    );
}

#[tokio::test]
async fn the_doctor_names_folders_that_are_gone_and_deletions_that_are_held() {
    let server = MockServer::start().await;
    for (at, body) in [
        ("/health", json!({"version": "0.1.1"})),
        ("/version", json!({})),
        (WORKLOADS, json!({"items": []})),
        ("/api/v1/namespaces/default/events", json!({"items": []})),
        ("/files", report()),
    ] {
        answers(&server, "GET", at, json_body(&body)).await;
    }
    let run = aegisctl(&server.uri(), &["doctor", "--token", "t"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    for line in [
        "FAIL  folder     workloads: the folder is not there: put it back",
        "note  file       workloads/bad.yaml: line 3",
        "FAIL  held       deletions of 2 workloads are held: api, web",
        "FAIL  held       deletions of 1 detectors are held: cpu",
        "run `aegisctl confirm`",
    ] {
        assert!(run.out.contains(line), "{line} is missing of\n{}", run.out);
    }
}
