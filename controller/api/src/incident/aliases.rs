//! Ids by which an incident is found beside its own: of alerts that joined it and are no longer listed. Of each only a hash
//! is kept, so that a storm of ids costs little. Pure.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of each.
const WIDTH: usize = 16;
/// Most that are kept; the oldest are forgotten.
const MOST: usize = 256;
/// Longest text of all.
pub(super) const LONGEST: usize = WIDTH * MOST;

/// Hashes of ids, one after the other, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Aliases(String);

impl Aliases {
    /// The hash of an id: the first half of its SHA-256's first half, in hexadecimal.
    pub fn hash(id: &str) -> String {
        let digest = Sha256::digest(id.as_bytes());
        let bytes = digest.iter().take(WIDTH / 2);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this id is one of them.
    pub fn has(&self, id: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let hash = Self::hash(id);
        self.hashes().any(|known| known == hash)
    }

    /// All of them, the oldest first.
    pub fn hashes(&self) -> impl Iterator<Item = &str> {
        let parts = self.0.as_bytes().chunks_exact(WIDTH);
        parts.filter_map(|part| std::str::from_utf8(part).ok())
    }

    /// Keeps one more id.
    pub(super) fn add(&mut self, id: &str) {
        self.add_hash(&Self::hash(id));
    }

    /// Keeps those of others as well.
    pub fn add_all(&mut self, others: &Self) {
        others.hashes().for_each(|hash| self.add_hash(hash));
    }

    /// Forgets an id that is listed again.
    pub(super) fn forget(&mut self, id: &str) {
        if self.has(id) {
            let hash = Self::hash(id);
            self.0 = self.hashes().filter(|known| *known != hash).collect();
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add_hash(&mut self, hash: &str) {
        if self.hashes().any(|known| known == hash) {
            return;
        }
        self.0.push_str(hash);
        let excess = self.hashes().count().saturating_sub(MOST);
        if excess > 0 {
            self.0 = self.hashes().skip(excess).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_aliases_are_bounded_and_the_newest_are_kept() {
        let mut aliases = Aliases::default();
        for n in 0..2 * MOST {
            aliases.add(&n.to_string());
            aliases.add(&n.to_string());
        }
        assert_eq!((aliases.hashes().count(), aliases.0.len()), (MOST, LONGEST));
        assert!(aliases.has(&MOST.to_string()) && !aliases.has(&(MOST - 1).to_string()));
        aliases.forget(&MOST.to_string());
        assert!(!aliases.has(&MOST.to_string()) && aliases.has(&(MOST + 1).to_string()));
        let mut both = Aliases::default();
        both.add("a");
        both.add_all(&aliases);
        assert_eq!(both.hashes().count(), MOST);
        both.add_all(&aliases);
        assert!(both.has("a"), "what is known already pushes nothing out");
    }

    #[test]
    fn what_a_person_wrote_there_is_read_as_far_as_it_can_be() {
        let odd = Aliases(format!("ä{}é", "x".repeat(40)));
        assert!(!odd.has("ä") && odd.hashes().count() <= 3);
    }
}
