//! The tokens of the first start: made once, kept in the state directory with mode 0600, never logged. And what a token
//! must be that a person chose.

use std::io::{Read as _, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};

/// Shortest token that is taken, characters: a shorter one can be guessed.
const SHORTEST: usize = 16;

/// Most bytes of a file that holds one secret.
const LONGEST: u64 = 64 << 10;

/// A token that a person gave under this name; nothing where they gave nothing.
pub(crate) fn given(name: &str, token: Option<&SecretString>) -> anyhow::Result<Option<SecretString>> {
    let text = token
        .map(|token| token.expose_secret().trim())
        .unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    check(name, text)?;
    Ok(Some(SecretString::from(text.to_owned())))
}

/// The secret that a file holds, without the line end behind it.
pub(crate) fn from_file(name: &str, path: &Path) -> anyhow::Result<SecretString> {
    let name = format!("{name}_FILE");
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("{name}: cannot read {shown}"))?;
    let mut text = String::new();
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{name}: cannot read {shown}"))?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    ensure!(
        length <= LONGEST,
        "{name}: {shown} is larger than {LONGEST} bytes"
    );
    ensure!(!text.trim().is_empty(), "{name}: {shown} is empty");
    Ok(SecretString::from(text.trim().to_owned()))
}

/// The token itself is never shown.
fn check(name: &str, text: &str) -> anyhow::Result<()> {
    let allowed = format!(
        "use at least {SHORTEST} letters, digits or signs without blanks, such as `openssl rand -hex 32` prints, or \
         leave it out, and one is made"
    );
    let length = text.chars().count();
    ensure!(
        length >= SHORTEST,
        "{name} is too short: it has {length} characters; {allowed}"
    );
    ensure!(
        text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{name} holds blanks, control characters or letters beyond ASCII, which no header carries; {allowed}"
    );
    Ok(())
}

/// The token in `<state>/.secrets/<name>`, made if there is none.
pub(crate) fn token(state_dir: &Path, name: &str) -> anyhow::Result<SecretString> {
    let folder = state_dir.join(".secrets");
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => {
            check(&path.display().to_string(), text.trim())?;
            return Ok(SecretString::from(text.trim().to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let made: String = rand::random::<[u8; 32]>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    write(&folder, name, &made).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(SecretString::from(made))
}

/// Under another name first, so that a crash leaves no half of a token in its place.
fn write(folder: &Path, name: &str, token: &str) -> std::io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_nothing_is_not_given() {
        for nothing in ["", " ", "\n", "\t \n"] {
            let token = SecretString::from(nothing.to_owned());
            assert!(given("NAME", Some(&token)).unwrap().is_none(), "{nothing:?}");
        }
        assert!(given("NAME", None).unwrap().is_none());
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_refused_by_the_name_of_its_variable_and_not_shown() {
        let blank = format!("{} {}", "a".repeat(20), "b".repeat(20));
        for wrong in [
            "x",
            "secret",
            "fifteen-letters",
            &blank,
            "twenty-letters-wïth-one-beyond-ascii",
        ] {
            let token = SecretString::from(wrong.to_owned());
            let error = given("AEGIS_WEBHOOK_TOKEN", Some(&token))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("AEGIS_WEBHOOK_TOKEN ") && error.contains("at least 16"),
                "{error}"
            );
            assert!(wrong.len() < 3 || !error.contains(wrong), "{error}");
        }
        let token = SecretString::from(" sixteen-letters!\n".to_owned());
        assert_eq!(
            given("NAME", Some(&token)).unwrap().unwrap().expose_secret(),
            "sixteen-letters!"
        );
    }

    #[test]
    fn a_secret_in_a_file_is_read_without_its_line_end_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-1234\n").unwrap();
        assert_eq!(
            from_file("FASTRTR_API_KEY", &path).unwrap().expose_secret(),
            "sk-1234"
        );
        for (content, why) in [
            (" \n".to_owned(), "is empty"),
            ("x".repeat(70_000), "is larger than"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = format!("{:#}", from_file("FASTRTR_API_KEY", &path).unwrap_err());
            assert!(
                error.starts_with("FASTRTR_API_KEY_FILE: ") && error.contains(why),
                "{error}"
            );
        }
        let error = format!("{:#}", from_file("KEY", &folder.path().join("none")).unwrap_err());
        assert!(error.starts_with("KEY_FILE: cannot read "), "{error}");
    }

    #[test]
    fn a_token_in_the_state_directory_is_held_to_the_same() {
        let state = tempfile::tempdir().unwrap();
        let made = token(state.path(), "webhook-token").unwrap();
        assert_eq!(
            token(state.path(), "webhook-token").unwrap().expose_secret(),
            made.expose_secret()
        );
        let file = state.path().join(".secrets/webhook-token");
        std::fs::write(&file, "short\n").unwrap();
        let error = token(state.path(), "webhook-token").unwrap_err().to_string();
        assert!(
            error.starts_with(&file.display().to_string()) && error.contains("too short"),
            "{error}"
        );
        std::fs::write(&file, "\n").unwrap();
        assert!(
            token(state.path(), "webhook-token").is_ok(),
            "an empty file is no token: one is made"
        );
    }
}
