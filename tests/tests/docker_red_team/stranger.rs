//! A container of the world that does what `tests/src/bin/stranger.rs` can do, on the network of workloads.

use aegis_tests::binaries::binary;
use aegis_tests::{Container, World, eventually, manifests};
use serde_json::{Value, json};

/// One that is still to be started.
pub(super) struct Stranger<'a> {
    world: &'a World,
    base: String,
    body: Value,
}

/// One that runs.
pub(super) struct Running(Container);

impl<'a> Stranger<'a> {
    pub(super) fn new(world: &'a World, base: &str) -> Self {
        let program = format!("{}:/stranger:ro", binary("stranger").display());
        let body = json!({
            "Image": manifests::NGINX_ON_SOURCE, "Entrypoint": ["/stranger"], "Labels": {},
            "HostConfig": {"NetworkMode": world.network(), "Binds": [program], "CapDrop": ["ALL"]},
        });
        Self {
            world,
            base: base.to_owned(),
            body,
        }
    }

    pub(super) fn label(mut self, name: &str, value: &str) -> Self {
        self.body["Labels"][name] = value.into();
        self
    }

    /// Starts it with these arguments.
    pub(super) async fn run(
        mut self,
        what: &str,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Running {
        let args = args.into_iter().map(Into::into);
        let args: Vec<String> = std::iter::once(what.to_owned()).chain(args).collect();
        self.body["Cmd"] = json!(args);
        Running(self.world.nginx_of(&self.base, self.body).await.container)
    }

    /// Starts it so that Docker's own check finds it well and unwell by turns, which is an event each time.
    pub(super) async fn flapping(mut self) -> Running {
        let check = "test -e /tmp/x && rm /tmp/x || { touch /tmp/x; false; }";
        self.body["Healthcheck"] =
            json!({"Test": ["CMD-SHELL", check], "Interval": 2_000_000_000, "Retries": 1});
        self.run("serve", [""; 0]).await
    }
}

impl Running {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Waits until its log has this.
    pub(super) async fn says(&self, words: &str) {
        eventually(&format!("{} says {words:?}", self.0.name), async || {
            let log = self.0.log().await;
            match log.contains(words) {
                true => Ok(()),
                false => Err(log),
            }
        })
        .await;
    }
}

/// Resident memory of a process, MiB.
pub(super) fn memory_mb(process: u32) -> u64 {
    let kb = aegis_tests::process::status_kb(process, "VmRSS");
    kb.expect("its memory is known") / 1024
}
