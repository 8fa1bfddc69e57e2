//! Finalizers of an object's metadata: whether one is there, and the list with or without it. Pure; writing the list
//! is the store's.

use aegis_api::meta::ObjectMeta;

/// Whether `name` holds the object.
pub fn has(meta: &ObjectMeta, name: &str) -> bool {
    list(meta).iter().any(|held| held == name)
}

/// The object's finalizers with `name`, or `None` where it is there already and nothing needs writing.
pub fn with(meta: &ObjectMeta, name: &str) -> Option<Vec<String>> {
    if has(meta, name) {
        return None;
    }
    let mut names = list(meta).to_vec();
    names.push(name.to_owned());
    Some(names)
}

/// The object's finalizers without `name`, or `None` where it is not there and nothing needs writing.
pub fn without(meta: &ObjectMeta, name: &str) -> Option<Vec<String>> {
    has(meta, name).then(|| list(meta).iter().filter(|held| *held != name).cloned().collect())
}

fn list(meta: &ObjectMeta) -> &[String] {
    meta.finalizers.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(names: &[&str]) -> ObjectMeta {
        let finalizers = names.iter().map(|name| (*name).to_owned()).collect();
        ObjectMeta {
            finalizers: Some(finalizers),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn adding_keeps_the_others_and_their_order() {
        assert_eq!(with(&meta(&["b", "a"]), "c").unwrap(), ["b", "a", "c"]);
        assert_eq!(with(&ObjectMeta::default(), "c").unwrap(), ["c"]);
    }

    #[test]
    fn what_is_already_so_needs_no_write() {
        assert_eq!(with(&meta(&["a"]), "a"), None);
        assert_eq!(without(&meta(&["a"]), "b"), None);
        assert_eq!(without(&ObjectMeta::default(), "b"), None);
    }

    #[test]
    fn removing_takes_out_every_copy_of_one_and_nothing_else() {
        assert_eq!(without(&meta(&["a", "b", "a"]), "a").unwrap(), ["b"]);
    }
}
