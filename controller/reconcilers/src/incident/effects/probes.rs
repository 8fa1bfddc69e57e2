//! Asks every container of a workload at once whether it is well. Reads only.

use aegis_api::Workload;
use aegis_api::workload::Health;
use futures::future::join_all;

use crate::context::Context;
use crate::{addressing, probe};

/// Probes every container of the workload at once.
pub(in crate::incident) async fn ask_all(
    context: &Context,
    workload: &Workload,
) -> Vec<Result<String, String>> {
    let own = match addressing::own_networks(context).await {
        Ok(own) => own,
        Err(error) => return vec![Err(error.to_string())],
    };
    let rows = workload
        .status
        .as_ref()
        .map(|status| status.instances.as_slice())
        .unwrap_or_default();
    let own = &own;
    let asked = rows.iter().filter(|row| !row.draining).map(|row| async move {
        let health = workload.spec.probe();
        let questions = health.and_then(|health| {
            if let Some(known) = context.prober.questions(&row.id, row.started_at) {
                return Some((known, health.timeout.std()));
            }
            let addresses = row.addresses.iter();
            let addresses = addresses.filter_map(|(network, ip)| Some((network, ip.parse().ok()?)));
            let named = health.network.as_ref().map(AsRef::as_ref);
            let addresses = aegis_planning::addressing::candidates(addresses, own, named);
            let target = aegis_planning::probe::target(&row.id, row.started_at, &addresses, health)?;
            Some((target.questions, health.timeout.std()))
        });
        match questions {
            Some((questions, timeout)) => probe::ask(&*context.engine, &questions, timeout)
                .await
                .map_err(|error| format!("{}: {error}", row.name)),
            None if row.health == Health::Healthy => Ok(format!("{} is {}", row.name, row.state)),
            None => Err(format!(
                "{}: {}",
                row.name,
                row.message.as_deref().unwrap_or("not healthy")
            )),
        }
    });
    join_all(asked).await
}
