//! Promise: a real model, behind llama.cpp's own server and behind another, drives an incident to its end, held to the schema,
//! streamed and accounted for, and does nothing that policy and council would not let it. Run by `make test-llm`, which brings
//! model and servers; what so small a model says is printed, not judged: a proposal that council or policy refuse is an
//! outcome like any other.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aegis_tests::eventually::within;
use aegis_tests::{World, eventually, manifests};
use serde_json::{Value, json};

const MODEL: &str = "gemma-3-270m-q4_k_m";
/// The budget of time that an incident has for models, and half as much for all else.
const BOUND: Duration = Duration::from_secs(270);
/// The budget of tokens that an incident has.
const TOKENS: u64 = 60_000;
const ACTIONS: [&str; 5] = ["RESTART", "SCALE_UP", "SCALE_DOWN", "ROLLBACK", "NOOP"];
const ENDS: [&str; 3] = ["RESOLVED", "FAILED", "AWAITING_APPROVAL"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a model: run `make test-llm`"]
async fn a_real_model_drives_an_incident_to_its_end() {
    let llama = Llama::start().await;
    let world = World::new().await;
    let patient = world.patient("buggy").memory_mb(128).start().await;
    let bystander = world.patient("bystander").start().await;
    let launch = world.controller().env("FASTRTR_BASE_URL", &llama.url);
    let launch = launch
        .env("FASTRTR_MODEL", MODEL)
        .env("AEGIS_LLM_TIMEOUT_SECS", "170");
    let controller = launch.start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(
        &patient.name,
        &json!({"replicas": {"min": 1, "max": 3}}),
    ))
    .await;
    api.workload_ready(&patient.name, 1).await;
    let live = controller.live("").await;
    let bystander_started = bystander.started_at().await;

    patient.fill_memory(87.0).await;
    let name = world.name("real-model");
    let alert = json!({"alertType": "memory_leak", "severity": "critical", "logs": "memory at 87% of 128 MB and rising; requests get slower"});
    api.apply(&manifests::incident(&name, &patient.name, &alert))
        .await;
    let incident = within(BOUND, "the incident ends", async || {
        let incident = api.object("Incident", &name).await.unwrap_or_default();
        let phase = incident["status"]["phase"].as_str().unwrap_or_default();
        if ENDS.contains(&phase) {
            Ok(incident)
        } else {
            Err(incident["status"].to_string())
        }
    })
    .await;

    let status = &incident["status"];
    llama.report();
    report(status);
    let said = llama.said();
    let mut proposals = said.iter().filter(|line| line["asked"] == "proposal");
    assert!(
        !llama.reports || proposals.clone().count() > 0,
        "a proposal was requested of the model: {said:#?}"
    );
    assert!(
        said.iter().all(|line| line["schema"] == true),
        "every question came with its schema: {said:#?}"
    );
    the_analysis_is_accounted_for(&status["analysis"]);
    let ballots = said.iter().filter(|line| line["asked"] == "ballot").count();
    the_reviewers_are_accounted_for(status, llama.reports.then_some(ballots));
    assert!(spent(status) <= TOKENS, "{} tokens were spent", spent(status));
    if llama.reports && status["analysis"]["provider"] == "fastrouter" {
        let last: &Value = proposals.next_back().expect("there is one");
        let words = last["said"].as_str().unwrap_or_default();
        let object: Value =
            serde_json::from_str(words.trim()).unwrap_or_else(|error| panic!("{error}: {words}"));
        assert_eq!(
            object["action"], status["analysis"]["proposal"]["action"],
            "nothing was altered"
        );
    }
    eventually("the reasoning was streamed", async || {
        let frames = live.of_incident(&name);
        let chunks = frames.iter().filter(|frame| frame["type"] == "ai.stream").count();
        if chunks > 3 {
            Ok(())
        } else {
            Err(format!("{chunks} chunks"))
        }
    })
    .await;

    assert_eq!(
        bystander.started_at().await,
        bystander_started,
        "no other container was touched"
    );
    let own = [patient.name.as_str(), bystander.name.as_str()];
    let replicas = world.replica_names(&patient.name).await;
    let names = world.container_names().await;
    let strangers: Vec<&String> = names
        .iter()
        .filter(|name| !own.contains(&name.as_str()) && !replicas.contains(name))
        .collect();
    assert!(
        strangers.is_empty() && replicas.len() <= 2,
        "no container beyond the policy: {names:?}"
    );
}

/// The proposal is of the closed set, and says who made it and what that cost, or who failed and why.
fn the_analysis_is_accounted_for(analysis: &Value) {
    let proposal = &analysis["proposal"];
    let action = proposal["action"].as_str().unwrap_or_default();
    assert!(ACTIONS.contains(&action), "{analysis:#}");
    let confidence = proposal["confidence"].as_f64();
    assert!(
        confidence.is_some_and(|value| (0.0..=1.0).contains(&value)),
        "{analysis:#}"
    );
    assert!(
        proposal["replicaCount"]
            .as_u64()
            .is_some_and(|count| count <= 200),
        "{analysis:#}"
    );
    for text in ["rootCause", "justification"] {
        assert!(
            proposal[text].as_str().is_some_and(|text| !text.is_empty()),
            "{analysis:#}"
        );
    }
    assert!(
        analysis["tokens"].as_u64().is_some_and(|tokens| tokens > 0),
        "{analysis:#}"
    );
    assert!(
        analysis["latencyMs"].as_u64().is_some_and(|millis| millis > 0),
        "{analysis:#}"
    );
    if analysis["provider"] == "fastrouter" {
        assert_eq!(analysis["model"], MODEL);
        is_hash(&analysis["promptHash"]);
    } else {
        let failed = &analysis["attempts"][0];
        assert_eq!(
            (&failed["provider"], &failed["model"]),
            (&json!("fastrouter"), &json!(MODEL)),
            "{analysis:#}"
        );
        assert!(
            failed["reason"].as_str().is_some_and(|why| !why.is_empty()),
            "{analysis:#}"
        );
    }
}

/// Where the model proposed, both reviewers asked it, unless the rules had rejected the proposal already.
fn the_reviewers_are_accounted_for(status: &Value, ballots: Option<usize>) {
    let votes = status["votes"].as_array().cloned().unwrap_or_default();
    let seats: Vec<&str> = votes.iter().filter_map(|vote| vote["role"].as_str()).collect();
    assert_eq!(seats, ["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"], "{status:#}");
    if status["analysis"]["provider"] != "fastrouter" {
        return;
    }
    for vote in &votes[1..] {
        let asked = &vote["asked"];
        if asked.is_null() {
            assert_eq!(
                vote["verdict"], "REJECTED",
                "only the rules' rejection spares the question: {vote:#}"
            );
            continue;
        }
        assert!(
            asked["tokens"].as_u64().is_some_and(|tokens| tokens > 0),
            "{vote:#}"
        );
        if asked["provider"].is_null() {
            assert_eq!(
                vote["verdict"], "NEEDS_REVIEW",
                "a seat whose model fails abstains: {vote:#}"
            );
            continue;
        }
        assert_eq!(
            (&asked["provider"], &asked["model"]),
            (&json!("fastrouter"), &json!(MODEL))
        );
        is_hash(&asked["promptHash"]);
    }
    let asked = votes[1..].iter().filter(|vote| !vote["asked"].is_null()).count();
    assert!(
        ballots.is_none_or(|ballots| ballots >= asked),
        "{asked} reviewers were asked, {ballots:?} ballots answered"
    );
}

fn is_hash(value: &Value) {
    let hash = value.as_str().unwrap_or_default();
    assert!(
        hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{value} is no SHA-256"
    );
}

fn spent(status: &Value) -> u64 {
    let votes = status["votes"].as_array().into_iter().flatten();
    let asked = votes.filter_map(|vote| vote["asked"]["tokens"].as_u64());
    asked.chain(status["analysis"]["tokens"].as_u64()).sum()
}

fn report(status: &Value) {
    let analysis = &status["analysis"];
    println!("--- what became of it ---");
    println!(
        "phase     {}  {}",
        status["phase"],
        status["error"].as_str().unwrap_or_default()
    );
    println!(
        "decided   {} {} ({} tokens, {} ms, prompt {})",
        analysis["provider"],
        analysis["model"],
        analysis["tokens"],
        analysis["latencyMs"],
        analysis["promptHash"]
    );
    println!("proposal  {}", analysis["proposal"]);
    println!("attempts  {}", analysis["attempts"]);
    for vote in status["votes"].as_array().into_iter().flatten() {
        println!(
            "vote      {} {}: {}\n          asked {}",
            vote["role"], vote["verdict"], vote["reasoning"], vote["asked"]
        );
    }
    println!("verdict   {}", status["council"]["finalVerdict"]);
}

/// A server with the model, as a process. It ends when its standard input does: with the test, however that ends.
struct Llama {
    url: String,
    /// Whether it says what it was asked and what it answered.
    reports: bool,
    said: Arc<Mutex<Vec<Value>>>,
    child: Child,
    _stdin: Option<ChildStdin>,
}

impl Llama {
    async fn start() -> Self {
        let of = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-llm`"))
        };
        let mut command = Command::new(of("AEGIS_LLM_PROGRAM"));
        command.arg(of("AEGIS_LLM_SERVER")).arg(of("AEGIS_LLM_MODEL"));
        command.env("AEGIS_LLM_MODEL_NAME", MODEL);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                heard.lock().expect("the lock is not poisoned").push(line);
            }
        });
        let mut llama = Self {
            url: String::new(),
            reports: false,
            said,
            child,
            _stdin: stdin,
        };
        let first = eventually("the server has loaded the model", async || {
            let said = llama.said.lock().expect("the lock is not poisoned").clone();
            let first = said.iter().find(|line| line["url"].is_string()).cloned();
            first.ok_or_else(|| format!("{said:?}"))
        })
        .await;
        first["url"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut llama.url);
        llama.reports = first["reports"] == true;
        llama
    }

    /// Its answers so far.
    fn said(&self) -> Vec<Value> {
        let mut said = self.said.lock().expect("the lock is not poisoned").clone();
        said.retain(|line| line["asked"].is_string());
        said
    }

    fn report(&self) {
        println!("--- what the model said ---");
        for line in self.said.lock().expect("the lock is not poisoned").iter().skip(1) {
            if !line["asked"].is_string() {
                println!("{line}");
                continue;
            }
            let number = |name: &str| line[name].as_f64().unwrap_or_default();
            println!(
                "{}: {} + {} tokens, first word after {:.1} s, then {:.1} tokens/s, ended by {}\n{}",
                line["asked"].as_str().unwrap_or_default(),
                line["prompt_tokens"],
                line["completion_tokens"],
                number("seconds_to_first"),
                number("tokens_per_second"),
                line["finish"],
                line["said"].as_str().unwrap_or_default().trim()
            );
        }
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("llama.cpp could not be ended: {error}");
        }
    }
}
