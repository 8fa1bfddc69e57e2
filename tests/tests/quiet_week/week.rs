//! When in the week each scene happens, and to whom. It begins on a Monday at midnight. Pure.

use std::ops::Range;
use std::time::Duration;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) struct Play {
    /// Since the first of the days began.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A recorded scene.
    Scene {
        name: &'static str,
        /// Names within the scene, and those on the host.
        roles: Vec<(&'static str, &'static str)>,
        /// How often in a row.
        times: u32,
        /// At this millisecond it stands still for so long: what somebody stopped in the morning is started in the evening.
        held: Option<(i64, Duration)>,
    },
    /// Our own workload gets another template.
    Rollout { image: &'static str },
}

const EACH_KIND: [(&str, &str); 6] = [
    ("app", "shop"),
    ("plain", "cart"),
    ("deaf", "legacy"),
    ("jvm", "billing"),
    ("cache", "cache"),
    ("nginx", "proxy"),
];

fn clock(day: u32, hour: u64, minute: u64) -> Duration {
    Duration::from_secs((u64::from(day) * 24 * 60 + hour * 60 + minute) * 60)
}

fn scene(at: Duration, name: &'static str, roles: &[(&'static str, &'static str)]) -> Play {
    Play {
        at,
        what: What::Scene {
            name,
            roles: roles.to_vec(),
            times: 1,
            held: None,
        },
    }
}

impl Play {
    fn often(mut self, count: u32) -> Self {
        if let What::Scene { times, .. } = &mut self.what {
            *times = count;
        }
        self
    }

    fn held(mut self, at: i64, span: Duration) -> Self {
        if let What::Scene { held, .. } = &mut self.what {
            *held = Some((at, span));
        }
        self
    }
}

/// What happens on these days, in order; times count from the first one's midnight.
pub(crate) fn plays(days: Range<u32>) -> Vec<Play> {
    let begin = clock(days.start, 0, 0);
    let mut all: Vec<Play> = days.flat_map(day).collect();
    all.iter_mut().for_each(|play| play.at -= begin);
    all
}

/// A Monday has an engine's restart, a Thursday a reboot.
fn day(day: u32) -> Vec<Play> {
    let at = |hour, minute| clock(day, hour, minute);
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let jobs = [("job", "report"), ("job-rm", "tidy")];
    let mut all = vec![scene(at(2, 0), "nightly-job", &jobs)];
    // A backup that is quick, and one that takes its time.
    let backup = |on| scene(at(3, 0), "backup", &[("web", on)]);
    all.push(match day % 3 {
        0 => backup("cart"),
        1 => backup("shop").held(40_000, minutes(40)),
        _ => backup("shop"),
    });
    if day == 0 {
        all.push(scene(at(4, 30), "engine-restart", &EACH_KIND));
    }
    if day == 3 {
        all.push(scene(at(4, 30), "reboot", &EACH_KIND));
    }
    let restart = scene(at(14, 45), "restart", &[("web", "legacy")]);
    let stop = scene(at(13, 0), "stop-start", &[("web", "legacy")]);
    let burst = |on| scene(at(11, 0), "cpu-burst", &[("web", on)]);
    let rollout = |image| Play {
        at: at(10, 0),
        what: What::Rollout { image },
    };
    all.extend(match day {
        0 => vec![
            scene(at(9, 30), "rolling-deployment", &[("web", "shop")]),
            burst("shop").often(2),
            stop,
            restart,
            scene(at(16, 0), "saw-tooth", &[("web", "cache")]).often(4),
        ],
        1 => vec![
            scene(at(9, 30), "compose-recreate", &[("web", "shop")]),
            rollout("app:2"),
            scene(at(14, 30), "stop-start-jvm", &[("web", "billing")]),
            scene(at(15, 0), "reload", &[("nginx", "proxy"), ("web", "billing")]),
        ],
        2 => vec![
            scene(at(9, 30), "rolling-deployment", &[("web", "cart")]),
            burst("cart"),
            stop.held(60_000, minutes(90)),
            scene(at(17, 0), "slow-saw-tooth", &[("web", "cache")]).often(3),
        ],
        3 => vec![
            scene(at(9, 30), "compose-recreate", &[("web", "cart")]),
            rollout("app:1"),
            scene(at(15, 0), "reload", &[("nginx", "proxy"), ("web", "legacy")]),
        ],
        4 => vec![
            scene(at(9, 30), "rolling-deployment", &[("web", "shop")]),
            scene(at(9, 40), "compose-recreate", &[("web", "cart")]),
            burst("shop"),
            scene(at(14, 30), "stop-start-jvm", &[("web", "billing")]).held(60_000, minutes(10)),
        ],
        5 => vec![
            scene(at(10, 30), "nightly-job-inside", &[("web", "billing")]),
            restart.often(2),
        ],
        _ => vec![scene(at(16, 0), "saw-tooth", &[("web", "cache")]).often(2)],
    });
    all
}
