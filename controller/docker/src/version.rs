//! Which features an engine has, by its API version. Pure. Requests carry no version, so each engine speaks its newest;
//! what differs between engines is decided here and nowhere else.

use std::path::PathBuf;

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Version such as `20.10.24`.
    pub version: String,
    /// API version such as `1.41`, as (major, minor).
    pub api: (u32, u32),
    /// 1 or 2.
    pub cgroup_version: u8,
    /// Where it keeps images and containers, a path of its own host. Absent where it does not say.
    pub root_dir: Option<PathBuf>,
}

impl EngineInfo {
    fn at_least(&self, major: u32, minor: u32) -> bool {
        self.api >= (major, minor)
    }

    /// Counters can be read once without waiting a second for a first sample to compare with.
    pub fn has_one_shot_stats(&self) -> bool {
        self.at_least(1, 41)
    }

    /// A container can be created in several networks at once.
    pub fn creates_in_many_networks(&self) -> bool {
        self.at_least(1, 44)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_come_with_their_versions() {
        let info = |api| EngineInfo {
            version: String::new(),
            api,
            cgroup_version: 2,
            root_dir: None,
        };
        assert!(!info((1, 40)).has_one_shot_stats());
        assert!(info((1, 41)).has_one_shot_stats() && !info((1, 41)).creates_in_many_networks());
        assert!(info((1, 44)).creates_in_many_networks() && info((2, 0)).creates_in_many_networks());
    }
}
