//! Which files of the engine's host are there, where this process provably sees them: it sees the first process of a
//! container under the number that the engine gives it, and its own root is that of the host's first process. In a
//! container, on another machine, or without the rights to look, nothing is known. Reads names, nothing else.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Those of `paths` that are not there; none where that cannot be known.
pub(crate) async fn missing(paths: Vec<String>, pid: i64, container: String) -> BTreeSet<String> {
    let check = move || match sees_host(Path::new("/proc"), Path::new("/"), pid, &container) {
        true => absent(paths),
        false => BTreeSet::new(),
    };
    tokio::task::spawn_blocking(check).await.unwrap_or_default()
}

fn absent(paths: Vec<String>) -> BTreeSet<String> {
    let gone = |path: &String| {
        std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    paths.into_iter().filter(gone).collect()
}

fn sees_host(proc: &Path, root: &Path, pid: i64, container: &str) -> bool {
    if pid <= 0 || container.len() < 64 {
        return false;
    }
    let groups = std::fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).unwrap_or_default();
    let own = device_and_inode(root);
    groups.contains(container) && own.is_some() && own == device_and_inode(&proc.join("1/root"))
}

fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_the_host_is_not_provably_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (proc, id) = (folder.path(), "ab".repeat(32));
        let root = proc.join("host");
        std::fs::create_dir_all(proc.join("42")).unwrap();
        std::fs::create_dir_all(proc.join("1")).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(proc.join("42/cgroup"), format!("0::/docker/{id}\n")).unwrap();
        assert!(
            !sees_host(proc, &root, 42, &id),
            "the first process's root is not to be seen"
        );
        std::os::unix::fs::symlink(&root, proc.join("1/root")).unwrap();
        assert!(sees_host(proc, &root, 42, &id));
        assert!(!sees_host(proc, proc, 42, &id), "a root of its own");
        assert!(
            !sees_host(proc, &root, 42, &"cd".repeat(32)),
            "another process has that number"
        );
        assert!(!sees_host(proc, &root, 0, &id) && !sees_host(proc, &root, 42, ""));

        let there = root.display().to_string();
        assert_eq!(
            absent(vec![there, "/nowhere/x".to_owned()]),
            BTreeSet::from(["/nowhere/x".to_owned()])
        );
    }
}
