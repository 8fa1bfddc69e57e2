//! The host that the tests of this folder share: what happens on it is theirs.

use std::time::Duration;

use aegis_docker_fake::{FakeEngine, FakeOptions};

use crate::Settings;
use crate::context::Context;
use crate::workload::WorkloadReconciler;

/// An engine in memory that takes no time, and the reconciler over it.
pub(super) struct Host {
    pub(super) engine: FakeEngine,
    pub(super) context: Context,
    pub(super) reconciler: WorkloadReconciler,
    _state: tempfile::TempDir,
}

impl Host {
    pub(super) async fn new() -> Self {
        let at_once = Duration::from_millis(1);
        let engine = FakeEngine::new(FakeOptions {
            create_takes: at_once,
            start_takes: at_once,
            stop_takes: at_once,
            remove_takes: at_once,
            ..FakeOptions::default()
        });
        let (context, state) = crate::context::tests::over(&engine, Settings::default()).await;
        Self {
            reconciler: WorkloadReconciler::new(context.clone()),
            engine,
            context,
            _state: state,
        }
    }
}
