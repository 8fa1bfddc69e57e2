//! What an answer to a probe means, and what is said of one that is not as expected. Pure.

use aegis_api::probe::{Failing, HttpRequest};
use aegis_api::redact::{bound, redact};
use aegis_docker::{HttpAnswer, ProbeError};
use aegis_planning::probe::Expected;

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// For programs.
    pub failing: Failing,
    /// Human-readable.
    pub text: String,
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        Self {
            failing: error.failing,
            text: error.text,
        }
    }
}

/// Characters of a body that are read for its first line, and of the line that is shown.
const BODY_CHARS: usize = 4096;
const LINE_CHARS: usize = 160;

/// A failed answer: its status, what its body says first, and what people usually find behind it.
fn refusal(request: &HttpRequest, answer: &HttpAnswer) -> String {
    let said = first_words(&answer.body);
    let said = if said.is_empty() {
        said
    } else {
        format!(" {said:?}")
    };
    let named = request.host.is_some();
    let wants_tls = !request.tls && answer.body.to_ascii_lowercase().contains("https");
    let hint = match answer.status {
        400 if wants_tls => " (the port may speak TLS: set health.http.scheme: https)",
        400 | 421 if !named => " (the application may check Host: set health.http.host)",
        401 | 403 if !named => {
            " (the application may check Host, or want credentials: set health.http.host or health.http.path)"
        }
        401 | 403 => " (the path may need credentials: set health.http.path)",
        404 | 405 => " (is health.http.path right?)",
        _ => "",
    };
    format!("{}: {}{said}{hint}", request.words(), answer.status)
}

/// The first line of a body's text, without markup, bounded and redacted: it may say anything.
fn first_words(body: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in body.chars().take(BODY_CHARS) {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push('\n');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line: String = line
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    bound(&redact(&line), LINE_CHARS)
}

/// Whether an answer is as expected. Both texts are human-readable.
pub(super) fn judged(
    request: &HttpRequest,
    expected: &Expected,
    answer: Result<HttpAnswer, ProbeError>,
) -> Result<String, Failure> {
    let answer = answer?;
    let (words, status) = (request.words(), answer.status);
    let failing = Failing::Answered(status);
    if !expected.has_status(status) {
        let text = refusal(request, &answer);
        return Err(Failure { failing, text });
    }
    if let Some(missing) = expected.missing_in(&answer.body) {
        let said = first_words(&answer.body);
        let text = format!("{words}: {status}, but its body {said:?} does not contain {missing:?}");
        return Err(Failure { failing, text });
    }
    Ok(format!("{words}: {status} in {} ms", answer.latency.as_millis()))
}

/// What gRPC's health service says. Its states have numbers of their own; what counts is which of them outlive a restart.
pub(super) fn judged_grpc(address: std::net::SocketAddr, word: &str) -> Result<String, Failure> {
    let text = format!("gRPC health check of {address}: {word}");
    let (status, hint) = match word {
        "SERVING" => return Ok(text),
        "SERVICE_UNKNOWN" => (404, " (is health.grpc.service right?)"),
        "UNIMPLEMENTED" => (404, " (the server has no health service)"),
        _ => (503, ""),
    };
    Err(Failure {
        failing: Failing::Answered(status),
        text: text + hint,
    })
}

/// How a command inside the container ended.
pub(super) fn judged_command(
    command: &[String],
    ended: aegis_docker::EngineResult<aegis_api::observed::ExecOutput>,
) -> Result<String, Failure> {
    let words = bound(&redact(&command.join(" ")), LINE_CHARS);
    match ended {
        Ok(output) if output.exit_code == 0 => Ok(format!("exec {words}: exit code 0")),
        Ok(output) => {
            let said = first_words(&output.output);
            let said = if said.is_empty() {
                said
            } else {
                format!(" {said:?}")
            };
            let hint = match output.exit_code {
                126 | 127 => " (the image may have no such program: see health.exec.command)",
                _ => "",
            };
            Err(Failure {
                failing: Failing::Exited(output.exit_code),
                text: format!("exec {words}: exit code {}{said}{hint}", output.exit_code),
            })
        }
        Err(error) => Err(Failure {
            failing: Failing::Broken,
            text: format!("exec {words}: {}", bound(&redact(&error.to_string()), LINE_CHARS)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failed_probe_shows_what_the_application_says_and_a_hint() {
        let plain = HttpRequest::new("10.0.0.2:80".parse().unwrap(), "/health");
        let named = HttpRequest {
            host: Some("shop.example.test".to_owned()),
            ..plain.clone()
        };
        let said = |request: &HttpRequest, status, body: &str| {
            let answer = HttpAnswer {
                status,
                body: body.to_owned(),
                latency: Duration::ZERO,
            };
            refusal(request, &answer)
        };
        let host = "set health.http.host";
        // (asked, status, body, what it says, the hint)
        for (request, status, body, shown, hint) in [
            (
                &plain,
                400,
                "<!doctype html>\n<h1>Bad Request (400)</h1>",
                "\"Bad Request (400)\"",
                host,
            ),
            (
                &named,
                400,
                "DisallowedHost",
                "\"DisallowedHost\"",
                "DisallowedHost",
            ),
            (
                &plain,
                400,
                "Client sent an HTTP request to an HTTPS server.\n",
                "HTTPS server",
                "scheme: https",
            ),
            (
                &plain,
                400,
                "<title>The plain HTTP request was sent to HTTPS port</title>",
                "HTTPS port",
                "scheme: https",
            ),
            (&plain, 401, "", ": 401", "credentials"),
            (&plain, 403, "Blocked host", "Blocked host", host),
            (&plain, 404, "not here", "not here", "health.http.path"),
            (&plain, 421, "Misdirected", "Misdirected", host),
            (&plain, 500, "{\"error\":\"db\"}", "error", "db"),
        ] {
            let text = said(request, status, body);
            assert!(text.starts_with("GET http://10.0.0.2:80/health: "), "{text}");
            assert!(
                text.contains(&status.to_string()) && text.contains(shown) && text.contains(hint),
                "{text}"
            );
        }
        assert!(
            !said(&named, 400, "DisallowedHost").contains(host),
            "it is set already"
        );
        assert_eq!(said(&plain, 503, " \n"), "GET http://10.0.0.2:80/health: 503");
    }

    #[test]
    fn i11_a_body_is_bounded_and_redacted_and_cannot_forge_lines() {
        let shown = first_words(&format!(
            "\n password=hunter2hunter2 \u{1b}[31m{}\nsecond",
            "x".repeat(9000)
        ));
        assert!(shown.chars().count() <= LINE_CHARS + 1, "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains('\u{1b}') && !shown.contains("second"),
            "{shown}"
        );
        assert_eq!(first_words(&"<".repeat(100_000)), "");
    }

    #[test]
    fn what_is_expected_of_an_answer_decides_and_not_200_to_399() {
        let request = HttpRequest::new("10.0.0.2:80".parse().unwrap(), "/health");
        let expected = |status: Option<&str>, body: Option<&str>| Expected {
            status: status.map(|codes| codes.parse().unwrap()),
            body: body.map(str::to_owned),
        };
        for (status, body, expected, failing) in [
            (302, "", expected(None, None), None),
            (
                302,
                "",
                expected(Some("200-299"), None),
                Some(Failing::Answered(302)),
            ),
            (401, "", expected(Some("200,401"), None), None),
            (200, "{\"status\":\"UP\"}", expected(None, Some("\"UP\"")), None),
            (
                200,
                "{\"status\":\"DOWN\"}",
                expected(None, Some("\"UP\"")),
                Some(Failing::Answered(200)),
            ),
        ] {
            let answer = HttpAnswer {
                status,
                body: body.to_owned(),
                latency: Duration::ZERO,
            };
            let judged = judged(&request, &expected, Ok(answer));
            assert_eq!(
                judged.err().map(|failure| failure.failing),
                failing,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_command_that_is_not_in_the_image_fails_as_what_a_restart_cannot_change() {
        let ended = |exit_code, output: &str| {
            let output = aegis_api::observed::ExecOutput {
                exit_code,
                output: output.to_owned(),
            };
            judged_command(&["check".to_owned()], Ok(output))
        };
        assert!(ended(0, "").is_ok());
        let unwell = ended(1, "no leader\n").unwrap_err();
        assert_eq!(unwell.to_string(), "exec check: exit code 1 \"no leader\"");
        assert!(!unwell.failing.outlives_a_restart());
        assert!(ended(127, "not found").unwrap_err().failing.outlives_a_restart());
        let grpc =
            |word| judged_grpc("10.0.0.2:80".parse().unwrap(), word).map_err(|failure| failure.failing);
        assert!(grpc("SERVING").is_ok());
        assert!(grpc("UNIMPLEMENTED").unwrap_err().outlives_a_restart());
        assert!(!grpc("NOT_SERVING").unwrap_err().outlives_a_restart());
    }
}
