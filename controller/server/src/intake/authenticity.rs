//! Whether a request proves that it is from the sender it claims: by a secret in a header, or a signature over the raw body
//! within a window of time. Everything that is secret is compared in constant time. Pure.

use aegis_api::Time;
use aegis_api::alert_source::{Authenticity, Hmac as Signed, Signature};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Why a request is not believed. None of it helps who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unproved {
    /// The header that carries the proof is missing, or is none.
    Missing,
    /// The secret or the signature is another.
    Wrong,
    /// It was sent too long ago, or is from the future.
    Stale,
}

impl Unproved {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "the proof of its sender is missing",
            Self::Wrong => "the proof of its sender is wrong",
            Self::Stale => "it was sent outside the replay window",
        }
    }
}

/// The parts of a request that prove something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) headers: &'a HeaderMap,
    /// As it came over the wire.
    pub(super) body: &'a [u8],
    /// What PagerDuty's senders show instead of a header.
    pub(super) routing_key: Option<&'a str>,
}

/// Checks a request against what its source demands. `secret`: the one that the source names.
pub(super) fn check(
    demanded: &Authenticity,
    secret: &SecretString,
    claim: Claim<'_>,
    now: Time,
) -> Result<(), Unproved> {
    // An empty file is no secret: it would let in everybody.
    if secret.expose_secret().is_empty() {
        return Err(Unproved::Wrong);
    }
    if let Some(hmac) = &demanded.hmac {
        return signed(hmac, secret, claim, now);
    }
    let shown = claim
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, value) = shown
        .and_then(|text| text.trim().split_once(' '))
        .unwrap_or_default();
    if let Some(basic) = &demanded.basic {
        let given = Some(value.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let given = given
            .and_then(|value| STANDARD.decode(value).ok())
            .ok_or(Unproved::Missing)?;
        let expected = format!("{}:{}", basic.username, secret.expose_secret());
        return same(&given, expected.as_bytes());
    }
    let given = Some(value.trim()).filter(|value| scheme.eq_ignore_ascii_case("bearer") && !value.is_empty());
    let given = given.or(claim.routing_key).ok_or(Unproved::Missing)?;
    same(given.as_bytes(), secret.expose_secret().as_bytes())
}

/// Compares digests, so that not even lengths show.
fn same(given: &[u8], expected: &[u8]) -> Result<(), Unproved> {
    let equal = Sha256::digest(given).ct_eq(&Sha256::digest(expected));
    if bool::from(equal) {
        Ok(())
    } else {
        Err(Unproved::Wrong)
    }
}

fn signed(demanded: &Signed, secret: &SecretString, claim: Claim<'_>, now: Time) -> Result<(), Unproved> {
    let header = |name: &str| {
        let value = claim.headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let (usual, prefix, time) = match demanded.style {
        Signature::GitHub => ("x-hub-signature-256", "sha256=", None),
        Signature::Slack => ("x-slack-signature", "v0=", Some("x-slack-request-timestamp")),
        Signature::Grafana => (
            "x-grafana-alerting-signature",
            "",
            demanded.timestamp_header.as_deref(),
        ),
    };
    let signature = header(demanded.header.as_deref().unwrap_or(usual)).ok_or(Unproved::Missing)?;
    let signature = signature.strip_prefix(prefix).ok_or(Unproved::Missing)?;
    let signature = hex(signature).ok_or(Unproved::Missing)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_err(|_| Unproved::Wrong)?;
    let mut sent = None;
    if let Some(name) = time {
        let text = header(name).ok_or(Unproved::Missing)?;
        sent = Some(text.parse::<i64>().map_err(|_| Unproved::Missing)?);
        if demanded.style == Signature::Slack {
            mac.update(b"v0:");
        }
        mac.update(text.as_bytes());
        mac.update(b":");
    }
    mac.update(claim.body);
    mac.verify_slice(&signature).map_err(|_| Unproved::Wrong)?;
    // Only what is signed is believed, the time among it.
    let window = i64::try_from(demanded.replay_window.std().as_secs()).unwrap_or(i64::MAX);
    let is_fresh = |sent: i64| sent.abs_diff(now.unix_seconds()) <= window.unsigned_abs();
    if sent.is_none_or(is_fresh) {
        Ok(())
    } else {
        Err(Unproved::Stale)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            // A sign is no digit.
            text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    fn demanded(value: Value) -> Authenticity {
        serde_json::from_value(value).unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        pairs.collect()
    }

    fn check_at(
        demanded: &Authenticity,
        secret: &str,
        pairs: &[(&str, &str)],
        body: &[u8],
        now: &str,
    ) -> Result<(), Unproved> {
        let headers = headers(pairs);
        let claim = Claim {
            headers: &headers,
            body,
            routing_key: None,
        };
        check(demanded, &secret.to_owned().into(), claim, now.parse().unwrap())
    }

    const NOW: &str = "2026-11-29T10:00:00Z";

    #[test]
    fn the_examples_of_githubs_and_slacks_documentation_are_believed() {
        // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        let github = demanded(json!({"hmac": {"style": "GitHub", "secret": {"file": "x"}}}));
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = "It's a Secret to Everybody";
        let sent = [("X-Hub-Signature-256", signature)];
        assert_eq!(check_at(&github, secret, &sent, b"Hello, World!", NOW), Ok(()));
        assert_eq!(
            check_at(&github, secret, &sent, b"Hello, World?", NOW),
            Err(Unproved::Wrong)
        );
        assert_eq!(
            check_at(&github, secret, &[], b"Hello, World!", NOW),
            Err(Unproved::Missing)
        );
        // https://api.slack.com/authentication/verifying-requests-from-slack
        let slack = demanded(json!({"hmac": {"style": "Slack", "secret": {"file": "x"}}}));
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let sent = [
            ("X-Slack-Request-Timestamp", "1531420618"),
            (
                "X-Slack-Signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
        ];
        let secret = "8f742231b10e8888abcd99yyyzzz85a5";
        for (now, expected) in [
            ("2018-07-12T18:36:58Z", Ok(())),
            ("2018-07-12T18:41:58Z", Ok(())),
            ("2018-07-12T18:41:59Z", Err(Unproved::Stale)),
            ("2018-07-12T18:31:57Z", Err(Unproved::Stale)),
        ] {
            assert_eq!(check_at(&slack, secret, &sent, body, now), expected, "{now}");
        }
        let moved = [("X-Slack-Request-Timestamp", "1531420619"), sent[1]];
        assert_eq!(
            check_at(&slack, secret, &moved, body, "2018-07-12T18:36:58Z"),
            Err(Unproved::Wrong)
        );
    }

    #[test]
    fn grafanas_signature_covers_the_body_and_the_time_where_it_sends_one() {
        let sign = |parts: &[&[u8]]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize()
                .into_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let plain = demanded(json!({"hmac": {"style": "Grafana", "secret": {"file": "x"}}}));
        let signature = sign(&[b"body"]);
        assert_eq!(
            check_at(
                &plain,
                "key",
                &[("X-Grafana-Alerting-Signature", &signature)],
                b"body",
                NOW
            ),
            Ok(())
        );
        let timed = demanded(
            json!({"hmac": {"style": "Grafana", "secret": {"file": "x"}, "timestampHeader": "X-Time",
            "header": "X-Sig", "replayWindow": "1m"}}),
        );
        let at = NOW.parse::<Time>().unwrap().unix_seconds().to_string();
        let signature = sign(&[at.as_bytes(), b":", b"body"]);
        let sent = [("X-Sig", signature.as_str()), ("X-Time", at.as_str())];
        assert_eq!(check_at(&timed, "key", &sent, b"body", NOW), Ok(()));
        assert_eq!(
            check_at(&timed, "key", &sent, b"body", "2026-11-29T10:01:01Z"),
            Err(Unproved::Stale)
        );
        assert_eq!(
            check_at(&timed, "key", &sent[..1], b"body", NOW),
            Err(Unproved::Missing)
        );
        let short = [("X-Sig", "ab"), ("X-Time", at.as_str())];
        assert_eq!(
            check_at(&timed, "key", &short, b"body", NOW),
            Err(Unproved::Missing)
        );
    }

    #[test]
    fn bearer_and_basic_are_believed_by_their_secret_alone() {
        let bearer = demanded(json!({"bearer": {"file": "x"}}));
        for (value, expected) in [
            ("Bearer s3cret", Ok(())),
            ("bearer  s3cret ", Ok(())),
            ("Bearer s3cre", Err(Unproved::Wrong)),
            ("Bearer ", Err(Unproved::Missing)),
            ("Basic s3cret", Err(Unproved::Missing)),
        ] {
            assert_eq!(
                check_at(&bearer, "s3cret", &[("Authorization", value)], b"", NOW),
                expected,
                "{value}"
            );
        }
        assert_eq!(
            check_at(&bearer, "", &[("Authorization", "Bearer x")], b"", NOW),
            Err(Unproved::Wrong)
        );
        let basic = demanded(json!({"basic": {"username": "zabbix", "password": {"file": "x"}}}));
        for (pair, expected) in [
            ("zabbix:pw", Ok(())),
            ("zabbix:p", Err(Unproved::Wrong)),
            ("other:pw", Err(Unproved::Wrong)),
        ] {
            let value = format!("Basic {}", STANDARD.encode(pair));
            assert_eq!(
                check_at(&basic, "pw", &[("Authorization", &value)], b"", NOW),
                expected,
                "{pair}"
            );
        }
        let none = HeaderMap::new();
        let claim = Claim {
            headers: &none,
            body: b"",
            routing_key: Some("s3cret"),
        };
        assert_eq!(
            check(&bearer, &"s3cret".to_owned().into(), claim, NOW.parse().unwrap()),
            Ok(())
        );
    }
}
