//! Which files are meant, and their texts. Reads files; inspects no resource.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Which files to read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FileArgs {
    /// A file, a folder (its *.yaml, *.yml and *.json, in the order of their names) or - for standard input; repeatable
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// Folders with everything below them
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// The files themselves: folders in the order of their names.
pub(super) fn expand(files: &FileArgs) -> Result<Vec<PathBuf>, CliError> {
    let mut out = Vec::new();
    for path in &files.filename {
        if path.is_dir() {
            let before = out.len();
            walk(path, files.recursive, &mut out)?;
            if out.len() == before {
                return Err(CliError::Failed(format!(
                    "no *.yaml, *.yml or *.json in {}",
                    path.display()
                )));
            }
        } else {
            out.push(path.clone());
        }
    }
    Ok(out)
}

fn walk(folder: &Path, recursive: bool, out: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        path: folder.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let known = path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        if path.is_dir() {
            if recursive && !hidden {
                walk(&path, recursive, out)?;
            }
        } else if known && !hidden {
            out.push(path);
        }
    }
    Ok(())
}

/// A file's name for display, and its text.
pub(super) fn read(path: &Path) -> Result<(String, String), CliError> {
    // One byte more than a text may have is enough for the parser to refuse it.
    read_at_most(
        path,
        u64::try_from(aegis_api::yaml::MAX_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(1),
    )
}

/// A file's name for display, and the beginning of its text.
pub(crate) fn read_at_most(path: &Path, limit: u64) -> Result<(String, String), CliError> {
    let mut text = String::new();
    if path == Path::new("-") {
        let source = "standard input";
        let read = std::io::stdin().lock().take(limit).read_to_string(&mut text);
        read.map_err(|error| CliError::File {
            path: source.into(),
            source: error,
        })?;
        return Ok((source.to_owned(), text));
    }
    let file = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    file.map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok((path.display().to_string(), text))
}
