//! Where requests carry their secrets: headers, cookies, WebSocket sub-protocols. Pure.

use axum::http::header::{AUTHORIZATION, COOKIE, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::CSRF_HEADER;
use super::secret::Digest;

/// Prefix of the WebSocket sub-protocol that carries a token: browsers can send no header of their own.
pub(crate) const BEARER_PROTOCOL: &str = "aegis.bearer.";
/// The cookie of a browser session.
const COOKIE_NAME: &str = "aegis_session";
/// Most cookies of that name that are read: another program on this host can set some, too.
const COOKIES: usize = 4;

/// The token of a request: bearer, password (or user name, without a password) of Basic, or WebSocket sub-protocol.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
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
        .filter(|(name, _)| *name == COOKIE_NAME)
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

/// Whether the browser speaks TLS, as far as a proxy before this server says.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let forwarded = headers.get("x-forwarded-proto");
    forwarded.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Whether the page knows its session's token, as only a page of this origin can.
pub(super) fn has_csrf(headers: &HeaderMap, expected: &SecretString) -> bool {
    let presented = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    presented.is_some_and(|presented| Digest::of(presented).is(&Digest::of(expected.expose_secret())))
}
