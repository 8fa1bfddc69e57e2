//! What models may cost over all incidents: tokens an hour and a day. Past that the built-in analyst answers. Owns the sums
//! and the small file in which they outlive a restart; its only I/O is that file.
//!
//! Besides, no model is asked again about what one found to be nothing a moment ago.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::{Symptom, SymptomKind, Time};
use serde::{Deserialize, Serialize};

use crate::case::Case;

/// Seconds of one sum: the hour and the day slide by this.
const SPAN: i64 = 300;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// How long no model is asked about what one found to be nothing.
const QUIET: Duration = Duration::from_secs(600);
/// How many such findings are remembered.
const FINDINGS: usize = 256;
/// The largest file that is read: there are 288 sums.
const LONGEST: u64 = 64 << 10;

/// Tokens, of prompts and of answers, over all incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendLimits {
    /// In a sliding hour.
    pub hour: u64,
    /// In a sliding day.
    pub day: u64,
}

impl Default for SpendLimits {
    fn default() -> Self {
        Self {
            hour: 1_000_000,
            day: 5_000_000,
        }
    }
}

/// Why no model is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    #[error("was not asked: {spent} of {limit} tokens of this {span} are spent, over all incidents")]
    Spent {
        spent: u64,
        limit: u64,
        span: &'static str,
    },
    #[error(
        "was not asked: a model found nothing to do about the same at {at}, and is not asked again within 10 minutes"
    )]
    Quiet { at: Time },
}

#[derive(Debug)]
pub(crate) struct Spending {
    limits: SpendLimits,
    file: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Tokens by span, counted from 1970.
    spans: BTreeMap<i64, u64>,
    /// What was found to be nothing, and when; the newest last.
    findings: VecDeque<(u64, Time)>,
}

/// The file: seconds since 1970 at which a span began, and its tokens.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    spans: Vec<(i64, u64)>,
}

impl Spending {
    /// Goes on from what the file says. One that cannot be read counts as empty, and is reported.
    pub(crate) fn open(limits: SpendLimits, file: Option<PathBuf>) -> Self {
        let known = file.as_deref().map(read).unwrap_or_default();
        let spans = known
            .spans
            .into_iter()
            .map(|(second, tokens)| (second.div_euclid(SPAN), tokens));
        let inner = Inner {
            spans: spans.collect(),
            findings: VecDeque::new(),
        };
        Self {
            limits,
            file,
            inner: Mutex::new(inner),
        }
    }

    /// Whether a model may be asked.
    pub(crate) fn check(&self, now: Time) -> Result<(), Exhausted> {
        let mut inner = self.inner();
        inner.settle(now);
        let exhausted = |seconds, limit, span| {
            let spent = inner.since(now, seconds);
            (spent >= limit).then_some(Exhausted::Spent { spent, limit, span })
        };
        let over =
            exhausted(HOUR, self.limits.hour, "hour").or_else(|| exhausted(DAY, self.limits.day, "day"));
        over.map_or(Ok(()), Err)
    }

    /// Adds what a question cost.
    pub(crate) fn spend(&self, now: Time, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let spans = {
            let mut inner = self.inner();
            inner.settle(now);
            let sum = inner.spans.entry(span_of(now)).or_default();
            *sum = sum.saturating_add(tokens);
            inner
                .spans
                .iter()
                .map(|(span, tokens)| (span.saturating_mul(SPAN), *tokens))
                .collect()
        };
        if let Some(path) = &self.file
            && let Err(error) = write(path, &File { spans })
        {
            tracing::warn!(%error, path = %path.display(), "what models cost is not written: a restart forgets it");
        }
    }

    /// A model found nothing to do about this.
    pub(crate) fn note_nothing(&self, case: &Case, symptoms: &[Symptom]) {
        let mut inner = self.inner();
        inner.findings.push_back((digest(case, symptoms), case.now));
        if inner.findings.len() > FINDINGS {
            inner.findings.pop_front();
        }
    }

    /// Whether one did so a moment ago.
    pub(crate) fn check_quiet(&self, case: &Case, symptoms: &[Symptom]) -> Result<(), Exhausted> {
        let digest = digest(case, symptoms);
        let inner = self.inner();
        let mut found = inner.findings.iter().rev();
        let at = found.find(|(known, at)| *known == digest && *at <= case.now && at.age(case.now) < QUIET);
        at.map_or(Ok(()), |(_, at)| Err(Exhausted::Quiet { at: *at }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets what is older than a day. What lies ahead, because the clock was set back, counts as spent now.
    fn settle(&mut self, now: Time) {
        let span = span_of(now);
        let ahead = self.spans.split_off(&span.saturating_add(1));
        let ahead = ahead.into_values().fold(0_u64, u64::saturating_add);
        if ahead > 0 {
            let sum = self.spans.entry(span).or_default();
            *sum = sum.saturating_add(ahead);
        }
        self.spans = self.spans.split_off(&span.saturating_sub(DAY / SPAN));
    }

    fn since(&self, now: Time, seconds: i64) -> u64 {
        let from = span_of(now).saturating_sub(seconds / SPAN).saturating_add(1);
        self.spans
            .range(from..)
            .fold(0, |sum, (_, tokens)| sum.saturating_add(*tokens))
    }
}

fn span_of(at: Time) -> i64 {
    at.0.as_second().div_euclid(SPAN)
}

/// What makes two questions the same: readings change from one to the next, what they amount to does not.
fn digest(case: &Case, symptoms: &[Symptom]) -> u64 {
    let mut kinds: Vec<SymptomKind> = symptoms.iter().map(|symptom| symptom.kind).collect();
    kinds.sort_unstable();
    let mut hasher = DefaultHasher::new();
    (&case.workload, &case.alert_type, kinds).hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> File {
    let known = std::fs::metadata(path).and_then(|metadata| {
        if metadata.len() > LONGEST {
            return Err(std::io::Error::other("it is larger than it ever is written"));
        }
        let text = std::fs::read(path)?;
        serde_json::from_slice(&text).map_err(std::io::Error::other)
    });
    known.unwrap_or_else(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            tracing::warn!(%error, path = %path.display(), "what models cost before this start is not known");
        }
        File::default()
    })
}

/// Never half: a reader finds the old sums or the new ones.
fn write(path: &Path, file: &File) -> std::io::Result<()> {
    let text = serde_json::to_vec(file).map_err(std::io::Error::other)?;
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SpendLimits = SpendLimits {
        hour: 1000,
        day: 3000,
    };

    fn at(minutes: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_795_348_800 + minutes * 60).unwrap())
    }

    #[test]
    fn i12_over_all_incidents_no_more_is_spent_than_an_hour_and_a_day_allow() {
        let spending = Spending::open(LIMITS, None);
        spending.spend(at(0), 999);
        assert_eq!(spending.check(at(30)), Ok(()));
        spending.spend(at(30), 1);
        let why = spending.check(at(30)).unwrap_err().to_string();
        assert!(why.contains("1000 of 1000 tokens of this hour"), "{why}");
        assert_eq!(spending.check(at(61)), Ok(()), "the hour slides");
        for hour in 1..4 {
            spending.spend(at(hour * 120), 900);
        }
        let why = spending.check(at(600)).unwrap_err().to_string();
        assert!(why.contains("of 3000 tokens of this day"), "{why}");
        assert_eq!(spending.check(at(26 * 60)), Ok(()));
    }

    #[test]
    fn what_was_spent_outlives_a_restart_and_a_broken_file_does_not_stop_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spent.json");
        Spending::open(LIMITS, Some(path.clone())).spend(at(0), 1000);
        let again = Spending::open(LIMITS, Some(path.clone()));
        assert!(again.check(at(1)).is_err());
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Spending::open(LIMITS, Some(path)).check(at(1)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_forgets_nor_blocks_for_longer_than_the_hour() {
        let spending = Spending::open(LIMITS, None);
        spending.spend(at(24 * 60), 1000);
        assert!(
            spending.check(at(0)).is_err(),
            "what lies ahead counts as spent now"
        );
        assert_eq!(spending.check(at(61)), Ok(()));
    }

    #[test]
    fn what_was_found_to_be_nothing_is_not_asked_again_for_a_while() {
        let spending = Spending::open(LIMITS, None);
        let mut case = Case::sample();
        case.now = at(0);
        assert_eq!(spending.check_quiet(&case, &[]), Ok(()));
        spending.note_nothing(&case, &[]);
        case.now = at(9);
        assert!(spending.check_quiet(&case, &[]).is_err());
        case.alert_type = "another".to_owned();
        assert_eq!(spending.check_quiet(&case, &[]), Ok(()));
        case.alert_type = "SAMPLE".to_owned();
        case.now = at(10);
        assert_eq!(spending.check_quiet(&case, &[]), Ok(()));
        for _ in 0..1000 {
            spending.note_nothing(&case, &[]);
        }
        assert_eq!(spending.inner().findings.len(), FINDINGS);
    }
}
