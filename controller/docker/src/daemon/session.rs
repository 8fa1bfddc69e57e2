//! A command inside a container that answers one request after the other. Does I/O.
//!
//! It lives as long as the connection that carries its input and output: the engine ends its input when that is closed, be
//! it by a drop, by the end of this program or by that of the engine.

use std::pin::Pin;

use ::bollard::container::LogOutput;
use ::bollard::exec::StartExecResults;
use aegis_api::observed::ExecOutput;
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt, Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::failure::bounded;
use super::{EXEC_BOUND, exec, failure};
use crate::engine::{EngineError, EngineResult, OUTPUT_LIMIT, Session};
use crate::script;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, ::bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

pub(super) async fn open(
    api: &::bollard::Docker,
    id: &str,
    command: &[&str],
) -> EngineResult<Box<dyn Session>> {
    let operation = format!("run {} in container {id}", script::shown(command));
    let (exec, started) = exec::start(api, id, command, true, &operation).await?;
    match started {
        StartExecResults::Attached { output, input } => Ok(Box::new(Open {
            api: api.clone(),
            exec,
            operation,
            output,
            input,
            has_answered: false,
        })),
        StartExecResults::Detached => Err(failure::odd(&operation, "the engine gives no way to talk to it")),
    }
}

struct Open {
    api: ::bollard::Docker,
    /// By which the engine knows it.
    exec: String,
    operation: String,
    output: Output,
    input: Input,
    has_answered: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("exec", &self.exec)
            .finish_non_exhaustive()
    }
}

impl Session for Open {
    fn ask<'a>(&'a mut self, input: &'a [u8], mark: &'a str) -> BoxFuture<'a, EngineResult<ExecOutput>> {
        async move {
            let operation = self.operation.clone();
            let start = tokio::time::Instant::now();
            let result = bounded(&operation, EXEC_BOUND, self.ask_now(input, mark)).await;
            let milliseconds = start.elapsed().as_millis();
            tracing::debug!(operation, milliseconds, ok = result.is_ok(), "engine");
            result
        }
        .boxed()
    }
}

impl Open {
    async fn ask_now(&mut self, input: &[u8], mark: &str) -> EngineResult<ExecOutput> {
        // Whatever it says before it is asked anything more, it says because it ended.
        if self.has_answered && self.output.next().now_or_never().is_some() {
            return Err(gone(&self.operation));
        }
        match exchange(&mut self.output, &mut self.input, input, mark).await {
            Exchanged::Answered(answer) => {
                self.has_answered = true;
                Ok(answer)
            }
            Exchanged::Ended { whole: false, .. } if self.has_answered => Err(gone(&self.operation)),
            Exchanged::Ended { printed, .. } => {
                exec::ended(&self.api, &self.exec, &printed, &self.operation).await
            }
            Exchanged::Failed(error) => Err(failure::of(&self.operation, &error)),
        }
    }
}

fn gone(operation: &str) -> EngineError {
    EngineError::Conflict {
        operation: operation.to_owned(),
        message: "it has ended".to_owned(),
    }
}

/// What came of one request.
enum Exchanged {
    Answered(ExecOutput),
    /// It printed this and ended; whether all of the input was on its way to it before.
    Ended {
        printed: Vec<u8>,
        whole: bool,
    },
    Failed(::bollard::errors::Error),
}

/// Gives a command its input and takes what it prints, at the same time: either may fill a pipe.
async fn exchange(
    output: &mut (impl Stream<Item = Result<LogOutput, ::bollard::errors::Error>> + Unpin),
    pipe: &mut (impl AsyncWrite + Unpin),
    input: &[u8],
    mark: &str,
) -> Exchanged {
    let give = std::pin::pin!(async {
        pipe.write_all(input).await?;
        pipe.flush().await
    });
    let take = std::pin::pin!(take(output, mark));
    match select(give, take).await {
        Either::Left((given, take)) => match take.await {
            Exchanged::Ended { printed, .. } => Exchanged::Ended {
                printed,
                whole: given.is_ok(),
            },
            other => other,
        },
        Either::Right((taken, _)) => taken,
    }
}

/// Reads to the end of an answer. What ended before it had its input is said to have had none of it.
async fn take(
    output: &mut (impl Stream<Item = Result<LogOutput, ::bollard::errors::Error>> + Unpin),
    mark: &str,
) -> Exchanged {
    let mut printed = Vec::new();
    while let Some(chunk) = output.next().await {
        match chunk {
            Ok(chunk) => printed.extend(chunk.into_bytes()),
            Err(error) => return Exchanged::Failed(error),
        }
        let surplus = printed.len().saturating_sub(OUTPUT_LIMIT);
        printed.drain(..surplus);
        if let Some((end, exit_code)) = verdict(&printed, mark) {
            printed.truncate(end);
            return Exchanged::Answered(ExecOutput {
                exit_code,
                output: String::from_utf8_lossy(&printed).into_owned(),
            });
        }
    }
    Exchanged::Ended {
        printed,
        whole: false,
    }
}

/// Where the last line begins, and its number, if it is the one that ends the answer.
fn verdict(printed: &[u8], mark: &str) -> Option<(usize, i64)> {
    let text = printed.strip_suffix(b"\n")?;
    let start = text.iter().rposition(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(text.get(start.saturating_add(1)..)?).ok()?;
    let code = line.strip_prefix(mark)?.strip_prefix(' ')?;
    Some((start, code.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn says(text: &'static str) -> Result<LogOutput, ::bollard::errors::Error> {
        let message = Bytes::from_static(text.as_bytes());
        Ok(LogOutput::StdOut { message })
    }

    async fn exchanged(said: &[&'static str], input: &[u8], room: usize) -> Exchanged {
        let (mut near, mut far) = tokio::io::duplex(room);
        let read = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut output = stream::iter(said.iter().copied().map(says).collect::<Vec<_>>());
        let exchanged = exchange(&mut output, &mut near, input, "mark").await;
        drop(near);
        assert!(input.starts_with(&read.await.unwrap()));
        exchanged
    }

    #[tokio::test]
    async fn an_answer_ends_at_its_mark_wherever_the_engine_cuts_it() {
        for said in [
            &["syntax is ok\n\nmark 71\n"][..],
            &["syntax", " is ok\n", "\nma", "rk 7", "1", "\n"],
            &["syntax is ok\n\nmark 71\n", "what is said later"],
        ] {
            let Exchanged::Answered(answer) = exchanged(said, b"request", 64).await else {
                panic!("{said:?}");
            };
            assert_eq!((answer.exit_code, answer.output.as_str()), (71, "syntax is ok\n"));
        }
    }

    #[tokio::test]
    async fn another_mark_ends_no_answer() {
        for said in ["\nother 0\n", "\nmark 0", "\nmark x\n", "mark 0\n", "\n mark 0\n"] {
            let Exchanged::Ended { printed, .. } = exchanged(&[said], b"request", 64).await else {
                panic!("{said:?}");
            };
            assert_eq!(printed, said.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_ends_before_it_was_asked_did_not_have_its_input() {
        let ended = exchanged(&[], b"longer than there is room for", 4).await;
        assert!(matches!(ended, Exchanged::Ended { whole: false, .. }));
    }

    #[tokio::test]
    async fn what_cannot_be_given_its_input_did_not_have_it() {
        let (mut near, far) = tokio::io::duplex(64);
        drop(far);
        let mut output = stream::iter([says("exec failed")]);
        let ended = exchange(&mut output, &mut near, b"request", "mark").await;
        assert!(matches!(ended, Exchanged::Ended { whole: false, .. }));
    }
}
