//! Marks between which foreign text stands. Owns how a mark is chosen: from a hash over all the text it is to hold, so
//! that no text can hold its own mark, and the same case has the same one. Pure.

use sha2::{Digest, Sha256};

/// A mark that occurs in none of `texts`.
pub(super) fn mark<'a>(texts: &(impl Iterator<Item = &'a str> + Clone)) -> String {
    for salt in 0_u8..=255 {
        let mut hasher = Sha256::new();
        hasher.update([salt]);
        for text in texts.clone() {
            hasher.update(text);
            hasher.update([0]);
        }
        let mark: String = hex(&hasher.finalize()).chars().take(16).collect();
        if !texts.clone().any(|text| text.contains(&mark)) {
            return mark;
        }
    }
    // One text would have to hold 256 hashes of itself.
    String::from("none")
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
