//! Values of environment variables that stand elsewhere: read from the secrets folder or the controller's own environment
//! right before a container is made, handed to the engine, kept nowhere. Does I/O.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aegis_api::workload::{ContainerTemplate, ValueSource};

/// The largest value, bytes: what a process may be given in one variable.
const LARGEST: u64 = 64 << 10;

/// Why a container cannot be given a variable. The value is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("envValueFrom.{variable} names {}: {why}", .path.display())]
    File {
        variable: String,
        path: PathBuf,
        why: String,
    },
    /// The variable of the controller.
    #[error("envValueFrom.{variable} names the controller's variable {name}, which {why}")]
    Variable {
        variable: String,
        name: String,
        why: &'static str,
    },
    /// The folder cannot be read just now.
    #[error("envValueFrom cannot be read: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// The template with every value in its place; nothing of it may be stored or shown.
pub(crate) async fn resolved<'a>(
    template: &'a ContainerTemplate,
    folder: &Path,
) -> Result<Cow<'a, ContainerTemplate>, Error> {
    if template.env_value_from.is_empty() {
        return Ok(Cow::Borrowed(template));
    }
    let (template, folder) = (template.clone(), folder.to_owned());
    let filled = move || fill(template, &folder, |name| std::env::var_os(name));
    tokio::task::spawn_blocking(filled).await?.map(Cow::Owned)
}

fn fill(
    mut template: ContainerTemplate,
    folder: &Path,
    own: impl Fn(&str) -> Option<OsString>,
) -> Result<ContainerTemplate, Error> {
    for (variable, source) in std::mem::take(&mut template.env_value_from) {
        let value = match source {
            ValueSource { file: Some(file), .. } => read(folder, &file).map_err(|why| Error::File {
                variable: variable.clone(),
                path: folder.join(&file),
                why,
            })?,
            ValueSource { env, file: None } => {
                let name = env.unwrap_or_default();
                of_ours(own(&name)).map_err(|why| Error::Variable {
                    variable: variable.clone(),
                    name,
                    why,
                })?
            }
        };
        template.env.insert(variable, value);
    }
    Ok(template)
}

/// The value of one source, for who uses it right away; the error holds nothing of it.
pub fn secret_value(folder: &Path, source: &ValueSource) -> Result<String, String> {
    match source {
        ValueSource { file: Some(file), .. } => read(folder, file).map_err(|why| format!("{file}: {why}")),
        ValueSource { env, file: None } => {
            let name = env.as_deref().unwrap_or_default();
            of_ours(std::env::var_os(name)).map_err(|why| format!("{name} {why}"))
        }
    }
}

fn of_ours(value: Option<OsString>) -> Result<String, &'static str> {
    let value = value.ok_or("is not set")?;
    value.into_string().map_err(|_| "is no UTF-8 text")
}

/// A file below the folder, wherever links lead.
fn read(folder: &Path, file: &str) -> Result<String, String> {
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file in the secrets folder".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let folder = folder.canonicalize().map_err(missing)?;
    let path = folder.join(file).canonicalize().map_err(missing)?;
    if !path.starts_with(&folder) {
        return Err("leads out of the secrets folder".to_owned());
    }
    if !path.metadata().map_err(missing)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut text = String::new();
    let opened = std::fs::File::open(&path).map_err(missing)?;
    let read = opened.take(LARGEST + 1).read_to_string(&mut text);
    let length = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "is no UTF-8 text".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    if u64::try_from(length).unwrap_or(u64::MAX) > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    if text.contains('\0') {
        return Err("holds a zero byte, which no variable can".to_owned());
    }
    let end = text
        .strip_suffix('\n')
        .map(|text| text.strip_suffix('\r').unwrap_or(text));
    Ok(end.unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(sources: &str) -> ContainerTemplate {
        let text = format!(r#"{{"image": "web:1", "env": {{"MODE": "fast"}}, "envValueFrom": {sources}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn with(folder: &Path, sources: &str) -> Result<ContainerTemplate, String> {
        let own = |name: &str| (name == "AEGIS_SECRET_KEY").then(|| OsString::from("of-ours"));
        fill(template(sources), folder, own).map_err(|error| error.to_string())
    }

    #[test]
    fn values_come_from_files_and_variables_and_stand_beside_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("shop")).unwrap();
        std::fs::write(folder.path().join("shop/password"), "two words \n\n").unwrap();
        let filled = with(
            folder.path(),
            r#"{"PASSWORD": {"file": "shop/password"}, "KEY": {"env": "AEGIS_SECRET_KEY"}}"#,
        );
        let filled = filled.unwrap();
        let values: Vec<_> = filled
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            values,
            [("KEY", "of-ours"), ("MODE", "fast"), ("PASSWORD", "two words \n")]
        );
        assert!(filled.env_value_from.is_empty());
    }

    #[test]
    fn what_is_missing_or_unfit_is_named_with_its_variable_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(outside.path().join("other"), "hunter2").unwrap();
        std::os::unix::fs::symlink(outside.path().join("other"), path("link")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        std::fs::write(path("zero"), "hunter2\0").unwrap();
        std::fs::write(path("binary"), b"hunter2\xff").unwrap();
        std::fs::write(path("large"), "hunter2".repeat(10_000)).unwrap();
        for (source, why) in [
            (
                r#"{"file": "none"}"#,
                "there is no such file in the secrets folder",
            ),
            (r#"{"file": "link"}"#, "leads out of the secrets folder"),
            (r#"{"file": "folder"}"#, "is no regular file"),
            (r#"{"file": "zero"}"#, "holds a zero byte"),
            (r#"{"file": "binary"}"#, "is no UTF-8 text"),
            (r#"{"file": "large"}"#, "is larger than 65536 bytes"),
            (
                r#"{"env": "AEGIS_SECRET_NONE"}"#,
                "AEGIS_SECRET_NONE, which is not set",
            ),
        ] {
            let error = with(folder.path(), &format!(r#"{{"PASSWORD": {source}}}"#)).unwrap_err();
            assert!(
                error.starts_with("envValueFrom.PASSWORD names ") && error.contains(why),
                "{source}: {error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
