//! What a log says of errors: how many are its container's own, how many blame another, and how often it said so before. Counts,
//! a name and one line are kept; the text itself is hostile and chooses nothing but whom it excuses. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aegis_api::Time;
use aegis_api::redact::{bound, redact};

/// Words by which a line says that another was not reached, or did not answer: whose fault that is it does not say.
const UNREACHED: &[&str] = &[
    "bad gateway",
    "broken pipe",
    "cannot connect",
    "connect failed",
    "connection aborted",
    "connection closed",
    "connection refused",
    "connection reset",
    "could not connect",
    "could not resolve",
    "deadline exceeded",
    "does not answer",
    "econnrefused",
    "econnreset",
    "ehostunreach",
    "enotfound",
    "etimedout",
    "failed to connect",
    "gateway time",
    "getaddrinfo",
    "host not found",
    "lost connection",
    "name or service not known",
    "name resolution",
    "network is unreachable",
    "no answer from",
    "no route to host",
    "no such host",
    "server closed the connection",
    "service unavailable",
    "socket hang up",
    "time out",
    "timed out",
    "timeout",
    "unable to connect",
    "unexpected eof",
    "unknown host",
    "unreachable",
    "upstream",
];
/// Levels below that of an error.
const LOWER: &[&str] = &[
    "trace",
    "debug",
    "verbose",
    "info",
    "information",
    "notice",
    "warn",
    "warning",
];
/// Levels of errors.
const ERRORS: &[&str] = &[
    "error", "err", "fatal", "critical", "crit", "panic", "severe", "alert", "emerg",
];
/// Words that say that something failed, and not what: of these alone a line names no cause.
const GENERIC: &[&str] = &[
    "a",
    "an",
    "and",
    "answered",
    "at",
    "by",
    "call",
    "code",
    "completed",
    "connect",
    "delete",
    "error",
    "errors",
    "exception",
    "failed",
    "failure",
    "for",
    "from",
    "get",
    "handler",
    "handling",
    "head",
    "http",
    "https",
    "in",
    "internal",
    "is",
    "last",
    "level",
    "message",
    "method",
    "most",
    "ms",
    "msg",
    "of",
    "on",
    "options",
    "patch",
    "path",
    "post",
    "processing",
    "put",
    "recent",
    "request",
    "requests",
    "response",
    "returned",
    "server",
    "status",
    "the",
    "time",
    "to",
    "traceback",
    "unhandled",
    "url",
    "was",
    "while",
    "with",
];
/// How many words of its own a cause has.
const A_CAUSE: usize = 2;
/// How many tokens of a line are looked at, and of how many a level may be among.
const MOST_TOKENS: usize = 200;
const LEVEL_AMONG: usize = 12;
/// How many names that are blamed are kept, and how long they may be.
const MOST_NAMES: usize = 32;
const NAME: usize = 80;
/// The longest line that is kept, in characters.
const LINE: usize = 200;
/// How many lines may continue one that reports an error.
const CONTINUES: u32 = 40;
/// Counts of less than that are taken to be over that, in seconds.
const LEAST_SPAN: f64 = 60.0;

/// By which names others are known to a log, all in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The container's own, and of those that call it: naming them blames no other.
    pub own: BTreeSet<String>,
    /// Of all others, each with whom it means.
    pub others: BTreeMap<String, String>,
}

/// When a log says something of now, and when of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// From when on before is counted.
    pub before: Time,
    /// When trouble began, at the latest.
    pub began: Time,
    /// From when on it counts as of now: what this process logged since trouble began, and since the last action.
    pub since: Time,
    /// When it is read.
    pub now: Time,
}

/// What a log says.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Lines of now that report an error with a cause, and blame no other.
    pub own: u32,
    /// Lines of now that blame others.
    pub blaming: u32,
    /// Whom they name, each with how often.
    names: BTreeMap<String, u32>,
    /// The last line of its own, redacted.
    pub line: Option<String>,
    last: Option<Time>,
    /// Lines of its own of before; `None` where it does not reach back to the time before.
    before: Option<u32>,
    before_secs: f64,
    /// Since when.
    pub since: Time,
    now: Time,
}

impl Said {
    /// What several say together, such as those of all replicas; the error says why one is not known.
    pub fn all(logs: impl IntoIterator<Item = Result<Self, String>>) -> Result<Self, String> {
        let mut logs = logs.into_iter();
        let mut all = logs
            .next()
            .unwrap_or_else(|| Err("it has no containers".to_owned()))?;
        for log in logs {
            all.add(log?);
        }
        Ok(all)
    }

    fn add(&mut self, other: Self) {
        self.own = self.own.saturating_add(other.own);
        self.blaming = self.blaming.saturating_add(other.blaming);
        for (name, more) in other.names {
            let count = self.names.entry(name).or_insert(0);
            *count = count.saturating_add(more);
        }
        if other.last > self.last {
            (self.last, self.line) = (other.last, other.line);
        }
        self.before = self
            .before
            .zip(other.before)
            .map(|(own, more)| own.saturating_add(more));
        self.before_secs = self.before_secs.min(other.before_secs);
        self.since = self.since.min(other.since);
    }

    /// Whether its lines name this one as at fault.
    pub fn blames(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Whom its lines name.
    pub fn blamed(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether the last of its own is not longer ago than that.
    pub fn goes_on(&self, within: aegis_api::Duration) -> bool {
        self.last.is_some_and(|last| last.age(self.now) <= within.std())
    }

    /// Its own a minute.
    pub fn per_minute(&self) -> f64 {
        f64::from(self.own) * 60.0 / self.since.age(self.now).as_secs_f64().max(LEAST_SPAN)
    }

    /// The same of before.
    pub fn per_minute_before(&self) -> Option<f64> {
        Some(f64::from(self.before?) * 60.0 / self.before_secs.max(LEAST_SPAN))
    }
}

/// Reads a log, oldest line first.
#[derive(Debug)]
pub struct Reader<'a> {
    names: &'a Names,
    spans: Spans,
    first: Option<Time>,
    said: Said,
    before: u32,
    undated: bool,
    /// Lines that may still continue one of now that reports an error; whether that blamed somebody.
    open: Option<(u32, bool)>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// No error.
    Ordinary,
    /// An error without its cause.
    Generic,
    /// An error of its own.
    Own,
    /// That of another, named where it is.
    Blames(Option<String>),
}

impl<'a> Reader<'a> {
    /// Of a container that is known by these names.
    pub fn new(names: &'a Names, spans: Spans) -> Self {
        let said = Said {
            own: 0,
            blaming: 0,
            names: BTreeMap::new(),
            line: None,
            last: None,
            before: None,
            before_secs: spans.before.age(spans.began).as_secs_f64(),
            since: spans.since,
            now: spans.now,
        };
        Self {
            names,
            spans,
            first: None,
            said,
            before: 0,
            undated: false,
            open: None,
        }
    }

    /// One more line, and whether it reports an error by its words.
    pub fn line(&mut self, at: Option<Time>, text: &str, reports_error: bool) {
        let Some(at) = at else {
            self.undated = true;
            return;
        };
        self.first.get_or_insert(at);
        if at >= self.spans.since {
            self.of_now(at, text, reports_error);
        } else if at < self.spans.began
            && at >= self.spans.before
            && reports_error
            && classify(text, self.names) == Line::Own
        {
            self.before = self.before.saturating_add(1);
        }
    }

    fn of_now(&mut self, at: Time, text: &str, reports_error: bool) {
        if !reports_error {
            self.continued(text);
            return;
        }
        let line = classify(text, self.names);
        self.open = match line {
            Line::Ordinary => None,
            Line::Generic | Line::Own => Some((CONTINUES, false)),
            Line::Blames(_) => Some((CONTINUES, true)),
        };
        match line {
            Line::Ordinary | Line::Generic => {}
            Line::Own => {
                self.said.own = self.said.own.saturating_add(1);
                self.said.last = Some(at);
                self.said.line = Some(bound(&redact(text.trim()), LINE));
            }
            Line::Blames(name) => self.blame(name),
        }
    }

    /// What continues an error, such as a stack trace, may say whose it is.
    fn continued(&mut self, text: &str) {
        let Some((left, blamed)) = self.open else {
            return;
        };
        if left == 0 || !is_continuation(text) {
            self.open = None;
            return;
        }
        let text = text.to_lowercase();
        let named = named(&text, self.names);
        let blames = named.is_some() || is_unreached(&text);
        if blames && !blamed {
            self.blame(named);
        }
        self.open = Some((left.saturating_sub(1), blamed || blames));
    }

    fn blame(&mut self, name: Option<String>) {
        self.said.blaming = self.said.blaming.saturating_add(1);
        let Some(name) = name else {
            return;
        };
        let names = &mut self.said.names;
        if names.len() < MOST_NAMES || names.contains_key(&name) {
            let count = names.entry(name).or_insert(0);
            *count = count.saturating_add(1);
        }
    }

    /// What it says; the error says why that is not known. `complete`: it was read from its beginning.
    pub fn finish(self, complete: bool) -> Result<Said, String> {
        let mut said = self.said;
        if self.undated {
            return Err("its log has no times".to_owned());
        }
        let reaches = complete || self.first.is_some_and(|first| first < self.spans.began);
        // Of what is missing of before, nothing is known; of the rest it is.
        if !complete && let Some(first) = self.first.filter(|first| *first > self.spans.before) {
            said.before_secs = first.age(self.spans.began).as_secs_f64();
        }
        said.before = reaches.then_some(self.before);
        Ok(said)
    }
}

fn is_unreached(lower: &str) -> bool {
    UNREACHED.iter().any(|word| lower.contains(word))
}

/// Whether a line goes on with the one before: indented, or what languages begin the parts of a stack trace with.
fn is_continuation(text: &str) -> bool {
    const BEGINS: [&str; 7] = [
        "at ",
        "caused by",
        "during handling",
        "the above exception",
        "traceback",
        "}",
        ")",
    ];
    let lower = text.to_lowercase();
    text.starts_with([' ', '\t']) || BEGINS.iter().any(|begin| lower.starts_with(begin))
}

fn classify(text: &str, names: &Names) -> Line {
    let lower = text.to_lowercase();
    if is_ordinary(&lower) {
        return Line::Ordinary;
    }
    if let Some(name) = named(&lower, names) {
        return Line::Blames(Some(name));
    }
    if is_unreached(&lower) {
        return Line::Blames(None);
    }
    let words = words(&lower).filter(|word| !names.own.contains(*word));
    let cause = words.filter(|word| !GENERIC.contains(word) && !ERRORS.contains(word));
    match cause.take(A_CAUSE).count() < A_CAUSE {
        true => Line::Generic,
        false => Line::Own,
    }
}

/// Words of letters; no part of a path, a number or an id.
fn words(lower: &str) -> impl Iterator<Item = &str> {
    let parts = lower.split(|letter: char| letter.is_whitespace() || ",;:()[]{}<>\"'=".contains(letter));
    parts
        .filter(|part| !part.contains('/') && part.chars().count() > 1)
        .filter(|part| {
            part.chars()
                .all(|letter| letter.is_alphabetic() || letter == '-' || letter == '_')
        })
        .take(MOST_TOKENS)
}

/// Names as they are written in lines: a host's with its dots.
fn tokens(lower: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    let parts = lower.split(move |letter: char| !is_part(letter));
    let parts = parts.map(|part| part.trim_matches(|letter| "-_.".contains(letter)));
    parts.filter(|part| !part.is_empty()).take(MOST_TOKENS)
}

/// Whether a line that holds a word of errors reports none of the server's: its level is lower, or it answers 4xx.
fn is_ordinary(lower: &str) -> bool {
    let level = tokens(lower)
        .take(LEVEL_AMONG)
        .find(|token| LOWER.contains(token) || ERRORS.contains(token));
    if level.is_some_and(|level| LOWER.contains(&level)) {
        return true;
    }
    let status = |first: char| {
        move |token: &str| {
            token.len() == 3 && token.starts_with(first) && token.chars().all(|digit| digit.is_ascii_digit())
        }
    };
    tokens(lower).any(status('4')) && !tokens(lower).any(status('5'))
}

/// The host of what follows `://`; who logs in there is left out.
fn host_of(rest: &str) -> Option<&str> {
    let ends = |letter: char| letter.is_whitespace() || "/?#\"'<>,;".contains(letter);
    let authority = rest.split(ends).next()?;
    let host = authority.rsplit('@').next().unwrap_or(authority);
    tokens(host).next()
}

/// Whom a line names that is another: one that is known, or the host of a URL.
fn named(lower: &str, names: &Names) -> Option<String> {
    let known = tokens(lower).find_map(|token| {
        let first = token.split('.').next().unwrap_or(token);
        let is_own = names.own.contains(token) || names.own.contains(first);
        let other = names.others.get(token).or_else(|| names.others.get(first));
        other.filter(|_| !is_own).cloned()
    });
    known.or_else(|| {
        let mut hosts = lower.split("://").skip(1).filter_map(host_of);
        let is_here = |host: &str| {
            let first = host.split('.').next().unwrap_or(host);
            names.own.contains(host)
                || names.own.contains(first)
                || host == "localhost"
                || host.starts_with("127.")
                || host == "0.0.0.0"
        };
        hosts
            .find(|host| !is_here(host))
            .map(|host| bound(&redact(host), NAME))
    })
}

#[cfg(test)]
mod tests;
