//! Where each node of a document stands: a tree beside the value, so that no path is ever spelt out. Pure.

use std::collections::BTreeMap;

use crate::position::Position;

/// Where a node stands, and what is below it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Of an entry of a mapping: its key.
    pub(super) position: Position,
    /// Of an entry of a mapping: its value.
    pub(super) value: Position,
    pub(super) below: Below,
}

/// What is below a node.
#[derive(Debug, Clone)]
pub(super) enum Below {
    Nothing,
    Items(Vec<Place>),
    Fields(BTreeMap<String, Place>),
}

impl Place {
    /// Where the field of this path stands; where it is missing, its nearest parent.
    pub(super) fn find(&self, path: &str) -> Position {
        self.follow(path).0.position
    }

    /// Where the value of this field stands, if it is there.
    pub(super) fn value(&self, path: &str) -> Option<Position> {
        let (place, rest) = self.follow(path);
        rest.is_empty().then_some(place.value)
    }

    fn follow<'a>(&'a self, path: &'a str) -> (&'a Self, &'a str) {
        let (mut place, mut rest) = (self, path);
        while let Some((inner, after)) = place.step(rest) {
            (place, rest) = (inner, after);
        }
        (place, rest)
    }

    /// One step down a path, and what is left of the path. Keys hold dots and brackets, too: the longest that is there counts.
    fn step<'a>(&'a self, path: &'a str) -> Option<(&'a Self, &'a str)> {
        match &self.below {
            Below::Nothing => None,
            _ if path.is_empty() => None,
            Below::Items(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, rest.strip_prefix('.').unwrap_or(rest)))
            }
            Below::Fields(fields) => {
                let most = (0..=super::MAX_KEY_BYTES.min(path.len()))
                    .rev()
                    .find(|at| path.is_char_boundary(*at))
                    .unwrap_or(0);
                let head = path.get(..most).unwrap_or_default();
                let whole = (most == path.len()).then_some(most);
                let cuts = head.rmatch_indices(['.', '[']).map(|(at, _)| at);
                // A key of the greatest length ends where the path is cut.
                let edge = (most < path.len()
                    && path.get(most..).is_some_and(|rest| rest.starts_with(['.', '['])))
                .then_some(most);
                whole.into_iter().chain(edge).chain(cuts).find_map(|cut| {
                    let (key, rest) = (path.get(..cut)?, path.get(cut..)?);
                    Some((fields.get(key)?, rest.strip_prefix('.').unwrap_or(rest)))
                })
            }
        }
    }
}
