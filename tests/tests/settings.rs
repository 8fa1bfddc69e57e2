//! Promise: a setting that is set to nothing is not set, in every program; a token that can be guessed is refused; and every secret
//! can be given as a file.

use std::process::{Command, Output};

use aegis_tests::binaries::{binary, declared};

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set_in_any_program() {
    for (program, least) in [("aegis-controller", 25), ("aegis-dashboard", 5), ("buggy-app", 7)] {
        let names = declared(program);
        assert!(names.len() >= least, "{program}: {names:?}");
        let ask = |name: &str, value: &str| {
            let mut command = Command::new(binary(program));
            command.env_clear().env(name, value).arg("--healthcheck");
            command.output().unwrap()
        };
        // Whether somebody listens there or not: what is asked is whether it takes its settings.
        let taken = |output: &Output| matches!(output.status.code(), Some(0 | 1));
        for name in &names {
            for nothing in ["", " ", "\t"] {
                let output = ask(name, nothing);
                assert!(
                    taken(&output),
                    "{program} with {name}={nothing:?}: {}",
                    text(&output)
                );
            }
        }
    }
    let mut wrong = Command::new(binary("aegis-controller"));
    let wrong = wrong
        .env_clear()
        .env("AEGIS_ANONYMOUS_ROLE", "unknown")
        .arg("--healthcheck")
        .output()
        .unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(2),
        "what is set is still read: {}",
        text(&wrong)
    );
}

#[test]
fn aegisctl_takes_a_variable_that_is_set_to_nothing_for_none() {
    let home = tempfile::tempdir().unwrap();
    for name in [
        "AEGIS_SERVER",
        "AEGIS_TOKEN",
        "AEGIS_TOKEN_FILE",
        "AEGIS_CONFIG",
        "XDG_CONFIG_HOME",
    ] {
        let mut command = Command::new(binary("aegisctl"));
        command.env_clear().env("HOME", home.path()).env(name, " ");
        let output = command
            .args(["get", "workloads", "--request-timeout=2s"])
            .output()
            .unwrap();
        let said = text(&output);
        assert!(said.contains("127.0.0.1:8001"), "{name}: {said}");
    }
}

#[test]
fn a_controller_whose_webhook_token_can_be_guessed_does_not_start_and_says_what_is_allowed() {
    let state = tempfile::tempdir().unwrap();
    let start = |token: &str| {
        let mut command = Command::new(binary("aegis-controller"));
        command
            .env_clear()
            .env("AEGIS_WEBHOOK_TOKEN", token)
            .arg("--state-dir")
            .arg(state.path());
        // That address cannot be bound, so a controller whose settings are valid exits, too.
        command
            .args(["--listen", "192.0.2.1:1", "--insecure"])
            .output()
            .unwrap()
    };
    let refused = start("secret");
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in ["AEGIS_WEBHOOK_TOKEN", "too short", "at least 16"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!state.path().join(".secrets").exists(), "before anything is made");
    let empty = start("");
    let said = text(&empty);
    assert!(said.contains("cannot listen on 192.0.2.1:1"), "{said}");
    assert!(
        state.path().join(".secrets/webhook-token").exists(),
        "one is made, as if it were not set"
    );
}

#[test]
fn a_role_without_a_token_is_given_to_no_peer_that_is_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let start = |from: &[(&str, &str)]| {
        let mut command = Command::new(binary("aegis-controller"));
        command.env_clear().env("AEGIS_ANONYMOUS_ROLE", "operator");
        command.envs(from.iter().copied()).arg("--state-dir").arg(&state);
        // That address cannot be bound, so a controller whose settings are valid exits, too.
        command
            .args(["--listen", "192.0.2.1:1", "--insecure"])
            .output()
            .unwrap()
    };
    for unnamed in [&[][..], &[("AEGIS_ANONYMOUS_FROM", "")]] {
        let refused = start(unnamed);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        for part in [
            "AEGIS_ANONYMOUS_ROLE",
            "AEGIS_ANONYMOUS_FROM=192.168.1.0/24",
            "0.0.0.0/0,::/0",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!state.exists(), "before anything is made");
    }
    for named in ["192.168.1.0/24", "0.0.0.0/0,::/0"] {
        let said = text(&start(&[("AEGIS_ANONYMOUS_FROM", named)]));
        assert!(said.contains("cannot listen on 192.0.2.1:1"), "{named}: {said}");
    }
}

#[test]
fn every_secret_is_read_from_the_file_that_is_named_in_its_place_and_never_from_two_places() {
    let names = declared("aegis-controller");
    let secrets = names
        .iter()
        .filter(|name| names.contains(&format!("{name}_FILE")))
        .collect::<Vec<_>>();
    assert!(secrets.len() >= 11, "{secrets:?}");
    let folder = tempfile::tempdir().unwrap();
    let (state, present) = (folder.path().join("state"), folder.path().join("present"));
    std::fs::write(&present, "a-secret-of-the-tests\n").unwrap();
    let start = |env: &[(&str, &str)]| {
        let mut command = Command::new(binary("aegis-controller"));
        command.env_clear().envs(env.iter().copied());
        // That address cannot be bound, so a controller whose settings are valid exits, too.
        command.arg("--state-dir").arg(&state);
        command
            .args(["--listen", "192.0.2.1:1", "--insecure"])
            .output()
            .unwrap()
    };
    for name in secrets {
        let file = format!("{name}_FILE");
        let missing = start(&[(&file, "/nowhere/at-all")]);
        let said = text(&missing);
        assert_eq!(missing.status.code(), Some(1), "{file}: {said}");
        assert!(
            said.contains(&format!("{file}: cannot read /nowhere/at-all")),
            "{file}: {said}"
        );
        let both = start(&[
            (&file, present.to_str().unwrap()),
            (name, "another-secret-of-the-tests"),
        ]);
        let said = text(&both);
        assert_eq!(both.status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains(&format!("both {name} and {file} are set")),
            "{said}"
        );
        assert!(!said.contains("secret-of-the-tests"), "{said}");
    }
    assert!(!state.exists(), "before anything is made");
}
