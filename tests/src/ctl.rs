//! `aegisctl` as people run it: the real binary, its output and its exit code.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::binaries::binary;

const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// `aegisctl` with a server and a token.
#[derive(Debug, Clone)]
pub struct Ctl {
    server: String,
    token: String,
    home: PathBuf,
}

/// What a run said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Ctl {
    pub(crate) fn new(server: &str, token: &str, home: &Path) -> Self {
        Self {
            server: server.to_owned(),
            token: token.to_owned(),
            home: home.to_owned(),
        }
    }

    /// Runs it to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "").await
    }

    /// Runs it with this on its standard input.
    pub async fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = Command::new(binary("aegisctl"));
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("AEGIS_SERVER", &self.server)
            .env("AEGIS_TOKEN", &self.token);
        command.args(args).kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("aegisctl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without having read its input.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(ENDS_WITHIN, child.wait_with_output()).await;
        let output = ended
            .unwrap_or_else(|_| {
                panic!(
                    "aegisctl {} did not end within {} s",
                    args.join(" "),
                    ENDS_WITHIN.as_secs()
                )
            })
            .expect("aegisctl can be waited for");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it; it must succeed. Answers its standard output.
    pub async fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "").await
    }

    /// Runs it with this on its standard input; it must succeed.
    pub async fn ok_with(&self, args: &[&str], input: &str) -> String {
        let ran = self.run_with(args, input).await;
        assert_eq!(ran.code, 0, "aegisctl {}:\n{}", args.join(" "), ran.all());
        ran.stdout
    }

    /// `aegisctl apply -f -`; it must succeed.
    pub async fn apply(&self, object: &Value) -> String {
        self.ok_with(&["apply", "-f", "-"], &object.to_string()).await
    }
}
