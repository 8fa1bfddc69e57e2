//! Where requests carry their secrets: headers, cookies, WebSocket sub-protocols. Pure.

use axum::http::header::{AUTHORIZATION, COOKIE, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::CSRF_HEADER;

/// Prefix of the WebSocket sub-protocol that carries a token: browsers can send no header of their own.
pub(crate) const BEARER_PROTOCOL: &str = "aegis.bearer.";
/// Prefix of the one that carries a session's secret.
const SESSION_PROTOCOL: &str = "aegis.session.";
/// The cookie of a browser session.
const COOKIE_NAME: &str = "aegis_session";
/// Most cookies of that name that are read. Another program on this host can set some, too: two for each part of an address,
/// which browsers send before ours.
const COOKIES: usize = 64;
/// How long the cookie is. What is of another length is none of ours.
const LENGTH: usize = 64;

/// The token of a request: bearer, password (or user name, without a password) of Basic, or WebSocket sub-protocol.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        return Some(value.to_str().ok().and_then(authorization).unwrap_or_default());
    }
    protocol(headers, BEARER_PROTOCOL).map(str::to_owned)
}

/// Whether a request shows a token, of whatever worth.
pub(crate) fn shows_token(headers: &HeaderMap) -> bool {
    token(headers).is_some()
}

/// What follows this prefix in an offered sub-protocol.
fn protocol<'a>(headers: &'a HeaderMap, prefix: &str) -> Option<&'a str> {
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols = protocols.filter_map(|value| value.to_str().ok());
    let mut protocols = protocols.flat_map(|value| value.split(','));
    protocols.find_map(|protocol| protocol.trim().strip_prefix(prefix))
}

/// What shows that a page of this origin sends the request, and not another port of the host that was sent the cookie:
/// the session's secret, in a header or, for a WebSocket, as a sub-protocol.
pub(super) fn session_secret(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    header.or_else(|| protocol(headers, SESSION_PROTOCOL))
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

/// The session cookies of a request.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = values
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, value)| *name == COOKIE_NAME && value.len() == LENGTH)
        .map(|(_, value)| value.to_owned())
        .take(COOKIES)
}

/// The cookie that begins a session.
pub(super) fn cookie(secret: &SecretString, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    let secret = secret.expose_secret();
    format!("{COOKIE_NAME}={secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}")
}

/// The cookie that ends one.
pub(super) fn no_cookie(secure: bool) -> String {
    cookie(&SecretString::default(), 0, secure)
}
