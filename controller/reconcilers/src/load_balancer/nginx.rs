//! One load balancer's nginx: everything that is read from its container or done to it is a verb here. Does I/O, all of it
//! through the engine. Decides nothing: what nginx should have is planned, and in which order it gets it is
//! [`super::apply`]'s.

mod fast_reload;
mod place;
mod proof;
mod staged;

use aegis_api::observed::LogLine;
use aegis_api::redact::{bound, redact};
use aegis_api::{LoadBalancerSpec, LoadBalancerStatus, Time};
use aegis_docker::{Engine, EngineError, EngineResult, LogQuery};
use aegis_planning::load_balancer::observed::{Worker, is_configuration};
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::{staging, stream};
use futures::stream::BoxStream;

pub(super) use fast_reload::FastReload;
pub(super) use proof::Proof;
pub(super) use staged::Checked;

use super::standby::Place;
use crate::fault;

/// Most characters of what a command of nginx printed.
const LINE: usize = 2000;

/// What a title of nginx's first process begins with.
const MASTER: &str = "nginx: master process";
const WORKER: &str = "nginx: worker process";
const SHUTTING_DOWN: &str = "worker process is shutting down";

/// What nginx or its container did not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed a step.
    #[error("cannot {step} for load balancer {balancer}")]
    Engine {
        balancer: String,
        step: &'static str,
        source: EngineError,
    },
    /// `nginx -t` refuses the configuration.
    #[error("nginx refuses the new configuration of load balancer {balancer}: {output}")]
    Refused { balancer: String, output: String },
    /// nginx's files or mounts are not as the spec or a check takes them to be. Nothing was touched.
    #[error("nginx of load balancer {balancer} cannot be configured: {message}")]
    Misfit { balancer: String, message: String },
    /// nginx did not come to serve the configuration.
    #[error("nginx of load balancer {balancer} does not serve revision {revision}: {message}")]
    Unproved {
        balancer: String,
        revision: String,
        message: String,
    },
}

/// nginx in its container. Cheap to make: it borrows whatever it is made of.
pub(super) struct Nginx<'a> {
    engine: &'a dyn Engine,
    /// Name of the load balancer, for errors and logs.
    balancer: &'a str,
    /// Id of the container.
    container: &'a str,
    /// The port that it balances.
    port: u16,
    /// Those of its TCP backends, each with its field.
    tcp_ports: Vec<(String, u16)>,
    paths: Paths<'a>,
    /// The global directives that it was started with.
    globals: String,
}

/// Where in its container nginx reads its configuration.
struct Paths<'a> {
    /// The file that is ours.
    config: &'a str,
    /// The one of TCP backends.
    stream: String,
    /// The main configuration, which includes it.
    main: &'a str,
}

impl<'a> Nginx<'a> {
    /// The nginx of the load balancer of this name, spec and status, in the container of this id.
    pub(super) fn new(
        engine: &'a dyn Engine,
        balancer: &'a str,
        spec: &'a LoadBalancerSpec,
        status: Option<&LoadBalancerStatus>,
        container: &'a str,
    ) -> Self {
        Self {
            engine,
            balancer,
            container,
            port: spec.port,
            tcp_ports: spec.tcp_ports(),
            paths: Paths {
                config: spec.config_path.as_str(),
                stream: stream::path(spec, status),
                main: spec.main_config_path.as_str(),
            },
            globals: String::new(),
        }
    }

    /// With the global directives that [`Nginx::running`] has found: what judges and loads its files is given them, too.
    pub(super) fn with_globals(self, globals: String) -> Self {
        Self { globals, ..self }
    }

    /// Name of its load balancer.
    pub(super) fn balancer(&self) -> &'a str {
        self.balancer
    }

    /// Id of its container.
    pub(super) fn container(&self) -> &'a str {
        self.container
    }

    /// Where a command that brings it a configuration can be of use, in the run of its container that began then.
    pub(super) fn place(&self, run: Option<Time>) -> Place {
        Place {
            container: self.container.to_owned(),
            run,
            config: self.paths.config.to_owned(),
            main: self.paths.main.to_owned(),
        }
    }

    /// What lies where nginx reads our file; `None` where no file does. Works on a stopped container, too.
    pub(super) async fn installed(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(self.paths.config).await
    }

    /// Where its file is.
    pub(super) fn config_path(&self) -> &str {
        self.paths.config
    }

    /// Where the file of TCP backends is, or would be written.
    pub(super) fn stream_path(&self) -> &str {
        &self.paths.stream
    }

    /// Whether a configuration of ours lies where nginx reads it, or may.
    pub(super) async fn may_have_ours(&self) -> bool {
        let http = self.installed().await;
        http.map_or(true, |file| file.as_deref().is_some_and(is_configuration)) || self.may_have_tcp().await
    }

    /// The same of TCP backends alone.
    pub(super) async fn may_have_tcp(&self) -> bool {
        let is_listening = |file: &[u8]| stream::is_listening(self.balancer, file);
        let stream = self.read(&self.paths.stream).await;
        stream.map_or(true, |file| file.as_deref().is_some_and(is_listening))
    }

    /// Whether our files are these, where nginx reads them. Works on a stopped container, too.
    pub(super) async fn has(&self, rendered: &Rendered) -> Result<bool, Error> {
        if self.installed().await?.as_deref() != Some(rendered.text.as_bytes()) {
            return Ok(false);
        }
        let Some(stream) = &rendered.stream else {
            return Ok(true);
        };
        let found = self.read(&self.paths.stream).await?;
        let found = found.filter(|found| stream::is_ours(self.balancer, found));
        Ok(match found {
            Some(found) => found == stream.as_bytes(),
            None => rendered.listening().is_none(),
        })
    }

    /// That TCP backends would not be written over a file of somebody else.
    pub(super) async fn see_stream_file(&self, rendered: &Rendered) -> Result<(), Error> {
        let path = &self.paths.stream;
        let found = match rendered.listening() {
            Some(_) => self.read(path).await?,
            None => None,
        };
        match found {
            Some(found) if !stream::is_ours(self.balancer, &found) => Err(self.misfit(&format!(
                "{path} is there already and not of this load balancer: move it away, or set spec.streamConfigPath to another file"
            ))),
            _ => Ok(()),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.engine.read_files(self.container, path).await {
            Ok(found) => match <[_; 1]>::try_from(found) {
                Ok([(_, content)]) => Ok(Some(content)),
                Err(_) => Ok(None),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(self.failed("read the configuration in place")(error)),
        }
    }

    /// Its workers, as the container's process titles tell.
    pub(super) async fn workers(&self) -> Result<Vec<Worker>, Error> {
        let rows = self.engine.processes(self.container).await;
        let rows = rows.map_err(self.failed("list nginx's workers"))?;
        let workers = rows.into_iter().filter(|row| row.command.contains(WORKER));
        Ok(workers
            .map(|row| Worker {
                pid: row.pid,
                shutting_down: row.command.contains(SHUTTING_DOWN),
            })
            .collect())
    }

    /// The global directives of the nginx that the container runs, empty where there are none; `None` where it runs none, as far as
    /// its process titles tell.
    pub(super) async fn running(&self) -> Result<Option<String>, Error> {
        let rows = self.engine.processes(self.container).await;
        let rows = rows.map_err(self.failed("list the container's processes"))?;
        let commands: Vec<&str> = rows.iter().map(|row| row.command.as_str()).collect();
        Ok(commands
            .iter()
            .any(|command| is_nginx(command))
            .then(|| globals(&commands)))
    }

    /// The last lines that it has logged since this time, at most so many, oldest first.
    pub(super) async fn log(
        &self,
        since: Time,
        lines: u32,
    ) -> EngineResult<BoxStream<'static, EngineResult<LogLine>>> {
        let query = LogQuery {
            tail: lines,
            follow: false,
            timestamps: false,
            // Lines are stamped when the engine reads them, never before they are written.
            since: since.unix_seconds(),
        };
        self.engine.logs(self.container, query).await
    }

    /// What nginx says of itself: its version, and what it was built with.
    pub(super) async fn version(&self) -> Result<String, Error> {
        let answer = self.engine.exec(self.container, &["nginx", "-V"], &[]).await;
        Ok(answer.map_err(self.failed("run nginx -V"))?.output)
    }

    /// What `nginx -t` says of the configuration in place, which it accepts.
    pub(super) async fn test(&self) -> Result<String, Error> {
        self.test_main(self.paths.main).await
    }

    /// What `nginx -t` says of a main configuration that it accepts.
    async fn test_main(&self, main: &str) -> Result<String, Error> {
        let answer = self
            .engine
            .exec(
                self.container,
                &["nginx", "-t", "-c", main, "-g", &self.globals],
                &[],
            )
            .await;
        let answer = answer.map_err(self.failed("run nginx -t"))?;
        let output = one_line(&answer.output);
        if answer.exit_code != 0 {
            return Err(self.refused(output));
        }
        Ok(output)
    }

    /// Puts this where nginx reads it; loads nothing.
    pub(super) async fn write(&self, rendered: &Rendered) -> Result<(), Error> {
        fault::point("balancer/before-write");
        let put = self.put_all(rendered, "write the configuration").await;
        fault::point("balancer/after-write");
        put
    }

    /// Puts this where an nginx that does not run will read it when it is started.
    pub(super) async fn restore(&self, rendered: &Rendered) -> Result<(), Error> {
        let step = "put the last good configuration back";
        // One that cannot be written keeps no servers in the other one.
        let stream = self.put_stream(rendered, step).await;
        self.put(self.paths.config, &rendered.text, step).await?;
        stream.map(|_| ())
    }

    /// The file of TCP backends first: the other one answers with the revision of both. Where that one cannot be written, the first
    /// is again what it was: nginx would have it, beside the other one of before, as soon as it is started again.
    async fn put_all(&self, rendered: &Rendered, step: &'static str) -> Result<(), Error> {
        let replaced = self.put_stream(rendered, step).await?;
        fault::point("balancer/between-writes");
        let put = self.put(self.paths.config, &rendered.text, step).await;
        if let (Err(_), Some(before)) = (&put, replaced) {
            self.put(&self.paths.stream, &before, step).await?;
        }
        put
    }

    /// The file of TCP backends, where it is another one; answers what was there then. One of somebody else in its place stays.
    async fn put_stream(&self, rendered: &Rendered, step: &'static str) -> Result<Option<String>, Error> {
        let Some(stream) = &rendered.stream else {
            return Ok(None);
        };
        let found = self.read(&self.paths.stream).await?;
        let differs = match &found {
            Some(found) => found != stream.as_bytes() && stream::is_ours(self.balancer, found),
            None => rendered.listening().is_some(),
        };
        if !differs {
            return Ok(None);
        }
        self.put(&self.paths.stream, stream, step).await?;
        Ok(Some(match found {
            Some(found) => String::from_utf8_lossy(&found).into_owned(),
            None => stream::NONE.to_owned(),
        }))
    }

    /// Leaves the first of these texts that nginx accepts in the file of TCP backends that is ours, and has an nginx that runs load
    /// it: both again where it was cut short. Where nginx refuses all, what was there is put back. Where the file has no TCP backend
    /// of ours, it stays as it is. Answers what nginx has of ours then.
    /// `proved`: what it was proved to have loaded of them. `revision`: what it was last proved to serve.
    pub(super) async fn withdraw_tcp<'t>(
        &self,
        runs: bool,
        texts: &'t [String],
        proved: Option<&str>,
        revision: &str,
    ) -> Result<&'t str, Error> {
        let (path, step) = (&self.paths.stream, "take TCP backends out");
        let found = match self.read(path).await {
            // One that is on its way out, for example, shows its files no more.
            Err(_) if !runs => None,
            found => found?,
        };
        let ours = found.filter(|found| stream::is_listening(self.balancer, found));
        let texts: Vec<&str> = match ours {
            Some(_) => texts.iter().map(String::as_str).collect(),
            None => vec![stream::NONE],
        };
        let mut texts = texts.into_iter().peekable();
        while let Some(text) = texts.next() {
            let is_there = ours.as_deref().is_none_or(|ours| ours == text.as_bytes());
            if is_there && proved == Some(text) {
                return Ok(text);
            }
            if !is_there {
                self.put(path, text, step).await?;
            }
            if !runs {
                return Ok(text);
            }
            match self.test().await {
                Ok(_) => {
                    let before = self.workers().await?;
                    self.reload().await?;
                    self.prove_workers(revision, &before).await?;
                    return Ok(text);
                }
                Err(Error::Refused { .. }) if texts.peek().is_some() => {}
                Err(error) => {
                    if let Some(ours) = &ours {
                        self.put(path, &String::from_utf8_lossy(ours), step).await?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(stream::NONE)
    }

    /// Has nginx load its files. Not by a signal from the engine: one who sends a container any signal is taken to have
    /// stopped it manually, and an engine or host that restarts would leave nginx stopped
    /// (<https://github.com/moby/moby/issues/41302>).
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let failed = self.failed("reload nginx");
        let command = [
            "nginx",
            "-s",
            "reload",
            "-c",
            self.paths.main,
            "-g",
            &self.globals,
        ];
        let answer = self.engine.exec(self.container, &command, &[]).await;
        let answer = answer.map_err(&failed)?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        self.test().await?;
        // The configuration is good, so its master could not be found: its process id may lie where the command line says.
        tracing::warn!(
            balancer = self.balancer,
            output = one_line(&answer.output),
            "nginx -s reload failed, so the engine signals nginx: a restart policy of unless-stopped no longer applies to it"
        );
        self.engine.signal(self.container, "HUP").await.map_err(failed)
    }

    fn failed(&self, step: &'static str) -> impl Fn(EngineError) -> Error + use<'a> {
        let balancer = self.balancer;
        move |source| Error::Engine {
            balancer: balancer.to_owned(),
            step,
            source,
        }
    }

    fn misfit(&self, message: &str) -> Error {
        Error::Misfit {
            balancer: self.balancer.to_owned(),
            message: bound(&redact(message), LINE),
        }
    }

    fn refused(&self, output: String) -> Error {
        Error::Refused {
            balancer: self.balancer.to_owned(),
            output,
        }
    }
}

/// Whether a process' title is one of nginx: `nginx: master process …`, or its command line before it has set that.
/// Those of its first process, which has no title yet while it reads its configuration. Where several give themselves out for
/// that, as a worker that was taken over may, none are believed.
fn globals(commands: &[&str]) -> String {
    let titled = commands.iter().filter_map(|command| command.strip_prefix(MASTER));
    let mut all: Vec<String> = titled.map(staging::globals).collect();
    if all.is_empty() {
        let untitled = commands
            .iter()
            .filter(|command| is_nginx(command) && !command.contains(WORKER));
        all.extend(untitled.map(|command| staging::globals(command)));
    }
    all.dedup();
    match <[String; 1]>::try_from(all) {
        Ok([one]) => one,
        Err(_) => String::new(),
    }
}

fn is_nginx(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    let file = program.rsplit('/').next().unwrap_or_default();
    matches!(file, "nginx" | "nginx:" | "nginx-debug" | "openresty")
}

/// Folder and file name of an absolute path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("/", path))
}

/// What a command printed, on one line and without secrets: it quotes the configuration that it refuses.
fn one_line(output: &str) -> String {
    let line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    bound(&redact(&line), LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_prints_comes_on_one_line_and_without_secrets() {
        let printed =
            "nginx: [emerg] unknown directive\n  proxy_set_header Authorization: \"Bearer hunter2hunter2\"";
        let line = one_line(printed);
        assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
        assert!(
            line.starts_with("nginx: [emerg] unknown directive proxy_set_header"),
            "{line}"
        );
    }

    #[test]
    fn global_directives_are_those_of_the_first_process_and_of_none_where_two_say_to_be_it() {
        let master = "nginx: master process nginx -g daemon off;";
        let worker = "nginx: worker process";
        let false_one = "nginx: master process nginx -g load_module /tmp/x.so;";
        for (commands, found) in [
            (vec![master, worker], "daemon off;"),
            (vec!["nginx -g daemon off;"], "daemon off;"),
            (vec![master, master], "daemon off;"),
            (vec![master, false_one], ""),
            (vec![worker], ""),
        ] {
            assert_eq!(globals(&commands), found, "{commands:?}");
        }
    }

    #[test]
    fn a_process_is_nginx_by_its_program_and_not_by_its_arguments() {
        for title in [
            "nginx: master process nginx -g daemon off;",
            "/usr/sbin/nginx -g 'daemon off;'",
        ] {
            assert!(is_nginx(title), "{title}");
        }
        for title in [
            "",
            "sh -c nginx",
            "vim /etc/nginx/nginx.conf",
            "notnginx",
            "postgres: nginx",
        ] {
            assert!(!is_nginx(title), "{title}");
        }
    }

    #[test]
    fn a_path_splits_into_folder_and_file() {
        assert_eq!(
            split("/etc/nginx/conf.d/upstream.conf"),
            ("/etc/nginx/conf.d", "upstream.conf")
        );
    }
}
