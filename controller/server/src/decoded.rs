//! Objects of changes as watchers read them: decoded, and written as each role sees them, once for all watchers of a change
//! instead of once for each. Owns a bounded memory of the latest. No I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aegis_api::conceal::{conceal, may_hold_values};
use aegis_runtime::Stored;
use serde_json::Value;

use crate::sight::Sight;

/// How many are kept, and bytes of their texts: a tree takes some ten times as much.
const MOST: usize = 64;
const BYTES: usize = 512 << 10;

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Decoded {
    object: Arc<Stored>,
    value: OnceLock<Value>,
    /// Without values; `None` where it has none.
    concealed: OnceLock<Option<Concealed>>,
}

#[derive(Debug)]
struct Concealed {
    value: Value,
    text: Box<str>,
}

impl Decoded {
    /// By itself, for who reads it alone.
    pub(crate) fn new(object: Arc<Stored>) -> Self {
        Self {
            object,
            value: OnceLock::new(),
            concealed: OnceLock::new(),
        }
    }

    pub(crate) fn object(&self) -> &Stored {
        &self.object
    }

    /// The whole of it.
    pub(crate) fn value(&self) -> &Value {
        self.value.get_or_init(|| self.object.value())
    }

    /// As it is shown.
    pub(crate) fn shown(&self, sight: Sight) -> &Value {
        match self.concealed(sight) {
            Some(concealed) => &concealed.value,
            None => self.value(),
        }
    }

    /// The same as JSON.
    pub(crate) fn text(&self, sight: Sight) -> &str {
        match self.concealed(sight) {
            Some(concealed) => &concealed.text,
            None => self.object.text(),
        }
    }

    fn concealed(&self, sight: Sight) -> Option<&Concealed> {
        if sight == Sight::Whole || !may_hold_values(self.object.text()) {
            return None;
        }
        let concealed = || match conceal(self.value()) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(value) => Some(Concealed {
                text: value.to_string().into(),
                value,
            }),
        };
        self.concealed.get_or_init(concealed).as_ref()
    }
}

/// The latest, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Arc<Decoded>>>);

impl Recent {
    /// This one, as others may have decoded it.
    pub(crate) fn of(&self, object: &Arc<Stored>) -> Arc<Decoded> {
        // Nothing that runs under this lock can leave it half done, and nothing is decoded under it.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = all.iter().rev();
        if let Some(known) = known.find(|known| Arc::ptr_eq(&known.object, object)) {
            return Arc::clone(known);
        }
        let new = Arc::new(Decoded::new(Arc::clone(object)));
        if object.text().len() > BYTES {
            return new;
        }
        all.push_back(Arc::clone(&new));
        let mut bytes: usize = all.iter().map(|one| one.object.text().len()).sum();
        while all.len() > MOST || bytes > BYTES {
            let Some(oldest) = all.pop_front() else { break };
            bytes = bytes.saturating_sub(oldest.object.text().len());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::{Kind as _, Workload};
    use aegis_runtime::Store;
    use serde_json::json;

    use super::*;

    async fn workload(store: &Store, name: &str, note: &str) -> Arc<Stored> {
        let object = json!({"metadata": {"name": name, "annotations": {"note": note}},
            "spec": {"template": {"image": "web:1", "env": {"TOKEN": "hunter2"}}}});
        store.create(Workload::info(), object, false).await.unwrap();
        let (_, mut all) = store.list_stored(Workload::info());
        all.retain(|object| object.name() == name);
        all.remove(0)
    }

    #[tokio::test]
    async fn a_change_is_decoded_and_written_once_for_all_watchers_of_a_role() {
        let server = crate::testing::Server::start().await;
        let object = workload(&server.store, "web", "").await;
        let recent = Recent::default();
        let (one, other) = (recent.of(&object), recent.of(&object));
        assert!(Arc::ptr_eq(&one, &other));
        assert!(std::ptr::eq(one.value(), other.value()));
        let concealed = one.text(Sight::Concealed);
        assert!(std::ptr::eq(concealed, other.text(Sight::Concealed)));
        assert!(!concealed.contains("hunter2") && one.text(Sight::Whole).contains("hunter2"));
        assert_eq!(one.shown(Sight::Concealed).to_string(), concealed);
    }

    #[tokio::test]
    async fn i12_what_is_kept_decoded_is_bounded_in_number_and_in_bytes() {
        let server = crate::testing::Server::start().await;
        let recent = Recent::default();
        for number in 0..MOST + 10 {
            recent.of(&workload(&server.store, &format!("web-{number}"), "").await);
        }
        let kept = || {
            let all = recent.0.lock().unwrap();
            (
                all.len(),
                all.iter().map(|one| one.object.text().len()).sum::<usize>(),
            )
        };
        assert_eq!(kept().0, MOST);
        for number in 0..4 {
            recent.of(&workload(&server.store, &format!("large-{number}"), &"x".repeat(200_000)).await);
        }
        assert!(kept().1 <= BYTES, "{:?}", kept());
        assert_eq!(kept().0, 2);
    }
}
