use aegis_api::audit::{Actor, Chain, Checkpoint, Entry, GENESIS};

use super::*;

fn lines(count: u64) -> Vec<String> {
    let mut prev = GENESIS.to_owned();
    let line = |seq| {
        let actor = Actor::incident("i1");
        let entry = Entry::about(actor, "update", "Workload", &format!("web-{seq}"));
        let (line, hash) = entry.seal(
            seq,
            aegis_api::Time("2026-01-31T12:00:00Z".parse().unwrap()),
            &prev,
        );
        prev = hash;
        line
    };
    (1..=count).map(line).collect()
}

fn directory(lines: &[String], head: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join(".audit");
    std::fs::create_dir(&audit).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(audit.join(format!("{:020}.jsonl", 1)), text).unwrap();
    std::fs::write(audit.join("head"), format!("{head:020} x\n")).unwrap();
    folder
}

async fn verify(lines: &[String], head: u64, more: &[&str]) -> Run {
    let folder = directory(lines, head);
    let dir = folder.path().to_str().unwrap().to_owned();
    aegisctl(
        "http://127.0.0.1:9",
        &[&["audit", "verify", "--dir", &dir], more].concat(),
    )
    .await
}

#[tokio::test]
async fn verify_names_the_line_that_was_changed_and_needs_no_controller() {
    let sound = lines(4);
    let run = verify(&sound, 4, &[]).await;
    assert!(
        run.code == 0 && run.out.starts_with("4 records, none of them changed\nhead 4:"),
        "{run:?}"
    );
    let noted = run
        .out
        .lines()
        .nth(1)
        .unwrap()
        .strip_prefix("head ")
        .unwrap()
        .to_owned();
    let mut edited = sound.clone();
    edited[2] = edited[2].replace("web-3", "web-x");
    let run = verify(&edited, 4, &[]).await;
    assert!(
        run.code == 1 && run.err.contains("jsonl:3: this record was changed"),
        "{run:?}"
    );
    let mut removed = sound.clone();
    removed.remove(1);
    let run = verify(&removed, 4, &[]).await;
    assert!(
        run.code == 1 && run.err.contains("jsonl:2: this is record 3"),
        "{run:?}"
    );
    let run = verify(&sound[..2], 4, &[]).await;
    assert!(
        run.code == 1 && run.err.contains("records 3 to 4 are missing"),
        "{run:?}"
    );
    let run = verify(&sound[..2], 2, &["--head", &noted]).await;
    assert!(
        run.code == 1 && run.err.contains("records 3 to 4 are missing"),
        "{run:?}"
    );
}

#[tokio::test]
async fn the_log_of_a_controller_is_shown_and_verified_page_by_page() {
    let server = MockServer::start().await;
    let records: Vec<Value> = lines(2)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let page = json!({"records": records, "lines": lines(2), "head": {"seq": 2, "hash": "x"}});
    answers(&server, "GET", "/audit", json_body(&page)).await;
    let run = aegisctl(&server.uri(), &["audit"]).await;
    assert_eq!(
        run.out,
        "SEQ   AT                     WHO                 ROLE   FROM   VERB     WHAT             FOR\n\
         1     2026-01-31T12:00:00Z   system:controller                 update   Workload/web-1   incident/i1\n\
         2     2026-01-31T12:00:00Z   system:controller                 update   Workload/web-2   incident/i1\n",
        "{run:?}"
    );
    let run = aegisctl(&server.uri(), &["audit", "verify"]).await;
    assert!(run.code == 0 && run.out.starts_with("2 records"), "{run:?}");
}

#[tokio::test]
async fn a_log_whose_beginning_was_removed_is_verified_from_its_checkpoint_and_no_forged_one_passes() {
    let mut all = lines(5);
    let begins = Chain::after(&all[2]).unwrap();
    let at = aegis_api::Time("2026-01-31T12:00:00Z".parse().unwrap());
    let prev = Chain::after(&all[4]).unwrap().prev;
    let (line, _) = Checkpoint::entry(&begins).seal(6, at, &prev);
    all.push(line.clone());
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join(".audit");
    std::fs::create_dir(&audit).unwrap();
    let dir = folder.path().to_str().unwrap().to_owned();
    let check = async |checkpoint: &str, kept: &[String], more: &[&str]| {
        std::fs::write(audit.join("checkpoint"), format!("{checkpoint}\n")).unwrap();
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(audit.join(format!("{:020}.jsonl", 4)), text).unwrap();
        // A crash left it.
        std::fs::write(audit.join(format!("{:020}.jsonl", 1)), "torn").unwrap();
        aegisctl(
            "http://127.0.0.1:9",
            &[&["audit", "verify", "--dir", &dir], more].concat(),
        )
        .await
    };
    let run = check(&line, &all[3..], &[]).await;
    assert!(
        run.code == 0 && run.out.contains("up to 3 were removed") && run.out.contains("\n3 records, none"),
        "{run:?}"
    );
    let run = check(&line, &all[3..], &["--head", &format!("2:{GENESIS}")]).await;
    assert!(run.code == 1 && run.err.contains("note a newer head"), "{run:?}");
    let run = check(&line, &all[3..], &["--head", &format!("3:{GENESIS}")]).await;
    assert!(
        run.code == 1 && run.err.contains("another than the one that was noted"),
        "{run:?}"
    );
    let run = check(&line, &all[4..], &[]).await;
    assert!(run.code == 1 && run.err.contains("this is record 5"), "{run:?}");
    let (forged, _) = Checkpoint::entry(&begins).seal(9, at, &prev);
    let run = check(&forged, &all[3..], &[]).await;
    assert!(run.code == 1 && run.err.contains("no record of it"), "{run:?}");
}
