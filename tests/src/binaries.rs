//! The binaries under test, beside the test executable. They are never built from here, so that what is tested is what
//! `make test` has built.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The path of one of our programs.
///
/// `AEGIS_BENCH_CONTROLLER` names another controller, for the bench to compare with.
pub fn binary(name: &str) -> PathBuf {
    if let (Ok(other), "aegis-controller") = (std::env::var("AEGIS_BENCH_CONTROLLER"), name) {
        return other.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    // A test lives in target/…/deps, the bench beside the programs themselves.
    let mut places = test.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "{name} is missing beside {}: run `make test`, or `cargo build --workspace` before the tests",
            test.display()
        )
    })
}

/// The controller, and the promise that it has the fault points in it.
pub fn controller_with_fault_points() -> PathBuf {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let path = binary("aegis-controller");
    let found = FOUND.get_or_init(|| {
        let program = std::fs::read(&path).expect("the controller's binary");
        program
            .windows(b"AEGIS_FAULT".len())
            .any(|window| window == b"AEGIS_FAULT")
    });
    assert!(
        *found,
        "{} was built without the feature fault-points: build it with `cargo build --workspace` (aegis-tests turns the \
         feature on for all)",
        path.display()
    );
    path
}

/// The top folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
}

/// The variables that a program declares, as its help names them.
pub fn declared(program: &str) -> Vec<String> {
    let help = std::process::Command::new(binary(program))
        .env_clear()
        .arg("--help")
        .output()
        .expect("the program starts");
    let text = String::from_utf8(help.stdout).expect("help is UTF-8");
    // Help is wrapped, also between `env:` and the name.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.split("[env: ").skip(1);
    let names = parts.filter_map(|part| part.split(['=', ']']).next());
    names.map(str::to_owned).collect()
}
