//! A kind's folder as a whole: what is in it. Does I/O; blocks.

use std::io;
use std::path::Path;

use aegis_api::{KINDS, KindInfo};

use super::Disk;
use super::digest::Digest;
use super::file::{self, Found, Signature};
use super::layout::{FileName, Key};
use super::spec_file;
use crate::store::StoreError;
use crate::store::object::Desired;

/// What a folder holds that concerns us.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) specs: Vec<(Key, Signature)>,
    pub(crate) statuses: Vec<Key>,
    pub(crate) misnamed: Vec<Misnamed>,
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
#[derive(Debug, Clone, Copy)]
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
    /// Lists the folders of every kind. Symbolic links, sub-folders and dot files are left out.
    pub(crate) fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for info in KINDS.iter() {
            let folder = self.dir.join(info.plural);
            list_folder(&folder, info, &mut listing).map_err(|source| StoreError::disk(folder, source))?;
        }
        Ok(listing)
    }

    /// Removes what interrupted writes have left behind.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
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
            swept.map_err(|source| StoreError::disk(folder, source))?;
        }
        Ok(())
    }

    /// Reads and judges one person's file, unless it is the version `known`.
    pub(crate) fn judge(&self, key: &Key, known: Option<Known>) -> Judged {
        let path = key.spec_path(&self.dir);
        // Most often it is one of our own writes that is looked at, and its dates are enough to know it by.
        if let Some(signature) = known.and_then(|known| known.signature)
            && signature.is_settled()
            && Signature::at(&path) == Some(signature)
        {
            return Judged::Same(signature);
        }
        let known = known.map(|known| known.digest);
        let found = match file::read(&path, spec_file::MAX_BYTES) {
            Ok(found) => found,
            Err(error) => {
                // Without a signature it is looked at again with every rescan.
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
        let (signature, bytes) = match found {
            Found::Missing => return Judged::Missing,
            Found::Contents(signature, _) | Found::TooLarge(signature) if known == Some(digest) => {
                return Judged::Same(signature);
            }
            Found::Contents(signature, bytes) => (signature, bytes),
            Found::TooLarge(signature) => {
                let message = format!(
                    "the file is too large: {} bytes at most are read",
                    spec_file::MAX_BYTES
                );
                return Judged::Bad {
                    digest,
                    signature: Some(signature),
                    message,
                };
            }
        };
        match spec_file::parse(key, &bytes) {
            Ok(desired) => Judged::Good {
                digest,
                signature,
                desired,
            },
            Err(message) => Judged::Bad {
                digest,
                signature: Some(signature),
                message,
            },
        }
    }
}

fn list_folder(folder: &Path, info: &'static KindInfo, listing: &mut Listing) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        let meaning = FileName::of(&file_name);
        if matches!(meaning, FileName::Foreign | FileName::Temporary) || !entry.file_type()?.is_file() {
            continue;
        }
        match meaning {
            FileName::Spec(name) => match entry.metadata() {
                Ok(metadata) => listing
                    .specs
                    .push((Key::new(info, name), Signature::of(&metadata))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
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
