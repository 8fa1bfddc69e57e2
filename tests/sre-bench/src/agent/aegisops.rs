//! AegisOps: its controller as a process with a state directory of its own, which holds what a fresh start writes and what its
//! guide says a person writes for a shop like this one: five adopted containers, the load balancer, a policy in `Auto`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{AlertSink, Reports};
use crate::http::Ask;
use crate::scenario::{Class, Role};
use crate::shop::{Shop, beside};

const LB_TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lb-templates");
const RESOURCES: &str = "/apis/aegisops.io/v1alpha1";
/// How long it may take to start, and to see the shop.
const START: Duration = Duration::from_secs(40);
/// Variables that choose a model.
const OF_MODELS: [&str; 4] = ["FASTRTR_", "OLLAMA_", "OPENAI_", "AEGIS_MODEL_"];

#[derive(Debug)]
pub(super) struct AegisOps {
    state: PathBuf,
    host: String,
    admin: String,
    /// Killed when it is dropped.
    child: Child,
    watching: Option<JoinHandle<()>>,
}

impl AegisOps {
    pub(super) async fn start(folder: &Path, with_model: bool) -> anyhow::Result<Self> {
        let program = match std::env::var("SRE_BENCH_CONTROLLER") {
            Ok(path) => path.into(),
            Err(_) => beside("aegis-controller")?,
        };
        let state = folder.join("state");
        let host = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let log = std::fs::File::create(folder.join("controller.log"))?;
        let mut command = Command::new(program);
        let kept = std::env::vars().filter(|(name, _)| {
            let model = with_model && OF_MODELS.iter().any(|prefix| name.starts_with(prefix));
            model || ["PATH", "DOCKER_HOST"].contains(&name.as_str())
        });
        command.env_clear().envs(kept);
        command.arg("--state-dir").arg(&state);
        command.args(["--listen", &host, "--lb-templates", LB_TEMPLATES]);
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().context("the controller does not start")?;
        let mut controller = Self {
            state,
            host,
            admin: String::new(),
            child,
            watching: None,
        };
        controller.is_ready().await?;
        let token = controller.state.join(".secrets/admin-token");
        controller.admin = std::fs::read_to_string(token)?.trim().to_owned();
        Ok(controller)
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                bail!("the controller ended with {status}");
            }
            if matches!(Ask::get(&self.host, "/readyz").send().await, Ok((200, _))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the controller is not ready within {START:?}")
    }

    pub(super) async fn take_over(&mut self, shop: &Shop, reports: Reports) -> anyhow::Result<AlertSink> {
        for (folder, name, content) in manifests(shop) {
            let folder = self.state.join(folder);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(name), content)?;
        }
        self.sees_the_shop().await?;
        let client = Client {
            host: self.host.clone(),
            admin: self.admin.clone(),
        };
        self.watching = Some(tokio::spawn(client.watch(shop.name.clone(), reports)));
        let token = self.state.join(".secrets/webhook-token");
        let token = std::fs::read_to_string(token).unwrap_or_else(|_| self.admin.clone());
        Ok(AlertSink {
            host: self.host.clone(),
            path: "/webhook/alertmanager".to_owned(),
            authorization: Some(format!("Bearer {}", token.trim())),
        })
    }

    /// Waits until it has seen all services ready.
    async fn sees_the_shop(&self) -> anyhow::Result<()> {
        let client = Client {
            host: self.host.clone(),
            admin: self.admin.clone(),
        };
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < START {
            let list = client.list("workloads").await.unwrap_or_default();
            let ready = list.iter().filter(|workload| is_ready(workload)).count();
            if ready == Role::SHOP.len() {
                return Ok(());
            }
            last = format!("{ready} of {} workloads are ready", Role::SHOP.len());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("within {START:?} {last}")
    }

    pub(super) async fn tokens(&self) -> u64 {
        let mut ask = Ask::get(&self.host, "/metrics?format=prometheus");
        ask.authorization = Some(format!("Bearer {}", self.admin));
        let Ok((200, body)) = ask.send().await else {
            return 0;
        };
        let text = String::from_utf8_lossy(&body);
        let counts = text
            .lines()
            .filter(|line| line.starts_with("aegis_model_tokens_total"));
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// SHA-256 over the detectors and rules that a fresh start has written.
    pub(super) fn rules(&self) -> Option<String> {
        use sha2::Digest as _;
        let mut paths = Vec::new();
        for folder in ["detectors", "rules"] {
            let entries = std::fs::read_dir(self.state.join(folder)).into_iter().flatten();
            let yaml = entries.flatten().map(|entry| entry.path()).filter(|path| {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                name.ends_with(".yaml") && !name.ends_with(".status.yaml")
            });
            paths.extend(yaml);
        }
        paths.sort();
        let mut hash = sha2::Sha256::new();
        for path in &paths {
            hash.update(std::fs::read(path).ok()?);
        }
        (!paths.is_empty()).then(|| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Drop for AegisOps {
    fn drop(&mut self) {
        if let Some(task) = &self.watching {
            task.abort();
        }
    }
}

fn is_ready(workload: &Value) -> bool {
    let conditions = workload["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Folder, name and content of what a person writes for the shop.
fn manifests(shop: &Shop) -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    for role in Role::SHOP {
        let needs = match role {
            Role::Web => "[api]",
            Role::Api => "[cache, db, worker]",
            Role::Worker => "[db]",
            _ => "[]",
        };
        let mut text = head("Workload", role.name());
        let _ = write!(
            text,
            "  container: {}\n  replicas: 1\n  dependsOn: {needs}\n  health:\n    http: {{path: /health, port: 8000}}\n    \
             interval: 2s\n    timeout: 1s\n",
            shop.container(role)
        );
        all.push(("workloads", format!("{role}.yaml"), text));
    }
    let mut text = head("LoadBalancer", "front");
    let _ = write!(
        text,
        "  container: {}\n  backends:\n    - {{workload: web, port: 8000, upstream: web}}\n",
        shop.container(Role::Front)
    );
    all.push(("loadbalancers", "front.yaml".to_owned(), text));
    let text = head("RemediationPolicy", "default") + "  mode: Auto\n";
    all.push(("remediationpolicies", "default.yaml".to_owned(), text));
    all
}

fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: aegisops.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n")
}

#[derive(Debug)]
struct Client {
    host: String,
    admin: String,
}

impl Client {
    async fn list(&self, plural: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("{RESOURCES}/{plural}");
        let mut ask = Ask::get(&self.host, &path);
        ask.authorization = Some(format!("Bearer {}", self.admin));
        let (status, body) = ask.send().await?;
        anyhow::ensure!(status == 200, "{path}: {status}");
        let list: Value = serde_json::from_slice(&body)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Reports each incident with each thing that it has measured, once.
    async fn watch(self, shop: String, reports: Reports) {
        let mut known = BTreeSet::new();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for incident in self.list("incidents").await.unwrap_or_default() {
                for (component, class, text) in findings(&incident, &shop) {
                    let name = incident["metadata"]["name"].as_str().unwrap_or_default();
                    if known.insert((name.to_owned(), component, class)) {
                        reports.add(component, Some(class), &text);
                    }
                }
            }
        }
    }
}

/// What an incident says it has measured. One that only repeats an alert has measured nothing.
fn findings(incident: &Value, shop: &str) -> Vec<(Option<Role>, Class, String)> {
    let workload = incident["spec"]["workloadRef"].as_str().unwrap_or_default();
    let of_workload = workload.parse::<Role>().ok();
    let kind = incident["spec"]["alertType"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    if incident["spec"]["source"]["kind"] == "detector"
        && let Some(class) = of_detector(kind)
    {
        found.push((of_workload, class, kind.to_owned()));
    }
    for symptom in incident["status"]["symptoms"].as_array().into_iter().flatten() {
        let Some(class) = symptom["kind"].as_str().and_then(of_symptom) else {
            continue;
        };
        let container = symptom["container"].as_str().unwrap_or_default();
        let named = container
            .strip_prefix(shop)
            .and_then(|rest| rest.trim_start_matches('-').parse().ok());
        let text = symptom["message"].as_str().unwrap_or_default();
        found.push((named.or(of_workload), class, text.to_owned()));
    }
    found
}

/// The default detectors' `alertType` in the words of the bench.
fn of_detector(kind: &str) -> Option<Class> {
    Some(match kind {
        "CONTAINER_CRASHED" | "CONTAINER_DOWN" => Class::Down,
        "CRASH_LOOP" => Class::CrashLoop,
        "OOM_KILLED" | "MEMORY_HIGH" | "MEMORY_LEAK" => Class::Memory,
        "HEALTH_CHECK_FAILED" => Class::Unresponsive,
        "CPU_SATURATED" | "CPU_SPIN" | "CPU_THROTTLED" => Class::Cpu,
        "HTTP_ERRORS" => Class::Errors,
        "HTTP_SLOW" => Class::Latency,
        "HOST_DISK_FULL" => Class::Disk,
        "NETWORK_LOST" => Class::Network,
        "PROCESS_LIMIT" => Class::Pids,
        _ => return None,
    })
}

/// Kinds of symptoms in the words of the bench.
fn of_symptom(kind: &str) -> Option<Class> {
    Some(match kind {
        "Down" | "ReplicasMissing" => Class::Down,
        "CrashLoop" => Class::CrashLoop,
        "OutOfMemory" | "MemoryHigh" | "MemoryGrowing" => Class::Memory,
        "ProbeFailing" => Class::Unresponsive,
        "CpuHigh" => Class::Cpu,
        "ErrorBurst" | "HttpErrors" => Class::Errors,
        "HttpSlow" => Class::Latency,
        "NetworkLost" => Class::Network,
        "ProcessLimit" => Class::Pids,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_that_only_repeats_an_alert_is_no_finding() {
        let alert = serde_json::json!({"spec": {"workloadRef": "web", "alertType": "CrashLoop", "source": {"kind": "webhook"}}});
        assert_eq!(findings(&alert, "x"), []);
    }

    #[test]
    fn a_symptom_is_of_the_container_that_it_names() {
        let incident = serde_json::json!({
            "spec": {"workloadRef": "web", "alertType": "HTTP_ERRORS", "source": {"kind": "detector"}},
            "status": {"symptoms": [{"kind": "ProbeFailing", "container": "x-api", "message": "api"}]},
        });
        let found: Vec<_> = findings(&incident, "x")
            .into_iter()
            .map(|(role, class, _)| (role, class))
            .collect();
        let expected = [
            (Some(Role::Web), Class::Errors),
            (Some(Role::Api), Class::Unresponsive),
        ];
        assert_eq!(found, expected);
    }
}
