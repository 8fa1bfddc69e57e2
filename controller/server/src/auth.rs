//! Who may do what: bearer tokens, four roles, one middleware. Tokens are kept as SHA-256 and compared in constant
//! time. No I/O.

use std::fmt;
use std::str::FromStr;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::ServerConfig;
use crate::router::refusal;
use crate::state::ServerState;
use crate::status::Status;

mod attributes;
use attributes::Attributes;

/// Prefix of the WebSocket sub-protocol that carries a token: browsers can send no header of their own.
pub(crate) const BEARER_PROTOCOL: &str = "aegis.bearer.";

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Post alerts; nothing else.
    Webhook,
    /// Read everything.
    Viewer,
    /// Read and change everything that changes workloads.
    Operator,
    /// Everything.
    Admin,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Alert,
    Read,
    Write,
}

impl Role {
    /// As it is spelled in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Webhook => "webhook",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    fn may(self, need: Need) -> bool {
        match self {
            Role::Webhook => need == Need::Alert,
            Role::Viewer => need == Need::Read,
            Role::Operator | Role::Admin => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let roles = [Role::Webhook, Role::Viewer, Role::Operator, Role::Admin];
        let role = roles.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("{text:?} is no role: use viewer, operator, admin or webhook"))
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: &'static str,
    pub(crate) role: Role,
}

impl Identity {
    /// Whether this verb of the Kubernetes API is allowed; `path` where it is about none of its resources.
    pub(crate) fn may(self, verb: &str, path: &str) -> bool {
        let need = match verb {
            "get" | "list" | "watch" => Need::Read,
            _ if path == "/webhook" => Need::Alert,
            _ => Need::Write,
        };
        self.role.may(need)
    }
}

/// The tokens that are accepted.
pub(crate) struct Auth {
    credentials: Vec<Credential>,
    anonymous: Option<Role>,
}

struct Credential {
    identity: Identity,
    digest: [u8; 32],
}

impl Auth {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let credential = |user, role, token: &SecretString| Credential {
            identity: Identity { user, role },
            digest: digest(token.expose_secret()),
        };
        let mut credentials = vec![credential("admin", Role::Admin, &config.admin_token)];
        credentials.extend(
            config
                .webhook_token
                .as_ref()
                .map(|token| credential("webhook", Role::Webhook, token)),
        );
        Self {
            credentials,
            anonymous: config.anonymous_role,
        }
    }

    /// Who sent these headers. A token that is wrong is refused also where none is needed.
    fn identify(&self, headers: &HeaderMap) -> Result<Identity, Status> {
        let Some(token) = token(headers) else {
            let anonymous = self.anonymous.map(|role| Identity {
                user: "system:anonymous",
                role,
            });
            return anonymous.ok_or_else(Status::unauthorized);
        };
        let presented = digest(&token);
        let mut found = None;
        // Every credential is compared, whichever matches.
        for credential in &self.credentials {
            if bool::from(credential.digest.ct_eq(&presented)) {
                found = Some(credential.identity);
            }
        }
        found.ok_or_else(Status::unauthorized)
    }
}

/// Lets a request pass if its sender may make it; leaves the [`Identity`] in its extensions.
pub(crate) async fn authorize(
    State(state): State<ServerState>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let identity = match state.auth.identify(request.headers()) {
        Ok(identity) => identity,
        Err(status) => return refusal(&path, status),
    };
    let method = request.method().clone();
    let need = need(&method, &path);
    if !identity.role.may(need) {
        let attributes = Attributes::of(&method, &path, request.uri().query());
        return refusal(&path, attributes.forbidden(identity.user, identity.role));
    }
    request.extensions_mut().insert(identity);
    let response = next.run(request).await;
    if need == Need::Write {
        let code = response.status().as_u16();
        tracing::info!(user = identity.user, role = identity.role.as_str(), %method, path, code, "asked to change");
    }
    response
}

fn need(method: &Method, path: &str) -> Need {
    let review =
        path.starts_with("/apis/authorization.k8s.io/") || path.starts_with("/apis/authentication.k8s.io/");
    match *method {
        Method::GET | Method::HEAD => Need::Read,
        Method::POST if path == "/webhook" => Need::Alert,
        // Asking what one may do changes nothing.
        Method::POST if review => Need::Read,
        _ => Need::Write,
    }
}

/// The token of a request: bearer, password (or user name, without a password) of Basic, or WebSocket sub-protocol.
fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        return Some(value.to_str().ok().and_then(authorization).unwrap_or_default());
    }
    let protocols = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut protocols = protocols.flat_map(|value| value.split(','));
    protocols.find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL).map(str::to_owned))
}

fn authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn auth(anonymous: Option<Role>) -> Auth {
        let mut config = crate::testing::config();
        config.anonymous_role = anonymous;
        Auth::new(&config)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
    }

    fn role(value: &str) -> Option<Role> {
        auth(None)
            .identify(&headers("authorization", value))
            .ok()
            .map(|identity| identity.role)
    }

    #[test]
    fn bearer_and_basic_carry_a_token() {
        assert_eq!(role("Bearer admin-token"), Some(Role::Admin));
        assert_eq!(role("bearer  webhook-token"), Some(Role::Webhook));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(role(&basic("any:admin-token")), Some(Role::Admin));
        assert_eq!(role(&basic("admin-token:")), Some(Role::Admin));
        for wrong in [
            "Bearer nope",
            "Bearer ",
            "Bearer",
            "Digest admin-token",
            "Basic ???",
            &basic("admin-token:x"),
        ] {
            assert_eq!(role(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_browser_sends_its_token_as_a_sub_protocol() {
        let headers = headers("sec-websocket-protocol", "aegis.v1, aegis.bearer.admin-token");
        assert_eq!(auth(None).identify(&headers).unwrap().role, Role::Admin);
    }

    #[test]
    fn a_wrong_token_is_refused_even_where_none_is_needed() {
        let open = auth(Some(Role::Operator));
        assert_eq!(open.identify(&HeaderMap::new()).unwrap().role, Role::Operator);
        assert!(open.identify(&headers("authorization", "Bearer nope")).is_err());
        assert!(auth(None).identify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn roles_allow_what_their_names_say() {
        let may = |role: Role, method: Method, path: &str| role.may(need(&method, path));
        for path in [
            "/incidents",
            "/metrics",
            "/apis/aegisops.io/v1alpha1/workloads",
            "/ws",
        ] {
            assert!(!may(Role::Webhook, Method::GET, path));
            assert!(may(Role::Viewer, Method::GET, path));
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!may(Role::Webhook, method.clone(), "/scale/up"));
            assert!(!may(Role::Viewer, method.clone(), "/scale/up"));
            assert!(may(Role::Operator, method.clone(), "/scale/up"));
            assert!(may(Role::Admin, method, "/scale/up"));
        }
        assert!(may(Role::Webhook, Method::POST, "/webhook"));
        assert!(!may(Role::Viewer, Method::POST, "/webhook"));
        assert!(may(Role::Operator, Method::POST, "/webhook"));
        assert!(may(
            Role::Viewer,
            Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        ));
    }

    #[test]
    fn a_role_reads_back_as_it_is_spelled() {
        for role in [Role::Webhook, Role::Viewer, Role::Operator, Role::Admin] {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("root".parse::<Role>().unwrap_err().contains("viewer"));
    }
}
