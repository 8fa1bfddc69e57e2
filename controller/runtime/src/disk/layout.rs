//! Where things are in a state directory, and what a file name in a kind's folder means. Pure.

use std::path::{Path, PathBuf};

use aegis_api::KindInfo;
use aegis_api::scalar::ResourceName;

/// Ending of what people write.
const SPEC: &str = ".yaml";
/// Ending of what the controller writes.
const STATUS: &str = ".status.yaml";
/// What marks a file that is not finished; its name also begins with a dot.
const TEMPORARY: &str = ".aegis-tmp-";

/// One object's place.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) info: &'static KindInfo,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(info: &'static KindInfo, name: impl Into<String>) -> Self {
        Self {
            info,
            name: name.into(),
        }
    }

    /// `<plural>/<name>.yaml`, as messages name it.
    pub(crate) fn spec_file(&self) -> String {
        format!("{}/{}{SPEC}", self.info.plural, self.name)
    }

    /// `<plural>/<name>.status.yaml`, as messages name it.
    pub(crate) fn status_file(&self) -> String {
        format!("{}/{}{STATUS}", self.info.plural, self.name)
    }

    pub(crate) fn folder(&self, dir: &Path) -> PathBuf {
        dir.join(self.info.plural)
    }

    pub(crate) fn spec_path(&self, dir: &Path) -> PathBuf {
        self.folder(dir).join(format!("{}{SPEC}", self.name))
    }

    pub(crate) fn status_path(&self, dir: &Path) -> PathBuf {
        self.folder(dir).join(format!("{}{STATUS}", self.name))
    }

    fn id(&self) -> (&'static str, &str) {
        (self.info.plural, &self.name)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id().cmp(&other.id())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.info.plural, self.name)
    }
}

/// What a file name in a kind's folder means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileName {
    /// What people write about the object of this name.
    Spec(String),
    /// What the controller writes about it.
    Status(String),
    /// Left behind by a write that did not end.
    Temporary,
    /// Meant for us, but no object can be called that.
    Misnamed { name: String, message: String },
    /// None of our business.
    Foreign,
}

impl FileName {
    pub(crate) fn of(file_name: &str) -> Self {
        if file_name.starts_with('.') {
            return if file_name.contains(TEMPORARY) {
                Self::Temporary
            } else {
                Self::Foreign
            };
        }
        if let Some(name) = file_name.strip_suffix(".yml") {
            let message = format!("files here end in .yaml: rename it to {name}.yaml");
            return Self::Misnamed {
                name: name.to_owned(),
                message,
            };
        }
        let (name, status) = match (file_name.strip_suffix(STATUS), file_name.strip_suffix(SPEC)) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => return Self::Foreign,
        };
        match (name.parse::<ResourceName>(), status) {
            (Ok(_), true) => Self::Status(name.to_owned()),
            (Ok(_), false) => Self::Spec(name.to_owned()),
            (Err(error), _) => Self::Misnamed {
                name: name.to_owned(),
                message: format!("the file's name is the object's: {error}"),
            },
        }
    }
}

/// Why an object may not have this name, though it is a valid one: its spec file would be another's status file.
pub(crate) fn refused_name(name: &str) -> Option<&'static str> {
    name.ends_with(".status")
        .then_some("names that end in '.status' are taken by status files")
}

/// The name under which the file of this name is written before it is renamed.
pub(crate) fn temporary_name(file_name: &str, tag: &str) -> String {
    format!(".{file_name}{TEMPORARY}{tag}")
}

/// Whether a file of this name was to become the file of that name.
pub(crate) fn is_temporary_of(temporary: &str, file_name: &str) -> bool {
    let rest = temporary
        .strip_prefix('.')
        .and_then(|rest| rest.strip_prefix(file_name));
    rest.is_some_and(|rest| rest.starts_with(TEMPORARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_mean_what_they_say() {
        assert_eq!(FileName::of("web.yaml"), FileName::Spec("web".to_owned()));
        assert_eq!(FileName::of("web.1.yaml"), FileName::Spec("web.1".to_owned()));
        assert_eq!(
            FileName::of("web.status.yaml"),
            FileName::Status("web".to_owned())
        );
        for foreign in [
            "web.yaml~",
            "web.json",
            ".web.yaml.swp",
            "README",
            ".git",
            "web.yaml.rejected",
            "yaml",
        ] {
            assert_eq!(FileName::of(foreign), FileName::Foreign, "{foreign}");
        }
        for misnamed in ["web.yml", "My App.yaml", "-x.yaml", "é.yaml", "X.status.yaml"] {
            assert!(
                matches!(FileName::of(misnamed), FileName::Misnamed { .. }),
                "{misnamed}"
            );
        }
    }

    #[test]
    fn a_temporary_file_is_never_read_as_an_object() {
        assert_eq!(
            FileName::of(&temporary_name("web.yaml", "7")),
            FileName::Temporary
        );
        assert_eq!(
            FileName::of(&temporary_name("web.status.yaml", "7")),
            FileName::Temporary
        );
    }
}
