//! Removes what a world made: its containers, those that its controllers made, its network. Nothing else, ever.
//!
//! Runs on a thread and a runtime of its own, since a world also ends while its test panics.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures::future::join_all;

use crate::world::World;

/// What a killed controller had asked the engine for may still come about: look until there was nothing for a while.
const ROUNDS: usize = 40;
const QUIET: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn remove(world: &str, network: &str, folder: &Path) {
    let mut labels = vec![format!("{}={world}", World::LABEL)];
    labels.extend(
        instances(folder)
            .into_iter()
            .map(|instance| format!("io.aegisops.instance={instance}")),
    );
    let thread = std::thread::scope(|scope| {
        let removal = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(remove_all(&labels, network)))
        });
        removal.join()
    });
    match thread {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("world {world} left something behind: {error:#}"),
        Err(_) => eprintln!("world {world} left something behind: its cleanup panicked"),
    }
}

/// Ids of the state directories in the world's folder.
fn instances(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join(".instance-id")).ok());
    ids.map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .collect()
}

async fn remove_all(labels: &[String], network: &str) -> anyhow::Result<()> {
    let docker = Docker::connect_with_defaults()?;
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let ids = containers(&docker, labels).await?;
        if ids.is_empty() {
            quiet += 1;
            if quiet == QUIET {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        quiet = 0;
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        join_all(
            ids.iter()
                .map(|id| docker.remove_container(id, Some(options.clone()))),
        )
        .await;
    }
    docker.remove_network(network).await?;
    Ok(())
}

async fn containers(docker: &Docker, labels: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for label in labels {
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        ids.extend(
            docker
                .list_containers(Some(options))
                .await?
                .into_iter()
                .filter_map(|row| row.id),
        );
    }
    Ok(ids)
}
