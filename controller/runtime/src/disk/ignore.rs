//! What of a state directory is not for git: specs are kept there, and secrets, the audit log and what the controller notes
//! down must not be. Does I/O.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use aegis_api::KINDS;

pub(crate) const FILE: &str = ".gitignore";
const TEXT: &str = "\
# Written by AegisOps when it made this directory; it is yours to change.
# Secrets, the audit log and the controller's own notes.
/.*
!/.gitignore
# What the controller writes beside each spec, and files that are not finished.
*.status.yaml
.aegis-tmp-*
";

/// Writes it into a directory that is new: one in which no kind has its folder yet. What is there is left alone.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    if KINDS.iter().any(|info| dir.join(info.plural).exists()) {
        return Ok(());
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(dir.join(FILE));
    match file {
        Ok(mut file) => file.write_all(TEXT.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_gets_one_and_none_is_written_over_or_put_into_one_that_is_in_use() {
        let read = |dir: &Path| std::fs::read_to_string(dir.join(FILE)).ok();
        let new = tempfile::tempdir().unwrap();
        write(new.path()).unwrap();
        let text = read(new.path()).unwrap();
        for line in ["/.*", "!/.gitignore", "*.status.yaml"] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join(FILE), "mine\n").unwrap();
        write(own.path()).unwrap();
        assert_eq!(read(own.path()).unwrap(), "mine\n");
        let used = tempfile::tempdir().unwrap();
        std::fs::create_dir(used.path().join("workloads")).unwrap();
        write(used.path()).unwrap();
        assert_eq!(read(used.path()), None);
    }
}
