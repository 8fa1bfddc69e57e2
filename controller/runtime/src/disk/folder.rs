//! A kind's folder as a whole: what is in it. Does I/O; blocks.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use aegis_api::{KINDS, KindInfo};

use super::digest::Digest;
use super::file::{self, Found, Signature};
use super::home::Folder;
use super::layout::{FileName, Key};
use super::link::{LinkTarget, place};
use super::spec_file;
use super::{Disk, DiskError};
use crate::store::object::Desired;

/// How often a folder is listed that is exchanged meanwhile.
const LISTED_AT_MOST: usize = 5;

/// What a folder holds that concerns us.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Spec files; what is none, but in the place of one, has no signature.
    pub(crate) specs: Vec<(Key, Option<Signature>)>,
    pub(crate) statuses: Vec<Key>,
    pub(crate) misnamed: Vec<Misnamed>,
    /// How each kind's folder was found, by its plural.
    pub(crate) folders: BTreeMap<&'static str, Folder>,
}

/// A file that is meant for us, but that no object can be called after.
#[derive(Debug, Clone)]
pub(crate) struct Misnamed {
    pub(crate) info: &'static KindInfo,
    pub(crate) file_name: String,
    pub(crate) name: String,
    pub(crate) message: String,
}

/// A version of a person's file that was judged before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    pub(crate) signature: Option<Signature>,
}

/// A person's file as it was judged.
#[derive(Debug)]
pub(crate) enum Judged {
    /// There is none.
    Missing,
    /// It is the version that was judged before.
    Same(Signature),
    /// It can be in force.
    Good {
        digest: Digest,
        signature: Signature,
        desired: Desired,
    },
    /// It cannot, and why.
    Bad {
        digest: Digest,
        signature: Option<Signature>,
        message: String,
    },
}

impl Disk {
    /// Lists the folders of every kind, dot files left out. A folder that cannot be listed hinders no other.
    pub(crate) fn list(&self) -> Listing {
        self.list_only(&KINDS.iter().collect::<Vec<_>>())
    }

    /// Lists the folders of these kinds only.
    pub(crate) fn list_only(&self, infos: &[&'static KindInfo]) -> Listing {
        let mut listing = Listing::default();
        for info in infos {
            let read = |into: &mut Listing| list_folder(&self.dir.join(info.plural), &self.dir, info, into);
            let (found, of_kind) = self.list_steady(info, read);
            listing.specs.extend(of_kind.specs);
            listing.statuses.extend(of_kind.statuses);
            listing.misnamed.extend(of_kind.misnamed);
            listing.folders.insert(info.plural, found);
        }
        listing
    }

    /// Reads one kind's folder so that what is listed was in the folder that is answered: files of one that was there
    /// before would vouch for another that lacks them.
    fn list_steady(
        &self,
        info: &'static KindInfo,
        read: impl Fn(&mut Listing) -> io::Result<()>,
    ) -> (Folder, Listing) {
        let mut before = self.folder(info);
        for _ in 0..LISTED_AT_MOST {
            let mut listing = Listing::default();
            let listed = match before {
                Folder::Same | Folder::Other(_) => read(&mut listing),
                Folder::Missing | Folder::Unusable(_) | Folder::Away => return (before, listing),
            };
            let after = self.folder(info);
            if after == before {
                return match listed {
                    Ok(()) => (after, listing),
                    Err(error) => {
                        let why = format!("the folder cannot be read: {error}");
                        (Folder::Unusable(why), listing)
                    }
                };
            }
            before = after;
        }
        let why = "it was replaced by another one each time it was read".to_owned();
        (Folder::Unusable(why), Listing::default())
    }

    /// Removes what interrupted writes have left behind.
    pub(crate) fn sweep(&self) -> Result<(), DiskError> {
        for folder in KINDS
            .iter()
            .map(|info| self.dir.join(info.plural))
            .chain([self.dir.to_path_buf()])
        {
            let swept = std::fs::read_dir(&folder).and_then(|entries| {
                for entry in entries {
                    let entry = entry?;
                    let name = entry.file_name();
                    let ours = name
                        .to_str()
                        .is_some_and(|name| FileName::of(name) == FileName::Temporary);
                    if ours {
                        file::remove(&entry.path(), &self.faults)?;
                    }
                }
                Ok(())
            });
            swept.map_err(|source| DiskError::io(folder, source))?;
        }
        Ok(())
    }

    /// Whether there is something in this file's place that is no object by itself: a sub-folder, or a second name
    /// of another object's file.
    pub(crate) fn is_foreign(&self, key: &Key) -> bool {
        let path = key.spec_path(&self.dir);
        let found = std::fs::symlink_metadata(&path);
        found.is_ok_and(|found| !found.is_file() && !found.is_symlink()) || is_alias(&path, &self.dir)
    }

    /// Reads and judges one person's file, unless it is the version `known`.
    pub(crate) fn judge(&self, key: &Key, known: Option<Known>) -> Judged {
        let path = key.spec_path(&self.dir);
        // Most often it is one of our own writes that is read, and its dates are enough to know it by.
        if let Some(signature) = known.and_then(|known| known.signature)
            && signature.is_settled()
            && Signature::at(&path) == Some(signature)
        {
            return Judged::Same(signature);
        }
        let known = known.map(|known| known.digest);
        let found = match file::read(&path, spec_file::MAX_BYTES, &self.dir) {
            Ok(found) => found,
            Err(error) => {
                // Without a signature it is read again with every rescan.
                let message = format!("the file cannot be read: {error}");
                return Judged::Bad {
                    digest: Digest::of(message.as_bytes()),
                    signature: None,
                    message,
                };
            }
        };
        let Some(digest) = found.digest() else {
            return Judged::Missing;
        };
        let bad = |signature, message| Judged::Bad {
            digest,
            signature,
            message,
        };
        match found {
            Found::Missing => Judged::Missing,
            Found::Contents(signature, _) | Found::TooLarge(signature) if known == Some(digest) => {
                Judged::Same(signature)
            }
            Found::Contents(signature, bytes) => match spec_file::parse(key, &bytes, &self.defaults) {
                Ok(desired) => Judged::Good {
                    digest,
                    signature,
                    desired,
                },
                Err(message) => bad(Some(signature), message),
            },
            Found::Unfit(message) => bad(None, message),
            Found::TooLarge(signature) => {
                let most = spec_file::MAX_BYTES;
                let message = format!("the file is too large: {most} bytes at most are read");
                bad(Some(signature), message)
            }
        }
    }
}

fn list_folder(folder: &Path, dir: &Path, info: &'static KindInfo, listing: &mut Listing) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        let meaning = FileName::of(&file_name);
        let file_type = entry.file_type()?;
        if !file_type.is_file() && !file_type.is_symlink() || is_alias(&entry.path(), dir) {
            continue;
        }
        match meaning {
            FileName::Spec(name) => match signature(&entry.path(), dir) {
                Ok(signature) => listing.specs.push((Key::new(info, name), signature)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            _ if !file_type.is_file() => {}
            FileName::Status(name) => listing.statuses.push(Key::new(info, name)),
            FileName::Misnamed { name, message } => {
                listing.misnamed.push(Misnamed {
                    info,
                    file_name: file_name.into_owned(),
                    name,
                    message,
                });
            }
            FileName::Foreign | FileName::Temporary => {}
        }
    }
    Ok(())
}

/// Of the file at this path, also where a link leads to it; of what is no file there is none.
fn signature(path: &Path, dir: &Path) -> io::Result<Option<Signature>> {
    match place(path, dir)? {
        LinkTarget::Nothing => Err(io::ErrorKind::NotFound.into()),
        LinkTarget::File(path) => {
            std::fs::symlink_metadata(path).map(|metadata| Some(Signature::of(&metadata)))
        }
        LinkTarget::Unfit(_) => Ok(None),
    }
}

/// Whether this is a link to a spec file of some object.
fn is_alias(path: &Path, dir: &Path) -> bool {
    if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return false;
    }
    let (Ok(target), Ok(dir)) = (std::fs::canonicalize(path), std::fs::canonicalize(dir)) else {
        return false;
    };
    let file_name = target.file_name().unwrap_or_default().to_string_lossy();
    let in_a_folder = |info: &KindInfo| target.parent() == Some(&dir.join(info.plural));
    matches!(FileName::of(&file_name), FileName::Spec(_)) && KINDS.iter().any(in_a_folder)
}

#[cfg(test)]
mod tests;
