//! What docker-autoheal does: every five seconds, restart what Docker's health check calls unhealthy.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Reports;
use crate::scenario::{Class, Role};
use crate::shop::Shop;

/// docker-autoheal's own default.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Autoheal {
    task: JoinHandle<()>,
}

impl Autoheal {
    pub(super) fn start(shop: &Shop, reports: Reports) -> Self {
        let task = tokio::spawn(poll(shop.clone(), reports));
        Self { task }
    }
}

impl Drop for Autoheal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(shop: Shop, reports: Reports) {
    loop {
        tokio::time::sleep(PAUSE).await;
        for role in Role::SHOP {
            let name = shop.container(role);
            let Ok(Some((seen, _))) = shop.engine.inspect(&name).await else {
                continue;
            };
            if seen.status == "running" && seen.health == "unhealthy" {
                reports.add(Some(role), Some(Class::Unresponsive), "unhealthy: restarting");
                // Its default for the time to stop.
                let restarted = shop.engine.act(&name, "restart?t=10").await;
                if let Err(error) = restarted {
                    reports.add(Some(role), None, &format!("{error:#}"));
                }
            }
        }
    }
}
