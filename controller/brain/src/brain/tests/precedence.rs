//! Who is asked about first where a model takes few questions at a time; time is virtual here.

use futures::future::join_all;
use tokio::time::Instant;

use super::scripted::{Say, Scripted};
use super::*;

fn about(alert: &str, severity: Severity) -> Case {
    Case {
        alert_type: alert.to_owned(),
        severity,
        ..case()
    }
}

#[tokio::test(start_paused = true)]
async fn a_critical_case_is_answered_at_once_while_the_questions_of_warnings_hang_and_others_wait() {
    // Two places.
    let model = Scripted::new("model", [Say::OnlyAbout("GRAVE_ALERT", RESTART.to_owned())]);
    let brain = Brain::with_members(BrainConfig::default(), vec![model.member()]).unwrap();
    let started = Instant::now();
    let warnings = join_all((0..5).map(|_| async {
        let case = about("MINOR_ALERT", Severity::Warning);
        brain.analyse(&case, &mut |_| {}).await.unwrap().provider
    }));
    let critical = async {
        // After all of those wait.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let case = about("GRAVE_ALERT", Severity::Critical);
        let analysis = brain.analyse(&case, &mut |_| {}).await.unwrap();
        (analysis.provider, started.elapsed())
    };
    let (warnings, (provider, after)) = tokio::join!(warnings, critical);
    assert_eq!((provider.as_str(), after), ("model", Duration::from_millis(1)));
    // They get on as well: by the analyst, once nothing of their time is left.
    assert_eq!(warnings, ["builtin"; 5]);
}
