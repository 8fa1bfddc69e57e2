//! Promise: no container of the stack can take the host with it, none is more than it must be, and only the controller has the
//! engine's socket; what is published binds to this machine unless it is said otherwise. What starts it leaves neither secrets nor
//! names where others read them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aegis_tests::binaries::{declared, repository};
use serde_json::Value;

fn services() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(repository().join("compose/compose.yaml")).unwrap();
    let file = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
    let services = file["services"].as_object().unwrap();
    assert!(services.len() >= 5, "{services:?}");
    services
        .iter()
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect()
}

fn texts<'a>(service: &'a Value, field: &str) -> Vec<&'a str> {
    let items = service[field].as_array();
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_container_of_the_stack_is_bounded_in_memory_and_processes_and_has_no_more_than_it_needs() {
    for (name, service) in services() {
        let memory = &service["mem_limit"];
        assert!(memory.is_string(), "{name}: mem_limit: {memory}");
        assert_eq!(memory, &service["memswap_limit"], "{name}: swap on top");
        let processes = service["pids_limit"].as_u64();
        assert!(
            processes.is_some_and(|most| (1..=1024).contains(&most)),
            "{name}: {processes:?}"
        );
        assert_eq!(texts(&service, "cap_drop"), ["ALL"], "{name}");
        assert_eq!(
            texts(&service, "security_opt"),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert_eq!(service["read_only"], true, "{name}");
        assert!(service["privileged"].is_null(), "{name}");
        // It is memory: without a size half of the host's.
        for mount in texts(&service, "tmpfs") {
            let size = mount
                .split([':', ','])
                .find_map(|option| option.strip_prefix("size="));
            let megabytes = size.and_then(|size| size.strip_suffix('m')?.parse::<u32>().ok());
            assert!(
                megabytes.is_some_and(|most| (1..=256).contains(&most)),
                "{name}: {mount}"
            );
        }
        let rotated = &service["logging"]["options"];
        assert!(
            rotated["max-size"].is_string() && rotated["max-file"].is_string(),
            "{name}: {rotated}"
        );
        for port in texts(&service, "ports") {
            assert!(port.starts_with("${AEGIS_BIND:-127.0.0.1}:"), "{name}: {port}");
        }
        let has_socket = texts(&service, "volumes")
            .iter()
            .any(|volume| volume.contains("docker.sock"));
        assert_eq!(has_socket, name == "aegis-agent", "{name}");
    }
}

#[test]
fn the_controller_is_no_way_from_the_network_of_workloads_to_its_own() {
    let (_, agent) = services()
        .into_iter()
        .find(|(name, _)| name == "aegis-agent")
        .expect("the controller is in the stack");
    assert_eq!(agent["sysctls"]["net.ipv4.ip_forward"], 0);
    assert_eq!(agent["sysctls"]["net.ipv4.conf.all.rp_filter"], 1);
}

#[test]
fn workloads_share_a_network_with_the_controllers_webhook_alone() {
    for (name, service) in services() {
        let networks: Vec<String> = match &service["networks"] {
            Value::Object(networks) => networks.keys().cloned().collect(),
            _ => texts(&service, "networks")
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let is_on = |network: &str| networks.iter().any(|name| name == network);
        match name.as_str() {
            "aegis-cockpit" | "aegis-dashboard" => assert!(!is_on("data"), "{name}: {networks:?}"),
            "aegis-agent" => {
                let alias = &service["networks"]["data"]["aliases"][0];
                let environment = texts(&service, "environment");
                let expected = format!(
                    "AEGIS_ALERTS_ONLY_AT=${{AEGIS_ALERTS_ONLY_AT:-{}}}",
                    alias.as_str().unwrap()
                );
                assert!(environment.contains(&expected.as_str()), "{environment:?}");
            }
            _ => assert!(!is_on("control"), "{name}: {networks:?}"),
        }
    }
}

#[test]
fn whatever_serves_has_the_time_that_its_requests_are_given_to_end() {
    for (name, service) in services() {
        if name == "buggy-app-v2" {
            continue;
        }
        let grace = service["stop_grace_period"].as_str().unwrap_or_default();
        let seconds = grace
            .strip_suffix('s')
            .and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds >= 25), "{name}: {grace:?}");
    }
}

#[test]
fn whatever_secret_the_stack_hands_on_can_be_handed_on_as_a_file() {
    let (_, agent) = services()
        .into_iter()
        .find(|(name, _)| name == "aegis-agent")
        .expect("the controller is in the stack");
    let handed: BTreeSet<&str> = texts(&agent, "environment")
        .into_iter()
        .map(|variable| variable.split('=').next().unwrap_or_default())
        .collect();
    let declared: BTreeSet<String> = declared("aegis-controller").into_iter().collect();
    let secrets: Vec<(&str, String)> = declared
        .iter()
        .filter_map(|name| {
            let file = format!("{name}_FILE");
            declared.contains(&file).then_some((name.as_str(), file))
        })
        .collect();
    assert!(secrets.len() >= 11, "{secrets:?}");
    for (name, file) in secrets {
        assert_eq!(
            handed.contains(name),
            handed.contains(file.as_str()),
            "the environment hands on one of {name} and {file} alone"
        );
    }
    // It is a file in the state directory already.
    assert!(!handed.contains("AEGIS_WEBHOOK_TOKEN"));
}

/// A folder with a `docker` that says yes to everything and does nothing, and what the scripts are to make.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        lab.program("bin/docker", "exit 0");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs this with bash, as one with an open umask does; nothing that it writes is a terminal.
    fn run(&self, program: &str, env: &[(&str, &str)]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("umask 022\n{program}")])
            .current_dir(repository())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("AEGIS_STATE_DIR", self.path("state"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("CARGO_BUILD_TARGET", "here")
            .envs(env.iter().copied());
        command.output().unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        let metadata = std::fs::metadata(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        metadata.permissions().mode() & 0o777
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// With the stub no stack is started: the script ends where it takes the engine's containers for another's.
const NOT_OURS: &str = "it is not part of this stack";

#[test]
fn the_stack_is_not_published_beyond_this_machine_unless_somebody_says_that_the_network_is_trusted() {
    let lab = Lab::new();
    for bind in ["0.0.0.0", "192.168.1.7", "::"] {
        let refused = lab.run("exec compose/up.sh", &[("AEGIS_BIND", bind)]);
        let words = said(&refused);
        assert!(
            !refused.status.success() && words.contains(&format!("AEGIS_BIND={bind} would publish")),
            "{words}"
        );
        assert!(words.contains("AEGIS_INSECURE=true"), "{words}");
        assert!(!lab.path("state").exists(), "before anything is made");
    }
    let trusted = [("AEGIS_BIND", "0.0.0.0"), ("AEGIS_INSECURE", "true")];
    for env in [&trusted[..], &[("AEGIS_BIND", "127.0.0.1")], &[]] {
        let words = said(&lab.run("exec compose/up.sh", env));
        assert!(words.contains(NOT_OURS), "{env:?}: {words}");
    }
}

#[test]
fn the_stack_does_not_start_with_a_role_for_peers_that_are_not_named() {
    let lab = Lab::new();
    let role = ("AEGIS_ANONYMOUS_ROLE", "operator");
    let words = said(&lab.run("exec compose/up.sh", &[role]));
    assert!(
        words.contains("AEGIS_ANONYMOUS_FROM=") && !words.contains(NOT_OURS),
        "{words}"
    );
    assert!(!lab.path("state").exists(), "before anything is made");
    let words = said(&lab.run(
        "exec compose/up.sh",
        &[role, ("AEGIS_ANONYMOUS_FROM", "10.0.0.0/8")],
    ));
    assert!(words.contains(NOT_OURS), "{words}");
}

#[test]
fn what_make_up_makes_of_the_state_directory_shows_other_users_neither_names_nor_secrets() {
    let lab = Lab::new();
    let words = said(&lab.run("exec compose/up.sh", &[]));
    assert!(words.contains(NOT_OURS), "{words}");
    for (name, mode) in [
        ("state", 0o700),
        ("state/.secrets", 0o700),
        ("state/.secrets/webhook-token", 0o600),
    ] {
        assert_eq!(lab.mode(name), mode, "{name}");
    }
    let token = std::fs::read_to_string(lab.path("state/.secrets/webhook-token")).unwrap();
    assert_eq!(token.len(), 64, "no token that can be guessed");
}

#[test]
fn a_link_that_logs_in_as_the_admin_is_printed_for_a_person_and_not_into_a_log() {
    let lab = Lab::new();
    let link = "http://127.0.0.1:3000/#code=secret-code";
    lab.program("target/here/release/aegisctl", &format!("echo '{link}'"));
    let ask = |before: &str| said(&lab.run(&format!(". compose/lib.sh\n{before}\ncockpit_link"), &[]));
    let logged = ask("");
    assert!(
        !logged.contains("secret-code") && logged.contains("aegisctl token once"),
        "{logged}"
    );
    assert!(ask("ON_TERMINAL=yes").contains(link));
}

/// Of TARGET_CONTAINER=web the answers of Docker: its name, the port that it exposes, and that it has a health check.
const DOCKER_OF_WEB: &str = r#"
case "$*" in
*.Name*) echo /web ;;
*ExposedPorts*) echo 80/tcp ;;
*Healthcheck*) echo yes ;;
esac"#;

/// An `aegisctl` that keeps what is applied in files, fails at the kind that `breaks-at` names, and finds ready what is named
/// in `ready`.
const RECORDS: &str = r#"
store=$HOME/store; mkdir -p "$store"; echo "$*" >>"$HOME/calls"
case $1 in
get)
    case $2 in
    remediationpolicies) (cd "$store" && ls) | grep '^remediationpolicy' || true ;;
    *) cat "$store/$2-$3" 2>/dev/null ;;
    esac ;;
apply)
    text=$(cat)
    kind=$(printf '%s' "$text" | sed -n 's/^kind: //p' | tr '[:upper:]' '[:lower:]')
    name=$(printf '%s' "$text" | sed -n 's/^metadata: {name: "*\([a-z-]*\).*/\1/p')
    [ "$kind" != "$(cat "$HOME/breaks-at" 2>/dev/null)" ] || exit 1
    case $text in
    *'awaits-probe: "true"'*) printf '{"aegisops.io/awaits-probe": "true", "generation": 1, "mode": "Approve"}' ;;
    *'kind: LoadBalancer'*) printf '%s' "$text" | sed -n 's/.*{workload: "\([a-z-]*\)".*/\1/p' ;;
    *) printf '%s' "$text" ;;
    esac >"$store/$kind-$name" ;;
wait) [ "workload/$(cat "$HOME/ready" 2>/dev/null)" = "$3" ] ;;
patch) printf '{"mode": "Auto"}' >"$store/$2-$3" ;;
esac"#;

impl Lab {
    /// What a run says that makes resources of TARGET_CONTAINER=web.
    fn declare_target(&self) -> String {
        let program =
            ". compose/lib.sh; . compose/target.sh\nas_admin() { aegisctl \"$@\"; }\nset -e; declare_target";
        said(&self.run(program, &[("TARGET_CONTAINER", "web")]))
    }

    fn of_web() -> Self {
        let lab = Self::new();
        lab.program("bin/docker", DOCKER_OF_WEB);
        lab.program("bin/aegisctl", RECORDS);
        lab
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

const POLICY: &str = "store/remediationpolicy-web";

#[test]
fn a_target_that_was_not_ready_or_a_run_that_was_broken_off_is_made_up_for_by_the_next() {
    let lab = Lab::of_web();
    let words = lab.declare_target();
    assert!(words.contains("web is not ready"), "{words}");
    assert!(
        lab.read(POLICY).contains("Approve"),
        "nothing is done by itself yet"
    );
    lab.write("ready", "web");
    lab.declare_target();
    assert!(lab.read(POLICY).contains("Auto"), "{}", lab.read("calls"));
    for kind in ["loadbalancer", "workload"] {
        let lab = Lab::of_web();
        lab.write("ready", "web");
        lab.write("breaks-at", kind);
        lab.declare_target();
        assert!(lab.read(POLICY).contains("Approve"), "{kind}");
        lab.write("breaks-at", "");
        lab.declare_target();
        assert!(lab.read(POLICY).contains("Auto"), "{kind}: {}", lab.read("calls"));
        assert!(lab.path("store/workload-web").exists() && lab.path("store/loadbalancer-aegis-lb").exists());
    }
}

#[test]
fn a_policy_and_a_load_balancer_of_the_users_own_are_left_and_what_they_lack_is_said() {
    let lab = Lab::of_web();
    lab.write("ready", "web");
    lab.write(POLICY, r#"{"mode": "Approve"}"#);
    lab.write("store/loadbalancer-aegis-lb", "shop");
    let words = lab.declare_target();
    assert!(
        words.contains("aegis-lb is there already, without web"),
        "{words}"
    );
    assert_eq!(lab.read(POLICY), r#"{"mode": "Approve"}"#);
    assert_eq!(lab.read("store/loadbalancer-aegis-lb"), "shop");
    let lab = Lab::of_web();
    lab.write("ready", "web");
    lab.write("store/remediationpolicy-all", r#"{"mode": "Approve"}"#);
    let words = lab.declare_target();
    assert!(words.contains("none is made for web"), "{words}");
    assert!(!words.contains("aegis-lb is there already"), "{words}");
    assert!(!lab.path(POLICY).exists());
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|ending| ending == "sh") {
            found.push(path);
        }
    }
    found
}

/// Of a name in a folder that everybody may write to, a link of somebody else's may be there already; some of these run as root.
#[test]
fn no_script_writes_under_a_name_that_others_can_guess_in_a_folder_that_they_may_write_to() {
    let found = scripts(&repository().join("compose"));
    assert!(found.len() >= 7, "{found:?}");
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
                // What is in the root of an image that is being made belongs to that: "$root/tmp".
                let is_named = line.match_indices(folder).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '}')
                });
                assert!(!is_named, "{}:{number}: {line}", path.display());
            }
        }
    }
}

#[test]
fn nginx_is_of_a_branch_that_gets_security_fixes_and_held_to_one_source() {
    let folder = repository().join("compose/nginx/source");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("nginx-src = \"=")?.strip_suffix('"'))
        .expect("one version and no other");
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).unwrap();
    let locked = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"nginx-src\""))
        .unwrap();
    assert!(locked.contains("checksum = \""), "{locked}");
    // The crate's version, and behind it that of the nginx that it holds.
    let nginx = locked
        .lines()
        .find_map(|line| {
            line.strip_prefix(&format!("version = \"{version}+"))?
                .strip_suffix('"')
        })
        .expect("the version that the manifest names, and nginx's own");
    let numbers: Vec<u32> = nginx.split('.').map(|part| part.parse().unwrap()).collect();
    assert_eq!(numbers[0], 1, "{nginx}");
    assert!(
        numbers[1] >= 28 && numbers[1].is_multiple_of(2),
        "{nginx} is of no stable branch"
    );
}

#[test]
fn the_workflow_asks_whether_crates_and_packages_that_are_shipped_have_known_vulnerabilities() {
    let text = std::fs::read_to_string(repository().join(".github/workflows/ci.yml")).unwrap();
    let workflow = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
    let jobs = workflow["jobs"].as_object().unwrap();
    let steps = jobs.values().flat_map(|job| job["steps"].as_array().unwrap());
    let run: Vec<(&str, &Value)> = steps
        .filter_map(|step| Some((step["run"].as_str()?, &step["working-directory"])))
        .collect();
    assert!(
        run.contains(&("cargo deny check advisories", &Value::Null)),
        "{run:?}"
    );
    assert!(
        run.contains(&("npm audit --omit dev", &Value::from("cockpit-web"))),
        "{run:?}"
    );
}
