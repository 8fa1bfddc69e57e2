//! TCP upstreams. nginx has them in a `stream` block beside `http`, so they are a file of their own, which goes live with the
//! other one and is proved by it: both are of one configuration, which nginx loads as a whole or not at all. Pure.
//!
//! Its first line says whose it is: nothing else is ever written over, and it stays where it was first written until nginx is
//! proved to have none of it.
//!
//! Where no server is left, nginx takes connections and closes them at once: a client learns of it without a timeout, and the
//! port stays nginx's own.

use std::time::Duration;

use aegis_api::load_balancer::{Algorithm, Protocol, is_same_path};
use aegis_api::{LoadBalancerSpec, LoadBalancerStatus};
use serde::Serialize;

use super::render::{NAME, RenderError, ServerValues, id, knows_unavailable, servers};
use super::validate::ValidatedLoadBalancer;

/// The file of a load balancer that has no TCP backend any more: nginx listens for nothing by it. As good as none.
pub const NONE: &str = "# Rendered by AegisOps: there is no TCP backend.\n";

/// The first line of the file of this load balancer, whatever its template.
fn header(balancer: &str) -> String {
    format!(
        "# TCP backends of LoadBalancer {balancer}, rendered by AegisOps; changes made here are overwritten.\n"
    )
}

/// Whether a file is this load balancer's to write over: its own, or one without a backend. An empty one is what a mount of one
/// file begins with.
pub fn is_ours(balancer: &str, file: &[u8]) -> bool {
    file.is_empty() || file == NONE.as_bytes() || is_listening(balancer, file)
}

/// Whether a file has TCP backends of this load balancer.
pub fn is_listening(balancer: &str, file: &[u8]) -> bool {
    file.starts_with(header(balancer).as_bytes())
}

/// Where the file is, or would be written.
pub fn path(spec: &LoadBalancerSpec, status: Option<&LoadBalancerStatus>) -> String {
    let written = status.and_then(|status| status.stream_config_path.clone());
    written.unwrap_or_else(|| spec.stream_config_path())
}

/// Why the file cannot be where the spec says: nginx would go on with the one that it has, of which nothing would be known.
pub(crate) fn moved(spec: &LoadBalancerSpec, before: &LoadBalancerStatus) -> Option<String> {
    let written = before.stream_config_path.as_ref()?;
    let wanted = spec.stream_config_path();
    (spec.has_tcp() && !is_same_path(written, &wanted)).then(|| {
        format!(
            "its TCP backends are in {written} of nginx, and spec.streamConfigPath is {wanted} now: set it to {written}, or take its \
             TCP backends away until nginx is without them"
        )
    })
}

/// nginx's own.
const IDLE: Duration = Duration::from_secs(600);
const BUILT_WITH: &str = "--with-stream";

/// What a template can use.
#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    id: String,
    ipv6: bool,
    algorithm: Algorithm,
    drain_timeout_secs: u64,
    streams: Vec<StreamValues<'a>>,
}

#[derive(Serialize)]
struct StreamValues<'a> {
    name: &'a str,
    port: u16,
    idle_timeout_secs: u64,
    /// It has no server: connections must be closed.
    unavailable: bool,
    servers: Vec<ServerValues<'a>>,
}

/// Whether an nginx that says this of itself (`nginx -V`) has the module, or can load it.
pub fn is_built_in(said: &str) -> bool {
    let mut words = said.split_whitespace();
    words.any(|word| {
        word.strip_prefix(BUILT_WITH)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Why nginx cannot have TCP upstreams. `built_in`: see [`is_built_in`]; where it is not known, nginx judges the file.
pub(crate) fn refused(spec: &LoadBalancerSpec, built_in: Option<bool>) -> Option<String> {
    let mut backends = spec.backends.iter();
    let index = backends.position(|backend| backend.protocol == Protocol::Tcp)?;
    (built_in == Some(false)).then(|| {
        format!("spec.backends[{index}].protocol is Tcp, which takes an nginx that was built {BUILT_WITH}")
    })
}

/// What people are advised where nginx refuses the block that its main configuration needs.
pub fn advice(said: &str) -> Option<&'static str> {
    said.contains("unknown directive \"stream\"").then_some(
        "this nginx has not loaded its stream module: install it (Debian: libnginx-mod-stream) and load it at the top of the main \
         configuration, such as with `load_module modules/ngx_stream_module.so;`",
    )
}

/// The file; `None` where there is none, and never was.
pub(super) fn render(
    balancer: &ValidatedLoadBalancer,
    template: Option<&str>,
) -> Result<Option<String>, RenderError> {
    let Some(template) = template else {
        let written = balancer.before.stream_config_path.as_ref();
        return Ok(written.map(|_| NONE.to_owned()));
    };
    let spec = &balancer.spec;
    let streams = balancer.upstreams.iter().filter_map(|upstream| {
        let backend = spec.first_of(&upstream.name)?;
        Some(StreamValues {
            name: &upstream.name,
            port: backend
                .listen_port
                .filter(|_| backend.protocol == Protocol::Tcp)?,
            idle_timeout_secs: backend
                .idle_timeout
                .map_or(IDLE, aegis_api::Duration::std)
                .as_secs(),
            unavailable: upstream.servers.is_empty(),
            servers: servers(upstream, knows_unavailable(template)),
        })
    });
    let values = Values {
        name: &balancer.name,
        id: id(&balancer.name),
        ipv6: spec.ipv6 || balancer.address.is_ipv6(),
        algorithm: balancer.algorithm,
        drain_timeout_secs: spec.drain_timeout.std().as_secs().max(1),
        streams: streams.collect(),
    };
    let context = tera::Context::from_serialize(&values).map_err(RenderError::Template)?;
    let templates = aegis_template::read(NAME, template).map_err(RenderError::Template)?;
    let rendered = templates.render(NAME, &context).map_err(RenderError::Template)?;
    Ok(Some(header(&balancer.name) + &rendered))
}
