//! Whether a request is Slack's: `X-Slack-Signature`, version 0. Pure.
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// How old a request may be, and how far a clock may be off, seconds.
const WINDOW: i64 = 300;

/// Why a request is not believed. It is not said to the sender which of these it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forged {
    /// A header is missing or no number.
    #[error("it is not signed")]
    Unsigned,
    /// It may be a replay.
    #[error("it is older than five minutes, or from the future")]
    Stale,
    /// Another secret, or another body.
    #[error("its signature is not that of the signing secret over this body")]
    Wrong,
}

/// Checks the signature over the raw body, in constant time. `now` is in seconds since 1970.
pub(crate) fn verify(
    secret: &SecretString,
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: i64,
) -> Result<(), Forged> {
    let (timestamp, signature) = timestamp.zip(signature).ok_or(Forged::Unsigned)?;
    // As it was signed: any other spelling of the number has another signature.
    let sent: i64 = timestamp.parse().map_err(|_| Forged::Unsigned)?;
    if now.abs_diff(sent) > WINDOW.unsigned_abs() {
        return Err(Forged::Stale);
    }
    let sent = signature
        .strip_prefix("v0=")
        .and_then(bytes)
        .ok_or(Forged::Wrong)?;
    let mac = mac(secret, timestamp, body).ok_or(Forged::Wrong)?;
    mac.verify_slice(&sent).map_err(|_| Forged::Wrong)
}

fn mac(secret: &SecretString, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    Some(mac)
}

/// The bytes of 64 hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    Some(
        digits?
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte: u8, digit| (byte << 4) | digit))
            .collect(),
    )
}

/// The signature that Slack would send.
#[cfg(test)]
pub(crate) fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let mac = mac(
        &SecretString::from(secret.to_owned()),
        &timestamp.to_string(),
        body,
    )
    .unwrap();
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("v0={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const AT: i64 = 1_531_420_618;

    fn check(at: Option<&str>, signature: Option<&str>, body: &[u8], now: i64) -> Result<(), Forged> {
        verify(&SecretString::from(SECRET), at, signature, body, now)
    }

    #[test]
    fn slack_s_own_example_is_believed_within_five_minutes() {
        let at = AT.to_string();
        for off in [-300, 0, 300] {
            assert_eq!(check(Some(&at), Some(SIGNATURE), BODY, AT + off), Ok(()));
        }
        for off in [-301, 301, i64::MAX - AT] {
            assert_eq!(
                check(Some(&at), Some(SIGNATURE), BODY, AT + off),
                Err(Forged::Stale)
            );
        }
    }

    #[test]
    fn a_changed_byte_another_secret_and_no_signature_are_forged() {
        let at = AT.to_string();
        let mut body = BODY.to_vec();
        body[3] ^= 1;
        assert_eq!(check(Some(&at), Some(SIGNATURE), &body, AT), Err(Forged::Wrong));
        // A timestamp that reads as the same number was not signed.
        for spelled in [format!("+{AT}"), format!("0{AT}")] {
            assert_eq!(
                check(Some(&spelled), Some(SIGNATURE), BODY, AT),
                Err(Forged::Wrong)
            );
        }
        for wrong in [
            "",
            "v0=",
            "v1=00",
            "v0=zz",
            &SIGNATURE[..66],
            &format!("{SIGNATURE}0"),
            "v0=é",
        ] {
            assert_eq!(
                check(Some(&at), Some(wrong), BODY, AT),
                Err(Forged::Wrong),
                "{wrong}"
            );
        }
        let long = "v0=".to_owned() + &"é".repeat(32);
        assert_eq!(check(Some(&at), Some(&long), BODY, AT), Err(Forged::Wrong));
        let other = sign("another", AT, BODY);
        assert_eq!(check(Some(&at), Some(&other), BODY, AT), Err(Forged::Wrong));
        for (at, signature) in [
            (None, Some(SIGNATURE)),
            (Some("x"), Some(SIGNATURE)),
            (Some("1"), None),
        ] {
            assert_eq!(check(at, signature, BODY, AT), Err(Forged::Unsigned));
        }
    }
}
