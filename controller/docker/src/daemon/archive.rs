//! Files in and out of a container, as the tar archives that the engine takes and gives. [`pack`] and [`unpack`] are pure.
//!
//! The engine reaches image layers and volumes this way, running or not; a `tmpfs` it does not, and a read-only root file
//! system only where a volume is mounted.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::Component;

use ::bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::StreamExt;

use super::failure;
use crate::engine::{EngineResult, Files};

/// Contents answered at most, and the archive around them.
const CONTENT_LIMIT: usize = 4 * 1024 * 1024;
const ARCHIVE_LIMIT: usize = CONTENT_LIMIT + 1024 * 1024;
const LINK_DEPTH: usize = 4;

pub(super) async fn put(
    api: &::bollard::Docker,
    id: &str,
    folder: &str,
    files: &[(String, Vec<u8>)],
    operation: &str,
) -> EngineResult<()> {
    let mut missing = Vec::new();
    for parent in parents(files, operation)? {
        // A folder that exists is left out of the archive: its entry there would change owner and mode.
        let path = format!("{}/{parent}", folder.trim_end_matches('/'));
        let options = ContainerArchiveInfoOptionsBuilder::default().path(&path).build();
        match api
            .get_container_archive_info(id, Some(options))
            .await
            .map_err(|error| failure::of(operation, &error))
        {
            Ok(_) => {}
            Err(error) if error.is_not_found() => missing.push(parent),
            Err(error) => return Err(error),
        }
    }
    let archive = pack(&missing, files).map_err(|error| failure::refused(operation, error.to_string()))?;
    let options = UploadToContainerOptionsBuilder::default().path(folder).build();
    let sent = api
        .upload_to_container(id, Some(options), ::bollard::body_full(archive.into()))
        .await;
    sent.map_err(|error| failure::of(operation, &error))
}

pub(super) async fn read(
    api: &::bollard::Docker,
    id: &str,
    path: &str,
    operation: &str,
) -> EngineResult<Files> {
    let mut path = path.to_owned();
    for _ in 0..LINK_DEPTH {
        match unpack(&download(api, id, &path, operation).await?) {
            Ok(Unpacked::Files(files)) => return Ok(files),
            Ok(Unpacked::Link(target)) => path = beside(&path, &target),
            Err(error) => return Err(failure::refused(operation, error.to_string())),
        }
    }
    Err(failure::refused(operation, "too many symbolic links"))
}

async fn download(api: &::bollard::Docker, id: &str, path: &str, operation: &str) -> EngineResult<Vec<u8>> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut chunks = api.download_from_container(id, Some(options));
    let mut archive = Vec::new();
    while let Some(chunk) = chunks.next().await {
        archive.extend_from_slice(&chunk.map_err(|error| failure::of(operation, &error))?);
        if archive.len() > ARCHIVE_LIMIT {
            return Err(failure::refused(operation, "more than 4 MiB"));
        }
    }
    Ok(archive)
}

/// Folders above the files, outermost first; refuses what would leave the folder.
fn parents(files: &[(String, Vec<u8>)], operation: &str) -> EngineResult<BTreeSet<String>> {
    let mut parents = BTreeSet::new();
    for (path, _) in files {
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(failure::refused(
                operation,
                format!("{path:?} is no relative path"),
            ));
        }
        parents.extend(
            (1..parts.len())
                .filter_map(|depth| parts.get(..depth))
                .map(|parts| parts.join("/")),
        );
    }
    Ok(parents)
}

/// `folders` (mode 0755) and `files` (mode 0644), all of user 0.
fn pack(folders: &[String], files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let header = |kind, mode, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(now);
        header.set_size(u64::try_from(size).unwrap_or_default());
        header
    };
    for folder in folders {
        archive.append_data(
            &mut header(tar::EntryType::Directory, 0o755, 0),
            folder,
            std::io::empty(),
        )?;
    }
    for (path, content) in files {
        archive.append_data(
            &mut header(tar::EntryType::Regular, 0o644, content.len()),
            path,
            content.as_slice(),
        )?;
    }
    archive.into_inner()
}

enum Unpacked {
    Files(Files),
    Link(String),
}

/// The archive of a file holds that file; of a folder, the folder and all below it, of which only the files directly
/// inside count.
fn unpack(archive: &[u8]) -> std::io::Result<Unpacked> {
    let mut archive = tar::Archive::new(Cursor::new(archive));
    let mut files = Files::new();
    for (index, entry) in archive.entries()?.enumerate() {
        let entry = entry?;
        if index == 0 && entry.header().entry_type().is_symlink() {
            let target = entry
                .link_name()?
                .map(|target| target.to_string_lossy().into_owned());
            return Ok(Unpacked::Link(target.unwrap_or_default()));
        }
        let path = entry.path()?.into_owned();
        let depth = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .count();
        let at_top = depth == if index == 0 { 1 } else { 2 };
        let Some(name) = path
            .file_name()
            .filter(|_| at_top && entry.header().entry_type().is_file())
        else {
            continue;
        };
        let name = name.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry
            .take(u64::try_from(CONTENT_LIMIT + 1).unwrap_or(u64::MAX))
            .read_to_end(&mut content)?;
        files.push((name, content));
        if files.iter().map(|(_, content)| content.len()).sum::<usize>() > CONTENT_LIMIT {
            return Err(std::io::Error::other("more than 4 MiB"));
        }
    }
    files.sort();
    Ok(Unpacked::Files(files))
}

/// A link's target, as seen from the folder of the link.
fn beside(path: &str, target: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((folder, _)) if !target.starts_with('/') => format!("{folder}/{target}"),
        _ => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()))
            .collect()
    }

    fn folder_archive(entries: &[(&str, &str)]) -> Vec<u8> {
        pack(&["conf.d".to_owned(), "conf.d/sub".to_owned()], &files(entries)).unwrap()
    }

    #[test]
    fn packed_files_have_modes_and_an_owner_that_every_process_can_live_with() {
        let archive = pack(&["a".to_owned()], &files(&[("a/b.conf", "x")])).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let seen: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (
                    path,
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.entry_type(),
                )
            })
            .collect();
        assert_eq!(seen[0], ("a".to_owned(), 0o755, 0, tar::EntryType::Directory));
        assert_eq!(
            seen[1],
            ("a/b.conf".to_owned(), 0o644, 0, tar::EntryType::Regular)
        );
    }

    #[test]
    fn only_files_directly_inside_a_folder_are_answered() {
        let archive = folder_archive(&[
            ("conf.d/b.conf", "2"),
            ("conf.d/a.conf", "1"),
            ("conf.d/sub/c.conf", "3"),
        ]);
        let Unpacked::Files(read) = unpack(&archive).unwrap() else {
            panic!("a link")
        };
        assert_eq!(read, files(&[("a.conf", "1"), ("b.conf", "2")]));
        let Unpacked::Files(one) = unpack(&pack(&[], &files(&[("x.conf", "1")])).unwrap()).unwrap() else {
            panic!("a link")
        };
        assert_eq!(one, files(&[("x.conf", "1")]));
    }

    #[test]
    fn too_much_and_nonsense_are_errors() {
        let big = vec![
            ("a".to_owned(), vec![0; CONTENT_LIMIT / 2 + 1]),
            ("b".to_owned(), vec![0; CONTENT_LIMIT / 2 + 1]),
        ];
        let big: Files = big
            .into_iter()
            .map(|(name, content)| (format!("conf.d/{name}"), content))
            .collect();
        assert!(unpack(&pack(&["conf.d".to_owned()], &big).unwrap()).is_err());
        assert!(unpack(&[7; 700]).is_err());
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for path in ["../x", "/x", "a/../../x", "a//b", ""] {
            assert!(parents(&files(&[(path, "")]), "put").is_err(), "{path}");
        }
        let all = parents(&files(&[("a/b/c", ""), ("a/d", "")]), "put").unwrap();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn links_lead_from_where_they_are() {
        assert_eq!(beside("/etc/nginx/conf.d", "sites"), "/etc/nginx/sites");
        assert_eq!(beside("/etc/x", "/var/y"), "/var/y");
    }
}
