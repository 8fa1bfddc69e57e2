//! Upstreams and template to nginx's configuration and its revision. Pure.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::validate::ValidatedLoadBalancer;

/// A rendered configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    /// 12 hex characters over template and values.
    pub revision: String,
    /// The file.
    pub text: String,
}

/// What a template can use.
#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    port: u16,
    algorithm: aegis_api::load_balancer::Algorithm,
    drain_timeout_secs: u64,
    upstreams: Vec<UpstreamValues<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
    revision_path: &'a str,
}

#[derive(Serialize)]
struct UpstreamValues<'a> {
    name: &'a str,
    /// `/` for the first backend of the spec, `/<name>/` for the others.
    path: String,
    servers: Vec<ServerValues<'a>>,
}

#[derive(Serialize)]
struct ServerValues<'a> {
    address: &'a str,
    weight: u32,
    container: &'a str,
}

/// Renders; an error says what the template engine says, with the line.
pub(super) fn render(balancer: &ValidatedLoadBalancer) -> Result<Rendered, String> {
    let mut values = Values {
        name: &balancer.name,
        port: balancer.spec.port,
        algorithm: balancer.algorithm,
        drain_timeout_secs: balancer.spec.drain_timeout.std().as_secs().max(1),
        upstreams: balancer
            .upstreams
            .iter()
            .map(|upstream| UpstreamValues {
                name: &upstream.name,
                path: path(balancer, &upstream.name),
                servers: upstream
                    .servers
                    .iter()
                    .map(|server| ServerValues {
                        address: &server.address,
                        weight: server.weight,
                        container: &server.container,
                    })
                    .collect(),
            })
            .collect(),
        revision: None,
        revision_path: super::REVISION_PATH,
    };
    let mut hash = Sha256::new();
    hash.update(&balancer.template);
    hash.update(serde_json::to_vec(&values).map_err(|error| error.to_string())?);
    let digest: String = hash
        .finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    values.revision = Some(&digest);
    let context = tera::Context::from_serialize(&values).map_err(|error| chain(&error))?;
    let text = tera::Tera::one_off(&balancer.template, &context, false).map_err(|error| chain(&error))?;
    Ok(Rendered {
        revision: digest,
        text,
    })
}

fn path(balancer: &ValidatedLoadBalancer, upstream: &str) -> String {
    let first = balancer
        .spec
        .backends
        .first()
        .is_some_and(|backend| backend.upstream.as_str() == upstream);
    if first {
        "/".to_owned()
    } else {
        format!("/{upstream}/")
    }
}

/// An error with all its causes: tera names the line in the innermost one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
