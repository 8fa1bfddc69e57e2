//! Single files: reading with a bound, writing atomically and durably. Does I/O; blocks.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::digest::Digest;
use super::faults::Faults;
use super::layout::temporary_name;
use super::link::{LinkTarget, place};
use super::spares::Spares;

/// Mode of a new file: specs may hold secrets.
const PRIVATE: u32 = 0o600;

/// Longer than any tick of a kernel's clock.
const SETTLED: jiff::SignedDuration = jiff::SignedDuration::from_millis(25);

/// What distinguishes one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    modified: (i64, i64),
    size: u64,
    inode: u64,
}

impl Signature {
    /// Of the file of this name, if there is one.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| Self::of(&metadata))
    }

    /// Whether it is old enough to distinguish versions: two writes within one tick of the kernel's clock look the same.
    pub(crate) fn is_settled(&self) -> bool {
        let modified = jiff::Timestamp::new(
            self.modified.0,
            i32::try_from(self.modified.1).unwrap_or_default(),
        );
        modified.is_ok_and(|at| jiff::Timestamp::now().duration_since(at) > SETTLED)
    }

    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            inode: metadata.ino(),
        }
    }
}

/// A file as it was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none.
    Missing,
    /// Its contents.
    Contents(Signature, Vec<u8>),
    /// It is larger than what is read.
    TooLarge(Signature),
    /// It is something that is not read, and why.
    Unfit(String),
}

impl Found {
    /// What distinguishes one version from another.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Found::Missing => None,
            Found::Contents(_, bytes) => Some(Digest::of(bytes)),
            Found::TooLarge(_) => Some(Digest::of(b"too large")),
            Found::Unfit(why) => Some(Digest::of(why.as_bytes())),
        }
    }
}

/// Reads a regular file of at most `limit` bytes, for a state directory `dir`; a symbolic link as [`place`] allows.
pub(crate) fn read(path: &Path, limit: usize, dir: &Path) -> io::Result<Found> {
    let path = match place(path, dir)? {
        LinkTarget::Nothing => return Ok(Found::Missing),
        LinkTarget::File(path) => path,
        LinkTarget::Unfit(why) => return Ok(Found::Unfit(why)),
    };
    let metadata = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    if metadata.size() > limit {
        return Ok(Found::TooLarge(Signature::of(&metadata)));
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    // Of the open file: it may have been replaced since.
    let signature = Signature::of(&file.metadata()?);
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.size()).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Ok(Found::TooLarge(signature));
    }
    Ok(Found::Contents(signature, bytes))
}

/// Whom a new file belongs to and who may read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ownership {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Ownership {
    /// As the file that is replaced has it; a new file belongs to whom its folder belongs to, so that the person who
    /// owns the state directory can edit what the controller (often root) made.
    fn like(path: &Path) -> Option<Self> {
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            let mode = metadata.permissions().mode() & 0o777;
            return Some(Self {
                uid: metadata.uid(),
                gid: metadata.gid(),
                mode,
            });
        }
        let folder = std::fs::metadata(path.parent()?).ok()?;
        Some(Self {
            uid: folder.uid(),
            gid: folder.gid(),
            mode: PRIVATE,
        })
    }
}

impl Ownership {
    fn give(self, file: &File) -> io::Result<()> {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (self.uid, self.gid) {
            // Only root can give files away; for everybody else they are their own already.
            drop(std::os::unix::fs::fchown(file, Some(self.uid), Some(self.gid)));
        }
        if made.permissions().mode() & 0o777 != self.mode {
            file.set_permissions(std::fs::Permissions::from_mode(self.mode))?;
        }
        Ok(())
    }
}

/// A file that is written, but not yet in its place.
#[derive(Debug)]
pub(crate) struct Prepared {
    temporary: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) signature: Signature,
}

/// What became of a file that was to take the place of a person's.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// It has.
    Placed(Signature),
    /// Another one than expected was in its place, and is.
    Changed,
}

/// Writes a temporary file beside `path`. Its contents are not durable yet.
pub(crate) fn prepare(path: &Path, bytes: &[u8], faults: &Faults) -> io::Result<Prepared> {
    prepare_with(path, bytes, false, faults)
}

/// As [`prepare`], over a file that was replaced before, where there is one.
pub(crate) fn prepare_over(
    path: &Path,
    bytes: &[u8],
    spares: &Spares,
    faults: &Faults,
) -> io::Result<Prepared> {
    let Some((temporary, file)) = spares.take(path) else {
        return prepare(path, bytes, faults);
    };
    let written = faults
        .step("create", path)
        .and_then(|()| fill(file, path, bytes, false, faults));
    finished(temporary, path, written, faults)
}

/// A name beside a file that no other file has.
fn temporary_beside(path: &Path) -> PathBuf {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let tag = uuid::Uuid::new_v4().simple().to_string();
    path.with_file_name(temporary_name(&file_name, &tag))
}

fn prepare_with(path: &Path, bytes: &[u8], durable: bool, faults: &Faults) -> io::Result<Prepared> {
    let temporary = temporary_beside(path);
    let written = write(&temporary, path, bytes, durable, faults);
    finished(temporary, path, written, faults)
}

fn finished(
    temporary: PathBuf,
    path: &Path,
    written: io::Result<Signature>,
    faults: &Faults,
) -> io::Result<Prepared> {
    match written {
        Ok(signature) => Ok(Prepared {
            temporary,
            path: path.to_owned(),
            signature,
        }),
        Err(error) => {
            discard_at(&temporary, faults);
            Err(error)
        }
    }
}

fn write(
    temporary: &Path,
    path: &Path,
    bytes: &[u8],
    durable: bool,
    faults: &Faults,
) -> io::Result<Signature> {
    faults.step("create", path)?;
    // Never one that is there, nor what a link of that name leads to: others may be able to write the folder.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(temporary)?;
    fill(file, path, bytes, durable, faults)
}

/// Makes these bytes the whole of a file that is to take the place of `path`.
fn fill(mut file: File, path: &Path, bytes: &[u8], durable: bool, faults: &Faults) -> io::Result<Signature> {
    if let Some(owner) = Ownership::like(path) {
        owner.give(&file)?;
    }
    let half = bytes.len() / 2;
    let (first, second) = bytes.split_at_checked(half).unwrap_or((bytes, &[]));
    file.write_all(first)?;
    faults.step("write", path)?;
    file.write_all(second)?;
    let written = file.metadata()?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let written = match written.len() > length {
        true => {
            file.set_len(length)?;
            file.metadata()?
        }
        false => written,
    };
    if durable {
        faults.step("fsync", path)?;
        file.sync_data()?;
    }
    Ok(Signature::of(&written))
}

impl Prepared {
    /// Puts it in its place, whatever is there.
    pub(crate) fn place(self, faults: &Faults) -> io::Result<Signature> {
        self.place_by(faults, |prepared| {
            std::fs::rename(&prepared.temporary, &prepared.path)
        })
    }

    /// Puts it in its place, whatever is there, and keeps what was there to be written over.
    pub(crate) fn place_over(self, spares: &Spares, faults: &Faults) -> io::Result<Signature> {
        self.place_by(faults, |Self { temporary, path, .. }| {
            match renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
                Ok(()) => {
                    spares.keep(temporary, faults);
                    Ok(())
                }
                // There is none, or the file system cannot.
                Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    std::fs::rename(temporary, path)
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Puts it in its place this way; what is not there then is nowhere.
    fn place_by(self, faults: &Faults, put: impl FnOnce(&Self) -> io::Result<()>) -> io::Result<Signature> {
        faults.placing(&self.path);
        let placed = faults.step("rename", &self.path).and_then(|()| put(&self));
        if let Err(error) = placed {
            discard_at(&self.temporary, faults);
            return Err(error);
        }
        Ok(self.signature)
    }

    /// Puts it in the place of this version (`None`: of nothing). What somebody has put there since that was checked is
    /// put back. Both are read for a state directory `dir`, at most `limit` bytes.
    pub(crate) fn exchange(
        self,
        expected: Option<Digest>,
        limit: usize,
        dir: &Path,
        faults: &Faults,
    ) -> io::Result<Exchanged> {
        faults.placing(&self.path);
        let exchanged = faults
            .step("rename", &self.path)
            .and_then(|()| self.exchange_with(expected, limit, dir, faults));
        match exchanged {
            Ok(true) => Ok(Exchanged::Placed(self.signature)),
            Ok(false) => {
                discard_at(&self.temporary, faults);
                Ok(Exchanged::Changed)
            }
            Err(error) => {
                discard_at(&self.temporary, faults);
                Err(error)
            }
        }
    }

    /// Whether it is in its place now. If not, what is left under the temporary name is of no use to anybody.
    fn exchange_with(
        &self,
        expected: Option<Digest>,
        limit: usize,
        dir: &Path,
        faults: &Faults,
    ) -> io::Result<bool> {
        let flags = match expected {
            None => RenameFlags::NOREPLACE,
            Some(_) => RenameFlags::EXCHANGE,
        };
        match renameat_with(CWD, &self.temporary, CWD, &self.path, flags) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOENT) => return Ok(false),
            // Not on every file system.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let is_expected = read(&self.path, limit, dir)?.digest() == expected;
                if is_expected {
                    std::fs::rename(&self.temporary, &self.path)?;
                }
                return Ok(is_expected);
            }
            Err(error) => return Err(error.into()),
        }
        if expected.is_none() {
            return Ok(true);
        }
        if read(&self.temporary, limit, dir)?.digest() == expected {
            discard_at(&self.temporary, faults);
            return Ok(true);
        }
        renameat_with(CWD, &self.temporary, CWD, &self.path, RenameFlags::EXCHANGE)?;
        if Signature::at(&self.temporary) != Some(self.signature) {
            // Saved once more meanwhile: that is the newest version.
            std::fs::rename(&self.temporary, &self.path)?;
        }
        Ok(false)
    }

    /// Gives it up.
    pub(crate) fn discard(self, faults: &Faults) {
        discard_at(&self.temporary, faults);
    }
}

/// What cannot be removed now is removed at the next start.
pub(super) fn discard_at(temporary: &Path, faults: &Faults) {
    if faults.step("discard", temporary).is_ok() {
        drop(std::fs::remove_file(temporary));
    }
}

/// Removes a file; that there is none is as good.
pub(crate) fn remove(path: &Path, faults: &Faults) -> io::Result<()> {
    faults.placing(path);
    faults.step("unlink", path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a file a temporary name, and answers it; `None`: there is none.
pub(super) fn move_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let aside = temporary_beside(path);
    match std::fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        moved => moved.map(|()| Some(aside)),
    }
}

/// Removes a file if it is this version; `None`: there should be none. Another one is left where it is.
pub(crate) fn remove_version(
    path: &Path,
    version: Option<Digest>,
    limit: usize,
    dir: &Path,
    faults: &Faults,
) -> io::Result<()> {
    faults.placing(path);
    faults.step("unlink", path)?;
    let Some(version) = version else { return Ok(()) };
    let Some(aside) = move_aside(path)? else {
        return Ok(());
    };
    if read(&aside, limit, dir)?.digest() == Some(version) {
        return std::fs::remove_file(&aside);
    }
    // Saved in the meantime. Where it was saved yet again, that is the newer one.
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::fs::rename(&aside, path),
        Err(Errno::EXIST) => std::fs::remove_file(&aside),
        moved => Ok(moved?),
    }
}

/// Keeps a second name (`<file>.rejected`, which is never read) for a file that is about to be written over; of one that
/// a link leads to, a copy.
pub(crate) fn keep_beside(path: &Path, dir: &Path, faults: &Faults) -> io::Result<()> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".rejected");
    let kept = PathBuf::from(kept);
    remove(&kept, faults)?;
    faults.step("link", path)?;
    match place(path, dir)? {
        LinkTarget::File(target) if target != path => std::fs::copy(target, &kept).map(|_| ()),
        LinkTarget::File(_) | LinkTarget::Nothing | LinkTarget::Unfit(_) => std::fs::hard_link(path, &kept),
    }
}

/// The file that is written in the place of this one: what a link leads to is, and the link stays.
pub(crate) fn writable(path: &Path, dir: &Path) -> io::Result<PathBuf> {
    match place(path, dir)? {
        LinkTarget::File(target) => Ok(target),
        LinkTarget::Nothing | LinkTarget::Unfit(_) => Ok(path.to_owned()),
    }
}

/// Makes renames and removals in a folder durable.
pub(crate) fn sync_folder(folder: &Path, faults: &Faults) -> io::Result<()> {
    faults.step("fsync folder", folder)?;
    File::open(folder)?.sync_all()
}

/// One file, all the way.
pub(crate) fn replace(path: &Path, bytes: &[u8], faults: &Faults) -> io::Result<()> {
    prepare_with(path, bytes, true, faults)?.place(faults)?;
    faults.synced(path);
    path.parent().map_or(Ok(()), |folder| sync_folder(folder, faults))
}

/// Makes a folder that belongs to whom its parent belongs to, and that no one else looks into: names tell, too.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(parent) = folder.parent().and_then(|parent| std::fs::metadata(parent).ok()) {
        // As above: only root can, and only root needs to.
        drop(std::os::unix::fs::chown(
            folder,
            Some(parent.uid()),
            Some(parent.gid()),
        ));
    }
    Ok(())
}
/// A file of this controller's own, made if need be, to be read and written in place.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its name cannot be guessed; should it be there all the same, it is somebody's.
    #[test]
    fn a_temporary_file_is_never_one_that_is_there_nor_what_a_link_of_its_name_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("web.yaml"));
        std::fs::write(&target, "untouched").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("made"), &dangling).unwrap();
        for taken in [&target, &link, &dangling] {
            let error = write(taken, &path, b"evil", false, &Faults::default()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{}", taken.display());
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched");
        assert!(!folder.path().join("made").exists());
        let free = folder.path().join("free");
        write(&free, &path, b"good", false, &Faults::default()).unwrap();
        let written = std::fs::metadata(&free).unwrap();
        assert_eq!((written.len(), written.permissions().mode() & 0o777), (4, 0o600));
    }
}
