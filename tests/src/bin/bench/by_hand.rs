//! What a person does, or their script, with the engine alone where a controller heals behind a load balancer: the same steps
//! with the same checks. Its commands cost less than theirs: they go to the engine's API, and nginx's file is on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_tests::{Container, Nginx};
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::RestartContainerOptions;
use futures::StreamExt as _;
use serde_json::json;

use crate::stack::{Stack, answers, until};

/// An nginx of their own, and where its file is.
pub(crate) struct ByHand<'a> {
    stack: &'a Stack,
    nginx: Nginx,
    file: PathBuf,
    changes: u32,
}

impl<'a> ByHand<'a> {
    /// It serves this container.
    pub(crate) async fn serving(stack: &'a Stack, container: &Container) -> Self {
        let file = stack.world.file("by-hand/upstream.conf", "");
        let folder = file.parent().map(|folder| folder.display().to_string());
        let body = json!({
            "Image": "aegisops/nginx:dev", "Labels": {},
            "HostConfig": {
                "NetworkMode": stack.world.network(), "ReadonlyRootfs": true, "Tmpfs": {"/tmp": ""},
                "Binds": [format!("{}:/etc/nginx/conf.d:ro", folder.unwrap_or_default())],
            },
        });
        let nginx = stack.world.nginx_of("by-hand", body).await;
        let mut by_hand = Self {
            stack,
            nginx,
            file,
            changes: 0,
        };
        by_hand.serve(container).await;
        by_hand
    }

    /// `docker restart`, first 200, and nginx is given its address, which may be another.
    pub(crate) async fn restart(&mut self, container: &Container) -> Duration {
        let start = Instant::now();
        self.restart_only(container).await;
        self.serve(container).await;
        start.elapsed()
    }

    /// `docker run` of a stand-in, first 200, nginx is given its address; the same as above; the stand-in goes after that.
    pub(crate) async fn restart_behind_a_stand_in(&mut self, container: &Container) -> Duration {
        let start = Instant::now();
        let stand_in = self.stack.bare("stand-in").await;
        self.serve(&stand_in).await;
        self.restart_only(container).await;
        self.serve(container).await;
        let took = start.elapsed();
        self.stack.remove(&stand_in.name).await;
        took
    }

    async fn restart_only(&self, container: &Container) {
        let restarted = self
            .stack
            .docker
            .restart_container(&container.name, None::<RestartContainerOptions>)
            .await;
        restarted.unwrap_or_else(|error| panic!("cannot restart {}: {error}", container.name));
        until(Instant::now(), "a container answers again", async || {
            answers(container).await
        })
        .await;
    }

    /// Writes the file, has nginx check and load it, and waits for the first answer by it.
    async fn serve(&mut self, container: &Container) {
        let Some(ip) = container.ip().await else {
            panic!("{} has no address", container.name);
        };
        self.changes += 1;
        let change = self.changes.to_string();
        let text = format!(
            "upstream fixed {{\n    server {ip}:8000;\n}}\nserver {{\n    listen 80;\n    location = /change {{\n        return 200 \
             {change};\n    }}\n    location / {{\n        proxy_pass http://fixed;\n    }}\n}}\n"
        );
        if let Err(error) = std::fs::write(&self.file, text) {
            panic!("cannot write {}: {error}", self.file.display());
        }
        self.run(&["nginx", "-t"]).await;
        self.run(&["nginx", "-s", "reload"]).await;
        until(
            Instant::now(),
            "nginx serves what it was given",
            async || matches!(self.nginx.get("/change").await, Ok((200, body)) if body == change),
        )
        .await;
    }

    /// `docker exec`, to its end.
    async fn run(&self, command: &[&str]) {
        let name = &self.nginx.name;
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let docker = &self.stack.docker;
        let made = docker.create_exec(name, options).await;
        let made = made.unwrap_or_else(|error| panic!("cannot make a command in {name}: {error}"));
        match docker.start_exec(&made.id, None).await {
            Ok(StartExecResults::Attached { mut output, .. }) => while output.next().await.is_some() {},
            Ok(StartExecResults::Detached) => {}
            Err(error) => panic!("cannot run {command:?} in {name}: {error}"),
        }
        let ended = docker.inspect_exec(&made.id).await;
        let code = ended.ok().and_then(|ended| ended.exit_code);
        assert_eq!(code, Some(0), "{command:?} in {name}");
    }
}
