//! What people are advised to do. Pure.

use aegis_api::observed::{COMPOSE_PROJECT, COMPOSE_SERVICE, ContainerDetails};

/// How its creator recreates a container.
pub(super) fn recreate(container: &ContainerDetails) -> String {
    let name = &container.name;
    match (
        container.label_name(COMPOSE_PROJECT),
        container.label_name(COMPOSE_SERVICE),
    ) {
        (Some(project), Some(service)) => {
            format!("recreate {name}, e.g. docker compose -p {project} up -d --force-recreate {service}")
        }
        _ => format!("recreate {name}: docker rm {name}, then docker run it again"),
    }
}

/// How a Swarm service replaces its tasks.
pub(super) fn update_service(service: Option<&str>) -> String {
    match service {
        Some(service) => format!("docker service update --force {service}"),
        None => "update its service with --force: docker service ls has its name".to_owned(),
    }
}
