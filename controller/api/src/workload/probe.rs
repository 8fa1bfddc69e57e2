//! Probes beside HTTP and TCP. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::{FieldError, Rules};

/// Characters of a command and its arguments.
const LONGEST_COMMAND: usize = 4096;

/// Probe by a command inside the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecProbe {
    /// The command and its arguments; run without a shell. One that has not ended when its time is over is waited for
    /// before it is run again. Setting it for an adopted container is an admin's.
    #[schemars(length(min = 1, max = 64))]
    pub command: Vec<String>,
}

impl Rules for ExecProbe {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let length: usize = self.command.iter().map(String::len).sum();
        if self.command.first().is_none_or(String::is_empty) || length > LONGEST_COMMAND {
            out.push(FieldError::invalid(
                format!("{path}.command"),
                format!("{length} characters"),
                format!("name a program and its arguments, at most {LONGEST_COMMAND} characters in all"),
            ));
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            out.push(FieldError::invalid(
                format!("{path}.command"),
                "",
                "an argument cannot contain a zero byte",
            ));
        }
    }
}

/// Probe by gRPC's health service, in plain HTTP/2 as Kubernetes asks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcProbe {
    /// Container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The service that is asked about. Absent: the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub service: Option<String>,
}
