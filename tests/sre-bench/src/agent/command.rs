//! A program of one's own as an agent. It is started when the shop has opened, and killed at the end.
//!
//! Its environment: `SRE_BENCH_NETWORK`, `SRE_BENCH_CONTAINERS` (`web=NAME,api=NAME,…`), `SRE_BENCH_FRONT` (nginx's
//! container) and `SRE_BENCH_USERS` (where users' requests go). It writes JSON objects on its standard output, one a line:
//! `{"component": "web", "class": "down", "text": "…"}` for what it has found, `{"alerts": "127.0.0.1:9000/path"}` if it
//! takes Alertmanager's webhook (within two seconds of its start), `{"tokens": 123}` for those paid for since the last.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use super::{AlertSink, Reports};
use crate::scenario::{Class, Role};
use crate::shop::Shop;

#[derive(Debug)]
pub(super) struct Command {
    program: String,
    tokens: Arc<AtomicU64>,
    /// Killed when it is dropped.
    child: Option<Child>,
}

#[derive(Debug, Deserialize)]
struct Line {
    component: Option<Role>,
    class: Option<Class>,
    #[serde(default)]
    text: String,
    alerts: Option<String>,
    tokens: Option<u64>,
}

impl Command {
    pub(super) fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            tokens: Arc::default(),
            child: None,
        }
    }

    pub(super) async fn start(&mut self, shop: &Shop, reports: Reports) -> anyhow::Result<Option<AlertSink>> {
        let containers: Vec<String> = Role::SHOP
            .into_iter()
            .map(|role| format!("{role}={}", shop.container(role)))
            .collect();
        let mut child = tokio::process::Command::new(&self.program)
            .env("SRE_BENCH_NETWORK", &shop.name)
            .env("SRE_BENCH_CONTAINERS", containers.join(","))
            .env("SRE_BENCH_FRONT", shop.container(Role::Front))
            .env(
                "SRE_BENCH_USERS",
                format!("http://{}", shop.address(Role::Front).await?),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| self.program.clone())?;
        let output = child.stdout.take().context("a standard output")?;
        self.child = Some(child);
        let (sender, mut offered) = watch::channel(None);
        tokio::spawn(read(
            BufReader::new(output),
            reports,
            sender,
            Arc::clone(&self.tokens),
        ));
        let _ = tokio::time::timeout(Duration::from_secs(2), offered.changed()).await;
        let address = offered.borrow().clone();
        Ok(address.map(|address: String| {
            let (host, path) = address.split_once('/').unwrap_or((&address, ""));
            AlertSink {
                host: host.to_owned(),
                path: format!("/{path}"),
                authorization: None,
            }
        }))
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }
}

async fn read(
    output: BufReader<tokio::process::ChildStdout>,
    reports: Reports,
    offered: watch::Sender<Option<String>>,
    tokens: Arc<AtomicU64>,
) {
    let mut lines = output.lines();
    while let Ok(Some(text)) = lines.next_line().await {
        match serde_json::from_str::<Line>(&text) {
            Ok(line) => {
                tokens.fetch_add(line.tokens.unwrap_or_default(), Ordering::Relaxed);
                if let Some(address) = line.alerts {
                    offered.send_replace(Some(address));
                } else if line.component.is_some() || line.class.is_some() {
                    reports.add(line.component, line.class, &line.text);
                }
            }
            Err(error) => reports.add(None, None, &format!("unreadable: {error}")),
        }
    }
}
