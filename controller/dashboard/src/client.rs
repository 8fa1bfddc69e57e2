//! The controller over REST: what it reports at one moment. Does I/O, bounds every answer in time and size, and never
//! shows the token.

use std::path::PathBuf;
use std::time::Duration;

use aegis_api::wire::{
    ContainerMetrics, ContainerRow, DetectorView, HealthAnswer, IncidentResult, RunbookList,
};
use anyhow::Context as _;
use reqwest::{Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use crate::args::Args;

const CONNECT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer, bytes.
const LARGEST: usize = 32 << 20;

/// What the controller reports at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) health: HealthAnswer,
    /// Why the controller cannot do its work; nothing while it can.
    pub(crate) unready: Option<String>,
    pub(crate) containers: Vec<ContainerRow>,
    pub(crate) metrics: Vec<ContainerMetrics>,
    /// By name.
    pub(crate) detectors: Vec<DetectorView>,
    /// Oldest first.
    pub(crate) incidents: Vec<IncidentResult>,
    pub(crate) runbook: RunbookList,
}

/// A connection to one controller.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token_file: Option<PathBuf>,
}

impl Client {
    pub(crate) fn new(args: &Args) -> anyhow::Result<Self> {
        let base = Url::parse(&args.server).ok();
        let base = base.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.with_context(|| {
            format!(
                "--server is {:?}; it must be a URL such as http://aegis-agent:8001",
                args.server
            )
        })?;
        Ok(Self {
            http: http().context("cannot make an HTTP client")?,
            base,
            token_file: args.token_file.clone(),
        })
    }

    /// Fetches everything the page shows.
    pub(crate) async fn fetch(&self) -> anyhow::Result<Seen> {
        let token = self.token().await?;
        let token = token.as_ref();
        let (health, unready, containers, metrics, detectors, incidents, runbook) = futures::try_join!(
            self.get("health", token),
            self.unready(),
            self.get("containers", token),
            self.get("metrics", token),
            self.get("detectors", token),
            self.get("incidents", token),
            self.get("runbook", token),
        )?;
        Ok(Seen {
            health,
            unready,
            containers,
            metrics,
            detectors,
            incidents,
            runbook,
        })
    }

    async fn token(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = tokio::fs::read_to_string(path).await;
        let text = text.with_context(|| {
            format!(
                "the token of this dashboard cannot be read from {}",
                path.display()
            )
        })?;
        anyhow::ensure!(
            !text.trim().is_empty(),
            "there is no token of this dashboard in {} yet",
            path.display()
        );
        Ok(Some(SecretString::from(text.trim().to_owned())))
    }

    /// Open to everybody, and an answer also where it is a refusal.
    async fn unready(&self) -> anyhow::Result<Option<String>> {
        let response = self.http.get(self.base.join("readyz")?).send().await;
        let response = response.map_err(|error| innermost(&error))?;
        if response.status().is_success() {
            return Ok(None);
        }
        let body = whole(response, "readyz").await?;
        Ok(Some(String::from_utf8_lossy(&body).into_owned()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, token: Option<&SecretString>) -> anyhow::Result<T> {
        let request = self.http.get(self.base.join(path)?);
        let mut request = request.header("accept", "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = request.send().await.map_err(|error| innermost(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                anyhow::bail!(
                    "the controller does not accept the token of this dashboard (`make up` makes one)"
                )
            }
            StatusCode::FORBIDDEN => {
                anyhow::bail!("the token of this dashboard may not read; it takes the role viewer")
            }
            other => anyhow::bail!("the controller answers /{path} with {other}"),
        }
        let body = whole(response, path).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the controller's answer to /{path} cannot be read"))
    }
}

fn http() -> reqwest::Result<reqwest::Client> {
    aegis_outgoing::client_builder()?
        .user_agent(concat!("aegis-dashboard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
}

async fn whole(mut response: Response, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| innermost(&error))? {
        anyhow::ensure!(
            body.len() + chunk.len() <= LARGEST,
            "the controller's answer to /{path} is too large"
        );
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost reason, which is what a person can act on.
fn innermost(error: &reqwest::Error) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow::anyhow!("it does not answer within {} s", TIMEOUT.as_secs());
    }
    anyhow::anyhow!("{}", aegis_api::error::root_cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use serde_json::json;
    use wiremock::matchers::{header, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn controller(token: &str) -> MockServer {
        let server = MockServer::start().await;
        let bearer = format!("Bearer {token}");
        for (route, body) in [
            (
                "/health",
                json!({"status": "ok", "mode": "GOD_MODE", "version": "1", "ws_clients": 0}),
            ),
            ("/containers", json!([])),
            ("/metrics", json!([])),
            ("/detectors", json!([])),
            ("/incidents", json!([])),
            ("/runbook", json!({"entries": [], "total": 0})),
        ] {
            let answer = ResponseTemplate::new(200).set_body_json(body);
            let mock = Mock::given(path(route)).and(header("authorization", bearer.as_str()));
            mock.respond_with(answer).mount(&server).await;
        }
        let unready = ResponseTemplate::new(503).set_body_string("docker: away");
        Mock::given(path("/readyz"))
            .respond_with(unready)
            .mount(&server)
            .await;
        Mock::given(wiremock::matchers::any())
            .respond_with(ResponseTemplate::new(401))
            .with_priority(9)
            .mount(&server)
            .await;
        server
    }

    fn client(server: &str, token_file: &std::path::Path) -> Client {
        let file = token_file.display().to_string();
        let args = ["aegis-dashboard", "--server", server, "--token-file", &file];
        Client::new(&Args::parse_from(args)).unwrap()
    }

    #[tokio::test]
    async fn the_token_is_read_with_every_request_and_never_shown() {
        let server = controller("secret-1").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let client = client(&server.uri(), &file);
        let text = |error: anyhow::Error| format!("{error:#}");
        assert!(text(client.fetch().await.unwrap_err()).contains("cannot be read"));
        std::fs::write(&file, "\n").unwrap();
        assert!(text(client.fetch().await.unwrap_err()).contains("yet"));
        std::fs::write(&file, "secret-0\n").unwrap();
        let refused = text(client.fetch().await.unwrap_err());
        assert!(
            refused.contains("does not accept") && !refused.contains("secret"),
            "{refused}"
        );
        std::fs::write(&file, "secret-1\n").unwrap();
        let seen = client.fetch().await.unwrap();
        assert_eq!(seen.health.version, "1");
        assert_eq!(seen.unready.as_deref(), Some("docker: away"));
    }

    #[tokio::test]
    async fn a_controller_that_is_not_there_is_shown_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "t").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = client(&format!("http://{address}"), &file);
        let error = format!("{:#}", client.fetch().await.unwrap_err());
        assert!(error.contains("refused"), "{error}");
    }

    #[test]
    fn a_server_that_is_no_url_is_refused_by_name() {
        for server in ["aegis-agent:8001", "ftp://x", "", "/health"] {
            let args = Args::parse_from(["aegis-dashboard", "--server", server]);
            let error = Client::new(&args).unwrap_err().to_string();
            assert!(error.contains("--server"), "{error}");
        }
    }
}
