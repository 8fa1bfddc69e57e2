//! Files that hold what only this controller may read. Does I/O.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde::Serialize;

/// Whole or not at all: beside it, durable, then in its place. Mode 0600 from the first byte on.
pub(super) fn write(path: &Path, content: &impl Serialize) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(temporary.as_file_mut(), content)?;
    temporary.as_file_mut().write_all(b"\n")?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}
