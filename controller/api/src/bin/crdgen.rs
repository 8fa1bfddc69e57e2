//! Writes `crds/*.yaml` from the Rust types; with `--check` it fails when they differ.

use std::path::Path;
use std::process::ExitCode;

use aegis_api::KINDS;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let check = args.iter().any(|arg| arg == "--check");
    let folder = args
        .iter()
        .find(|arg| !arg.starts_with("--"))
        .map_or("crds", String::as_str);
    match run(Path::new(folder), check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
            {
                eprintln!("crdgen: {message}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, check: bool) -> Result<(), String> {
    for info in KINDS.iter() {
        let path = folder.join(format!("{}.yaml", info.plural));
        let text = format!(
            "# Generated from controller/api by `make crds`; do not edit.\n{}",
            aegis_api::yaml::to_string(&info.crd())?
        );
        if check {
            let present =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if present != text {
                return Err(format!(
                    "{} differs from the Rust types: run `make crds`",
                    path.display()
                ));
            }
        } else {
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}
