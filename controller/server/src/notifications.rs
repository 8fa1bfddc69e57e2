//! `/notifications`: where notifications go, what became of the latest, a test message; and `/slack/interactions`, where
//! Slack sends clicks. Decides nothing: whether a request is Slack's is known where the signing secret is.

use std::sync::Arc;

use aegis_api::wire::{NotificationList, NotificationTests};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Deserialize;

use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::request::Asked;
use crate::serve::Peer;
use crate::state::ServerState;
use crate::status::Status;

/// Where Slack sends clicks.
const INTERACTIONS: &str = "/slack/interactions";
/// The largest body that Slack sends, bytes.
const INTERACTION: usize = 256 << 10;

/// A request that may be Slack's, as it came.
#[derive(Debug, Clone)]
pub struct SlackRequest {
    /// `X-Slack-Request-Timestamp`.
    pub timestamp: Option<String>,
    /// `X-Slack-Signature`.
    pub signature: Option<String>,
    /// The raw body.
    pub body: Bytes,
}

/// How it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackAnswer {
    /// It was dealt with.
    Taken,
    /// It is not Slack's.
    Forged,
    /// It is Slack's, and cannot be read.
    Unreadable,
    /// It could not be dealt with in time.
    TryAgain,
}

/// Deals with a click in Slack.
pub type SlackClicks = Arc<dyn Fn(SlackRequest) -> BoxFuture<'static, SlackAnswer> + Send + Sync>;
/// What the notifiers have done.
pub type NotificationLog = Arc<dyn Fn() -> NotificationList + Send + Sync>;
/// Sends a test message to every destination, or to the one of this name; `None` if there is none.
pub type NotificationTester =
    Arc<dyn Fn(Option<String>) -> BoxFuture<'static, Option<NotificationTests>> + Send + Sync>;

/// The notifiers, as the server knows them.
#[derive(Clone)]
pub struct Notifications {
    /// For `GET /notifications`.
    pub log: NotificationLog,
    /// For `POST /notifications/test`.
    pub test: NotificationTester,
    /// For `/slack/interactions`; absent where clicks do not come in over HTTP.
    pub slack: Option<SlackClicks>,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications")
            .field("slack", &self.slack.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for Notifications {
    /// No destination.
    fn default() -> Self {
        Self {
            log: Arc::new(NotificationList::default),
            test: Arc::new(|name: Option<String>| {
                let none = name.is_none().then(NotificationTests::default);
                Box::pin(std::future::ready(none))
            }),
            slack: None,
        }
    }
}

/// Routes that need a role.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/notifications", get(list))
        .route("/notifications/test", post(test))
}

/// Where Slack's signature stands for a role.
pub(crate) fn open_routes() -> Router<ServerState> {
    Router::new().route(INTERACTIONS, post(interaction))
}

async fn list(State(state): State<ServerState>) -> Json<NotificationList> {
    Json((state.notifications.log)())
}

#[derive(Debug, Deserialize)]
struct Wishes {
    #[serde(default)]
    destination: Option<String>,
}

async fn test(
    State(state): State<ServerState>,
    Asked(wishes): Asked<Wishes>,
) -> Result<Json<NotificationTests>, Refusal> {
    let results = (state.notifications.test)(wishes.destination.clone()).await;
    results.map(Json).ok_or_else(|| {
        let configured: Vec<String> = (state.notifications.log)()
            .destinations
            .into_iter()
            .map(|destination| destination.name)
            .collect();
        let message = format!(
            "there is no destination {:?}; configured: {}",
            wishes.destination.unwrap_or_default(),
            if configured.is_empty() {
                "none".to_owned()
            } else {
                configured.join(", ")
            }
        );
        Status::new(StatusCode::NOT_FOUND, "NotFound", message).into()
    })
}

async fn interaction(State(state): State<ServerState>, request: Request) -> Result<StatusCode, Refusal> {
    let Some(clicks) = state.notifications.slack.clone() else {
        return Err(Status::no_route().into());
    };
    let Ok(_place) = state.interactions.try_acquire() else {
        return Err(Status::too_many("too many requests that may be Slack's: try again in a moment").into());
    };
    let headers: HeaderMap = request.headers().clone();
    let peer = request.extensions().get::<Peer>().copied();
    let body = BoundedBody::<INTERACTION>::from_request(request, &()).await?;
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let request = SlackRequest {
        timestamp: header("x-slack-request-timestamp"),
        signature: header("x-slack-signature"),
        body: body.0,
    };
    Ok(match clicks(request).await {
        SlackAnswer::Taken => StatusCode::OK,
        SlackAnswer::Forged => {
            state.auth.forged(&state, peer, &headers, INTERACTIONS).await;
            StatusCode::UNAUTHORIZED
        }
        SlackAnswer::Unreadable => StatusCode::BAD_REQUEST,
        SlackAnswer::TryAgain => StatusCode::SERVICE_UNAVAILABLE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, config};
    use aegis_api::wire::{DestinationView, NotificationTest};
    use axum::body::Body;
    use axum::http::Request;

    fn notifications() -> Notifications {
        Notifications {
            log: Arc::new(|| NotificationList {
                destinations: vec![DestinationView {
                    name: "slack".to_owned(),
                    stopped: None,
                    waiting: 0,
                    sent: 1,
                    failures: 0,
                    dropped: 0,
                    folded: 0,
                }],
                deliveries: Vec::new(),
            }),
            test: Arc::new(|name| {
                let known = name.as_deref().is_none_or(|name| name == "slack");
                let result = NotificationTest {
                    destination: "slack".to_owned(),
                    error: None,
                };
                let results = known.then(|| NotificationTests {
                    results: vec![result],
                });
                Box::pin(std::future::ready(results))
            }),
            slack: Some(Arc::new(|request| {
                let answer = match (request.signature.as_deref(), &request.body[..]) {
                    (Some("good"), b"payload") => SlackAnswer::Taken,
                    (Some("good"), _) => SlackAnswer::Unreadable,
                    _ => SlackAnswer::Forged,
                };
                Box::pin(std::future::ready(answer))
            })),
        }
    }

    async fn click(server: &Server, signature: &str, body: Vec<u8>) -> u16 {
        let request = Request::post("/slack/interactions")
            .header("x-slack-signature", signature)
            .body(Body::from(body))
            .unwrap();
        Answer::of(server.send(request).await).await.code.as_u16()
    }

    #[tokio::test]
    async fn slack_needs_no_token_but_its_signature() {
        let server = Server::notifying(config(), notifications()).await;
        assert_eq!(click(&server, "good", b"payload".to_vec()).await, 200);
        assert_eq!(click(&server, "bad", b"payload".to_vec()).await, 401);
        assert_eq!(click(&server, "good", b"{".to_vec()).await, 400);
        assert_eq!(click(&server, "good", vec![b'x'; INTERACTION + 1]).await, 413);
        let page = server.store.audit().page(None, 100).await.unwrap();
        let forged = page.lines.iter().filter(|line| line.contains("none of Slack's"));
        let forged: Vec<&String> = forged.collect();
        assert_eq!(forged.len(), 1, "{:?}", page.lines);
        assert!(
            forged[0].contains(INTERACTIONS) && forged[0].contains(r#""verb":"refused""#),
            "{forged:?}"
        );
        let without = Server::start().await;
        assert_eq!(click(&without, "good", b"payload".to_vec()).await, 404);
    }

    #[tokio::test]
    async fn a_test_of_a_destination_that_is_none_names_those_that_are() {
        let server = Server::notifying(config(), notifications()).await;
        let list = server.get("/notifications").await.json();
        assert_eq!(list["destinations"][0]["name"], "slack");
        let tested = server.ask("POST", "/notifications/test", None).await;
        assert_eq!(tested.json()["results"][0]["destination"], "slack");
        let unknown = server
            .ask("POST", "/notifications/test?destination=pager", None)
            .await;
        assert_eq!(unknown.code, 404);
        assert!(unknown.text.contains("configured: slack"), "{}", unknown.text);
    }
}
