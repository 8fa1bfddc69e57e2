//! Which networks this controller itself is on: those on which it reaches containers. Reads only.

use std::collections::BTreeSet;

use aegis_docker::{EngineResult, ListFilter};

use crate::context::Context;

/// The networks that this controller's own container is on; none where it runs in no container.
pub(crate) async fn own_networks(context: &Context) -> EngineResult<BTreeSet<String>> {
    let Some(own) = context.settings.own_container.as_deref() else {
        return Ok(BTreeSet::new());
    };
    let all = context.engine.list(ListFilter::default()).await?;
    let own = all.into_iter().filter(|row| row.id.starts_with(own));
    Ok(own.flat_map(|row| row.networks.into_keys()).collect())
}
