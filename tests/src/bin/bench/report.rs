//! One line a measurement.

use std::time::Duration;

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

pub(crate) fn report(what: &str, mut floor: Vec<Duration>, mut ours: Vec<Duration>, budget: &str) {
    floor.sort();
    ours.sort();
    let (floor, ours) = (median(&floor), median(&ours));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON);
    say(&format!(
        "{what:<52} {:>6} ms {:>6} ms {ratio:>6.2}x {budget:>8}",
        floor.as_millis(),
        ours.as_millis()
    ));
}

/// Of what there is to be much: a ratio of 1 is as much as the floor.
pub(crate) fn rates(what: &str, floor: Vec<f64>, ours: Vec<f64>, budget: &str, more: &str) {
    let middle = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let (floor, ours) = (middle(floor), middle(ours));
    let ratio = ours / floor.max(f64::EPSILON);
    say(&format!(
        "{what:<52} {floor:>7.0}/s {ours:>7.0}/s {ratio:>6.2}x {budget:>8}{}",
        in_brackets(more)
    ));
}

/// Times that are too short for whole milliseconds.
pub(crate) fn tails(what: &str, mut floor: Vec<Duration>, mut ours: Vec<Duration>) {
    floor.sort();
    ours.sort();
    let [floor, ours] = [median(&floor), median(&ours)].map(|time| time.as_secs_f64() * 1000.0);
    let ratio = ours / floor.max(f64::EPSILON);
    say(&format!(
        "{what:<52} {floor:>6.1} ms {ours:>6.1} ms {ratio:>6.2}x {:>8}",
        "-"
    ));
}

fn in_brackets(more: &str) -> String {
    match more.is_empty() {
        true => String::new(),
        false => format!("  ({more})"),
    }
}

pub(crate) fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// One number without a floor.
pub(crate) fn line(what: &str, ours: &str, budget: &str, more: &str) {
    say(&format!(
        "{what:<52} {:>9} {ours:>9} {:>7} {budget:>8}{}",
        "-",
        "-",
        in_brackets(more)
    ));
}

/// The value below which this part of them lies.
pub(crate) fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let mut below = sorted.iter().enumerate();
    let count = u32::try_from(sorted.len()).map_or(0.0, f64::from);
    let found = below.find(|(at, _)| u32::try_from(*at + 1).map_or(0.0, f64::from) >= part * count);
    found.map(|(_, value)| *value).unwrap_or_default()
}
