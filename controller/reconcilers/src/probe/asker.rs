//! Asks one container: at each address that may lead to it until one of them has answered well, then at that one. Does I/O
//! through the engine only.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::ExecOutput;
use aegis_api::probe::Failing;
use aegis_docker::probe::KeptConnection;
use aegis_docker::{Engine, EngineError, EngineResult};
use aegis_planning::probe::{ProbeRequest, Target};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout};

use super::answer::{Failure, judged, judged_command, judged_grpc};

/// Asks once, over connections of their own: healthy where one of these addresses answers well. Both texts are
/// human-readable.
pub(crate) async fn ask(
    engine: &dyn Engine,
    questions: &[ProbeRequest],
    bound: Duration,
) -> Result<String, Failure> {
    anywhere(engine, questions, bound).await.map(|(_, text)| text)
}

/// Where a container answers well first, and what it says; else what tells most of what went wrong.
async fn anywhere(
    engine: &dyn Engine,
    questions: &[ProbeRequest],
    bound: Duration,
) -> Result<(usize, String), Failure> {
    let answers = join_all(questions.iter().map(|question| once(engine, question, bound))).await;
    let mut failures: Vec<Failure> = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(text) => return Ok((index, text)),
            Err(failure) => failures.push(failure),
        }
    }
    // Of those that tell as much the first: its address is the likeliest.
    failures.reverse();
    let telling = failures.iter().max_by_key(|failure| failure.failing).cloned();
    let mut worst = telling.unwrap_or_else(|| Failure {
        failing: Failing::Unreachable,
        text: "it has no address to probe".to_owned(),
    });
    let others: Vec<&str> = failures
        .iter()
        .map(|failure| failure.text.as_str())
        .filter(|text| *text != worst.text)
        .collect();
    if !others.is_empty() {
        worst.text = format!("{}; also tried: {}", worst.text, others.join("; "));
    }
    Err(worst)
}

async fn once(engine: &dyn Engine, question: &ProbeRequest, bound: Duration) -> Result<String, Failure> {
    match question {
        ProbeRequest::Http(request, expected) => {
            judged(request, expected, engine.http_ask(request, bound).await)
        }
        ProbeRequest::Tcp(address) => {
            engine.tcp_connect(*address, bound).await?;
            Ok(format!("tcp {address}: open"))
        }
        ProbeRequest::Grpc(address, service) => {
            judged_grpc(*address, engine.grpc_check(*address, service, bound).await?)
        }
        ProbeRequest::Exec(id, command) => {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match timeout(bound, engine.exec(id, &words, &[])).await {
                Ok(ended) => judged_command(command, ended),
                Err(_) => Err(not_ended(command, bound)),
            }
        }
    }
}

fn not_ended(command: &[String], bound: Duration) -> Failure {
    Failure {
        failing: Failing::Silent,
        text: format!(
            "exec {}: it has not ended within {} ms",
            command.first().map(String::as_str).unwrap_or_default(),
            bound.as_millis()
        ),
    }
}

/// How long a command that does not end is not run again. An engine that stalls looks the same, and must not be held against
/// the container once it is back.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// A command that is under way.
type Running = BoxFuture<'static, EngineResult<ExecOutput>>;

/// Asks one run of one container again and again.
pub(super) struct Asker<'a> {
    target: &'a Target,
    /// The question that was answered well first; the only one is that from the start.
    found: Option<&'a ProbeRequest>,
    kept: KeptConnection,
    /// An engine cannot end a command, so no second one is begun beside one that hangs.
    running: Option<Running>,
    /// A command did not even end within the engine's own bound, be it that it hangs or that the engine did: it is not run
    /// again before then.
    gave_up: Option<Instant>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        let found = match target.questions.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        Self {
            target,
            found,
            kept: KeptConnection::default(),
            running: None,
            gave_up: None,
        }
    }

    /// The question that is asked, once that is clear.
    pub(super) fn found(&self) -> Option<&'a ProbeRequest> {
        self.found
    }

    pub(super) async fn ask(&mut self, engine: &Arc<dyn Engine>) -> Result<String, Failure> {
        let bound = self.target.timeout;
        match self.found {
            Some(ProbeRequest::Http(request, expected)) => {
                let answer = engine.http_ask_again(&mut self.kept, request, bound).await;
                judged(request, expected, answer)
            }
            Some(ProbeRequest::Exec(id, command)) => self.run(engine, id, command).await,
            Some(question) => once(&**engine, question, bound).await,
            None => {
                let (index, text) = anywhere(&**engine, &self.target.questions, bound).await?;
                self.found = self.target.questions.get(index);
                Ok(text)
            }
        }
    }

    /// Runs a command, or goes on waiting for the one before.
    async fn run(
        &mut self,
        engine: &Arc<dyn Engine>,
        id: &str,
        command: &[String],
    ) -> Result<String, Failure> {
        let bound = self.target.timeout;
        if self.gave_up.is_some_and(|until| Instant::now() < until) {
            return Err(Failure {
                failing: Failing::Silent,
                text: format!(
                    "exec {}: it has not ended, so it is not run again for a minute",
                    command.first().map(String::as_str).unwrap_or_default()
                ),
            });
        }
        let late = self.running.is_some();
        let mut running = self.running.take().unwrap_or_else(|| begin(engine, id, command));
        match timeout(bound, &mut running).await {
            Ok(Err(error @ EngineError::Timeout { .. })) => {
                self.gave_up = Some(Instant::now() + GIVEN_UP);
                judged_command(command, Err(error))
            }
            Ok(_) if late => Err(not_ended(command, bound)),
            Ok(ended) => judged_command(command, ended),
            Err(_) => {
                self.running = Some(running);
                Err(not_ended(command, bound))
            }
        }
    }
}

fn begin(engine: &Arc<dyn Engine>, id: &str, command: &[String]) -> Running {
    let (engine, id, command) = (Arc::clone(engine), id.to_owned(), command.to_vec());
    async move {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        engine.exec(&id, &words, &[]).await
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use aegis_api::ContainerId;
    use aegis_docker_fake::{FakeEngine, FakeOptions, Op, RunSpec};

    use super::*;

    fn target(questions: Vec<ProbeRequest>) -> Target {
        Target {
            id: ContainerId::from("web"),
            started_at: None,
            questions,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            successes: 1,
            failures: 3,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_waited_for_and_not_begun_a_second_time() {
        let engine = FakeEngine::new(FakeOptions {
            call_takes: Duration::from_secs(5),
            ..FakeOptions::default()
        });
        engine.run_container(&RunSpec::new("web", "app:1")).unwrap();
        let shared: Arc<dyn Engine> = Arc::new(engine.clone());
        let target = target(vec![ProbeRequest::Exec("web".into(), vec!["check".to_owned()])]);
        let mut asker = Asker::new(&target);
        let begun = || {
            let effects = engine.effects();
            effects.iter().filter(|effect| effect.op == Op::Exec).count()
        };
        for _ in 0..3 {
            let failure = asker.ask(&shared).await.unwrap_err();
            assert_eq!(failure.failing, Failing::Silent, "{failure}");
        }
        assert!(begun() <= 1);
        for _ in 0..3 {
            assert_eq!(asker.ask(&shared).await.unwrap_err().failing, Failing::Silent);
        }
        assert_eq!(begun(), 1, "the second begins once the first has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_is_asked_where_it_answered_first_and_what_tells_most_is_reported() {
        let engine = FakeEngine::default();
        let web = RunSpec::new("web", "app:1").network("a").network("b");
        engine.run_container(&web).unwrap();
        engine.hide_network("a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = engine.inspect_now("web").unwrap();
        let at = |network: &str| SocketAddr::new(found.networks[network].unwrap(), 80);
        let target = target(vec![ProbeRequest::Tcp(at("a")), ProbeRequest::Tcp(at("b"))]);
        let shared: Arc<dyn Engine> = Arc::new(engine.clone());
        let mut asker = Asker::new(&target);
        assert!(asker.ask(&shared).await.is_ok());
        assert_eq!(asker.found(), Some(&target.questions[1]));
        engine.stop_by_hand("web").unwrap();
        let failure = ask(&engine, &target.questions, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(failure.text.contains("also tried"), "{failure}");
    }
}
