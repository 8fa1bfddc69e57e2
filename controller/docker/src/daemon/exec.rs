//! A command inside a container. Does I/O. Its time is bounded by the caller; the engine has no way to end a command that
//! goes on after that, so commands are to end by themselves.

use std::time::Duration;

use ::bollard::container::LogOutput;
use ::bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use aegis_api::observed::ExecOutput;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::failure;
use crate::engine::{EngineResult, OUTPUT_LIMIT};

/// The output can end a moment before the engine has noted the exit code.
const EXIT_CODE_LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

pub(super) async fn run(
    api: &::bollard::Docker,
    id: &str,
    command: &[&str],
    input: &[u8],
    operation: &str,
) -> EngineResult<ExecOutput> {
    let (exec, started) = start(api, id, command, !input.is_empty(), operation).await?;
    let output = match started {
        StartExecResults::Attached { output, input: pipe } => talk(output, pipe, input, operation).await?,
        StartExecResults::Detached => Vec::new(),
    };
    ended(api, &exec, &output, operation).await
}

/// Starts a command; answers the id under which the engine knows it, and its pipes.
pub(super) async fn start(
    api: &::bollard::Docker,
    id: &str,
    command: &[&str],
    reads: bool,
    operation: &str,
) -> EngineResult<(String, StartExecResults)> {
    let options = CreateExecOptions {
        cmd: Some(command.to_vec()),
        attach_stdin: Some(reads),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let failed = |error: &::bollard::errors::Error| failure::of(operation, error);
    let exec = api
        .create_exec(id, options)
        .await
        .map_err(|error| failed(&error))?;
    let started = api
        .start_exec(&exec.id, None::<StartExecOptions>)
        .await
        .map_err(|error| failed(&error))?;
    Ok((exec.id, started))
}

/// What became of a command whose output has ended.
pub(super) async fn ended(
    api: &::bollard::Docker,
    exec: &str,
    output: &[u8],
    operation: &str,
) -> EngineResult<ExecOutput> {
    for _ in 0..EXIT_CODE_LOOKS {
        let state = api.inspect_exec(exec).await;
        let state = state.map_err(|error| failure::of(operation, &error))?;
        if let (Some(exit_code), false) = (state.exit_code, state.running.unwrap_or_default()) {
            return Ok(ExecOutput {
                exit_code,
                output: String::from_utf8_lossy(output).into_owned(),
            });
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(failure::odd(
        operation,
        "its output has ended, but the engine knows no exit code",
    ))
}

/// Gives a command its input and takes what it prints, at the same time: either may fill a pipe.
async fn talk(
    mut chunks: impl Stream<Item = Result<LogOutput, ::bollard::errors::Error>> + Unpin,
    mut pipe: impl AsyncWrite + Unpin,
    input: &[u8],
    operation: &str,
) -> EngineResult<Vec<u8>> {
    let mut output = Vec::new();
    let give = async {
        // One that ends without having read it all has said why.
        if !input.is_empty() && pipe.write_all(input).await.is_ok() {
            drop(pipe.shutdown().await);
        }
    };
    let take = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| failure::of(operation, &error))?;
            let room = OUTPUT_LIMIT.saturating_sub(output.len());
            output.extend(chunk.into_bytes().iter().take(room));
        }
        Ok(())
    };
    let ((), taken) = tokio::join!(give, take);
    taken?;
    Ok(output)
}
