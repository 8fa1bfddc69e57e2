//! The page: what is known, as data for a template. Texts from outside are made harmless and bounded here, and escaped by
//! the template. Pure but for the clock it is given.

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tera::Tera;

use crate::args::Args;
use crate::board::{Away, Known};
use crate::client::Seen;

mod rows;
mod words;

use words::{clock, span, text};

/// Incidents and runbook entries on the page, the newest.
const MOST: usize = 50;
/// Its name ends as it does so that tera escapes what it is given.
const TEMPLATE: &str = "dashboard.html";

/// Renders pages.
#[derive(Debug)]
pub(crate) struct Pages {
    tera: Tera,
    refresh: u32,
    manual: SignedDuration,
}

#[derive(Debug, Serialize)]
struct View {
    title: String,
    /// Seconds until the next load; nothing where the reader requested a page that is not reloaded.
    refresh: Option<u32>,
    away: Option<AwayView>,
    seen: Option<SeenView>,
}

#[derive(Debug, Serialize)]
struct AwayView {
    since: String,
    ago: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct SeenView {
    at: String,
    ago: String,
    version: String,
    unready: Option<String>,
    open: usize,
    resolved: usize,
    failed: usize,
    dry_runs: usize,
    saved: String,
    manual: String,
    containers: Vec<rows::Container>,
    /// Those that fire first.
    detectors: Vec<rows::Detector>,
    incidents: Vec<rows::Incident>,
    /// Incidents that are not on the page.
    more_incidents: usize,
    runbook: Vec<rows::Lesson>,
    /// Entries that are not on the page.
    more_lessons: usize,
}

impl Pages {
    pub(crate) fn new(args: &Args) -> anyhow::Result<Self> {
        let mut tera = Tera::default();
        tera.add_raw_template(TEMPLATE, include_str!("../templates/dashboard.html"))
            .context("the template is broken")?;
        Ok(Self {
            tera,
            refresh: args.refresh_secs,
            manual: SignedDuration::from_mins(args.manual_minutes.into()),
        })
    }

    /// The page; `still` for one that does not load itself again.
    pub(crate) fn render(&self, known: &Known, still: bool, now: Timestamp) -> anyhow::Result<String> {
        let seen = known.seen.as_ref();
        let seen = seen.map(|(at, seen)| self.seen(known, seen, *at, now));
        let view = View {
            title: title(known.away.as_ref(), seen.as_ref()),
            refresh: Some(self.refresh).filter(|_| !still),
            away: known.away.as_ref().map(|away| AwayView {
                since: clock(away.since),
                ago: span(now.duration_since(away.since)),
                why: text(&away.why),
            }),
            seen,
        };
        let context = tera::Context::from_serialize(view)?;
        self.tera
            .render(TEMPLATE, &context)
            .context("the page cannot be rendered")
    }

    fn seen(&self, known: &Known, seen: &Seen, at: Timestamp, now: Timestamp) -> SeenView {
        let sums = rows::Sums::of(&seen.incidents, self.manual, at);
        let containers = seen.containers.iter();
        SeenView {
            at: clock(at),
            ago: span(now.duration_since(at)),
            version: text(&seen.health.version),
            unready: seen.unready.as_deref().map(text),
            open: sums.open,
            resolved: sums.resolved,
            failed: sums.failed,
            dry_runs: sums.dry_runs,
            saved: span(sums.saved),
            manual: span(self.manual),
            containers: containers
                .map(|row| rows::Container::new(row, known.load.get(&row.name)))
                .collect(),
            detectors: rows::detectors(&seen.detectors),
            incidents: seen
                .incidents
                .iter()
                .rev()
                .take(MOST)
                .map(|incident| rows::Incident::new(incident, at))
                .collect(),
            more_incidents: seen.incidents.len().saturating_sub(MOST),
            runbook: seen
                .runbook
                .entries
                .iter()
                .rev()
                .take(MOST)
                .map(rows::Lesson::new)
                .collect(),
            more_lessons: seen.runbook.entries.len().saturating_sub(MOST),
        }
    }
}

/// The title: the state in a few words, for a tab or for a screen on a wall.
fn title(away: Option<&Away>, seen: Option<&SeenView>) -> String {
    match (away, seen) {
        (Some(_), _) => "AegisOps: the controller is away".to_owned(),
        (None, Some(seen)) if seen.unready.is_some() => "AegisOps: not ready".to_owned(),
        (None, Some(seen)) if seen.open > 0 => format!("AegisOps: {} open", seen.open),
        (None, _) => "AegisOps".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
