//! What people are advised to do. Pure.

use aegis_api::observed::ContainerDetails;

/// How its creator recreates a container.
pub(super) fn recreate(container: &ContainerDetails) -> String {
    let label = |key: &str| container.labels.get(key).filter(|value| !value.is_empty());
    let name = &container.name;
    match (
        label("com.docker.compose.project"),
        label("com.docker.compose.service"),
    ) {
        (Some(project), Some(service)) => {
            format!("recreate {name}, e.g. docker compose -p {project} up -d --force-recreate {service}")
        }
        _ => format!("recreate {name}: docker rm {name}, then docker run it again"),
    }
}
