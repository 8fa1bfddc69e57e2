//! Writes the OpenAPI document that the page's client is generated from: `openapigen FILE`.

use std::process::ExitCode;

use aegis_api::openapi::whole_document;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        return fail("usage: openapigen FILE");
    };
    // Its own version would make the file stale with every release.
    match serde_json::to_string_pretty(&whole_document("v1alpha1")) {
        Ok(text) => match std::fs::write(&path, text + "\n") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{path}: {error}")),
        },
        Err(error) => fail(&error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "a command-line program")]
fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
