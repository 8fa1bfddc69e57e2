//! The check of a new file before the live one is touched: nginx judges a copy of its main configuration that includes the
//! new file in the place of the live one. What is staged is removed again, where the container has `rm`.

use aegis_docker::OUTPUT_LIMIT;
use aegis_planning::load_balancer::neighbours::{self, Texts};
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::staging::{self, Places, is_same_path, main_with_staged};
use aegis_planning::load_balancer::{shutdown, stream};

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
    /// nginx's `worker_shutdown_timeout`; `None` where that is not known.
    pub shutdown_timeout: Option<String>,
}

impl Nginx<'_> {
    /// What `nginx -t` says of the whole configuration with this one in it, which it accepts. No live file is touched.
    pub(in crate::load_balancer) async fn test_staged(&self, rendered: &Rendered) -> Result<Checked, Error> {
        let places = self.places(self.paths.config, false);
        self.see_main().await?;
        let (main, present) = tokio::try_join!(self.main(), self.beside(places))?;
        let present = present?;
        let staged_main = main_with_staged(&main, places, &present);
        let mut staged_main = staged_main.map_err(|why| self.misfit(&why.to_string()))?;
        let stream = rendered.listening();
        let stream = stream.map(|text| (self.places(&self.paths.stream, true), text));
        if let Some((places, _)) = stream {
            let beside = self.beside(places).await?;
            // The line is said first: a folder alone is of no use.
            let known = beside.as_deref().unwrap_or_default();
            let staged = main_with_staged(&staged_main, places, known);
            staged_main = staged.map_err(|why| self.misfit(&why.to_string()))?;
            beside?;
        }
        let checked = self
            .test_copy(places, &rendered.text, stream, &staged_main, &present)
            .await;
        let stream = stream.map(|(places, _)| places);
        self.remove_staged(places, stream).await;
        let in_place = |said: &str| {
            let said = in_place(said, places);
            stream.map_or(said.clone(), |stream| in_place(&said, stream))
        };
        match checked {
            Ok(said) => {
                let (others, is_whole) = self.others(&main).await;
                if let Some(why) = stream.and_then(|_| neighbours::taken(&others, &self.tcp_ports)) {
                    return Err(self.misfit(&why));
                }
                Ok(Checked {
                    said: in_place(&said),
                    shadowed: neighbours::shadowed(&others, self.port),
                    shutdown_timeout: is_whole.then(|| shutdown::said(&others, &self.globals)),
                })
            }
            Err(Error::Refused { output, .. }) => {
                let output = in_place(&output);
                let advice = neighbours::advice(&output, &self.others(&main).await.0, self.port)
                    .or_else(|| stream::advice(&output).map(str::to_owned));
                Err(self.refused(match advice {
                    Some(advice) => format!("{advice}; {output}"),
                    None => output,
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// What else is to be seen of TCP backends where no copy can be judged: that their ports are free, and that their file would
    /// be read where it is not there yet.
    pub(in crate::load_balancer) async fn see_stream(
        &self,
        rendered: &Rendered,
        is_first: bool,
    ) -> Result<(), Error> {
        if rendered.listening().is_none() {
            return Ok(());
        }
        let main = self.main().await?;
        if is_first {
            let places = self.places(&self.paths.stream, true);
            main_with_staged(&main, places, &[]).map_err(|why| self.misfit(&why.to_string()))?;
            self.beside(places).await??;
        }
        match neighbours::taken(&self.others(&main).await.0, &self.tcp_ports) {
            Some(why) => Err(self.misfit(&why)),
            None => Ok(()),
        }
    }

    fn places<'b>(&'b self, path: &'b str, is_stream: bool) -> Places<'b> {
        let (folder, file) = split(path);
        Places {
            main: self.paths.main,
            folder,
            file,
            is_stream,
        }
    }

    /// First beside our file, which is where we may write; where that makes nginx look for files in the wrong folder, beside
    /// the original.
    async fn test_copy(
        &self,
        places: Places<'_>,
        text: &str,
        stream: Option<(Places<'_>, &str)>,
        staged_main: &str,
        present: &[String],
    ) -> Result<String, Error> {
        let main_name = places.staged_main_name();
        let files = [
            (places.staged_name(), text.as_bytes().to_vec()),
            (main_name.clone(), staged_main.as_bytes().to_vec()),
        ];
        self.stage(places.folder, &files).await?;
        if let Some((places, text)) = stream {
            let file = (places.staged_name(), text.as_bytes().to_vec());
            self.stage(places.folder, &[file]).await?;
        }
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

    /// Whether nginx, as its files are now, reads those that are ours. `None` where it does not say, or more than can be read.
    pub(in crate::load_balancer) async fn reads_live(&self, rendered: &Rendered) -> Option<bool> {
        let said = self.dumped().await;
        let files = neighbours::dumped(&said);
        let reads = |ours: &str| files.iter().any(|(path, _)| is_same_path(path, ours));
        let reads_stream = rendered.listening().is_none() || reads(&self.paths.stream);
        match reads(self.paths.config) && reads_stream {
            true => Some(true),
            false => (!files.is_empty() && said.len() < OUTPUT_LIMIT).then_some(false),
        }
    }

    /// nginx does not read the file of TCP backends any more.
    pub(in crate::load_balancer) fn unread(&self) -> Error {
        let (path, main) = (&self.paths.stream, self.paths.main);
        let (folder, _) = split(path);
        self.misfit(&format!(
            "nginx does not read {path} any more, where its TCP backends are: add `include {folder}/*.conf;` to the stream block \
             of {main}"
        ))
    }

    async fn stage(&self, folder: &str, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        let staged = self.engine.put_files(self.container, folder, files).await;
        staged.map_err(|error| self.unwritten(folder, "stage the new configuration", error))
    }

    /// Nothing depends on it: what is left behind is written over by the next check, and nginx does not read it.
    async fn remove_staged(&self, places: Places<'_>, stream: Option<Places<'_>>) {
        let (base, _) = places.main_parts();
        let name = places.staged_main_name();
        let (here, beside) = (format!("{}/{name}", places.folder), format!("{base}/{name}"));
        let staged = places.staged();
        let of_stream = stream.map(|places| places.staged());
        let mut command = vec!["rm", "-f", "--", &staged, &here, &beside];
        command.extend(of_stream.as_deref());
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
        match is_same_path(&started, self.paths.main) {
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
                let advice = match built.filter(|built| !is_same_path(built, path)) {
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

    /// All files but ours that nginx reads, as far as it says, and whether it says all; this is the main one, which is known
    /// anyway.
    async fn others(&self, main: &str) -> (Texts, bool) {
        let said = self.dumped().await;
        let mut files = neighbours::dumped(&said);
        let is_whole = self.has_main(&files) && said.len() < OUTPUT_LIMIT;
        if !self.has_main(&files) {
            files.insert(0, (self.paths.main.to_owned(), main.to_owned()));
        }
        files.retain(|(path, _)| {
            !is_same_path(path, self.paths.config) && !is_same_path(path, &self.paths.stream)
        });
        (files, is_whole)
    }

    /// What nginx says of the files that it reads, at most [`OUTPUT_LIMIT`]; nothing where it refuses them, too.
    async fn dumped(&self) -> String {
        let command = ["nginx", "-T", "-c", self.paths.main, "-g", &self.globals];
        let mut most = String::new();
        for _ in 0..DUMPS {
            let answer = self.engine.exec(self.container, &command, &[]).await;
            let said = answer.map(|answer| answer.output).unwrap_or_default();
            let files = neighbours::dumped(&said);
            if self.has_main(&files) {
                return said;
            }
            if files.len() > neighbours::dumped(&most).len() {
                most = said;
            }
        }
        most
    }

    /// Whether the main configuration, which nginx prints first, is among these.
    fn has_main(&self, files: &[(String, String)]) -> bool {
        files.iter().any(|(path, _)| is_same_path(path, self.paths.main))
    }

    /// Names of the files in the folder of ours; the inner error says that there is no such folder.
    async fn beside(&self, places: Places<'_>) -> Result<Result<Vec<String>, Error>, Error> {
        let folder = places.folder;
        match self.engine.read_files(self.container, folder).await {
            Ok(files) => {
                let names = files.into_iter().map(|(name, _)| name);
                Ok(Ok(names
                    .filter(|name| !name.ends_with(staging::SUFFIX))
                    .collect()))
            }
            Err(error) if error.is_not_found() => {
                let field = match places.is_stream {
                    true => "spec.streamConfigPath",
                    false => "spec.configPath",
                };
                Ok(Err(self.misfit(&format!(
                    "there is no folder {folder} in the container: make it, or set {field} to a file in a folder that nginx \
                     reads"
                ))))
            }
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
