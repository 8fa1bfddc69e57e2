//! When files that are gone are a deletion, and when somebody is asked first. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a file must be gone before that is a deletion: a checkout, an editor or a copy puts it back sooner.
pub(crate) const HOLD: Duration = Duration::from_secs(3);
/// Deletions by file within this time count as one act.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// More than this at once are held in any case.
const MANY: usize = 5;
/// So many at once are held if they are a third of what there is.
const SOME: usize = 3;

/// One kind's objects whose files are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Going {
    /// How many go, those included that went a moment ago.
    pub(crate) going: usize,
    /// How many there were.
    pub(crate) of: usize,
}

impl Going {
    /// Whether it is too many to be taken for meant: more than five, or three that are a third, or all of several.
    fn is_mass(self) -> bool {
        let Self { going, of } = self;
        going > MANY || (going >= SOME && going.saturating_mul(3) >= of) || (going >= 2 && going >= of)
    }
}

/// The kinds whose deletions are held. Of those that are few in each kind, all together are judged the same way: an
/// emptied directory is one even if it had one object of each kind.
pub(crate) fn held(kinds: &BTreeMap<&'static str, Going>) -> Vec<&'static str> {
    let (mass, few): (Vec<_>, Vec<_>) = kinds.iter().partition(|(_, going)| going.is_mass());
    let all = few.iter().fold(Going::default(), |all, (_, one)| Going {
        going: all.going + one.going,
        of: all.of + one.of,
    });
    let mut held: Vec<_> = mass.into_iter().map(|(kind, _)| *kind).collect();
    if few.len() > 1 && (all.going > MANY || (all.going >= SOME && all.going >= all.of)) {
        held.extend(few.into_iter().map(|(kind, _)| *kind));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_held_and_a_few_are_not() {
        for (going, of, is_held) in [
            (1, 1, false),
            (1, 300, false),
            (2, 2, true),
            (2, 3, false),
            (3, 9, true),
            (3, 10, false),
            (5, 16, false),
            (5, 15, true),
            (6, 10_000, true),
        ] {
            let kinds = BTreeMap::from([("workloads", Going { going, of })]);
            assert_eq!(!held(&kinds).is_empty(), is_held, "{going} of {of}");
        }
    }

    #[test]
    fn a_directory_that_is_emptied_is_held_though_each_kind_had_one_object() {
        let one = Going { going: 1, of: 1 };
        let kinds =
            |names: &[&'static str]| names.iter().map(|name| (*name, one)).collect::<BTreeMap<_, _>>();
        assert_eq!(held(&kinds(&["a", "b", "c"])), ["a", "b", "c"]);
        assert!(held(&kinds(&["a", "b"])).is_empty());
        // Beside a mass of one kind, a single one of another is still single.
        let mut kinds = kinds(&["b"]);
        kinds.insert("a", Going { going: 9, of: 9 });
        assert_eq!(held(&kinds), ["a"]);
    }

    #[test]
    fn two_of_each_of_several_kinds_are_one_act_too() {
        let two = Going { going: 2, of: 50 };
        assert!(held(&BTreeMap::from([("a", two), ("b", two)])).is_empty());
        assert_eq!(
            held(&BTreeMap::from([("a", two), ("b", two), ("c", two)])).len(),
            3
        );
    }
}
