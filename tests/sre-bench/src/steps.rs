//! Does what a scenario says is done, and lets the oracle take the bench's own changes for granted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::agent::AlertSink;
use crate::http::Ask;
use crate::load::Users;
use crate::oracle::Oracle;
use crate::scenario::{Alert, DockerCommand, DockerStep, Fault, Scenario, Step};
use crate::shop::{self, Shop};

/// What steps are done with.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The shop.
    pub shop: &'a Shop,
    /// Its users.
    pub users: &'a Users,
    /// The oracle.
    pub oracle: &'a Mutex<Oracle>,
    /// Where alerts go, if the agent takes any.
    pub alerts: Option<&'a AlertSink>,
}

impl Stage<'_> {
    /// Does all steps, each at its time after now.
    ///
    /// # Errors
    /// Where one cannot be done.
    pub async fn play(&self, scenario: &Scenario) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut steps: Vec<&Step> = scenario.fault.iter().collect();
        steps.sort_by(|one, other| one.at.total_cmp(&other.at));
        for step in steps {
            let due = begun + Duration::from_secs_f64(step.at);
            tokio::time::sleep_until(due.into()).await;
            self.step(step).await?;
        }
        Ok(())
    }

    async fn step(&self, step: &Step) -> anyhow::Result<()> {
        if let Some(fault) = &step.fault {
            self.fault(fault).await?;
        }
        if let Some(docker) = &step.docker {
            let mut oracle = self.oracle.lock().await;
            self.docker(docker).await?;
            oracle.accept_one(self.shop, docker.role).await?;
        }
        if let Some(rollout) = &step.rollout {
            let mut oracle = self.oracle.lock().await;
            self.shop
                .engine
                .remove(&self.shop.container(rollout.role))
                .await?;
            self.shop.start(rollout.role, &rollout.env).await?;
            oracle.accept_one(self.shop, rollout.role).await?;
        }
        if let Some(stranger) = &step.stranger {
            let mut oracle = self.oracle.lock().await;
            self.shop.start_stranger(&stranger.name, &stranger.env).await?;
            oracle.accept(self.shop).await?;
        }
        if let Some(load) = &step.load {
            self.users.multiply(load.factor);
            tokio::time::sleep(Duration::from_secs_f64(load.seconds)).await;
            self.users.multiply(1.0);
        }
        if let Some(alert) = &step.alert {
            self.alert(alert).await?;
        }
        Ok(())
    }

    async fn fault(&self, fault: &Fault) -> anyhow::Result<()> {
        let address = self.shop.address(fault.role).await?.to_string();
        let body = Value::Object(fault.arguments.clone());
        match Ask::post(&address, "/fault", &body).send().await {
            Ok((status, answer)) => ensure!(
                status == 204,
                "{} refuses the fault {body}: {status} {}",
                fault.role,
                String::from_utf8_lossy(&answer)
            ),
            // Some faults end the process before it answers.
            Err(error) => {
                let ends = ["exit", "poison"].contains(&body["kind"].as_str().unwrap_or_default());
                if !ends {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn docker(&self, step: &DockerStep) -> anyhow::Result<()> {
        let engine = &self.shop.engine;
        let name = self.shop.container(step.role);
        match step.command {
            DockerCommand::Kill => engine.act(&name, "kill").await,
            DockerCommand::Stop => engine.act(&name, "stop?t=5").await,
            DockerCommand::Restart => engine.act(&name, "restart?t=5").await,
            DockerCommand::Pause => engine.act(&name, "pause").await,
            DockerCommand::Unpause => engine.act(&name, "unpause").await,
            DockerCommand::Disconnect => {
                let path = format!("/networks/{}/disconnect", self.shop.name);
                let body = json!({"Container": name, "Force": true});
                engine.post(&path, &body).await.map(drop)
            }
            DockerCommand::Update => match step.args.as_slice() {
                [flag, cpus] if flag == "--cpus" => {
                    let path = format!("/containers/{name}/update");
                    engine.post(&path, &shop::cpus(cpus)?).await.map(drop)
                }
                other => bail!("update takes --cpus and a number, not {other:?}"),
            },
        }
    }

    async fn alert(&self, alert: &Alert) -> anyhow::Result<()> {
        let Some(sink) = self.alerts else {
            return Ok(());
        };
        let container = match (alert.role, &alert.container) {
            (Some(role), None) => self.shop.container(role),
            (None, Some(name)) => name.clone(),
            _ => bail!("the alert {} names a role or a container", alert.id),
        };
        for number in 0..alert.times {
            let status = if alert.flapping && number % 2 == 1 {
                "resolved"
            } else {
                &alert.status
            };
            let id = if alert.distinct {
                format!("{}-{number}", alert.id)
            } else {
                alert.id.clone()
            };
            let body = message(alert, &id, status, &container);
            let ask = Ask {
                method: Method::POST,
                path: &sink.path,
                host: &sink.host,
                authorization: sink.authorization.clone(),
                content_type: "application/json",
                body: Bytes::from(body.to_string()),
                timeout: Duration::from_secs(10),
            };
            // What an agent answers is its affair: a refusal of a name that is none is a good answer.
            ask.send().await.context("the agent takes no alert")?;
            tokio::time::sleep(Duration::from_secs_f64(alert.every_seconds)).await;
        }
        Ok(())
    }
}

/// As version 4 of Alertmanager's webhook has it.
fn message(alert: &Alert, id: &str, status: &str, container: &str) -> Value {
    let now = jiff::Timestamp::now();
    let over = status == "resolved";
    let labels = json!({"alertname": alert.kind, "container": container, "severity": alert.severity});
    let ends = if over {
        now.to_string()
    } else {
        "0001-01-01T00:00:00Z".to_owned()
    };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{}\"}}", alert.kind),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "agent",
        "groupLabels": {"alertname": alert.kind},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.invalid",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": {"description": alert.logs},
            "startsAt": now.to_string(),
            "endsAt": ends,
            "generatorURL": "",
            "fingerprint": id,
        }],
    })
}
