//! The way of a click in Slack: from either way in, over the rule of what it amounts to, into the store under the name of
//! who clicked.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::audit::Actor;
use aegis_api::incident::ApprovalDecision;
use aegis_api::policy::WorkloadSelector;
use aegis_api::silence::SilencedAutomation;
use aegis_api::{Incident, Kind as _, Silence, SilenceSpec};
use aegis_notify::{
    Answers, App, Choice, Clicks, Decide, Decision, HttpAnswer, Record, RefusedClick, SocketMode,
};
use aegis_planning::admission::{self, HostMounts};
use aegis_planning::incident::click::decided;
use aegis_runtime::{Store, StoreError};
use aegis_server::{Refusals, SlackAnswer, SlackRequest};
use tokio_util::sync::CancellationToken;

use super::{Around, Task};
use crate::args::Notifications;

/// What takes clicks.
pub(super) struct SlackClicks {
    pub(super) clicks: Arc<Clicks>,
    answers: Answers,
    socket: Option<SocketMode>,
    signed: bool,
    approvers: bool,
}

impl SlackClicks {
    pub(super) fn new(args: &Notifications, app: Arc<App>, around: &Around<'_>) -> anyhow::Result<Self> {
        let approvers: Vec<String> = args
            .slack_approvers
            .iter()
            .map(|user| user.trim().to_owned())
            .collect();
        let decide = decide(around.store.clone(), around.mounts.clone());
        let signed = args.slack_signing_secret.is_some();
        let has_approvers = approvers.iter().any(|user| !user.is_empty());
        let users = approvers.into_iter().filter(|user| !user.is_empty());
        let record = record(around.store.clone());
        let (clicks, answers) = Clicks::new(app, users, args.slack_signing_secret.clone(), decide, record);
        let clicks = Arc::new(clicks);
        let socket = args
            .slack_app_token
            .as_ref()
            .map(|token| SocketMode::new(&args.slack_api_url, token, Arc::clone(&clicks)))
            .transpose()?;
        let can_decide = has_approvers && (signed || socket.is_some());
        if has_approvers && !can_decide {
            tracing::warn!(
                "SLACK_APPROVERS names approvers, and no click can come in: set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET"
            );
        }
        Ok(Self {
            clicks,
            answers,
            socket,
            signed,
            approvers: has_approvers,
        })
    }

    /// Whether cards have buttons.
    pub(super) fn can_decide(&self) -> bool {
        self.approvers && (self.signed || self.socket.is_some())
    }

    /// For `/slack/interactions`.
    pub(super) fn http(&self) -> aegis_server::SlackClicks {
        let clicks = Arc::clone(&self.clicks);
        Arc::new(move |request: SlackRequest| {
            let clicks = Arc::clone(&clicks);
            Box::pin(async move {
                let (timestamp, signature) = (request.timestamp.as_deref(), request.signature.as_deref());
                let now = aegis_clock::timestamp().as_second();
                match clicks.http(timestamp, signature, &request.body, now).await {
                    HttpAnswer::Taken => SlackAnswer::Taken,
                    HttpAnswer::Forged => SlackAnswer::Forged,
                    HttpAnswer::Unreadable => SlackAnswer::Unreadable,
                    HttpAnswer::TryAgain => SlackAnswer::TryAgain,
                }
            })
        })
    }

    pub(super) fn tasks(self, shutdown: &CancellationToken) -> Vec<(&'static str, Task)> {
        let answers: Task = Box::pin(self.answers.run(shutdown.clone()));
        let mut tasks = vec![("answers to clicks", answers)];
        if let Some(socket) = self.socket {
            tasks.push(("clicks in Slack", Box::pin(socket.run(shutdown.clone()))));
        }
        tasks
    }
}

/// Writes decisions into the store. Who clicks is no admin: what only an admin may approve is refused.
fn decide(store: Store, mounts: HostMounts) -> Decide {
    Arc::new(move |decision| {
        let (store, mounts) = (store.clone(), mounts.clone());
        Box::pin(async move { write(&store, mounts, decision).await })
    })
}

/// Writes clicks that do not count into the audit log, as many as it bounds.
fn record(store: Store) -> Record {
    let refusals = Arc::new(Refusals::default());
    Arc::new(move |refused: RefusedClick| {
        let (store, refusals) = (store.clone(), Arc::clone(&refusals));
        Box::pin(async move {
            let about = match refused.incident.as_str() {
                "" => format!("{} in Slack", refused.choice),
                incident => format!("{} in Slack: incident {incident}", refused.choice),
            };
            refusals
                .record(&store, clicker(&refused.by, None), &about, refused.why)
                .await;
        })
    })
}

/// Who clicked, to the audit log.
fn clicker(by: &str, role: Option<&str>) -> Actor {
    Actor {
        user: by.to_owned(),
        role: role.map(str::to_owned),
        with: Some("Slack".to_owned()),
        ..Actor::system("slack")
    }
}

async fn write(store: &Store, mounts: HostMounts, decision: Decision) -> Result<(), String> {
    let name = decision.incident.clone();
    let actor = clicker(&decision.by, Some("operator"));
    let (reader, store) = (store.clone(), store.acting(actor));
    if let Choice::Silence(lasts) = decision.choice {
        return silence(&store, &decision, lasts).await;
    }
    let written = store.edit_spec::<Incident, _>(&name, move |incident| {
        let refused = |message: String| StoreError::Refused {
            kind: "Incident".to_owned(),
            name: incident.name().to_owned(),
            message,
        };
        let verb = match decision.choice {
            Choice::Approve => ApprovalDecision::Approve,
            Choice::Reject => ApprovalDecision::Reject,
            Choice::Silence(_) => return Err(refused("a silence decides on no plan".to_owned())),
        };
        let spec = decided(incident, &decision.uid, &decision.plan, verb, &decision.by).map_err(refused)?;
        let after = Incident {
            spec: spec.clone(),
            ..incident.clone()
        };
        let errors = admission::incident(Some(incident), &after, &reader.list(), &mounts);
        match errors.first() {
            Some(error) => Err(refused(error.to_string())),
            None => Ok(spec),
        }
    });
    match written.await {
        Ok(_) => Ok(()),
        Err(StoreError::Refused { message, .. }) => Err(message),
        Err(StoreError::NotFound { .. }) => Err(format!("there is no incident {name} any more")),
        Err(error) => {
            tracing::warn!(
                error = aegis_api::error::chain(&error),
                "a click in Slack could not be written"
            );
            Err("it could not be written: try again, or use aegisctl".to_owned())
        }
    }
}

/// Silences the incident's workload for a while, under the name of who clicked. A click again changes nothing while it lasts.
async fn silence(store: &Store, decision: &Decision, lasts: aegis_api::Duration) -> Result<(), String> {
    let incident = store.get::<Incident>(&decision.incident);
    let incident = incident.filter(|incident| incident.metadata.uid.as_deref() == Some(&*decision.uid));
    let Some(incident) = incident else {
        return Err(format!("there is no incident {} any more", decision.incident));
    };
    let Some(workload) = incident.workload() else {
        return Err(format!("incident {} is about no known workload", incident.name()));
    };
    let now = aegis_clock::now();
    let name = format!("slack-{}", decision.uid);
    let known = store.get::<Silence>(&name);
    let until = known.as_ref().and_then(|known| known.spec.until);
    if let (Some(known), Some(until)) = (&known, until.filter(|until| *until > now)) {
        return match known.spec.owner == decision.by {
            true => Ok(()),
            false => Err(format!(
                "{} has silenced {workload} until {until} already",
                known.spec.owner
            )),
        };
    }
    let spec = SilenceSpec {
        workloads: WorkloadSelector {
            names: vec![workload.clone()],
            ..WorkloadSelector::default()
        },
        alert_types: Vec::new(),
        match_labels: BTreeMap::new(),
        owner: decision.by.clone(),
        reason: format!("silenced in Slack at incident {}", incident.name()),
        from: None,
        until: Some(now.plus(lasts)),
        windows: Vec::new(),
        automation: SilencedAutomation::Continue,
    };
    let written = match known {
        Some(_) => store.edit_spec::<Silence, _>(&name, move |_| Ok(spec)).await,
        None => store.add::<Silence>(&name, &spec).await,
    };
    written.map(|_| ()).map_err(|error| {
        tracing::warn!(
            error = aegis_api::error::chain(&error),
            "a silence from Slack could not be written"
        );
        "it could not be written: try again, or use aegisctl silence".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use aegis_api::incident::IncidentStatus;
    use aegis_runtime::{EventRecorder, StoreOptions};
    use serde_json::json;

    use super::*;

    async fn waiting(folder: &std::path::Path) -> (Store, String) {
        let (store, driver) = Store::open(StoreOptions::new(folder), EventRecorder::new())
            .await
            .unwrap();
        tokio::spawn(driver.run(CancellationToken::new()));
        let spec = serde_json::from_value(json!({"workloadRef": "web", "alertType": "oom"})).unwrap();
        let made = store.add::<Incident>("inc-a", &spec).await.unwrap();
        let uid = made.metadata.uid.clone().unwrap();
        let status: IncidentStatus = serde_json::from_value(json!({
            "phase": "AWAITING_APPROVAL", "timeline": [], "plan": {"hash": "abc", "action": "RESTART", "target": "web",
                "parentGeneration": 1, "patch": {}, "createdAt": "2026-05-01T10:00:00Z"}}))
        .unwrap();
        store.set_status::<Incident>("inc-a", &uid, status).await.unwrap();
        (store, uid)
    }

    fn decision(uid: &str, plan: &str) -> Decision {
        Decision {
            incident: "inc-a".to_owned(),
            uid: uid.to_owned(),
            plan: plan.to_owned(),
            choice: Choice::Approve,
            by: "slack:U1 (ada)".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_click_is_written_under_the_name_of_who_clicked_into_spec_and_audit_log() {
        let folder = tempfile::tempdir().unwrap();
        let (store, uid) = waiting(folder.path()).await;
        let decide = decide(store.clone(), HostMounts::default());
        let stale = decide(decision(&uid, "old")).await.unwrap_err();
        assert!(stale.contains("another plan now"), "{stale}");
        assert_eq!(store.get::<Incident>("inc-a").unwrap().spec.approval, None);
        for _ in 0..2 {
            assert_eq!(decide(decision(&uid, "abc")).await, Ok(()));
        }
        let approval = store
            .get::<Incident>("inc-a")
            .unwrap()
            .spec
            .approval
            .clone()
            .unwrap();
        assert_eq!(
            (approval.by.as_str(), approval.plan_hash.as_str()),
            ("slack:U1 (ada)", "abc")
        );
        let page = store.audit().page(None, 100).await.unwrap();
        let clicks = page
            .lines
            .iter()
            .filter(|line| line.contains(r#""user":"slack:U1 (ada)""#));
        assert_eq!(clicks.count(), 1, "{:?}", page.lines);
        let gone = Decision {
            incident: "inc-z".to_owned(),
            ..decision(&uid, "abc")
        };
        assert!(decide(gone).await.unwrap_err().contains("no incident inc-z"));
    }

    #[tokio::test]
    async fn clicks_that_do_not_count_are_in_the_audit_log_with_who_clicked_and_why_and_fill_it_with_no_flood()
     {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = waiting(folder.path()).await;
        let record = record(store.clone());
        for n in 0..500 {
            let refused = RefusedClick {
                by: "slack:U9 (eve)".to_owned(),
                incident: "inc-a".to_owned(),
                choice: "approve",
                why: format!("no approver {n}"),
            };
            record(refused).await;
        }
        let page = store.audit().page(None, 1000).await.unwrap();
        let lines = || {
            page.lines
                .iter()
                .filter(|line| line.contains(r#""user":"slack:U9 (eve)""#))
        };
        let first = lines().next().unwrap();
        assert!(
            first.contains(r#""verb":"refused""#)
                && first.contains("approve in Slack: incident inc-a")
                && first.contains("no approver 0"),
            "{first}"
        );
        assert_eq!(lines().count(), 60);
    }

    #[tokio::test]
    async fn a_click_silences_the_incident_s_workload_for_an_hour_once() {
        let folder = tempfile::tempdir().unwrap();
        let (store, uid) = waiting(folder.path()).await;
        let decide = decide(store.clone(), HostMounts::default());
        let silenced = |by: &str| Decision {
            choice: Choice::Silence(aegis_api::Duration::from_secs(3_600)),
            by: by.to_owned(),
            ..decision(&uid, "")
        };
        for _ in 0..2 {
            assert_eq!(decide(silenced("slack:U1 (ada)")).await, Ok(()));
        }
        let all = store.list::<Silence>();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].spec.owner, "slack:U1 (ada)");
        assert_eq!(all[0].spec.workloads.names[0].as_str(), "web");
        let second = decide(silenced("slack:U2 (bob)")).await.unwrap_err();
        assert!(second.contains("slack:U1 (ada) has silenced web"), "{second}");
        assert_eq!(store.get::<Incident>("inc-a").unwrap().spec.approval, None);
    }
}
