//! Files that hold what only this controller may read. Does I/O.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::tokens::TokenError;

/// As JSON; see [`write_text`].
pub(super) fn write(path: &Path, content: &impl Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(content)?;
    text.push('\n');
    write_text(path, &text)
}

/// Whole or not at all: beside it, durable, then in its place. Mode 0600 from the first byte on.
pub(crate) fn write_text(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.as_file_mut().write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Writes a file, not on a thread that others wait for.
pub(super) async fn stored(
    path: PathBuf,
    write: impl FnOnce(&Path) -> std::io::Result<()> + Send + 'static,
) -> Result<(), TokenError> {
    let file = path.clone();
    let written = tokio::task::spawn_blocking(move || write(&file)).await;
    let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|source| TokenError::Disk { path, source })
}
