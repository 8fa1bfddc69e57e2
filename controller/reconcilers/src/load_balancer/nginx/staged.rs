//! The check of a new file before the live one is touched: nginx judges a copy of its main configuration that includes the
//! new file in the place of the live one. What is staged is removed again, where the container has `rm`.

use aegis_docker::engine::Files;
use aegis_planning::load_balancer::neighbours::{self, Texts};
use aegis_planning::load_balancer::staging::{self, Places, main_with_staged};

use super::{Error, MASTER, Nginx, split};

/// How often `nginx -T` is tried: an engine under load may lose what a short command printed.
const DUMPS: u32 = 3;

/// What came of a check that nginx passed.
#[derive(Debug, Default)]
pub(in crate::load_balancer) struct Checked {
    /// What `nginx -t` said.
    pub said: String,
    /// Which host names other servers of the port answer, human-readable.
    pub shadowed: Option<String>,
}

impl Nginx<'_> {
    /// What `nginx -t` says of the whole configuration with this text in it, which it accepts. The live file is not touched.
    pub(in crate::load_balancer) async fn test_staged(&self, text: &str) -> Result<Checked, Error> {
        let (folder, file) = split(self.paths.config);
        let places = Places {
            main: self.paths.main,
            folder,
            file,
        };
        self.see_main().await?;
        let (main, beside) = tokio::try_join!(self.main(), self.beside(folder))?;
        let present: Vec<String> = beside.iter().map(|(name, _)| name.clone()).collect();
        let staged_main = main_with_staged(&main, places, &present);
        let staged_main = staged_main.map_err(|why| self.misfit(&why.to_string()))?;
        let checked = self.test_copy(places, text, &staged_main, &present).await;
        self.remove_staged(places).await;
        match checked {
            Ok(said) => Ok(Checked {
                said: in_place(&said, places),
                shadowed: neighbours::shadowed(&self.others().await, self.port),
            }),
            Err(Error::Refused { output, .. }) => {
                let output = in_place(&output, places);
                let advice = neighbours::advice(&output, &self.others().await, self.port);
                Err(self.refused(match advice {
                    Some(advice) => format!("{advice}; {output}"),
                    None => output,
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// First beside our file, which is where we may write; where that makes nginx look for files in the wrong folder, beside
    /// the original.
    async fn test_copy(
        &self,
        places: Places<'_>,
        text: &str,
        staged_main: &str,
        present: &[String],
    ) -> Result<String, Error> {
        let main_name = places.staged_main_name();
        let files = [
            (places.staged_name(), text.as_bytes().to_vec()),
            (main_name.clone(), staged_main.as_bytes().to_vec()),
        ];
        self.stage(places.folder, &files).await?;
        let first = self.test_main(&format!("{}/{main_name}", places.folder)).await;
        let Err(Error::Refused { output, .. }) = &first else {
            return first;
        };
        if !places.may_be_astray(output, present) {
            return first;
        }
        let [_, main] = files;
        let (base, _) = places.main_parts();
        let beside = self.engine.put_files(self.container, base, &[main]).await;
        match beside {
            Ok(()) => self.test_main(&format!("{base}/{main_name}")).await,
            Err(_) => Err(self.misfit(&format!(
                "a path that is relative to {base} cannot be checked, for a copy of {} cannot be written there: write it in \
                 full, or make {base} writable; nginx -t says {}",
                places.main,
                in_place(output, places)
            ))),
        }
    }

    /// Whether nginx, as it is configured now, reads the file that is ours.
    pub(in crate::load_balancer) async fn reads_live(&self) -> bool {
        let files = self.dumped().await;
        files.iter().any(|(path, _)| path == self.paths.config)
    }

    async fn stage(&self, folder: &str, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        let staged = self.engine.put_files(self.container, folder, files).await;
        staged.map_err(|error| self.unwritten("stage the new configuration", error))
    }

    /// Nothing depends on it: what is left behind is written over by the next check, and nginx does not read it.
    async fn remove_staged(&self, places: Places<'_>) {
        let (base, _) = places.main_parts();
        let name = places.staged_main_name();
        let (here, beside) = (format!("{}/{name}", places.folder), format!("{base}/{name}"));
        let command = ["rm", "-f", "--", &places.staged(), &here, &beside];
        let removed = self.engine.exec(self.container, &command, &[]).await;
        if !removed.is_ok_and(|answer| answer.exit_code == 0) {
            tracing::debug!(
                balancer = self.balancer,
                "staged files of a check are left behind"
            );
        }
    }

    /// The main configuration is the one that nginx was started with, as far as its title says.
    async fn see_main(&self) -> Result<(), Error> {
        let rows = self.engine.processes(self.container).await;
        let rows = rows.map_err(self.failed("list the container's processes"))?;
        let mut masters = rows.iter().filter_map(|row| row.command.strip_prefix(MASTER));
        let Some(started) = masters.next().and_then(staging::started_with) else {
            return Ok(());
        };
        match staging::is_same_path(&started, self.paths.main) {
            true => Ok(()),
            false => Err(self.misfit(&format!(
                "nginx was started with {started}, and spec.mainConfigPath is {}: set spec.mainConfigPath to {started}",
                self.paths.main
            ))),
        }
    }

    async fn main(&self) -> Result<String, Error> {
        let path = self.paths.main;
        match self.engine.read_files(self.container, path).await {
            Ok(found) => {
                let first = found.into_iter().next();
                Ok(first
                    .map(|(_, content)| String::from_utf8_lossy(&content).into_owned())
                    .unwrap_or_default())
            }
            Err(error) if error.is_not_found() => {
                let built = self.version().await.ok();
                let built = built.as_deref().and_then(staging::built_with);
                let advice = match built.filter(|built| !staging::is_same_path(built, path)) {
                    Some(built) => {
                        format!("set spec.mainConfigPath to {built}, which this nginx is built with")
                    }
                    None => "set spec.mainConfigPath to the file that nginx is started with".to_owned(),
                };
                Err(self.misfit(&format!("there is no {path} in the container: {advice}")))
            }
            Err(error) => Err(self.failed("read nginx's main configuration")(error)),
        }
    }

    /// All files but ours that nginx reads, as far as it says: nothing but advice depends on them.
    async fn others(&self) -> Texts {
        let mut files = self.dumped().await;
        files.retain(|(path, _)| path != self.paths.config);
        files
    }

    /// The files that nginx reads; none where it refuses them, too.
    async fn dumped(&self) -> Texts {
        let command = ["nginx", "-T", "-c", self.paths.main, "-g", &self.globals];
        let mut files = Texts::new();
        for _ in 0..DUMPS {
            let answer = self.engine.exec(self.container, &command, &[]).await;
            files = answer
                .map(|answer| neighbours::dumped(&answer.output))
                .unwrap_or_default();
            if !files.is_empty() {
                break;
            }
        }
        files
    }

    /// The files in the folder of ours.
    async fn beside(&self, folder: &str) -> Result<Files, Error> {
        match self.engine.read_files(self.container, folder).await {
            Ok(mut files) => {
                files.retain(|(name, _)| !name.ends_with(staging::SUFFIX));
                Ok(files)
            }
            Err(error) if error.is_not_found() => Err(self.misfit(&format!(
                "there is no folder {folder} in the container: make it, or set spec.configPath to a file in a folder that \
                 nginx reads"
            ))),
            Err(error) => Err(self.failed("read nginx's configuration")(error)),
        }
    }
}

/// What nginx said of the staged files, as of those that people know.
fn in_place(said: &str, places: Places<'_>) -> String {
    let (base, _) = places.main_parts();
    let name = places.staged_main_name();
    said.replace(&places.staged(), &places.config())
        .replace(&format!("{}/{name}", places.folder), places.main)
        .replace(&format!("{base}/{name}"), places.main)
}
