//! How containers end and who made them end: the vocabulary, and the judgement over what one container's events tell.
//! Pure; who keeps the record feeds it.
//!
//! A [`Record`] is a bounded sequence of [`What`] happened to one container, in the engine's order: its events, gaps of the
//! event stream, and our own actions noted *before* they are made. [`Record::deaths`] and [`Record::last_end`] read it.
//! Events alone do not tell a person's `docker stop` from the stop of an engine that shuts down (`kill 15, die, stop`,
//! both), nor from the first half of `docker restart`. So a stop is somebody's only once the stream has outlived it by
//! [`OUTLIVED`] and the engine has answered since; until then its cause is open.
//!
//! The shape that rules read is [`Death`]: `{at, cause, exitCode, oom, signal, restartedBy}`, oldest first, at most
//! [`MOST_DEATHS`] within [`DEATHS_WITHIN`]. [`Death::is_crash`] is the one definition of a crash: a process that ended
//! without anybody's asking, with another exit code than 0, by a lone SIGKILL, or because the kernel OOM-killed it.

use std::collections::VecDeque;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Time;

/// How long the event stream must outlive a stop before it is taken for a person's.
pub const OUTLIVED: Duration = Duration::from_secs(15);
/// Within which a start makes a stop the first half of a restart; also how long events may be on their way.
pub const RESTARTS_WITHIN: Duration = Duration::from_secs(2);
/// How far back deaths are reported.
pub const DEATHS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Most deaths that are reported.
pub const MOST_DEATHS: usize = 20;
/// Most happenings kept of a container: some 1 KiB.
const MOST_KEPT: usize = 32;
/// How long a stop that we requested may take to show: longer than the engine's answer, shorter than a person waits.
const OWN_WITHIN: Duration = Duration::from_secs(600);
/// A death this soon after a gap may have been requested within the gap.
const SHADOW: Duration = Duration::from_secs(30);

const SIGHUP: u8 = 1;
const SIGKILL: u8 = 9;
const SIGUSR1: u8 = 10;
const SIGUSR2: u8 = 12;
const SIGCONT: u8 = 18;
const SIGWINCH: u8 = 28;

/// Whether a process that runs has started since the container last ended. One in its first run never ended: what was
/// killed was a process inside it.
pub fn has_come_back(started: Option<Time>, finished: Option<Time>) -> bool {
    let began = started.zip(finished);
    began.is_none_or(|(started, finished)| started >= finished)
}

/// Who made a container end, or start again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Cause {
    /// No stop was requested: its process ended, the kernel killed it, or a lone SIGKILL did.
    Process,
    /// This controller.
    Controller,
    /// Docker's restart policy.
    DockerPolicy,
    /// A person, or a tool such as Compose.
    Human,
    /// The engine stopped, and its containers with it.
    EngineStop,
    /// Events were lost, or it is too early to tell.
    #[default]
    Unknown,
}

impl Cause {
    /// Human-readable: `by a person or a tool`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Process => "by itself",
            Self::Controller => "by this controller",
            Self::DockerPolicy => "by Docker's restart policy",
            Self::Human => "by a person or a tool",
            Self::EngineStop => "with the Docker engine",
            Self::Unknown => "for an unknown cause",
        }
    }
}

/// One end of a container's process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Death {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Who made it end.
    pub cause: Cause,
    /// Its exit code.
    pub exit_code: i64,
    /// The kernel OOM-killed it.
    pub oom: bool,
    /// The last signal that somebody sent it through the engine before it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Who started it again; absent while it has not been started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_by: Option<Cause>,
}

impl Death {
    /// Whether it counts as a crash. What people, this controller or the engine stopped does not, nor what is unknown.
    pub fn is_crash(&self) -> bool {
        self.cause == Cause::Process && (self.oom || self.exit_code != 0)
    }
}

/// Something that happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A signal was sent to it through the engine.
    Kill(u8),
    /// The kernel OOM-killed a process of it.
    Oom,
    /// Its process ended.
    Die(i64),
    /// A requested stop is done.
    Stop,
    /// Its process started.
    Start,
    /// A requested restart is done.
    Restart,
    /// We are about to stop it.
    OwnStop,
    /// We could not: nothing came of it.
    OwnStopFailed,
    /// We are about to start it.
    OwnStart,
    /// The event stream was lost; when the engine last answered before that.
    Lost(Option<Time>),
    /// The event stream is back.
    Back,
}

impl What {
    /// What an event of the engine says; `None` where it says nothing about a container's life.
    pub fn of_event(action: &str, attribute: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(match action {
            "kill" => Self::Kill(signal_number(&attribute("signal")?)?),
            "oom" => Self::Oom,
            // What says no exit code failed for all that is known.
            "die" => Self::Die(
                attribute("exitCode")
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(-1),
            ),
            "stop" => Self::Stop,
            "start" => Self::Start,
            "restart" => Self::Restart,
            _ => return None,
        })
    }
}

/// Engines write numbers; a name is read, too.
fn signal_number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    Some(match text.trim_start_matches("SIG") {
        "HUP" => SIGHUP,
        "INT" => 2,
        "QUIT" => 3,
        "KILL" => SIGKILL,
        "USR1" => SIGUSR1,
        "USR2" => SIGUSR2,
        "TERM" => 15,
        _ => return None,
    })
}

/// How the present or last run of a container ended, as far as is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastEnd {
    /// No end of it is on record.
    Unseen,
    /// It was requested: whether a person did shows at `until`.
    Open {
        /// When it ended.
        at: Time,
        /// When to judge.
        until: Time,
    },
    /// This is how.
    Known(Death),
}

/// What happened to one container lately, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record(VecDeque<(Time, What)>);

impl Record {
    /// Adds what happened; the oldest goes where there is no room.
    pub fn add(&mut self, at: Time, what: What) {
        // Gaps with nothing in between are one gap, however often the stream broke.
        if let What::Lost(_) = what
            && matches!(self.0.back(), Some((_, What::Back)))
        {
            self.0.pop_back();
            return;
        }
        if self.0.len() >= MOST_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((at, what));
    }

    /// The clock was set back by so much: everything is as old as it was.
    pub fn set_back(&mut self, step: Duration) {
        for (at, what) in &mut self.0 {
            *at = earlier(*at, step);
            if let What::Lost(Some(answered)) = what {
                *answered = earlier(*answered, step);
            }
        }
    }

    /// When something last happened.
    pub fn last_at(&self) -> Option<Time> {
        self.0.back().map(|(at, _)| *at)
    }

    /// The deaths of the last [`DEATHS_WITHIN`], oldest first. `answered` is when the engine last answered.
    pub fn deaths(&self, now: Time, answered: Option<Time>) -> Vec<Death> {
        let ends = self.ends().into_iter().map(|end| end.judged(answered));
        let mut deaths: Vec<Death> = ends
            .filter(|death| death.at.is_some_and(|at| at.age(now) <= DEATHS_WITHIN))
            .collect();
        deaths.drain(..deaths.len().saturating_sub(MOST_DEATHS));
        deaths
    }

    /// How its last run ended.
    pub fn last_end(&self, answered: Option<Time>) -> LastEnd {
        let Some(end) = self.ends().pop().filter(|end| !end.started) else {
            return LastEnd::Unseen;
        };
        let death = end.judged(answered);
        match death.cause {
            Cause::Unknown if end.asked && end.lost.is_none() => LastEnd::Open {
                at: end.at,
                until: later(end.at, OUTLIVED),
            },
            _ => LastEnd::Known(death),
        }
    }

    fn ends(&self) -> Vec<End> {
        let mut ends = Vec::new();
        let mut run = Run::default();
        for (at, what) in &self.0 {
            run.follow(*at, *what, &mut ends);
        }
        ends
    }
}

/// This time, before the clock was set back by so much.
pub fn earlier(at: Time, step: Duration) -> Time {
    let step = jiff::SignedDuration::try_from(step).unwrap_or(jiff::SignedDuration::MAX);
    Time(at.0.saturating_sub(step).unwrap_or(jiff::Timestamp::MIN))
}

fn later(at: Time, span: Duration) -> Time {
    Time(at.0.checked_add(span).unwrap_or(jiff::Timestamp::MAX))
}

/// What is known of a run before its end.
#[derive(Debug, Default)]
struct Run {
    /// A signal that asks a process to end, or that it died of.
    kills: Vec<u8>,
    own_stop: Option<Time>,
    own_start: bool,
    oom: bool,
    back: Option<Time>,
}

impl Run {
    fn follow(&mut self, at: Time, what: What, ends: &mut Vec<End>) {
        let open = ends.last_mut().filter(|end| !end.started);
        match (what, open) {
            (What::Kill(signal), _) => self.kills.push(signal),
            (What::Oom, _) => self.oom = true,
            (What::OwnStop, _) => self.own_stop = Some(at),
            (What::OwnStopFailed, _) => self.own_stop = None,
            (What::OwnStart, _) => self.own_start = true,
            (What::Die(code), _) => {
                ends.push(self.end(at, code));
                *self = Self::default();
            }
            // Of a container that waits for its restart policy a stop is all that there is.
            (What::Stop, Some(end)) if self.own_stop.is_some() => end.ours = true,
            (What::Stop, Some(end)) => end.asked = true,
            (What::Start, Some(end)) => {
                end.started = true;
                end.restarted_by = Some(match (self.own_start, end.lost, end.asked) {
                    (true, _, _) => Cause::Controller,
                    (false, Some(_), _) => Cause::Unknown,
                    (false, None, true) => Cause::Human,
                    (false, None, false) => Cause::DockerPolicy,
                });
                *self = Self::default();
            }
            (What::Start, None) => *self = Self::default(),
            (What::Restart, None) => {
                if let Some(end) = ends
                    .last_mut()
                    .filter(|end| end.restarted_by == Some(Cause::DockerPolicy))
                {
                    end.restarted_by = Some(Cause::Human);
                }
            }
            (What::Lost(answered), Some(end)) => end.lost = end.lost.or(Some(answered)),
            (What::Back, _) => self.back = Some(at),
            (What::Stop | What::Lost(_), None) | (What::Restart, Some(_)) => {}
        }
    }

    fn end(&self, at: Time, exit_code: i64) -> End {
        // Many programs reload their configuration on these: only what died of one was ended by it.
        let reloads = |signal: &u8| matches!(*signal, SIGHUP | SIGUSR1 | SIGUSR2 | SIGCONT | SIGWINCH);
        let asks = |signal: &&u8| {
            **signal != SIGKILL && (!reloads(signal) || exit_code == 128 + i64::from(**signal))
        };
        let asked = self.kills.iter().any(|signal| asks(&signal));
        End {
            at,
            exit_code,
            oom: self.oom,
            signal: self.kills.last().copied(),
            asked,
            ours: self.own_stop.is_some_and(|began| began.age(at) <= OWN_WITHIN),
            shadowed: !asked && self.back.is_some_and(|back| back.age(at) <= SHADOW),
            lost: None,
            started: false,
            restarted_by: None,
        }
    }
}

/// One end, before it is judged.
#[derive(Debug)]
struct End {
    at: Time,
    exit_code: i64,
    oom: bool,
    signal: Option<u8>,
    /// Somebody stopped it, or sent a signal other than SIGKILL.
    asked: bool,
    ours: bool,
    /// The event of its request may have been lost.
    shadowed: bool,
    /// The stream was lost before it started again; when the engine last answered before that.
    lost: Option<Option<Time>>,
    started: bool,
    restarted_by: Option<Cause>,
}

impl End {
    fn judged(&self, answered: Option<Time>) -> Death {
        let outlived = |answered: Option<Time>| answered.is_some_and(|at| at >= later(self.at, OUTLIVED));
        let cause = match (self.ours, self.asked) {
            (true, _) => Cause::Controller,
            (false, false) if self.shadowed && !self.oom => Cause::Unknown,
            (false, false) => Cause::Process,
            (false, true) => match self.lost {
                Some(answered) if outlived(answered) => Cause::Human,
                Some(_) => Cause::EngineStop,
                None if self.started || outlived(answered) => Cause::Human,
                None => Cause::Unknown,
            },
        };
        Death {
            at: Some(self.at),
            cause,
            exit_code: self.exit_code,
            oom: self.oom,
            signal: self.signal,
            restarted_by: self.restarted_by,
        }
    }
}

#[cfg(test)]
mod tests;
