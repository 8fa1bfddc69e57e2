//! Names of resources for ids that senders choose. Pure.

use sha2::{Digest as _, Sha256};

/// The longest name, in characters: well below what a file may be called.
const LONGEST: usize = 100;

/// The name of the Incident with this id: the id itself where that is a name, else what is left of it and a hash.
pub fn resource_name(id: &str) -> String {
    let slug = slug(id);
    if slug == id && slug.len() <= LONGEST {
        slug
    } else {
        hashed(id)
    }
}

/// A name that no other id has.
pub fn hashed(id: &str) -> String {
    let hash: String = Sha256::digest(id.as_bytes())
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let slug = slug(id);
    let room = LONGEST - hash.len() - 1;
    let short = slug.get(..room).unwrap_or(&slug).trim_end_matches('-');
    let short = if short.is_empty() { "incident" } else { short };
    format!("{short}-{hash}")
}

/// The name of an Incident that the controller opens by itself: the same for the same id.
pub fn own_incident(prefix: &str, id: &str) -> String {
    format!("{prefix}-{}", hashed(id).rsplit('-').next().unwrap_or_default())
}

/// Lower-case letters, digits and single dashes. Dots go, too: a name ending in `.status` would be another's file.
fn slug(id: &str) -> String {
    let mut slug = String::new();
    for c in id.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if c == '-' || !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::ResourceName;
    use proptest::prelude::*;

    #[test]
    fn an_id_that_is_a_name_is_kept_and_others_get_a_hash() {
        assert_eq!(resource_name("inc-1"), "inc-1");
        assert_eq!(
            resource_name("550e8400-e29b-41d4-a716-446655440000"),
            "550e8400-e29b-41d4-a716-446655440000"
        );
        assert_eq!(resource_name("a--b"), "a--b");
        for (id, start) in [
            ("INC-1", "inc-1-"),
            ("a b/c", "a-b-c-"),
            ("x.status", "x-status-"),
            ("…", "incident-"),
        ] {
            let name = resource_name(id);
            assert!(
                name.starts_with(start) && name.len() == start.len() + 10,
                "{id}: {name}"
            );
        }
        assert_ne!(resource_name("INC-1"), resource_name("Inc-1"));
    }

    proptest! {
        #[test]
        fn every_id_has_a_valid_name(id in "\\PC{1,300}") {
            let name = resource_name(&id);
            prop_assert!(name.parse::<ResourceName>().is_ok(), "{}", name);
            prop_assert!(name.len() <= LONGEST);
            prop_assert!(hashed(&id).parse::<ResourceName>().is_ok());
        }
    }
}
