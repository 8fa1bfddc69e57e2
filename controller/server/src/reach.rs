//! What is offered to whom, by the networks that a connection has to do with. On the addresses that the configuration names,
//! those of the network on which workloads are, and to what comes from that network by another of our addresses, there is
//! the entrance for alerts and a sign of life, and nothing else: what runs there is not trusted with a login page. The same
//! is all there is on a connection of the reserve. Pure but for the middleware.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use crate::refusal::refusal;
use crate::serve::{Pass, Peer};
use crate::state::ServerState;
use crate::status::Status;

/// The address of ours that a request was sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local(pub(crate) SocketAddr);

/// Where workloads are. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AlertsOnly(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    addresses: Vec<IpAddr>,
    networks: Vec<IpNet>,
}

impl AlertsOnly {
    /// `addresses`: ours on the networks of workloads; `networks`: these.
    pub fn new(addresses: Vec<IpAddr>, networks: Vec<IpNet>) -> Self {
        Self(Arc::new(Inner { addresses, networks }))
    }

    /// Whether a connection has to do with them. A machine takes what is meant for any of its addresses on each of its
    /// networks, so which address was asked says little of where a request comes from; its sender's does, since the answer
    /// has to reach it.
    pub(crate) fn holds(&self, peer: Option<IpAddr>, local: Option<IpAddr>) -> bool {
        let local = local.is_some_and(|local| self.0.addresses.contains(&local.to_canonical()));
        local || peer.is_some_and(|peer| self.is_workload(peer))
    }

    /// Whether this is an address of such a network.
    pub(crate) fn is_workload(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.networks.iter().any(|network| network.contains(&peer))
    }
}

/// Answers 404 to what is not offered at the address that was asked.
pub(crate) async fn check(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let local = request.extensions().get().map(|Local(local)| local.ip());
    let peer = request.extensions().get().map(|Peer(peer)| peer.ip());
    if state.config.alerts_only.holds(peer, local) && !is_offered(path) {
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
        from(server, method, path, [172, 18, 0, 9], local).await
    }

    async fn from(server: &Server, method: &str, path: &str, peer: [u8; 4], local: [u8; 4]) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer admin-token")
            .body(Body::from(r#"{"incident_id": "i1", "alert_type": "oom"}"#))
            .unwrap();
        request.extensions_mut().insert(Local((local, 8001).into()));
        request.extensions_mut().insert(Peer((peer, 40_000).into()));
        Answer::of(server.send(request).await).await
    }

    #[tokio::test]
    async fn where_workloads_are_there_is_nothing_but_the_webhook_and_a_sign_of_life() {
        let server = Server::with(crate::ServerConfig {
            alerts_only: AlertsOnly::new(vec![[172, 18, 0, 3].into()], Vec::new()),
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

    #[tokio::test]
    async fn who_comes_from_where_workloads_are_has_no_more_by_another_address_of_ours() {
        let server = Server::with(crate::ServerConfig {
            alerts_only: AlertsOnly::new(
                vec![[172, 18, 0, 3].into()],
                vec!["172.18.0.0/16".parse().unwrap()],
            ),
            ..config()
        })
        .await;
        for (peer, code) in [
            ([172, 18, 7, 7], 404),
            ([172, 19, 0, 2], 200),
            ([127, 0, 0, 1], 200),
        ] {
            for local in [[172, 19, 0, 3], [127, 0, 0, 1]] {
                let answer = from(&server, "GET", "/incidents", peer, local).await;
                assert_eq!(answer.code, code, "{peer:?} at {local:?}: {}", answer.text);
                assert_eq!(from(&server, "GET", "/healthz", peer, local).await.code, 200);
            }
        }
    }
}
