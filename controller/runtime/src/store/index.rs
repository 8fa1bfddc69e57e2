//! How the objects of one kind are found without going through all: by the keys of their facets, and those that ended by
//! when. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use aegis_api::{Ended, Facets, Time};

/// Those that ended, oldest first.
pub(crate) type EndedByTime = BTreeMap<(Time, String), Ended>;

#[derive(Debug, Default)]
pub(crate) struct Index {
    names: BTreeMap<String, BTreeSet<String>>,
    ended: EndedByTime,
}

impl Index {
    pub(crate) fn add(&mut self, name: &str, facets: &Facets) {
        for key in &facets.keys {
            self.names.entry(key.clone()).or_default().insert(name.to_owned());
        }
        if let Some(ended) = facets.ended {
            self.ended.insert((ended.at, name.to_owned()), ended);
        }
    }

    /// `facets` are those it was added with.
    pub(crate) fn remove(&mut self, name: &str, facets: &Facets) {
        for key in &facets.keys {
            if let Some(names) = self.names.get_mut(key) {
                names.remove(name);
                if names.is_empty() {
                    self.names.remove(key);
                }
            }
        }
        if let Some(ended) = facets.ended {
            self.ended.remove(&(ended.at, name.to_owned()));
        }
    }

    /// Names under the keys from the one to the other, both included.
    pub(crate) fn names(&self, from: &str, to: &str) -> BTreeSet<&str> {
        if from > to {
            return BTreeSet::new();
        }
        let range = (Bound::Included(from), Bound::Included(to));
        let found = self.names.range::<str, _>(range).flat_map(|(_, names)| names);
        found.map(String::as_str).collect()
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        self.names.get(key).map_or(0, BTreeSet::len)
    }

    pub(crate) fn ended(&self) -> &EndedByTime {
        &self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facets(keys: &[&str]) -> Facets {
        Facets {
            ended: None,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_replaced_or_removed_leaves_nothing_behind() {
        let mut index = Index::default();
        let at = Time(jiff::Timestamp::UNIX_EPOCH);
        let ended = Ended {
            at,
            acted: false,
            needed_until: None,
        };
        let all = Facets {
            ended: Some(ended),
            ..facets(&["open", "workload/web"])
        };
        index.add("a", &all);
        index.add("b", &facets(&["workload/web", "workload/x"]));
        assert_eq!(
            index.names("workload/web", "workload/x"),
            BTreeSet::from(["a", "b"])
        );
        assert_eq!((index.count("open"), index.ended().len()), (1, 1));
        index.remove("a", &all);
        index.remove("b", &facets(&["workload/web", "workload/x"]));
        assert!(index.names.is_empty() && index.ended().is_empty());
        assert!(index.names("b", "a").is_empty());
    }
}
