//! What the oracle sees of the agent: changes of containers that the bench itself did not make. It stands outside of the agent
//! and reads the engine alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::engine::Seen;
use crate::scenario::{Action, Role, Verb};
use crate::shop::Shop;

/// An action that somebody else than the bench did.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Observed {
    /// When it was seen, seconds since the clock's zero.
    pub at: f64,
    /// What was done.
    pub action: Action,
}

/// The state of the shop that is expected, and what differed from it.
#[derive(Debug)]
pub struct Oracle {
    zero: Instant,
    expected: BTreeMap<Role, Option<Seen>>,
    known: BTreeSet<String>,
    /// The service that is broken: that it ends is no action of anybody.
    broken: Option<Role>,
    observed: Vec<Observed>,
}

impl Oracle {
    /// One that takes the shop as it is now for granted.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn begin(shop: &Shop, zero: Instant, broken: Option<Role>) -> anyhow::Result<Self> {
        let mut oracle = Self {
            zero,
            expected: BTreeMap::new(),
            known: BTreeSet::new(),
            broken,
            observed: Vec::new(),
        };
        oracle.accept(shop).await?;
        Ok(oracle)
    }

    /// Takes the shop as it is now for granted: the bench itself has changed it.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn accept(&mut self, shop: &Shop) -> anyhow::Result<()> {
        for role in Role::SHOP.into_iter().chain([Role::Front, Role::Payments]) {
            self.accept_one(shop, role).await?;
        }
        self.known.extend(shop.engine.list("network", &shop.name).await?);
        Ok(())
    }

    /// Takes one service as it is now for granted.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn accept_one(&mut self, shop: &Shop, role: Role) -> anyhow::Result<()> {
        let seen = shop.engine.inspect(&shop.container(role)).await?;
        let seen = seen.map(|(seen, _)| seen);
        self.known.extend(seen.iter().map(|seen| seen.id.clone()));
        self.expected.insert(role, seen);
        Ok(())
    }

    /// Compares the shop with what is expected.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn look(&mut self, shop: &Shop) -> anyhow::Result<()> {
        let at = self.zero.elapsed().as_secs_f64();
        let roles: Vec<Role> = self.expected.keys().copied().collect();
        for role in roles {
            let now = shop.engine.inspect(&shop.container(role)).await?;
            let now = now.map(|(seen, _)| seen);
            let before = self.expected.get(&role).cloned().flatten();
            let verbs = changes(
                before.as_ref(),
                now.as_ref(),
                &shop.name,
                self.broken == Some(role),
            );
            self.observed.extend(verbs.into_iter().map(|verb| Observed {
                at,
                action: Action { verb, role },
            }));
            self.known.extend(now.iter().map(|seen| seen.id.clone()));
            self.expected.insert(role, now);
        }
        for id in shop.engine.list("network", &shop.name).await? {
            if !self.known.insert(id.clone()) {
                continue;
            }
            let Some((seen, _)) = shop.engine.inspect(&id).await? else {
                continue;
            };
            if let Some(role) = seen.role.and_then(|role| role.parse().ok()) {
                let action = Action {
                    verb: Verb::Scale,
                    role,
                };
                self.observed.push(Observed { at, action });
            }
        }
        Ok(())
    }

    /// All that others did so far.
    pub fn observed(&self) -> &[Observed] {
        &self.observed
    }
}

/// What was done to a container between two looks.
fn changes(before: Option<&Seen>, now: Option<&Seen>, network: &str, broken: bool) -> Vec<Verb> {
    let (before, now) = match (before, now) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![Verb::Restart],
        (Some(_), None) => return vec![Verb::Remove],
        (Some(before), Some(now)) => (before, now),
    };
    let mut verbs = Vec::new();
    if before.id != now.id || before.started != now.started {
        verbs.push(Verb::Restart);
    } else if before.status == "running" && now.status != "running" && !broken {
        verbs.push(Verb::Stop);
    } else if before.status == "paused" && now.status == "running" {
        verbs.push(Verb::Restart);
    }
    if !before.networks.contains(network) && now.networks.contains(network) {
        verbs.push(Verb::Connect);
    }
    if before.limits != now.limits {
        verbs.push(Verb::Update);
    }
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            id: "a".to_owned(),
            name: "x-web".to_owned(),
            role: Some("web".to_owned()),
            started: "2026-01-01T00:00:00Z".to_owned(),
            status: "running".to_owned(),
            health: "healthy".to_owned(),
            networks: BTreeSet::from(["x".to_owned()]),
            limits: (1, 1),
        }
    }

    #[test]
    fn each_change_of_a_container_is_an_action_and_its_health_is_none() {
        let now = |change: fn(&mut Seen)| {
            let mut now = seen();
            change(&mut now);
            changes(Some(&seen()), Some(&now), "x", false)
        };
        assert_eq!(now(|seen| seen.started.push('1')), [Verb::Restart]);
        assert_eq!(now(|seen| seen.id.push('1')), [Verb::Restart]);
        assert_eq!(now(|seen| seen.status = "exited".to_owned()), [Verb::Stop]);
        assert_eq!(now(|seen| seen.limits.1 = 2), [Verb::Update]);
        assert_eq!(now(|seen| seen.health = "unhealthy".to_owned()), []);
        assert_eq!(changes(Some(&seen()), None, "x", false), [Verb::Remove]);
        let alone = Seen {
            networks: BTreeSet::new(),
            ..seen()
        };
        assert_eq!(changes(Some(&alone), Some(&seen()), "x", false), [Verb::Connect]);
    }

    #[test]
    fn that_what_is_broken_ends_is_no_action() {
        let ended = Seen {
            status: "exited".to_owned(),
            ..seen()
        };
        assert_eq!(changes(Some(&seen()), Some(&ended), "x", true), []);
        // That it is started again is one.
        let again = Seen {
            started: "later".to_owned(),
            ..seen()
        };
        assert_eq!(changes(Some(&ended), Some(&again), "x", true), [Verb::Restart]);
    }
}
