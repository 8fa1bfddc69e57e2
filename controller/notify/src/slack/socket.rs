//! Socket Mode: clicks over a WebSocket that we open, so that Slack needs no way in. Does I/O. An envelope is acknowledged
//! once its decision is durable; one that is not comes again. <https://docs.slack.dev/apis/events-api/using-socket-mode>

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use super::app::{Called, call, endpoint};
use super::clicks::Clicks;
use crate::backoff::backoff;
use crate::client::{self, ConfigError};
use crate::posted::Posted;

/// Slack pings every few seconds: a connection that is silent for this long is lost.
const SILENCE: Duration = Duration::from_secs(120);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);
/// The largest envelope, bytes.
const MESSAGE: usize = 1 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Takes clicks over a WebSocket.
#[derive(Debug)]
pub struct SocketMode {
    client: Client,
    api: String,
    token: SecretString,
    clicks: Arc<Clicks>,
    tls: Arc<ClientConfig>,
}

/// Why a connection ended.
#[derive(Debug)]
enum Ended {
    /// Slack wants another one, as it does every few hours: at once.
    Renew,
    /// It was lost.
    Lost(String),
    /// The token is no good: no further try mends it.
    Revoked(String),
    /// How long Slack wants to be left alone.
    Later(String, Option<Duration>),
}

impl SocketMode {
    /// With an app-level token (`xapp-…`) of scope `connections:write`; does not connect yet.
    ///
    /// # Errors
    ///
    /// The API's address is none, or the token is empty.
    pub fn new(api: &str, token: &SecretString, clicks: Arc<Clicks>) -> Result<Self, ConfigError> {
        let token = client::trimmed(token);
        if token.expose_secret().is_empty() {
            return Err(ConfigError::Setting {
                name: "SLACK_APP_TOKEN",
                why: "it is empty: use an app-level token with connections:write, which begins with xapp-"
                    .to_owned(),
            });
        }
        aegis_outgoing::install_crypto();
        let mut roots = RootCertStore::empty();
        let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        roots.add_parsable_certificates(certificates.iter().cloned());
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            client: client::client()?,
            api: endpoint(api)?,
            token,
            clicks,
            tls: Arc::new(tls),
        })
    }

    /// Takes clicks until the shutdown, over as many connections as it takes.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut failed = 0;
        while let Some(ended) = shutdown.run_until_cancelled(self.serve(&mut failed)).await {
            let pause = match ended {
                Ended::Renew => {
                    // A server that sends nothing but this is no reason to turn in circles.
                    failed += 1;
                    if failed == 1 {
                        Duration::ZERO
                    } else {
                        backoff(failed - 1, rand::random())
                    }
                }
                Ended::Lost(why) | Ended::Later(why, None) => self.fail(&mut failed, &why),
                Ended::Later(why, Some(after)) => self.fail(&mut failed, &why).max(after),
                Ended::Revoked(why) => {
                    tracing::error!(
                        "Slack does not take SLACK_APP_TOKEN ({why}): no clicks are received until it is replaced and the controller starts again"
                    );
                    return shutdown.cancelled().await;
                }
            };
            if shutdown
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    fn fail(&self, failed: &mut u32, why: &str) -> Duration {
        *failed += 1;
        if *failed == 1 {
            tracing::warn!("the connection for clicks in Slack was lost: {why}; trying again");
        }
        backoff(failed.saturating_sub(1), rand::random())
    }

    /// One connection, from its opening to its end.
    async fn serve(&self, failed: &mut u32) -> Ended {
        let url = match self.open().await {
            Ok(url) => url,
            Err(ended) => return ended,
        };
        let mut socket = match tokio::time::timeout(CONNECT, self.connect(&url)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(why)) => return Ended::Lost(why),
            Err(_) => return Ended::Lost("no WebSocket in time".to_owned()),
        };
        loop {
            let message = match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Ended::Lost(client::said(&error.to_string())),
                Ok(None) => return Ended::Lost("it was closed".to_owned()),
                Err(_) => return Ended::Lost("it is silent".to_owned()),
            };
            let text = match message {
                Message::Text(text) => text,
                Message::Close(_) => return Ended::Lost("it was closed".to_owned()),
                // Pings are answered below us.
                _ => continue,
            };
            let Ok(envelope) = serde_json::from_str::<Value>(&text) else {
                continue;
            };
            match envelope.get("type").and_then(Value::as_str) {
                Some("hello") => *failed = 0,
                Some("disconnect") => return Ended::Renew,
                _ => {
                    if let Err(why) = self.take(&envelope, &mut socket).await {
                        return Ended::Lost(why);
                    }
                }
            }
        }
    }

    /// Deals with an envelope and acknowledges it.
    async fn take(&self, envelope: &Value, socket: &mut Socket) -> Result<(), String> {
        let Some(id) = envelope.get("envelope_id").and_then(Value::as_str) else {
            return Ok(());
        };
        let payload = envelope.get("payload").unwrap_or(&Value::Null);
        if !self.clicks.interaction(payload).await {
            return Ok(());
        }
        let ack = json!({"envelope_id": id}).to_string();
        let sent = socket.send(Message::text(ack)).await;
        sent.map_err(|error| client::said(&error.to_string()))
    }

    /// Where to connect; the address holds a ticket and is in no log.
    async fn open(&self) -> Result<Url, Ended> {
        let called = call(
            &self.client,
            &self.api,
            &self.token,
            "apps.connections.open",
            &json!({}),
        )
        .await;
        match called {
            Called::Ok(answer) => answer
                .get("url")
                .and_then(Value::as_str)
                .and_then(|url| Url::parse(url).ok())
                .filter(|url| self.may_open(url))
                .ok_or_else(|| Ended::Lost("Slack named no address to connect to".to_owned())),
            Called::Not(_, Posted::Revoked { why } | Posted::Refused { why }) => Err(Ended::Revoked(why)),
            Called::Not(_, Posted::Later { why, after }) => Err(Ended::Later(why, after)),
            Called::Not(_, other) => Err(Ended::Lost(other.why().to_owned())),
        }
    }

    /// Without TLS only where the API itself is without.
    fn may_open(&self, url: &Url) -> bool {
        match url.scheme() {
            "wss" => true,
            "ws" => self.api.starts_with("http://"),
            _ => false,
        }
    }

    async fn connect(&self, url: &Url) -> Result<Socket, String> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        let tls = Connector::Rustls(Arc::clone(&self.tls));
        let connected =
            tokio_tungstenite::connect_async_tls_with_config(url.as_str(), Some(config), false, Some(tls))
                .await;
        // The error of a handshake may repeat the address.
        connected.map(|(socket, _)| socket).map_err(|error| match error {
            tokio_tungstenite::tungstenite::Error::Http(response) => {
                format!("HTTP {}", response.status().as_u16())
            }
            tokio_tungstenite::tungstenite::Error::Io(error) => error.kind().to_string(),
            _ => "no WebSocket".to_owned(),
        })
    }
}
