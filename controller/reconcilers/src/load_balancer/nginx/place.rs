//! A file of ours into its place: by rename, which is what the engine does, or in place where the file is a mount of its own, which
//! nothing can replace.

use aegis_docker::{EngineError, script};

use super::{Error, Nginx, one_line, split};

/// What engines say of a mount that is to be replaced.
const BUSY: &str = "device or resource busy";
/// What they say of a mount and of a root file system that is not to be written.
const READ_ONLY_MOUNT: &str = "mounted volume is marked read-only";
const READ_ONLY_ROOT: &str = "rootfs is marked read-only";

impl Nginx<'_> {
    pub(super) async fn put(&self, path: &str, text: &str, step: &'static str) -> Result<(), Error> {
        let (folder, file) = split(path);
        let files = [(file.to_owned(), text.as_bytes().to_vec())];
        match self.engine.put_files(self.container, folder, &files).await {
            Ok(()) => Ok(()),
            Err(error) if error.to_string().contains(BUSY) => self.write_in_place(path, text).await,
            Err(error) => Err(self.unwritten(folder, step, error)),
        }
    }

    /// By the container's own shell. It takes the file's whole length at once: nginx reads it only when it is signalled.
    async fn write_in_place(&self, path: &str, text: &str) -> Result<(), Error> {
        let bytes = text.len().to_string();
        let command = script::write_in_place(path, &bytes);
        let written = self.engine.exec(self.container, &command, text.as_bytes()).await;
        let why = match written {
            Ok(answer) if answer.exit_code == 0 => return Ok(()),
            Ok(answer) => one_line(&answer.output),
            Err(error @ EngineError::Conflict { .. }) => error.to_string(),
            Err(error) => return Err(self.failed("write the configuration in place")(error)),
        };
        let (folder, _) = split(path);
        Err(self.misfit(&format!(
            "{path} is a mount of its own: it cannot be replaced, and it cannot be written in place ({why}); mount the folder \
             {folder} instead, or make the file writable for the container's user"
        )))
    }

    /// Where the engine says why nothing can be written, what to change.
    pub(super) fn unwritten(&self, folder: &str, step: &'static str, error: EngineError) -> Error {
        let said = error.to_string();
        if said.contains(READ_ONLY_MOUNT) {
            return self.misfit(&format!(
                "{folder} is mounted read-only into the container: mount it without `:ro`"
            ));
        }
        if said.contains(READ_ONLY_ROOT) {
            return self.misfit(&format!(
                "the container's root file system is read-only, and {folder} is no volume: mount one there, such as with \
                 `-v {}:{folder}`",
                match folder == split(self.paths.config).0 {
                    true => "lb-config",
                    false => "lb-stream",
                }
            ));
        }
        self.failed(step)(error)
    }
}
