//! Which server, which token: flag before environment before configuration file before default. Reads files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::error::CliError;
use crate::global::Global;

/// Where `make up` puts the controller.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8001";
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The environment variables of one run, as a value, so that a test brings its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// This process' environment. Variables that are no UTF-8 are none that this program knows.
    pub(crate) fn of_process() -> Self {
        let pairs = std::env::vars_os();
        Self(
            pairs
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.trim().is_empty())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

/// Where a setting came from, for `doctor` and for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    Url,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
            Self::Url => f.write_str("the server's URL"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What a client needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) server: Url,
    pub(crate) server_origin: Origin,
    pub(crate) token: Option<(SecretString, Origin)>,
    /// `None`: wait for an answer without end.
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) trust: Trust,
}

/// Whom an https:// server must prove to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whom this system trusts.
    System,
    /// One of the certificates in a file.
    Only(PathBuf, Origin),
    /// Any: it is not checked.
    Any,
}

/// The configuration file: YAML.
#[derive(Debug, Default)]
struct File {
    server: Option<String>,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

/// Puts the settings of a run together.
pub(crate) fn resolve(global: &Global, env: &Environment) -> Result<Settings, CliError> {
    let (file, path) = read_file(global, env)?;
    let (server, server_origin) = None
        .or_else(|| {
            global
                .server
                .clone()
                .map(|server| (server, Origin::Flag("--server")))
        })
        .or_else(|| {
            env.get("AEGIS_SERVER")
                .map(|server| (server.to_owned(), Origin::Variable("AEGIS_SERVER")))
        })
        .or_else(|| {
            file.server
                .clone()
                .map(|server| (server, Origin::File(path.clone())))
        })
        .unwrap_or_else(|| (DEFAULT_SERVER.to_owned(), Origin::Default));
    let mut server = parse_server(&server, &server_origin)?;
    let in_url = take_password(&mut server);
    let trust = find_trust(global, env, &file, &path);
    let token = find_token(global, env, file, path)?;
    let request_timeout = match global.request_timeout {
        None => Some(DEFAULT_REQUEST_TIMEOUT),
        Some(limit) => Some(limit.std()).filter(|limit| !limit.is_zero()),
    };
    Ok(Settings {
        server,
        server_origin,
        token: token.or(in_url),
        request_timeout,
        trust,
    })
}

fn find_trust(global: &Global, env: &Environment, file: &File, path: &Path) -> Trust {
    if global.insecure_skip_tls_verify {
        return Trust::Any;
    }
    if let Some(ca) = &global.ca {
        return Trust::Only(ca.clone(), Origin::Flag("--ca"));
    }
    if let Some(ca) = env.get("AEGIS_CA") {
        return Trust::Only(PathBuf::from(ca), Origin::Variable("AEGIS_CA"));
    }
    file.ca.as_ref().map_or(Trust::System, |ca| {
        Trust::Only(beside(path, ca, env), Origin::File(path.to_owned()))
    })
}

/// A path that the configuration file names: relative ones begin at its folder.
fn beside(config: &Path, path: &Path, env: &Environment) -> PathBuf {
    let folder = config.parent().unwrap_or(Path::new(""));
    folder.join(expand_home(path, env))
}

fn parse_server(text: &str, origin: &Origin) -> Result<Url, CliError> {
    let refuse = |why: String| CliError::Config(format!("server {text:?} (from {origin}): {why}"));
    let spelled = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&spelled).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse("use http://HOST:PORT or https://HOST:PORT".to_owned()));
    }
    Ok(url)
}

/// `http://any:TOKEN@host` is one of the ways in which kubectl can be given a token; it must not stay in what is shown.
fn take_password(server: &mut Url) -> Option<(SecretString, Origin)> {
    let token = server
        .password()
        .map(|password| (SecretString::from(password), Origin::Url));
    // Both setters refuse only URLs without a host, which `parse_server` has refused before.
    server
        .set_password(None)
        .and_then(|()| server.set_username(""))
        .unwrap_or_default();
    token
}

fn find_token(
    global: &Global,
    env: &Environment,
    file: File,
    path: PathBuf,
) -> Result<Option<(SecretString, Origin)>, CliError> {
    if let Some(token) = &global.token {
        return Ok(Some((token.clone(), Origin::Flag("--token"))));
    }
    if let Some(path) = &global.token_file {
        return read_token(path, Origin::Flag("--token-file")).map(Some);
    }
    if let Some(token) = env.get("AEGIS_TOKEN") {
        return Ok(Some((SecretString::from(token), Origin::Variable("AEGIS_TOKEN"))));
    }
    if let Some(path) = env.get("AEGIS_TOKEN_FILE") {
        return read_token(Path::new(path), Origin::Variable("AEGIS_TOKEN_FILE")).map(Some);
    }
    match (file.token, file.token_file) {
        (Some(_), Some(_)) => Err(CliError::Config(format!(
            "{}: token and tokenFile exclude each other: keep one",
            path.display()
        ))),
        (Some(token), None) => Ok(Some((token, Origin::File(path)))),
        (None, Some(token_file)) => {
            let token_file = beside(&path, &token_file, env);
            read_token(&token_file, Origin::File(path)).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn read_token(path: &Path, origin: Origin) -> Result<(SecretString, Origin), CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::Config(format!("token file {} (from {origin}): {error}", path.display()))
    })?;
    match text.trim() {
        "" => Err(CliError::Config(format!(
            "token file {} (from {origin}) is empty",
            path.display()
        ))),
        token => Ok((SecretString::from(token), origin)),
    }
}

fn expand_home(path: &Path, env: &Environment) -> PathBuf {
    match (path.strip_prefix("~"), env.get("HOME")) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

/// The configuration file and its path. Only one that was requested by name must exist.
fn read_file(global: &Global, env: &Environment) -> Result<(File, PathBuf), CliError> {
    let asked = global
        .config
        .clone()
        .or_else(|| env.get("AEGIS_CONFIG").map(PathBuf::from));
    let Some(path) = asked.clone().or_else(|| default_path(env)) else {
        return Ok((File::default(), PathBuf::new()));
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && asked.is_none() => {
            return Ok((File::default(), path));
        }
        Err(error) => {
            return Err(CliError::Config(format!(
                "configuration file {}: {error}",
                path.display()
            )));
        }
    };
    let refuse = |why: String| CliError::Config(format!("{}: {why}", path.display()));
    let documents = aegis_api::yaml::parse(&text).map_err(|error| refuse(error.to_string()))?;
    let Some(document) = documents.into_iter().next() else {
        return Ok((File::default(), path));
    };
    let mut file = File::default();
    for (key, value) in document
        .value
        .as_object()
        .ok_or_else(|| refuse("must hold `field: text` lines".to_owned()))?
    {
        let at = document.position(key).map_or(0, |position| position.line);
        // The value may be a token: an error does not quote it.
        let text = value
            .as_str()
            .ok_or_else(|| refuse(format!("line {at}: {key} must be a text")))?;
        match key.as_str() {
            "server" => file.server = Some(text.to_owned()),
            "token" => file.token = Some(SecretString::from(text)),
            "tokenFile" => file.token_file = Some(PathBuf::from(text)),
            "ca" => file.ca = Some(PathBuf::from(text)),
            _ => {
                let allowed = "allowed are server, token, tokenFile, ca";
                return Err(refuse(format!("line {at}: unknown field {key:?}: {allowed}")));
            }
        }
    }
    Ok((file, path))
}

fn default_path(env: &Environment) -> Option<PathBuf> {
    let folder = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(env.get("HOME")?).join(".config")))?;
    Some(folder.join("aegisctl").join("config.yaml"))
}

/// The header value of a token; a token that can be none is refused without being shown.
pub(crate) fn bearer(token: &SecretString) -> Result<reqwest::header::HeaderValue, CliError> {
    let text = format!("Bearer {}", token.expose_secret());
    let value = reqwest::header::HeaderValue::try_from(text);
    let mut value = value.map_err(|_| {
        CliError::Config(
            "the token holds characters that no token can have (line ends, control characters)".to_owned(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::Parser;

    fn settings(flags: &[&str], env: impl Into<Environment>) -> Result<Settings, CliError> {
        let args = Args::try_parse_from([&["aegisctl"], flags, &["api-resources"]].concat()).unwrap();
        resolve(&args.global, &env.into())
    }

    fn shown(settings: &Settings) -> (String, Option<String>) {
        let token = settings
            .token
            .as_ref()
            .map(|(token, origin)| format!("{} from {origin}", token.expose_secret()));
        (settings.server.to_string(), token)
    }

    #[test]
    fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "server: https://file:1\ntokenFile: token\n").unwrap();
        std::fs::write(folder.path().join("token"), "from-file\n").unwrap();
        let config = file.to_str().unwrap();

        let all = [
            ("AEGIS_CONFIG", config),
            ("AEGIS_SERVER", "env:2"),
            ("AEGIS_TOKEN", "from-env"),
        ];
        let (server, token) = shown(&settings(&["--server", "flag:3", "--token", "from-flag"], all).unwrap());
        assert_eq!(
            (server.as_str(), token.as_deref()),
            ("http://flag:3/", Some("from-flag from --token"))
        );

        let (server, token) = shown(&settings(&[], all).unwrap());
        assert_eq!(
            (server.as_str(), token.as_deref()),
            ("http://env:2/", Some("from-env from AEGIS_TOKEN"))
        );

        let (server, token) = shown(&settings(&[], [("AEGIS_CONFIG", config)]).unwrap());
        assert_eq!(
            (server.as_str(), token),
            ("https://file:1/", Some(format!("from-file from {config}")))
        );

        let (server, token) = shown(&settings(&[], Environment::default()).unwrap());
        assert_eq!((server.as_str(), token), ("http://127.0.0.1:8001/", None));
    }

    #[test]
    fn the_default_file_is_found_below_xdg_config_home_and_home_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert!(settings(&[], [("HOME", home)]).is_ok());
        std::fs::create_dir_all(folder.path().join(".config/aegisctl")).unwrap();
        std::fs::write(
            folder.path().join(".config/aegisctl/config.yaml"),
            "server: http://home:1\n",
        )
        .unwrap();
        assert_eq!(
            shown(&settings(&[], [("HOME", home)]).unwrap()).0,
            "http://home:1/"
        );
        let xdg = [("HOME", home), ("XDG_CONFIG_HOME", "/nonexistent")];
        assert_eq!(shown(&settings(&[], xdg).unwrap()).0, "http://127.0.0.1:8001/");
    }

    #[test]
    fn a_bad_file_names_line_and_field_and_never_shows_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            settings(&["--config", path.to_str().unwrap()], Environment::default())
                .unwrap_err()
                .to_string()
        };
        let unknown = error("server: x\nsevrer: z\n");
        assert!(
            unknown.contains("line 2: unknown field \"sevrer\": allowed are server"),
            "{unknown}"
        );
        let secret = error("token: [s3cret]\n");
        assert!(
            secret.contains("token must be a text") && !secret.contains("s3cret"),
            "{secret}"
        );
        assert!(error("token: a\ntokenFile: b\n").contains("exclude each other"));
        let missing = settings(&["--config", "/nonexistent/c.yaml"], Environment::default()).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/c.yaml"));
        assert_eq!(missing.exit_code(), 2);
    }

    #[test]
    fn a_token_in_the_url_is_used_and_never_shown() {
        let settings = settings(&["--server", "http://any:s3cret@host:1"], Environment::default()).unwrap();
        assert_eq!(
            shown(&settings),
            (
                "http://host:1/".to_owned(),
                Some("s3cret from the server's URL".to_owned())
            )
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn tokens_are_redacted_in_debug_output() {
        let args = Args::try_parse_from(["aegisctl", "--token", "s3cret", "api-resources"]).unwrap();
        assert!(!format!("{args:?}").contains("s3cret"));
        assert!(!format!("{:?}", resolve(&args.global, &Environment::default()).unwrap()).contains("s3cret"));
        assert!(!format!("{:?}", bearer(&"s3cret".into()).unwrap()).contains("s3cret"));
        assert!(
            !bearer(&"s3cret\n".into())
                .unwrap_err()
                .to_string()
                .contains("s3cret")
        );
    }

    #[test]
    fn whom_to_believe_comes_from_flags_before_the_environment_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "ca: own.pem\n").unwrap();
        let config = file.to_str().unwrap();
        let trust = |flags: &[&str], ca: &str| {
            let env = [("AEGIS_CONFIG", config), ("AEGIS_CA", ca)];
            settings(flags, env).unwrap().trust
        };
        assert_eq!(trust(&["--insecure-skip-tls-verify"], "/env.pem"), Trust::Any);
        assert_eq!(
            trust(&["--ca", "/flag.pem"], "/env.pem"),
            Trust::Only("/flag.pem".into(), Origin::Flag("--ca"))
        );
        assert_eq!(
            trust(&[], "/env.pem"),
            Trust::Only("/env.pem".into(), Origin::Variable("AEGIS_CA"))
        );
        let own = Trust::Only(folder.path().join("own.pem"), Origin::File(file.clone()));
        assert_eq!(trust(&[], " "), own);
        assert_eq!(
            settings(&[], Environment::default()).unwrap().trust,
            Trust::System
        );
    }

    #[test]
    fn a_server_that_is_no_url_is_refused_by_name() {
        for text in ["ftp://x", "http://", "http://a b"] {
            let error = settings(&["--server", text], Environment::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains("--server"), "{text}: {error}");
        }
    }

    #[test]
    fn a_request_timeout_of_zero_means_none() {
        assert_eq!(
            settings(&["--request-timeout", "0s"], Environment::default())
                .unwrap()
                .request_timeout,
            None
        );
        let five = settings(&["--request-timeout", "5s"], Environment::default()).unwrap();
        assert_eq!(five.request_timeout, Some(Duration::from_secs(5)));
    }
}
