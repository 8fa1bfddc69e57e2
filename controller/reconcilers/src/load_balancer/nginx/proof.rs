//! Which configuration nginx serves: what it answers at [`REVISION_PATH`]. Each wait here is a bounded poll of nginx itself.

use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::Time;
use aegis_planning::load_balancer::REVISION_PATH;
use aegis_planning::load_balancer::observed::Worker;
use aegis_planning::load_balancer::render::is_revision;
use futures::StreamExt;

use super::{Error, Nginx};
use crate::fault;

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// For a moment after a reload workers of the old configuration answer, too, and a kernel gives one connection after the
/// other to the worker that had the last: several at once reach several.
const ASK_AT_ONCE: usize = 4;
/// The word of an old worker is not taken for nginx's.
const ASK_AGAIN: u32 = 8;
const ASK_PAUSE: Duration = Duration::from_millis(20);
/// How long nginx may take to serve what it was signalled to load.
const PROOF_WITHIN: Duration = Duration::from_secs(5);
/// How long its log may take to say why it does not, and how many of its last lines are read.
const LOG_WITHIN: Duration = Duration::from_secs(2);
const LOG_LINES: u32 = 500;
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// nginx tells its old workers to end 100 ms after the new ones were started, so that is when most proofs come.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// Whose answers prove that nginx serves a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load_balancer) enum Proof {
    /// Those of all that are asked: the workers of before take no request any more.
    Everybody,
    /// One new worker's. Enough where servers only join: the workers of before know none that may not serve, so it does
    /// not matter when they go.
    Anybody,
}

impl Nginx<'_> {
    /// The revision that it serves now; `None` if it does not answer with one. While it answers with another than the one it
    /// was `proved` to serve, that may be the word of an old worker: it is asked again, [`ASK_AGAIN`] times in all and
    /// [`ASK_PAUSE`] apart, before that is believed.
    pub(in crate::load_balancer) async fn served(
        &self,
        address: SocketAddr,
        proved: Option<&str>,
    ) -> Option<String> {
        let mut served = None;
        for attempt in 0..ASK_AGAIN {
            if attempt > 0 {
                tokio::time::sleep(ASK_PAUSE).await;
            }
            let mut answers = self.served_revisions(address).await;
            let known = answers.iter().position(|answer| answer.as_deref() == proved);
            served = answers.swap_remove(known.unwrap_or_default());
            if known.is_some() || proved.is_none() {
                break;
            }
        }
        served
    }

    /// Waits until nginx, signalled to load its files, serves this revision; at most [`PROOF_WITHIN`].
    pub(in crate::load_balancer) async fn prove(
        &self,
        address: SocketAddr,
        revision: &str,
        proof: Proof,
    ) -> Result<(), Error> {
        fault::point("balancer/before-proof");
        let start = tokio::time::Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            let served = self.served_revisions(address).await;
            let mut others = served.iter().filter(|served| served.as_deref() != Some(revision));
            let (count, other) = (others.clone().count(), others.next_back());
            let proved = match proof {
                Proof::Everybody => count == 0,
                Proof::Anybody => count < served.len(),
            };
            if proved {
                return Ok(());
            }
            if start.elapsed() >= PROOF_WITHIN {
                return Err(self.unproved(revision, other.and_then(Option::as_deref)));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Waits until others have taken over from these workers, where the revision was served before: at most [`PROOF_WITHIN`].
    pub(in crate::load_balancer) async fn prove_workers(
        &self,
        revision: &str,
        before: &[Worker],
    ) -> Result<(), Error> {
        let start = tokio::time::Instant::now();
        let mut pause = FIRST_LOOK;
        let known = |worker: &&Worker| before.iter().any(|known| known.pid == worker.pid);
        // Of an nginx that shows none, nothing can be said.
        while !before.is_empty() {
            let workers = self.workers().await?;
            let (old, new): (Vec<&Worker>, Vec<&Worker>) = workers.iter().partition(known);
            if !new.is_empty() && old.iter().all(|worker| worker.shutting_down) {
                break;
            }
            if start.elapsed() >= PROOF_WITHIN {
                return Err(Error::Unproved {
                    balancer: self.balancer.to_owned(),
                    revision: revision.to_owned(),
                    message: format!("workers of before still serve after {} s", PROOF_WITHIN.as_secs()),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
        Ok(())
    }

    /// The revisions that it answers several requests at once with, each if it answers with one. There is at least one.
    async fn served_revisions(&self, address: SocketAddr) -> Vec<Option<String>> {
        let ask = async || {
            let answer = self.engine.http_get(address, REVISION_PATH, ANSWER_WITHIN);
            let answer = answer.await.ok()?;
            let text = answer.body.trim();
            (answer.status == 200 && is_revision(text)).then(|| text.to_owned())
        };
        futures::future::join_all((0..ASK_AT_ONCE).map(|_| ask())).await
    }

    /// The same, where nginx's log since it was to load its files says that another process has a port of its TCP backends:
    /// `nginx -t` does not find that out.
    pub(in crate::load_balancer) async fn with_unbound_port(&self, error: Error, since: Time) -> Error {
        let (balancer, revision, message) = match error {
            Error::Unproved {
                balancer,
                revision,
                message,
            } if !self.tcp_ports.is_empty() => (balancer, revision, message),
            error => return error,
        };
        let found = tokio::time::timeout(LOG_WITHIN, self.unbound_port(since)).await;
        let message = match found.ok().flatten() {
            Some((field, port)) => format!(
                "another process listens on port {port} where nginx runs: give {field} another one; {message}"
            ),
            None => message,
        };
        Error::Unproved {
            balancer,
            revision,
            message,
        }
    }

    /// A port of its TCP backends, with its field, on which nginx has logged since that it cannot listen.
    async fn unbound_port(&self, since: Time) -> Option<&(String, u16)> {
        let mut lines = self.log(since, LOG_LINES).await.ok()?;
        while let Some(Ok(line)) = lines.next().await {
            let unbound = |port: &u16| {
                let (_, rest) = line.text.split_once("bind() to ")?;
                let (address, _) = rest.split_once(" failed")?;
                address.ends_with(&format!(":{port}")).then_some(())
            };
            let mut ports = self.tcp_ports.iter();
            if let Some(found) = ports.find(|(_, port)| unbound(port).is_some()) {
                return Some(found);
            }
        }
        None
    }

    /// It still serves another revision, or answers with none.
    fn unproved(&self, revision: &str, other: Option<&str>) -> Error {
        Error::Unproved {
            balancer: self.balancer.to_owned(),
            revision: revision.to_owned(),
            message: match other {
                Some(other) => format!("it still serves {other} after {} s", PROOF_WITHIN.as_secs()),
                None => format!(
                    "GET {REVISION_PATH} does not answer with it; does the template have that location?"
                ),
            },
        }
    }
}
