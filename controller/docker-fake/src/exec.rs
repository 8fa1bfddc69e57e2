//! Signals, commands and files inside a container of the fake engine. Pure.

use aegis_api::observed::ExecOutput;

use super::effects::{Actor, Op};
use super::lifecycle::End;
use super::nginx::MAIN;
use super::world::World;
use aegis_docker::engine::{EngineError, EngineResult, Files};
use aegis_docker::script;

/// Folders that exist without a file in them.
const FOLDERS: [&str; 7] = [
    "",
    "/tmp",
    "/etc",
    "/var",
    "/run",
    "/etc/nginx/conf.d",
    "/etc/nginx/stream.d",
];

impl World {
    pub(super) fn signal(&mut self, id: &str, signal: &str) {
        self.log(id, Actor::Client, Op::Signal, signal);
        self.emit(id, "kill", &[("signal", signal.to_owned())]);
        let is_nginx = self.get(id).is_some_and(|container| container.nginx.is_some());
        let exit_code = match signal.trim_start_matches("SIG") {
            "HUP" if is_nginx => return self.plan_reload(id),
            "QUIT" if is_nginx => 0,
            "KILL" => 137,
            "TERM" | "INT" | "QUIT"
                if self
                    .get(id)
                    .is_some_and(|container| !container.behaviour.ignores_sigterm) =>
            {
                143
            }
            _ => return,
        };
        self.end_run(
            id,
            End {
                exit_code,
                oom: false,
                on_request: true,
                actor: Actor::Client,
            },
        );
    }

    pub(super) fn exec(&mut self, id: &str, command: &[String], input: &[u8]) -> ExecOutput {
        let line: Vec<&str> = command.iter().map(String::as_str).collect();
        self.log(id, Actor::Client, Op::Exec, script::shown(&line));
        let program = command.first().map(String::as_str).unwrap_or_default();
        let name = self
            .get(id)
            .map(|container| container.name.clone())
            .unwrap_or_default();
        let answers = &self.exec_answers;
        let mut words = command.iter();
        if let Some(answer) = words.find_map(|word| answers.get(&(name.clone(), word.clone()))) {
            return answer.clone();
        }
        let is_nginx = self.get(id).is_some_and(|container| container.nginx.is_some());
        if is_nginx && program.rsplit('/').next() == Some("nginx") {
            return self.exec_nginx(id, command);
        }
        if let (true, ["sh", "-c", script::FAST_RELOAD, _, live, main, _]) =
            (is_nginx && self.options.shells, line.as_slice())
        {
            return self.fast_reload(id, live, main, input);
        }
        let output = format!("exec failed: {program:?}: executable file not found in $PATH");
        ExecOutput {
            exit_code: 126,
            output,
        }
    }

    fn exec_nginx(&mut self, id: &str, command: &[String]) -> ExecOutput {
        let after = |flag: &str| {
            command
                .iter()
                .skip_while(|word| *word != flag)
                .nth(1)
                .map(String::as_str)
        };
        let has = |flag: &str| command.iter().any(|word| word == flag);
        let main = after("-c").unwrap_or(MAIN).to_owned();
        if has("-V") {
            let output = "nginx version: nginx/1.28.3\nconfigure arguments: --with-http_stub_status_module --with-stream\n";
            return ExecOutput {
                exit_code: 0,
                output: output.to_owned(),
            };
        }
        if has("-t") || has("-T") {
            return match self.check_nginx(id, &main) {
                Ok(config) => {
                    let said = format!(
                        "nginx: the configuration file {main} syntax is ok\nnginx: configuration file {main} test is successful\n"
                    );
                    let output = if has("-T") { said + &config.dump } else { said };
                    ExecOutput { exit_code: 0, output }
                }
                Err(complaint) => {
                    let output = format!("{complaint}\nnginx: configuration file {main} test failed\n");
                    ExecOutput { exit_code: 1, output }
                }
            };
        }
        match after("-s") {
            Some("reload") => match self.check_nginx(id, &main) {
                Ok(_) => {
                    self.plan_reload(id);
                    ExecOutput::default()
                }
                Err(complaint) => ExecOutput {
                    exit_code: 1,
                    output: complaint + "\n",
                },
            },
            Some("quit" | "stop") => {
                self.end_run(
                    id,
                    End {
                        exit_code: 0,
                        oom: false,
                        on_request: true,
                        actor: Actor::Client,
                    },
                );
                ExecOutput::default()
            }
            _ => ExecOutput {
                exit_code: 1,
                output: "nginx: [emerg] bind() to 0.0.0.0:80 failed\n".to_owned(),
            },
        }
    }

    /// What [`script::FAST_RELOAD`] does with one request.
    fn fast_reload(&mut self, id: &str, live: &str, main: &str, input: &[u8]) -> ExecOutput {
        let Some(files) = self.get_mut(id).map(|container| &mut container.files) else {
            return ExecOutput::default();
        };
        let text = script::ReloadRequest::text(input);
        let (Some(text), Some(before)) = (text, files.get(live).cloned()) else {
            return ExecOutput {
                exit_code: script::UNTOUCHED,
                output: String::new(),
            };
        };
        files.insert(live.to_owned(), text.to_vec());
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let checked = self.exec(id, &command(&["nginx", "-t", "-c", main]), &[]);
        if checked.exit_code != 0 {
            if let Some(container) = self.get_mut(id) {
                container.files.insert(live.to_owned(), before);
            }
            return ExecOutput {
                exit_code: script::REFUSED,
                ..checked
            };
        }
        let reloaded = self.exec(id, &command(&["nginx", "-s", "reload", "-c", main]), &[]);
        ExecOutput {
            exit_code: if reloaded.exit_code == 0 {
                script::RELOADED
            } else {
                script::NOT_RELOADED
            },
            output: checked.output + &reloaded.output,
        }
    }

    pub(super) fn put_files(
        &mut self,
        id: &str,
        folder: &str,
        files: Vec<(String, Vec<u8>)>,
        operation: &str,
    ) -> EngineResult<()> {
        let container = self.found(id, operation)?;
        let folder = folder.trim_end_matches('/');
        let below = format!("{folder}/");
        let exists = FOLDERS.contains(&folder) || container.files.keys().any(|path| path.starts_with(&below));
        if !exists {
            let message = format!("could not find the file {folder} in container {}", container.id);
            return Err(EngineError::NotFound {
                operation: operation.to_owned(),
                message,
            });
        }
        let odd = |path: &str| {
            path.is_empty() || path.starts_with('/') || path.split('/').any(|part| matches!(part, ".." | ""))
        };
        if let Some((path, _)) = files.iter().find(|(path, _)| odd(path)) {
            let message = format!("{path:?} is no relative path");
            return Err(EngineError::Refused {
                operation: operation.to_owned(),
                message,
            });
        }
        let is_fixed = |path: &str| self.fixed.contains(&(container.id.clone(), path.to_owned()));
        let is_mount = |(file, _): &(String, _)| is_fixed(&format!("{below}{file}"));
        if is_fixed(folder) || files.iter().any(is_mount) {
            let message = match is_fixed(folder) {
                true => "mounted volume is marked read-only",
                false => "device or resource busy",
            };
            return Err(EngineError::Refused {
                operation: operation.to_owned(),
                message: message.to_owned(),
            });
        }
        let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        self.log(
            id,
            Actor::Client,
            Op::PutFiles,
            format!("{folder}: {}", names.join(", ")),
        );
        if let Some(container) = self.get_mut(id) {
            container.files.extend(
                files
                    .into_iter()
                    .map(|(path, content)| (format!("{below}{path}"), content)),
            );
        }
        Ok(())
    }

    pub(super) fn read_files(&self, id: &str, path: &str, operation: &str) -> EngineResult<Files> {
        let container = self.found(id, operation)?;
        let path = path.trim_end_matches('/');
        if let Some(content) = container.files.get(path) {
            let name = path.rsplit('/').next().unwrap_or_default();
            return Ok(vec![(name.to_owned(), content.clone())]);
        }
        let below = format!("{path}/");
        let inside: Vec<_> = container
            .files
            .iter()
            .filter_map(|(file, content)| Some((file.strip_prefix(&below)?, content)))
            .collect();
        if inside.is_empty() && !FOLDERS.contains(&path) {
            let message = format!("could not find the file {path} in container {}", container.id);
            return Err(EngineError::NotFound {
                operation: operation.to_owned(),
                message,
            });
        }
        let direct = inside.into_iter().filter(|(name, _)| !name.contains('/'));
        Ok(direct
            .map(|(name, content)| (name.to_owned(), content.clone()))
            .collect())
    }

    /// A container is gone.
    pub(super) fn forget(&mut self, id: &str, actor: Actor) {
        let Some(id) = self.id_of(id) else { return };
        self.log(&id, actor, Op::Remove, "");
        self.emit(&id, "destroy", &[]);
        self.containers.remove(&id);
    }
}
