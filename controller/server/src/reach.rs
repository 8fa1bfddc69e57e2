//! What is offered on which of the controller's own addresses. On those that the configuration names, those of the
//! network on which workloads are, there is the entrance for alerts and a sign of life, and nothing else: what runs there
//! is not trusted with a login page. The same is all there is on a connection of the reserve. Pure but for the middleware.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::refusal::refusal;
use crate::serve::Pass;
use crate::state::ServerState;
use crate::status::Status;

/// The address of ours that a request was sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local(pub(crate) SocketAddr);

/// Answers 404 to what is not offered at the address that was asked.
pub(crate) async fn check(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let local = request.extensions().get::<Local>();
    let narrow =
        local.is_some_and(|Local(local)| state.config.alerts_only.contains(&local.ip().to_canonical()));
    if narrow && !is_offered(path) {
        return refusal(path, Status::alerts_only());
    }
    let pass = request.extensions().get::<Pass>();
    if pass == Some(&Pass::Reserve) && !is_reserved(path) {
        return refusal(
            path,
            Status::too_many("the server has too many connections, or too many of yours: close some"),
        );
    }
    next.run(request).await
}

/// What there is a reserve for, however many hold connections.
fn is_reserved(path: &str) -> bool {
    is_offered(path) || matches!(path, "/livez" | "/readyz")
}

fn is_offered(path: &str) -> bool {
    matches!(path, "/webhook" | "/healthz") || path.starts_with("/webhook/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Server, config};
    use axum::body::Body;

    async fn get(server: &Server, method: &str, path: &str, local: [u8; 4]) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer admin-token")
            .body(Body::from(r#"{"incident_id": "i1", "alert_type": "oom"}"#))
            .unwrap();
        request.extensions_mut().insert(Local((local, 8001).into()));
        Answer::of(server.send(request).await).await
    }

    #[tokio::test]
    async fn where_workloads_are_there_is_nothing_but_the_webhook_and_a_sign_of_life() {
        let server = Server::with(crate::ServerConfig {
            alerts_only: vec![[172, 18, 0, 3].into()],
            ..config()
        })
        .await;
        for path in [
            "/incidents",
            "/auth/session",
            "/auth/once",
            "/ws",
            "/docs",
            "/readyz",
            "/metrics",
            "/webhookx",
        ] {
            let narrow = get(&server, "GET", path, [172, 18, 0, 3]).await;
            assert_eq!(narrow.code, 404, "{path}");
            assert!(
                narrow.text.contains("only /webhook and /healthz"),
                "{}",
                narrow.text
            );
        }
        assert_eq!(
            get(&server, "POST", "/auth/login", [172, 18, 0, 3]).await.code,
            404
        );
        assert_eq!(get(&server, "GET", "/healthz", [172, 18, 0, 3]).await.code, 200);
        assert_eq!(get(&server, "POST", "/webhook", [172, 18, 0, 3]).await.code, 200);
        assert_eq!(get(&server, "GET", "/incidents", [172, 19, 0, 3]).await.code, 200);
    }
}
