//! What happens to containers that are well. Every scene runs beside the others, but for those in which the engine ends.

use std::process::{Command, Output};
use std::time::Duration;

use aegis_tests::OwnEngine;

use super::recorder::Recorder;

/// Ignores SIGTERM, as a first process without a handler does: it is killed in the end, with exit code 137.
const DEAF: &str = "while :; do busybox sleep 1; done";
/// Ends with 143 on SIGTERM, as a Java virtual machine does.
const JVM: &str = "trap 'exit 143' TERM; while :; do busybox sleep 1 & wait $!; done";
/// Reads its configuration on SIGHUP.
const RELOADS: &str = "trap : HUP; while :; do busybox sleep 1 & wait $!; done";
/// Half of its memory is in use, and a little more or less of it from moment to moment.
const CACHE: &str = "head -c 64m /dev/zero >/dev/shm/base; n=0; while :; do n=$(((n * 7 + 3) % 11)); \
    head -c ${n}00k /dev/zero >/dev/shm/some; busybox sleep 2; done";
/// Fills up to nine tenths within half a minute, and gives that back.
const SAW: &str = "head -c 64m /dev/zero >/dev/shm/base; while :; do busybox sleep 9; for n in 1 2 3 4 5 6 7 8 9 10; do \
    head -c 5m /dev/zero >/dev/shm/s$n; busybox sleep 3; done; busybox sleep 6; rm /dev/shm/s*; done";
/// The same within two minutes and a half.
const SLOW_SAW: &str = "head -c 64m /dev/zero >/dev/shm/base; while :; do busybox sleep 9; \
    for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do \
    head -c 1500k /dev/zero >/dev/shm/s$n; busybox sleep 5; done; rm /dev/shm/s*; done";
/// Works, fills memory, and is done.
const JOB: &str = "busybox timeout 20 sh -c 'while :; do :; done'; head -c 40m /dev/zero >/dev/shm/sorted; \
    busybox sleep 6; rm /dev/shm/sorted; exit 0";
const SHELL: [&str; 6] = [
    "--entrypoint",
    "sh",
    "--shm-size",
    "128m",
    "--stop-signal",
    "SIGTERM",
];
/// What works hard is no less busy because this machine has other things to do.
const FIRST: [&str; 2] = ["--cgroup-parent", "/aegis-traces"];
/// Its share of the processors, by version of the kernel's cgroups.
const SHARES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/cpu/aegis-traces/cpu.shares", "200000"),
    ("/sys/fs/cgroup/aegis-traces/cpu.weight", "10000"),
];

fn docker(args: &[&str]) -> Output {
    let output = Command::new("docker").args(args).output();
    let output = output.expect("docker is there");
    assert!(output.status.success(), "docker {args:?}: {output:?}");
    output
}

/// One scene while it is played.
struct Stage<'a> {
    name: &'static str,
    recorder: &'a Recorder,
}

impl Stage<'_> {
    fn named(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// `docker create` or `docker run --detach`.
    fn make(&self, how: &[&str], name: &str, options: &[&str], image: &str, command: &[&str]) {
        let name = self.named(name);
        let fixed = [
            "--label",
            "aegis.trace=1",
            "--memory",
            "128m",
            "--memory-swap",
            "128m",
        ];
        let args = [how, &["--name", &name], &fixed, options, &[image], command].concat();
        docker(&args);
    }

    fn app(&self, name: &str, options: &[&str]) {
        self.make(&["run", "--detach"], name, options, "aegisops/buggy-app:dev", &[]);
    }

    fn shell(&self, name: &str, options: &[&str], script: &str) {
        let options = [&SHELL[..], options].concat();
        self.make(
            &["run", "--detach"],
            name,
            &options,
            "aegisops/nginx:dev",
            &["-c", script],
        );
    }

    fn nginx(&self, name: &str, options: &[&str]) {
        self.make(&["run", "--detach"], name, options, "aegisops/nginx:dev", &[]);
    }

    /// A command of Docker's about one container.
    fn does(&self, words: &[&str], name: &str) {
        docker(&[words, &[self.named(name).as_str()]].concat());
    }

    /// From now on it is recorded; the containers have settled.
    fn begins(&self) {
        wait(12);
        self.recorder.begin(self.name);
        wait(9);
    }

    fn ends(&self) {
        self.recorder.end(self.name);
    }
}

fn wait(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

type Play = fn(&Stage<'_>);

const SCENES: [(&str, Play); 13] = [
    ("idle", idle),
    ("rolling-deployment", rolling_deployment),
    ("compose-recreate", compose_recreate),
    ("backup", backup),
    ("stop-start", stop_start),
    ("stop-start-jvm", stop_start_jvm),
    ("restart", restart),
    ("reload", reload),
    ("cpu-burst", cpu_burst),
    ("saw-tooth", saw_tooth),
    ("slow-saw-tooth", slow_saw_tooth),
    ("nightly-job", nightly_job),
    ("nightly-job-inside", nightly_job_inside),
];

/// Plays them all.
pub(crate) fn all(recorder: &Recorder, engine: &OwnEngine) {
    std::thread::scope(|scope| {
        for (name, play) in SCENES {
            // A container is started at a time: this is about what they do later.
            wait(1);
            scope.spawn(move || {
                let stage = Stage { name, recorder };
                play(&stage);
                stage.ends();
            });
        }
    });
    let left = docker(&["ps", "--all", "--quiet", "--filter", "label=aegis.trace=1"]);
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    docker(
        &[
            &["rm", "--force"],
            &left.split_whitespace().collect::<Vec<_>>()[..],
        ]
        .concat(),
    );
    let stage = |name| Stage { name, recorder };
    engine_restart(&stage("engine-restart"), engine);
    reboot(&stage("reboot"), engine);
}

fn idle(stage: &Stage<'_>) {
    stage.app("app", &[]);
    stage.shell("deaf", &[], DEAF);
    stage.shell("jvm", &[], JVM);
    stage.shell("cache", &[], CACHE);
    stage.nginx("nginx", &[]);
    stage.begins();
    wait(60);
}

fn rolling_deployment(stage: &Stage<'_>) {
    stage.app("web", &[]);
    stage.begins();
    stage.app("web-new", &[]);
    wait(12);
    stage.does(&["stop"], "web");
    stage.does(&["rm"], "web");
    docker(&["rename", &stage.named("web-new"), &stage.named("web")]);
    wait(30);
}

/// As Compose does where an image or a setting has changed.
fn compose_recreate(stage: &Stage<'_>) {
    stage.app("web", &[]);
    stage.begins();
    stage.make(&["create"], "5e2c_web", &[], "aegisops/buggy-app:dev", &[]);
    stage.does(&["stop"], "web");
    stage.does(&["rm"], "web");
    docker(&["rename", &stage.named("5e2c_web"), &stage.named("web")]);
    stage.does(&["start"], "web");
    wait(30);
}

fn backup(stage: &Stage<'_>) {
    stage.app("web", &[]);
    stage.begins();
    stage.does(&["pause"], "web");
    wait(75);
    stage.does(&["unpause"], "web");
    wait(25);
}

fn stop_start(stage: &Stage<'_>) {
    stage.shell("web", &[], DEAF);
    stage.begins();
    stage.does(&["stop", "--time", "3"], "web");
    wait(120);
    stage.does(&["start"], "web");
    wait(25);
}

fn stop_start_jvm(stage: &Stage<'_>) {
    stage.shell("web", &["--restart", "always"], JVM);
    stage.begins();
    stage.does(&["stop"], "web");
    wait(90);
    stage.does(&["start"], "web");
    wait(25);
}

fn restart(stage: &Stage<'_>) {
    stage.shell("web", &["--restart", "unless-stopped"], DEAF);
    stage.begins();
    stage.does(&["restart", "--time", "3"], "web");
    wait(30);
    stage.does(&["restart", "--time", "2"], "web");
    wait(25);
}

/// Words to look at its configuration, and one to end that another tool follows up with a start.
fn reload(stage: &Stage<'_>) {
    stage.nginx("nginx", &[]);
    stage.shell("web", &[], RELOADS);
    stage.begins();
    stage.does(&["kill", "--signal", "HUP"], "nginx");
    stage.does(&["kill", "--signal", "HUP"], "web");
    wait(12);
    stage.does(&["kill", "--signal", "TERM"], "nginx");
    wait(1);
    stage.does(&["start"], "nginx");
    wait(25);
}

fn goes_first() {
    let written = SHARES
        .iter()
        .filter(|(path, share)| std::fs::write(path, share).is_ok());
    assert!(written.count() > 0, "a cgroup of its own can be given a share");
}

fn cpu_burst(stage: &Stage<'_>) {
    stage.app("web", &[&FIRST[..], &["--cpus", "1.2"]].concat());
    goes_first();
    stage.begins();
    for _ in 0..2 {
        stage.recorder.ask(&stage.named("web"), "/trigger_cpu?seconds=40");
    }
    wait(65);
}

fn saw_tooth(stage: &Stage<'_>) {
    stage.shell("web", &[], SAW);
    stage.begins();
    wait(90);
}

fn slow_saw_tooth(stage: &Stage<'_>) {
    stage.shell("web", &[], SLOW_SAW);
    stage.begins();
    wait(165);
}

fn nightly_job(stage: &Stage<'_>) {
    stage.begins();
    stage.shell("job", &[], JOB);
    stage.shell("job-rm", &["--rm"], JOB);
    wait(50);
    stage.does(&["rm"], "job");
    wait(10);
}

fn nightly_job_inside(stage: &Stage<'_>) {
    stage.shell("web", &FIRST, JVM);
    goes_first();
    stage.begins();
    docker(&["exec", &stage.named("web"), "sh", "-c", JOB]);
    wait(25);
}

/// One of each kind, as the engine brings them back or not.
fn each_kind(stage: &Stage<'_>) {
    stage.app("app", &["--restart", "unless-stopped"]);
    stage.app("plain", &[]);
    stage.shell(
        "deaf",
        &["--restart", "unless-stopped", "--stop-timeout", "3"],
        DEAF,
    );
    stage.shell("jvm", &["--restart", "always"], JVM);
    stage.shell(
        "cache",
        &["--restart", "unless-stopped", "--stop-timeout", "1"],
        CACHE,
    );
    stage.nginx("nginx", &["--restart", "unless-stopped"]);
    stage.begins();
}

fn engine_restart(stage: &Stage<'_>, engine: &OwnEngine) {
    each_kind(stage);
    engine.stop();
    wait(2);
    engine.start();
    wait(40);
    stage.ends();
    let (app, names) = (
        stage.named("app"),
        ["plain", "deaf", "jvm", "cache", "nginx"].map(|name| stage.named(name)),
    );
    let names = names.iter().map(String::as_str);
    docker(
        &["rm", "--force", &app]
            .into_iter()
            .chain(names)
            .collect::<Vec<_>>(),
    );
}

fn reboot(stage: &Stage<'_>, engine: &OwnEngine) {
    each_kind(stage);
    engine.crash();
    wait(20);
    engine.start();
    wait(40);
    stage.ends();
}
