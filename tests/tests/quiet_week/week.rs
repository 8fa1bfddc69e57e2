//! When in the week each scene happens, and to whom. It begins on a Monday at midnight. Pure.

use std::time::Duration;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) struct Play {
    /// Since the week began.
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

/// What happens on so many days, in order.
pub(crate) fn plays(days: u32) -> Vec<Play> {
    (0..days).flat_map(day).collect()
}

fn day(day: u32) -> Vec<Play> {
    let at = |hour, minute| clock(day, hour, minute);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let is_weekend = day >= 5;
    let mut all = vec![
        scene(at(2, 0), "nightly-job", &[("job", "report"), ("job-rm", "tidy")]),
        scene(at(2, 15), "nightly-job-inside", &[("web", "billing")]),
    ];
    // A backup that is quick, and one that takes its time.
    all.push(scene(at(3, 0), "backup", &[("web", "cart")]));
    let long = scene(at(3, 15), "backup", &[("web", "shop")]);
    all.push(if day % 3 == 1 {
        long.held(40_000, hours(0) + Duration::from_secs(40 * 60))
    } else {
        long
    });
    if day == 0 {
        all.push(scene(at(4, 30), "engine-restart", &EACH_KIND));
    }
    if day == 3 {
        all.push(scene(at(4, 30), "reboot", &EACH_KIND));
    }
    if !is_weekend {
        let of = if day % 2 == 0 {
            ["shop", "cart"]
        } else {
            ["cart", "shop"]
        };
        all.push(scene(at(9, 30), "rolling-deployment", &[("web", of[0])]));
        all.push(scene(at(9, 40), "compose-recreate", &[("web", of[1])]));
        all.push(Play {
            at: at(10, 0),
            what: What::Rollout {
                image: if day % 2 == 0 { "app:2" } else { "app:1" },
            },
        });
    }
    all.push(scene(at(11, 0), "cpu-burst", &[("web", "shop")]).often(2));
    all.push(scene(at(11, 30), "cpu-burst", &[("web", "cart")]));
    let stopped = scene(at(13, 0), "stop-start", &[("web", "legacy")]);
    all.push(if day % 3 == 2 {
        stopped.held(60_000, hours(1))
    } else {
        stopped
    });
    all.push(scene(at(14, 30), "stop-start-jvm", &[("web", "billing")]));
    all.push(scene(at(14, 45), "restart", &[("web", "legacy")]).often(1 + day % 2));
    all.push(scene(
        at(15, 0),
        "reload",
        &[("nginx", "proxy"), ("web", "billing")],
    ));
    all.push(scene(at(16, 0), "saw-tooth", &[("web", "cache")]).often(8));
    all.push(scene(at(17, 0), "slow-saw-tooth", &[("web", "cache")]).often(5));
    all
}
