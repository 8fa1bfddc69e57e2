//! Whether a moment lies in a weekly freeze window. Pure.

use aegis_api::Time;
use aegis_api::policy::{FreezeWindow, Weekday};

/// Whether `now` lies in the weekly window.
pub fn is_frozen(window: &FreezeWindow, now: Time) -> bool {
    let now = now.0.to_zoned(jiff::tz::TimeZone::UTC);
    let (Some(start), Some(end)) = (minutes(&window.start), minutes(&window.end)) else {
        return false;
    };
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    let begins_on = |day: jiff::civil::Weekday| {
        window.days.is_empty() || window.days.iter().any(|wanted| weekday(*wanted) == day)
    };
    let today = now.weekday();
    if start < end {
        return begins_on(today) && (start..end).contains(&minute);
    }
    (begins_on(today) && minute >= start) || (begins_on(today.previous()) && minute < end)
}

fn minutes(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    Some(hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?)
}

fn weekday(day: Weekday) -> jiff::civil::Weekday {
    match day {
        Weekday::Mon => jiff::civil::Weekday::Monday,
        Weekday::Tue => jiff::civil::Weekday::Tuesday,
        Weekday::Wed => jiff::civil::Weekday::Wednesday,
        Weekday::Thu => jiff::civil::Weekday::Thursday,
        Weekday::Fri => jiff::civil::Weekday::Friday,
        Weekday::Sat => jiff::civil::Weekday::Saturday,
        Weekday::Sun => jiff::civil::Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Weekday], start: &str, end: &str) -> FreezeWindow {
        FreezeWindow {
            days: days.to_vec(),
            start: start.to_owned(),
            end: end.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_freeze_window_may_cross_midnight() {
        let night = window(&[Weekday::Fri], "22:00", "06:00");
        // 2026-11-20 is a Friday.
        assert!(is_frozen(&night, "2026-11-20T23:00:00Z".parse().unwrap()));
        assert!(is_frozen(&night, "2026-11-21T05:59:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-21T06:00:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-21T23:00:00Z".parse().unwrap()));
        assert!(!is_frozen(&night, "2026-11-20T05:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_window_without_days_holds_every_day() {
        let lunch = window(&[], "12:00", "13:00");
        assert!(is_frozen(&lunch, "2026-11-22T12:30:00Z".parse().unwrap()));
        assert!(!is_frozen(&lunch, "2026-11-22T13:00:00Z".parse().unwrap()));
    }
}
