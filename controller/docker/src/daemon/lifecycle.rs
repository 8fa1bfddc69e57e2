//! A container's start, stop and removal. Does I/O.

use std::time::Duration;

use ::bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use serde_json::Value;

use super::failure::bounded;
use super::{Docker, failure, target};
use crate::engine::{EngineError, EngineResult};

/// What the engine needs beyond a container's grace period to end it.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// The engine's own default.
const STOP_GRACE: Duration = Duration::from_secs(10);
const LONGEST_GRACE: Duration = Duration::from_secs(3600);
/// No stop takes longer.
pub(super) const LONGEST_STOP: Duration = Duration::from_secs(3600 + 20);

impl Docker {
    pub(super) async fn start_now(&self, id: &str, operation: &str) -> EngineResult<()> {
        let Some(container) = self.inspect_now(id, operation).await? else {
            return Err(target::none(id, operation));
        };
        self.complete(&container, operation).await?;
        let started = self.api(operation)?.start_container(&container.id, None).await;
        started.map_err(|error| failure::of_start(operation, &error))
    }

    pub(super) async fn stop_now(
        &self,
        id: &str,
        grace: Option<Duration>,
        operation: &str,
    ) -> EngineResult<()> {
        let Some(container) = self.inspect_now(id, operation).await? else {
            return Err(target::none(id, operation));
        };
        let own = container.config.get("StopTimeout").and_then(Value::as_i64);
        let own = own.map(|seconds| u64::try_from(seconds).map_or(LONGEST_GRACE, Duration::from_secs));
        let bound = grace.or(own).unwrap_or(STOP_GRACE).min(LONGEST_GRACE) + STOP_MARGIN;
        let seconds = grace.map(|grace| i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX));
        let options = seconds.map(|seconds| StopContainerOptionsBuilder::default().t(seconds).build());
        let api = self.api(operation)?;
        let stop = async {
            api.stop_container(&container.id, options)
                .await
                .map_err(|error| failure::of(operation, &error))
        };
        bounded(operation, bound, stop).await
    }

    pub(super) async fn remove_now(&self, id: &str, operation: &str) -> EngineResult<()> {
        let id = match self.target(id, operation).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        let options = RemoveContainerOptionsBuilder::default().v(true).build();
        let removed = self.api(operation)?.remove_container(&id, Some(options)).await;
        match removed.map_err(|error| failure::of(operation, &error)) {
            Err(error) if error.is_not_found() => Ok(()),
            Err(EngineError::Conflict { message, .. }) if message.contains("already in progress") => Ok(()),
            other => other,
        }
    }
}
