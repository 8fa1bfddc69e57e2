//! Spans of time as kubectl prints them: two units at most, coarser the longer it is
//! (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`). Pure.

use aegis_api::Time;

/// How long ago `then` was at `now`; `<invalid>` for a time to come.
pub(super) fn age(then: Time, now: Time) -> String {
    let seconds = now.0.duration_since(then.0).as_secs();
    match u64::try_from(seconds) {
        Ok(seconds) => human(seconds),
        // Clocks may differ a little: that is no time to come yet.
        Err(_) if seconds >= -2 => "0s".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

fn human(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two_units(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two_units(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two_units(days, 'd', hours % 24, 'h'),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two_units(years, 'y', days % 365, 'd'),
        () => format!("{years}y"),
    }
}

/// Without the smaller unit where nothing of it is left.
fn two_units(whole: u64, unit: char, rest: u64, smaller: char) -> String {
    match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{smaller}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let cases: [(u64, &str); 15] = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (8 * 3600, "8h"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (8 * 86_400, "8d"),
            (729 * 86_400, "729d"),
            (731 * 86_400, "2y1d"),
            (9 * 365 * 86_400, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn a_time_to_come_is_invalid_but_for_a_difference_of_clocks() {
        let at = |second: i64| Time(jiff::Timestamp::from_second(second).unwrap());
        assert_eq!(age(at(102), at(100)), "0s");
        assert_eq!(age(at(200), at(100)), "<invalid>");
        assert_eq!(age(at(100), at(130)), "30s");
    }
}
