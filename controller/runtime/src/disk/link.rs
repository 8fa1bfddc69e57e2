//! Symbolic links in the place of files: where one may lead, and what is said of one that leads elsewhere. Does I/O;
//! blocks.
//!
//! People keep configuration in git and link it into place. A link is followed to a regular file below the folder that
//! holds the state directory, but not to what the controller keeps for itself there.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

/// ELOOP: links that lead to each other.
const LOOP: i32 = 40;

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum LinkTarget {
    /// Nowhere: there is nothing of this name.
    Nothing,
    /// To this regular file, which is the path itself unless it is a link.
    File(PathBuf),
    /// To something that is not read, and why.
    Unfit(String),
}

/// Where the file of this path is, for a state directory `dir`.
pub(crate) fn place(path: &Path, dir: &Path) -> io::Result<LinkTarget> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LinkTarget::Nothing),
        Err(error) => return Err(error),
    };
    if metadata.is_file() {
        return Ok(LinkTarget::File(path.to_owned()));
    }
    if !metadata.is_symlink() {
        let what = sort(metadata.file_type());
        return Ok(LinkTarget::Unfit(format!(
            "it is {what}: a regular file is read here"
        )));
    }
    let shown =
        std::fs::read_link(path).map_or_else(|_| "somewhere".to_owned(), |to| to.display().to_string());
    let unfit = |why: String| Ok(LinkTarget::Unfit(format!("it is a symbolic link {why}")));
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return unfit(format!("to {shown}, which does not exist"));
        }
        Err(error) if error.raw_os_error() == Some(LOOP) => {
            return unfit("that leads in a circle".to_owned());
        }
        Err(error) => return unfit(format!("to {shown}, which cannot be reached: {error}")),
    };
    let dir = std::fs::canonicalize(dir)?;
    if let Some(why) = out_of_bounds(&target, &dir) {
        return unfit(format!("to {shown}, {why}"));
    }
    match std::fs::symlink_metadata(&target) {
        Ok(metadata) if metadata.is_file() => Ok(LinkTarget::File(target)),
        Ok(metadata) => {
            let what = sort(metadata.file_type());
            unfit(format!("to {shown}, which is not a regular file but {what}"))
        }
        Err(error) => unfit(format!("to {shown}, which cannot be read: {error}")),
    }
}

/// Why a link may not lead to this file. Both paths are canonical.
fn out_of_bounds(target: &Path, dir: &Path) -> Option<String> {
    if let Ok(inside) = target.strip_prefix(dir) {
        let hidden = |part: Component<'_>| part.as_os_str().to_string_lossy().starts_with('.');
        return inside
            .components()
            .any(hidden)
            .then(|| "which is the controller's own: link to a file of yours".to_owned());
    }
    // In a container the state directory is often a mount at the root, beside everything.
    let bounds = dir
        .parent()
        .filter(|parent| parent.parent().is_some())
        .unwrap_or(dir);
    if target.starts_with(bounds) {
        return None;
    }
    Some(format!(
        "outside of {}: links are followed within that folder only; copy the file, or move it there",
        bounds.display()
    ))
}

/// What something is that is no file.
fn sort(file_type: std::fs::FileType) -> &'static str {
    match file_type {
        _ if file_type.is_dir() => "a directory",
        _ if file_type.is_fifo() => "a named pipe",
        _ if file_type.is_socket() => "a socket",
        _ if file_type.is_char_device() || file_type.is_block_device() => "a device",
        _ => "no file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_no_further_than_the_folder_around_the_state_directory() {
        for (target, dir, fits) in [
            ("/srv/ops/conf/web.yaml", "/srv/ops/state", true),
            ("/srv/ops/state/common/web.yaml", "/srv/ops/state", true),
            ("/srv/ops/.dotfiles/web.yaml", "/srv/ops/state", true),
            ("/srv/ops/state/.secrets/tokens", "/srv/ops/state", false),
            ("/srv/ops/state/a/.b/c", "/srv/ops/state", false),
            ("/srv/opsx/web.yaml", "/srv/ops/state", false),
            ("/srv/web.yaml", "/srv/ops/state", false),
            ("/etc/shadow", "/state", false),
            ("/proc/self/environ", "/state", false),
            ("/state/common/web.yaml", "/state", true),
        ] {
            let why = out_of_bounds(Path::new(target), Path::new(dir));
            assert_eq!(why.is_none(), fits, "{target} from {dir}: {why:?}");
        }
    }
}
