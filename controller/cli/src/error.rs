//! Everything that can end a command, and the exit code it ends with. Pure.

use std::path::PathBuf;

use crate::client::status::ApiStatus;
use crate::problem::Problem;
use crate::text;

/// What to do about a server that cannot be reached.
fn what_to_do(cause: &str) -> &'static str {
    match cause.contains("certificate") {
        true => {
            "If it made its certificate itself, give that with --ca: it is .secrets/tls/cert.pem in its state directory."
        }
        false => "Is it running? Try 'make up', or set AEGIS_SERVER.",
    }
}

/// Why a command ended without success. Display is what a person reads after `error: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// The configuration file, the token file or the environment is wrong.
    #[error("{0}")]
    Config(String),
    /// No server answers.
    #[error("cannot reach the controller at {server}: {cause}. {}", what_to_do(cause))]
    Unreachable { server: String, cause: String },
    /// Something answers that is not the controller.
    #[error("{server} does not answer like an AegisOps controller: {cause}. Check AEGIS_SERVER.")]
    Protocol { server: String, cause: String },
    /// The server wants a token that it knows.
    #[error(
        "the controller at {server} {}: set AEGIS_TOKEN (or --token-file); `make -s token` prints the admin token",
        if *.token_sent { "does not know this token" } else { "wants a token" }
    )]
    Unauthorized { server: String, token_sent: bool },
    /// The server says no.
    #[error("{}", .0.explain())]
    Api(Box<ApiStatus>),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// Files that are not valid; nothing was sent.
    #[error("{}", listed(.0))]
    Manifests(Vec<Problem>),
    /// The request was valid; the operation itself failed.
    #[error("{0}")]
    Failed(String),
    /// `diff` found differences; it has shown them already.
    #[error("")]
    Differs,
    /// Waiting took longer than allowed.
    #[error("timed out after {seconds} s waiting for {what}")]
    Timeout { what: String, seconds: f64 },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Standard output is closed or full.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

/// The exit codes, as `--help` shows them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it failed, was refused, or (diff) differs
  2    the command line or the configuration is wrong
  3    the server cannot be reached
  4    there is no such object
  5    not allowed: no token, a wrong one, or one whose role does not suffice
  124  waiting took longer than --timeout";

impl CliError {
    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::NotFound(_) => 4,
            Self::Unauthorized { .. } => 5,
            Self::Api(status) => match status.code {
                401 | 403 => 5,
                404 => 4,
                _ => 1,
            },
            Self::Timeout { .. } => 124,
            // What a shell reports of a program that a closed pipe ended.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 141,
            Self::Protocol { .. }
            | Self::Manifests(_)
            | Self::Failed(_)
            | Self::Differs
            | Self::File { .. }
            | Self::Output(_) => 1,
        }
    }

    /// Whether there is anything left to say about it.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Differs => true,
            Self::Output(error) => error.kind() == std::io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }

    /// Whether the server said that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_)) || self.is_status(404)
    }

    /// Whether the server answered with this HTTP status.
    pub(crate) fn is_status(&self, code: u16) -> bool {
        matches!(self, Self::Api(status) if status.code == code)
    }
}

fn listed(problems: &[Problem]) -> String {
    let mut lines = vec![match problems.len() {
        1 => "1 problem; nothing was sent".to_owned(),
        count => format!("{count} problems; nothing was sent"),
    }];
    lines.extend(
        problems
            .iter()
            .map(|problem| format!("  {}", text::line(&problem.to_string()))),
    );
    lines.join("\n")
}
