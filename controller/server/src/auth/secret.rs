//! Fresh secrets and how they are compared: 256 bits from the system's generator, kept as SHA-256. A hash without salt
//! or rounds is enough for what cannot be guessed.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What is kept of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether both are the same, in constant time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        bool::from(self.0.ct_eq(&other.0))
    }

    pub(crate) fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(index * 2..index * 2 + 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// A new secret.
pub(crate) fn fresh() -> SecretString {
    SecretString::from(hex(&rand::random::<[u8; 32]>()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_digest_reads_back_and_nonsense_does_not() {
        let digest = Digest::of("secret");
        assert!(Digest::from_hex(&digest.to_hex()).unwrap().is(&digest));
        assert!(Digest::from_hex("ab").is_none());
        assert!(Digest::from_hex(&"+1".repeat(32)).is_none_or(|odd| !odd.is(&digest)));
        assert_ne!(fresh().expose_secret(), fresh().expose_secret());
    }
}
