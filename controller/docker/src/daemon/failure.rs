//! From what can go wrong on the way to the engine to [`EngineError`]: each names its operation and carries the engine's
//! own words. Pure, except that [`bounded`] watches the clock.

use aegis_api::error::chain;
use std::time::Duration;

use ::bollard::errors::Error;

use crate::engine::{EngineError, EngineResult};

/// Waits for `work` at most `bound`.
pub(super) async fn bounded<T>(
    operation: &str,
    bound: Duration,
    work: impl Future<Output = EngineResult<T>>,
) -> EngineResult<T> {
    match tokio::time::timeout(bound, work).await {
        Ok(result) => result,
        Err(_) => Err(timeout(operation, bound)),
    }
}

pub(super) fn timeout(operation: &str, bound: Duration) -> EngineError {
    EngineError::Timeout {
        operation: operation.to_owned(),
        seconds: bound.as_secs(),
    }
}

pub(super) fn unreachable(operation: &str, message: impl Into<String>) -> EngineError {
    EngineError::Unreachable {
        operation: operation.to_owned(),
        message: message.into(),
    }
}

pub(super) fn refused(operation: &str, message: impl Into<String>) -> EngineError {
    EngineError::Refused {
        operation: operation.to_owned(),
        message: message.into(),
    }
}

/// An answer that is not what the request was for.
pub(super) fn odd(operation: &str, message: impl Into<String>) -> EngineError {
    EngineError::Server {
        operation: operation.to_owned(),
        message: message.into(),
    }
}

/// The engine answered with a status that means failure.
pub(super) fn status(operation: &str, status: u16, message: &str) -> EngineError {
    let operation = operation.to_owned();
    let message = match message.trim() {
        "" => format!("status {status}"),
        message => message.to_owned(),
    };
    match status {
        404 => EngineError::NotFound { operation, message },
        409 => EngineError::Conflict { operation, message },
        400..=499 => EngineError::Refused { operation, message },
        _ => EngineError::Server { operation, message },
    }
}

/// The connection failed while a request or its answer was on its way.
pub(super) fn transport(operation: &str, error: &hyper::Error) -> EngineError {
    unreachable(operation, chain(error))
}

/// What bollard says.
pub(super) fn of(operation: &str, error: &Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => status(operation, *status_code, message),
        Error::RequestTimeoutError => timeout(operation, super::BOLLARD_BOUND),
        Error::HyperLegacyError { .. }
        | Error::HyperResponseError { .. }
        | Error::IOError { .. }
        | Error::SocketNotFoundError(_) => unreachable(operation, chain(error)),
        other => odd(operation, chain(other)),
    }
}

/// A start also answers 404 when the container is there and one of its networks is not: that is a refusal.
pub(super) fn of_start(operation: &str, error: &Error) -> EngineError {
    match of(operation, error) {
        EngineError::NotFound { operation, message }
            if !message.to_lowercase().contains("no such container") =>
        {
            EngineError::Refused { operation, message }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_kind_and_keeps_the_engines_words() {
        let said = |code| status("stop container web", code, "no such container: web\n");
        assert!(said(404).is_not_found());
        assert!(matches!(said(409), EngineError::Conflict { .. }));
        assert!(matches!(said(400), EngineError::Refused { .. }));
        assert!(matches!(said(500), EngineError::Server { .. }));
        assert_eq!(
            said(404).to_string(),
            "stop container web: not found: no such container: web"
        );
        assert_eq!(status("x", 500, "").to_string(), "x: engine error: status 500");
    }

    #[test]
    fn a_missing_network_is_not_a_missing_container() {
        let said = |message: &str| {
            of_start(
                "start",
                &Error::DockerResponseServerError {
                    status_code: 404,
                    message: message.to_owned(),
                },
            )
        };
        assert!(matches!(
            said("network front not found"),
            EngineError::Refused { .. }
        ));
        assert!(said("No such container: web").is_not_found());
    }

    #[test]
    fn a_missing_socket_is_an_engine_that_does_not_answer() {
        let error = of(
            "list containers",
            &Error::SocketNotFoundError("/run/x.sock".to_owned()),
        );
        assert!(
            error.is_transient() && error.to_string().contains("/run/x.sock"),
            "{error}"
        );
    }
}
