//! Pages of lists, as Kubernetes has them: so many objects a page, and a token that leads to the next. Every page is of the
//! moment of the first one, for as long as the store knows what has changed since. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::status::Status;

/// The longest token, bytes: as long as the longest name needs.
const LONGEST: usize = 1024;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The revision that the list is of; 0 for as it is now.
    pub(crate) rv: u64,
    /// The last name of the page before.
    pub(crate) after: String,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let refused = || Status::bad_request("continue key is not valid: use one that the server gave");
        if text.len() > LONGEST {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        serde_json::from_slice(&bytes).map_err(|_| refused())
    }

    pub(crate) fn token(&self) -> String {
        let text = serde_json::json!({"rv": self.rv, "after": self.after});
        URL_SAFE_NO_PAD.encode(text.to_string())
    }
}

/// Some of the objects of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// The revision that it is of.
    pub(crate) revision: u64,
    pub(crate) items: Vec<T>,
    next: Option<String>,
    /// How many come after them, where that is known without looking at them.
    remaining: Option<usize>,
}

impl<T> Page<T> {
    /// The first of these, as many as are wanted. They are in the order of their names, and behind the page before.
    pub(crate) fn first(
        revision: u64,
        mut items: Vec<T>,
        limit: Option<usize>,
        all_are_selected: bool,
        name: impl Fn(&T) -> &str,
    ) -> Self {
        let more = limit.map_or(0, |limit| items.len().saturating_sub(limit));
        items.truncate(items.len().saturating_sub(more));
        let next = items.last().filter(|_| more > 0).map(|last| {
            let after = name(last).to_owned();
            Place { rv: revision, after }.token()
        });
        Self {
            revision,
            items,
            next,
            remaining: (more > 0 && all_are_selected).then_some(more),
        }
    }

    /// What leads to the next page, where there is one.
    pub(crate) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The metadata of the list.
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), self.revision.to_string().into());
        if let Some(next) = &self.next {
            metadata.insert("continue".to_owned(), next.as_str().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        metadata.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_where_it_was_made_and_nonsense_leads_nowhere() {
        let place = Place {
            rv: 7,
            after: "web".to_owned(),
        };
        assert_eq!(Place::parse(&place.token()).unwrap(), place);
        for bad in ["x", "e30", &"A".repeat(2000), "eyJydiI6MSwiYWZ0ZXIiOjF9"] {
            assert_eq!(Place::parse(bad).unwrap_err().reason, "BadRequest", "{bad}");
        }
    }

    #[test]
    fn the_last_page_leads_to_no_other() {
        let page = |limit| Page::first(3, vec!["a", "b", "c"], limit, true, |name| name);
        for whole in [None, Some(3), Some(4)] {
            assert_eq!(
                page(whole).metadata(),
                serde_json::json!({"resourceVersion": "3"})
            );
        }
        let one = page(Some(1));
        assert_eq!((one.items.as_slice(), one.remaining), (&["a"][..], Some(2)));
        assert!(one.metadata()["continue"].is_string());
    }
}
