//! Retrieval judged by people: what was seen, a question that should find it, and one of another trouble that should not.
//! Owns how the pairs are read and counted; shared by the tests and the bench.
#![allow(unreachable_pub, reason = "a module of two crates")]

/// How many entries a question is given.
const TOP: usize = 2;

/// What was seen, and two questions.
#[derive(Debug)]
pub struct Judged<'t> {
    pub seen: &'t str,
    pub finds: &'t str,
    pub false_friend: &'t str,
}

/// What came of all questions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub entries: usize,
    /// Entries that their question found among the first [`TOP`].
    pub found: usize,
    /// Entries that the question of another trouble found there.
    pub false_friends: usize,
}

impl Outcome {
    pub fn line(self, mode: &str, half: &str) -> String {
        let share = |part: usize| {
            100.0 * f64::from(u32::try_from(part).unwrap_or(0))
                / f64::from(u32::try_from(self.entries).unwrap_or(1))
        };
        format!(
            "{half:>5} {mode:>12} recall@2 {:>3} of {} ({:.0} %), false friends {:>3} of {} ({:.0} %)",
            self.found,
            self.entries,
            share(self.found),
            self.false_friends,
            self.entries,
            share(self.false_friends),
        )
    }
}

/// The lines of a half.
pub fn read(text: &str) -> Vec<Judged<'_>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut columns = line.split('\t');
            Some(Judged {
                seen: columns.next()?,
                finds: columns.next()?,
                false_friend: columns.next()?,
            })
        })
        .collect()
}

/// Asks every question; `find` answers the numbers of the entries that are most similar, best first.
pub fn judge(judged: &[Judged<'_>], mut find: impl FnMut(&str) -> Vec<usize>) -> Outcome {
    let mut outcome = Outcome {
        entries: judged.len(),
        ..Outcome::default()
    };
    for (number, pair) in judged.iter().enumerate() {
        let mut has = |question| find(question).iter().take(TOP).any(|found| *found == number);
        outcome.found += usize::from(has(pair.finds));
        outcome.false_friends += usize::from(has(pair.false_friend));
    }
    outcome
}
