//! Upstreams and template to nginx's configuration and its revision. Pure.

use std::time::Duration;

use aegis_api::error::chain;
use aegis_api::load_balancer::{Protocol, Tls};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::connections;
use super::hold::Hold;
use super::http2::Http2;
use super::stream;
use super::syntax::mentions;
use super::validate::{Upstream, ValidatedLoadBalancer};

/// Bytes of the digest that is a revision.
const REVISION_BYTES: usize = 6;

/// Where no process listens: nginx answers 502 at once. What a template gets for an upstream without a server that does not
/// read `unavailable`: nginx would refuse its empty upstream, and go on serving addresses that may be somebody else's.
pub(crate) const NO_SERVER: &str = "127.0.0.1:1";

/// nginx's own.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A rendered configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// 12 hex characters over template and values.
    pub revision: String,
    /// The file.
    pub text: String,
    /// The file of TCP backends, which goes with it; `None` where there is none, and never was. See [`super::stream`].
    pub stream: Option<String>,
}

impl Rendered {
    /// This, in the place of another: nothing that came with the other stays.
    #[must_use]
    pub fn instead_of(&self, other: &Self) -> Self {
        let none = || other.stream.as_ref().map(|_| stream::NONE.to_owned());
        Self {
            stream: self.stream.clone().or_else(none),
            ..self.clone()
        }
    }

    /// The file of TCP backends, where there is any of these.
    pub fn listening(&self) -> Option<&str> {
        self.stream.as_deref().filter(|text| *text != stream::NONE)
    }
}

/// Why a template gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The values have no form for a template.
    #[error(transparent)]
    Values(#[from] serde_json::Error),
    /// What the template engine says with all its causes: it names the line in the innermost one, and draws it over several.
    #[error("{}", chain(.0).split_whitespace().collect::<Vec<_>>().join(" "))]
    Template(tera::Error),
}

/// What a template can use.
#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    /// 8 hex characters of the name: what nginx knows once in all its files is named with it, for several load balancers may
    /// share an nginx.
    id: String,
    port: u16,
    ipv6: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a Tls>,
    /// Networks of peers whose headers are passed on.
    trusted_proxies: Vec<&'a str>,
    /// Largest request body in MiB; absent where the application decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_body_mb: Option<u32>,
    algorithm: aegis_api::load_balancer::Algorithm,
    drain_timeout_secs: u64,
    upstreams: Vec<UpstreamValues<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
    revision_path: &'a str,
    /// Where nginx may offer its connections; absent where it must not.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_port: Option<u16>,
    status_path: &'a str,
    /// How long idle connections are kept over a reload; absent where nginx cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalive_min_timeout_secs: Option<u64>,
    /// Where nginx takes HTTP/2; null where no application speaks gRPC.
    http2: Option<Http2>,
    /// How requests wait for a server; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
}

#[derive(Serialize)]
struct UpstreamValues<'a> {
    name: &'a str,
    /// Where it is served; begins and ends with `/`.
    path: String,
    /// That path without its last `/`, where the application does not get to see it; else empty.
    stripped: String,
    read_timeout_secs: u64,
    buffering: bool,
    grpc: bool,
    /// Its requests wait for a server that is about to be back.
    held: bool,
    /// It has no server: its location must answer 503 by itself.
    unavailable: bool,
    servers: Vec<ServerValues<'a>>,
}

#[derive(Serialize)]
pub(super) struct ServerValues<'a> {
    address: &'a str,
    weight: u32,
    container: &'a str,
}

/// What a template is called in an error about it.
pub(super) const NAME: &str = "template";

/// Renders. `stream`: the file of TCP backends.
pub fn render(
    balancer: &ValidatedLoadBalancer,
    template: &str,
    stream: Option<String>,
) -> Result<Rendered, RenderError> {
    let mut values = Values {
        name: &balancer.name,
        id: id(&balancer.name),
        port: balancer.spec.port,
        ipv6: balancer.spec.ipv6 || balancer.address.is_ipv6(),
        tls: balancer.spec.tls.as_ref(),
        trusted_proxies: balancer.spec.trusted_proxies(),
        max_body_mb: balancer.spec.max_body_mb,
        algorithm: balancer.algorithm,
        drain_timeout_secs: balancer.spec.drain_timeout.std().as_secs().max(1),
        upstreams: balancer
            .upstreams
            .iter()
            .filter(|upstream| !upstream.tcp)
            .map(|upstream| values(balancer, upstream, template))
            .collect(),
        revision: None,
        revision_path: super::REVISION_PATH,
        status_port: balancer.offers_connections.then_some(connections::STATUS_PORT),
        status_path: connections::STATUS_PATH,
        keepalive_min_timeout_secs: balancer.keepalive_min,
        http2: balancer.http2,
        hold: balancer.hold,
    };
    let mut hash = Sha256::new();
    hash.update(template);
    hash.update(serde_json::to_vec(&values)?);
    let listening = stream.as_deref().filter(|text| *text != stream::NONE);
    hash.update(listening.unwrap_or_default());
    let digest = hex(&hash.finalize(), REVISION_BYTES);
    values.revision = Some(&digest);
    let context = tera::Context::from_serialize(&values).map_err(RenderError::Template)?;
    let templates = aegis_template::read(NAME, template).map_err(RenderError::Template)?;
    let text = templates.render(NAME, &context).map_err(RenderError::Template)?;
    Ok(Rendered {
        revision: digest,
        text,
        stream,
    })
}

/// Whether a text can be a revision: what any other site answers at that path, such as a page for all paths, cannot.
pub fn is_revision(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 2 * REVISION_BYTES && text.bytes().all(digit)
}

fn hex(digest: &[u8], bytes: usize) -> String {
    let bytes = digest.iter().take(bytes);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// See the value of this name.
pub(super) fn id(name: &str) -> String {
    hex(&Sha256::digest(name), 4)
}

fn values<'a>(
    balancer: &ValidatedLoadBalancer,
    upstream: &'a Upstream,
    template: &str,
) -> UpstreamValues<'a> {
    let mut backends = balancer.spec.backends.iter();
    let backend = backends.find(|backend| backend.upstream.as_str() == upstream.name);
    let path = balancer.spec.path_of(&upstream.name);
    let strips = backend.is_none_or(|backend| backend.strip_path) && path != "/";
    let read_timeout = backend.map_or(READ_TIMEOUT, |backend| backend.read_timeout.std());
    let grpc = backend.is_some_and(|backend| backend.protocol == Protocol::Grpc);
    UpstreamValues {
        name: &upstream.name,
        grpc,
        held: balancer.hold.is_some() && upstream.may_be_back && !grpc,
        stripped: match strips {
            true => path.trim_end_matches('/').to_owned(),
            false => String::new(),
        },
        path,
        read_timeout_secs: read_timeout.as_secs().max(1),
        buffering: backend.is_none_or(|backend| backend.buffering),
        unavailable: upstream.servers.is_empty(),
        servers: servers(upstream, knows_unavailable(template)),
    }
}

pub(super) fn servers(upstream: &Upstream, knows_unavailable: bool) -> Vec<ServerValues<'_>> {
    let servers = upstream.servers.iter().map(|server| ServerValues {
        address: &server.address,
        weight: server.weight,
        container: &server.container,
    });
    let no_server = ServerValues {
        address: NO_SERVER,
        weight: 1,
        container: "none",
    };
    let stand_in = (upstream.servers.is_empty() && !knows_unavailable).then_some(no_server);
    servers.chain(stand_in).collect()
}

/// Whether a template says what an upstream without a server answers. Its comments do not count: they may be copied.
pub(super) fn knows_unavailable(template: &str) -> bool {
    mentions(template, "unavailable")
}
