//! `LoadBalancer`: an nginx container whose upstreams follow Workloads. Pure.

mod tcp;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;
use crate::defaults::{Defaults, Fill, add};
use crate::ids::ContainerId;
use crate::scalar::{
    AbsolutePath, ContainerName, Duration, LocationPath, NetworkPrefix, ResourceName, TemplateName, Time,
    UpstreamName,
};
use crate::validate::{FieldError, Rules};
use crate::workload::Leaving;

pub use tcp::{HOLD_PORT, STATUS_PORT};

/// Desired state of a load balancer.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "LoadBalancer",
    plural = "loadbalancers",
    singular = "loadbalancer",
    shortname = "lb",
    category = "all",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "LoadBalancerStatus",
    printcolumn(name = "Container", type_ = "string", json_path = ".spec.container"),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".status.serverCount"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Template",
        type_ = "string",
        json_path = ".spec.template",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancerSpec {
    /// The running container whose first process is nginx.
    #[serde(default = "default_container")]
    pub container: ContainerName,
    /// File in the template folder that renders the configuration.
    #[serde(default = "default_template")]
    pub template: TemplateName,
    /// Where the rendered file goes; it must end in `.conf` and be one that nginx's main configuration includes.
    #[serde(default = "default_config_path")]
    pub config_path: AbsolutePath,
    /// File in the template folder that renders the configuration of TCP backends. Absent: `nginx-stream.conf.tera`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_template: Option<TemplateName>,
    /// Where the rendered file of TCP backends goes; it must end in `.conf` and be one that nginx's main configuration
    /// includes in its `stream` block. Absent: the name of `configPath`'s file in `/etc/nginx/stream.d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_config_path: Option<AbsolutePath>,
    /// nginx's main configuration, which the check of a new file starts from.
    #[serde(default = "default_main_config_path")]
    pub main_config_path: AbsolutePath,
    /// The port nginx listens on, inside its container.
    #[serde(default = "eighty")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What is balanced. Of backends that speak HTTP or gRPC the first answers `/`, further ones `/<upstream>/`.
    #[schemars(length(min = 1, max = 50))]
    pub backends: Vec<Backend>,
    /// How a server is chosen.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How long a server that leaves may take to finish its requests.
    #[serde(default = "ten_seconds")]
    pub drain_timeout: Duration,
    /// Peers that say truthfully how their clients reached them, such as what ends TLS in front: their `X-Forwarded-*` and
    /// `Forwarded` are passed on. Of all others these are set here, or taken out. Absent or empty: none. Where the engine
    /// shows every client as one of its own network (rootless Docker, a userland proxy), a network here is all clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub trusted_proxies: Option<Vec<NetworkPrefix>>,
    /// How long a request waits for a server that is about to be back, as while the only container restarts, 1s to 1m;
    /// after that it is answered 503 with `Retry-After`. One that a server may have begun to work on waits only if it can
    /// be repeated (GET, HEAD, OPTIONS, PUT, DELETE). Absent: no request waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_requests: Option<Duration>,
    /// Largest request body, MiB. Absent: the application decides, and gets the body as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_body_mb: Option<u32>,
    /// Listen on IPv6 beside IPv4.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ipv6: bool,
    /// Listen with TLS, too, on a port of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A listener with TLS. Its files lie in nginx's container, such as in a mounted folder, and are read at each reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The port, inside nginx's container.
    #[serde(default = "https")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// PEM file with the certificate and those that it was signed with.
    pub certificate: AbsolutePath,
    /// PEM file with its key.
    pub key: AbsolutePath,
}

/// One upstream: the ready containers of a Workload on one port. Of backends that share an upstream the first one says at
/// which path or port and how it is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// The Workload's name.
    pub workload: ResourceName,
    /// Container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The upstream's name in nginx. Backends that share one are balanced together, each server by its weight.
    pub upstream: UpstreamName,
    /// How many requests a server of this backend gets for each one that a server of weight 1 gets.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// Path below which it is served, such as `/api/`. Absent: `/` for the first upstream, `/<upstream>/` for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<LocationPath>,
    /// The application gets paths without that of this backend, which it is given as `X-Forwarded-Prefix`.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub strip_path: bool,
    /// How long the application may be silent within an answer or on a WebSocket, 1s to 1d.
    #[serde(default = "a_minute", skip_serializing_if = "is_a_minute")]
    pub read_timeout: Duration,
    /// nginx takes an answer as fast as it comes and passes it on as fast as the client reads. False: each piece is passed on
    /// at once, as server-sent events need it.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub buffering: bool,
    /// What the application speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
    /// The port that nginx listens on for this backend, inside its container: with `protocol: Tcp`, which requires it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub listen_port: Option<u16>,
    /// With `protocol: Tcp`: for how long neither side of a connection may send anything before nginx closes it, 1s to 1d.
    /// Absent: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Over how long a server that has become ready gets its share of requests, in four steps of one reload each, 4s to
    /// 1h. Absent: it has it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
}

/// What an application speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// HTTP/1.1, WebSocket included.
    #[default]
    Http,
    /// gRPC: HTTP/2 without TLS. nginx then takes HTTP/2 from clients, too: on the listener with TLS, and from 1.25.1 on
    /// without TLS.
    Grpc,
    /// Any protocol over TCP: nginx passes connections on as they are, from a port of their own.
    Tcp,
}

impl Protocol {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde requires"
    )]
    fn is_http(&self) -> bool {
        *self == Self::Http
    }
}

/// How nginx chooses a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest open requests.
    LeastConn,
    /// By client address.
    IpHash,
    /// By request URI, consistently. TCP has none: in turn.
    UriHash,
}

/// Observed state of a load balancer; only its reconciler writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Servers that the serving configuration holds.
    pub servers: Vec<Server>,
    /// Number of those.
    pub server_count: u32,
    /// Revision (hash) of the configuration that nginx was last proved to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// That configuration: the last good one, which is put back when a new one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What of it is in the file of TCP backends; absent where there is no such backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_config: Option<String>,
    /// Where the file of TCP backends is: noted before it is written for the first time, until nginx is proved to have none of
    /// them any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_config_path: Option<String>,
    /// The last reload and its proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<Reload>,
    /// Drains that are under way, one for each reload that took servers out, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<Drain>,
    /// How the last drains ended, newest last, at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<DrainReceipt>,
    /// Upstreams without a server: their locations answer 503 with `Retry-After`; connections of TCP ones are closed at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<Unavailable>,
    /// Ids of containers marked as draining that are the last of their upstream: kept as long as they run at that address.
    /// Their Workload may stop them all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<ContainerId>,
    /// Containers marked as draining that no configuration sends requests to any more, their drain included. Their
    /// Workload may stop them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
    /// `Ready`, `Degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One server line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Upstream it is in.
    pub upstream: String,
    /// Workload it belongs to.
    pub workload: String,
    /// Container name.
    pub container: String,
    /// Container id.
    pub id: ContainerId,
    /// `address:port` as nginx reaches it.
    pub address: String,
    /// Its share among the servers of its upstream.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
}

/// An upstream that no server is left in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unavailable {
    /// Upstream name.
    pub upstream: String,
    /// Since when.
    pub since: Time,
    /// What became of its servers, human-readable; names the containers.
    pub reason: String,
    /// It is one of TCP.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tcp: bool,
}

impl Unavailable {
    /// What its clients meet.
    pub fn answer(&self) -> &'static str {
        match self.tcp {
            true => "closes connections",
            false => "answers 503",
        }
    }
}

/// A container that nginx gives no more requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Container id.
    pub id: ContainerId,
    /// The `drainingSince` that it answers: one that comes back and leaves once more is released once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// One reload that nginx was proved to have carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// The revision that was loaded.
    pub revision: String,
    /// When nginx was sent the reload signal.
    pub at: Time,
    /// When nginx answered with this revision.
    pub proved_at: Time,
    /// What `nginx -t` said.
    pub check: String,
    /// Host names that other servers of this nginx answer on the same port, human-readable; as of the last change of more
    /// than servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed: Option<String>,
    /// nginx's `worker_shutdown_timeout`, after which connections that were open at a reload are cut, as its configuration
    /// says it; `0` where it does not; absent where that is not known. As of the last change of more than servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_timeout: Option<String>,
}

impl LoadBalancerStatus {
    /// Whether nginx sends requests to a Workload, or still waits for those it sent to one of its containers.
    pub fn uses(&self, workload: &str, ids: &std::collections::BTreeSet<&str>) -> bool {
        let drains = self.draining.iter().flat_map(|drain| &drain.ids);
        self.servers.iter().any(|server| server.workload == workload)
            || drains.into_iter().any(|id| ids.contains(id.as_str()))
    }
}

/// Servers that were taken out with one reload and may still answer requests that nginx gave them before. Whatever leaves
/// later has a drain of its own: no server's time starts over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Container names.
    pub containers: Vec<String>,
    /// Container ids.
    pub ids: Vec<ContainerId>,
    /// `address:port` of each of them in each upstream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Why they leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Leaving>,
    /// When nginx was proved to give them no new requests.
    pub since: Time,
    /// When they are let go, finished or not.
    pub deadline: Time,
    /// Process ids of the nginx workers that knew them: the drain is over when none of these is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<i64>,
}

/// How a drain ended: the proof that nothing was dropped, or what was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainReceipt {
    /// Container names.
    pub containers: Vec<String>,
    /// Container ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<ContainerId>,
    /// `address:port` of each of them in each upstream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Why they left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Leaving>,
    /// When nginx was proved to give them no new requests.
    pub started_at: Time,
    /// When they were let go.
    pub finished_at: Time,
    /// True: every request had ended. False: the deadline passed first.
    pub drained: bool,
    /// What nginx's own log reports of their last requests; absent until it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<DrainCounts>,
    /// Why nothing was counted, if nothing ever will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<String>,
}

/// The last requests of servers that left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainCounts {
    /// Requests they had when nginx was proved to serve without them, those included that a worker of the old
    /// configuration gave them before it had heard of that.
    pub in_flight: u32,
    /// Of those, ended before the servers were let go.
    pub drained: u32,
    /// Of those, still under way when the deadline let the servers go.
    pub forced: u32,
    /// Of those, answered to the client with 502 or 504.
    pub failed: u32,
}

impl Fill for LoadBalancerSpec {
    fn fill(spec: &mut Value, defaults: &Defaults) {
        if let Some(fields) = spec.as_object_mut() {
            add(fields, "container", &defaults.nginx_container);
            add(fields, "configPath", &defaults.nginx_config_path);
        }
    }
}

impl Rules for LoadBalancerSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if !self.config_path.as_str().ends_with(".conf") {
            out.push(FieldError::invalid(
                format!("{path}.configPath"),
                &self.config_path,
                "must end in '.conf'",
            ));
        }
        tcp::path_rules(self, path, out);
        for (index, backend) in self.backends.iter().enumerate() {
            let mut earlier = self.backends.iter().take(index);
            if earlier.any(|other| other.upstream == backend.upstream && other.workload == backend.workload) {
                out.push(FieldError::invalid(
                    format!("{path}.backends[{index}].workload"),
                    &backend.workload,
                    "an upstream can hold a workload once: name another workload or another upstream",
                ));
            }
            backend_rules(self, index, backend, path, out);
        }
        if let Some(held) = self.hold_requests
            && !(SHORTEST_HOLD..=LONGEST_HOLD).contains(&held.std())
        {
            out.push(FieldError::invalid(
                format!("{path}.holdRequests"),
                held,
                "must be from 1s to 1m; leave it out to hold none",
            ));
        }
        if let Some(tls) = &self.tls {
            tls_rules(tls, self.port, &format!("{path}.tls"), out);
        }
    }
}

/// What a backend says beside which workload it is.
fn backend_rules(
    spec: &LoadBalancerSpec,
    index: usize,
    backend: &Backend,
    path: &str,
    out: &mut Vec<FieldError>,
) {
    let path = format!("{path}.backends[{index}]");
    if !(SHORTEST_READ..=LONGEST_READ).contains(&backend.read_timeout.std()) {
        out.push(FieldError::invalid(
            format!("{path}.readTimeout"),
            backend.read_timeout,
            "must be from 1s to 1d",
        ));
    }
    protocol_rules(spec, backend, &path, out);
    let earlier = || spec.backends.iter().take(index);
    let Some(first) = earlier().find(|other| other.upstream == backend.upstream) else {
        tcp::rules(spec, index, backend, &path, out);
        let own = spec.path_of(backend.upstream.as_str());
        let mut at_paths = earlier().filter(|other| spec.protocol_of(&other.upstream) != Protocol::Tcp);
        let other = at_paths.find(|other| spec.path_of(other.upstream.as_str()) == own);
        if let Some(other) = other.filter(|_| backend.protocol != Protocol::Tcp) {
            out.push(FieldError::invalid(
                format!("{path}.path"),
                &own,
                format!(
                    "upstream {} is served there already: name another path",
                    other.upstream
                ),
            ));
        }
        let alike = |other: &&Backend| is_same_upstream(&other.upstream, &backend.upstream);
        if let Some(other) = earlier().find(alike) {
            out.push(FieldError::invalid(
                format!("{path}.upstream"),
                &backend.upstream,
                format!(
                    "nginx knows no case in names of upstreams, and there is {} already: name another one",
                    other.upstream
                ),
            ));
        }
        return;
    };
    let says = |backend: &Backend| {
        (
            backend.strip_path,
            backend.read_timeout,
            backend.buffering,
            backend.protocol,
            backend.listen_port,
            backend.idle_timeout,
        )
    };
    let is_new = backend.path.is_some() && backend.path != first.path;
    let as_default = says(backend) == (true, a_minute(), true, Protocol::Http, None, None);
    if is_new || !(as_default || says(backend) == says(first)) {
        out.push(FieldError::invalid(
            path,
            &backend.workload,
            format!(
                "the first backend of upstream {} says path, stripPath, readTimeout, buffering, protocol, listenPort and idleTimeout: say them there",
                backend.upstream
            ),
        ));
    }
}

/// What goes with gRPC, and where weights can be stepped.
fn protocol_rules(spec: &LoadBalancerSpec, backend: &Backend, path: &str, out: &mut Vec<FieldError>) {
    let own = spec.path_of(backend.upstream.as_str());
    if backend.protocol == Protocol::Grpc && backend.strip_path && own != "/" {
        out.push(FieldError::invalid(
            format!("{path}.stripPath"),
            backend.strip_path,
            format!("a gRPC service has its name in the path ({own}): set it to false"),
        ));
    }
    let Some(slow_start) = backend.slow_start else {
        return;
    };
    if !(SHORTEST_SLOW_START..=LONGEST_SLOW_START).contains(&slow_start.std()) {
        out.push(FieldError::invalid(
            format!("{path}.slowStart"),
            slow_start,
            "must be from 4s to 1h; leave it out for none",
        ));
    }
    if matches!(spec.algorithm, Algorithm::IpHash | Algorithm::UriHash) {
        out.push(FieldError::invalid(
            format!("{path}.slowStart"),
            slow_start,
            "goes with spec.algorithm RoundRobin and LeastConn: with the others each step would move clients between servers",
        ));
    }
}

/// Whether nginx takes two names of upstreams for one.
pub fn is_same_upstream(one: &UpstreamName, other: &UpstreamName) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// Whether two paths are written for the same file, links aside.
pub fn is_same_path(one: &str, other: &str) -> bool {
    let parts = |path| str::split(path, '/').filter(|part| !matches!(*part, "" | "."));
    parts(one).eq(parts(other))
}

fn tls_rules(tls: &Tls, port: u16, path: &str, out: &mut Vec<FieldError>) {
    if tls.port == port {
        out.push(FieldError::invalid(
            format!("{path}.port"),
            tls.port,
            "must be another one than spec.port, which is asked without TLS",
        ));
    }
    for (field, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@');
        if !file.as_str().chars().all(is_plain) {
            out.push(FieldError::invalid(
                format!("{path}.{field}"),
                file,
                "may have letters, digits, '/', '.', '_', '-', '+' and '@' alone",
            ));
        }
    }
}

impl LoadBalancerSpec {
    /// The path below which an upstream is served; begins and ends with `/`.
    pub fn path_of(&self, upstream: &str) -> String {
        let said = self.first_of(upstream).and_then(|backend| backend.path.as_ref());
        let mut backends = self.backends.iter();
        let first = backends.find(|backend| self.protocol_of(&backend.upstream) != Protocol::Tcp);
        match said {
            Some(path) => path.to_string(),
            None if first.is_some_and(|first| first.upstream.as_str() == upstream) => "/".to_owned(),
            None => format!("/{upstream}/"),
        }
    }

    /// The backend that says how an upstream is served.
    pub fn first_of(&self, upstream: &str) -> Option<&Backend> {
        let mut backends = self.backends.iter();
        backends.find(|backend| backend.upstream.as_str() == upstream)
    }

    /// What the applications of an upstream speak.
    pub fn protocol_of(&self, upstream: &UpstreamName) -> Protocol {
        let first = self.first_of(upstream.as_str());
        first.map_or(Protocol::Http, |backend| backend.protocol)
    }

    /// See the field of this name.
    pub fn trusted_proxies(&self) -> Vec<&str> {
        let networks = self.trusted_proxies.iter().flatten();
        networks.map(NetworkPrefix::as_str).collect()
    }

    /// The ports that its nginx listens on for it, each with the field that says so.
    pub fn ports(&self) -> Vec<(String, u16)> {
        let tls = self.tls.iter().map(|tls| ("spec.tls.port".to_owned(), tls.port));
        let http = std::iter::once(("spec.port".to_owned(), self.port));
        http.chain(tls).chain(self.tcp_ports()).collect()
    }
}

#[expect(
    clippy::expect_used,
    reason = "the literals are valid; a test constructs them"
)]
mod built_in {
    use super::{AbsolutePath, TemplateName};

    pub(super) fn default_template() -> TemplateName {
        "nginx-upstream.conf.tera".parse().expect("a template name")
    }
    pub(super) fn default_main_config_path() -> AbsolutePath {
        "/etc/nginx/nginx.conf".parse().expect("an absolute path")
    }
}
use built_in::{default_main_config_path, default_template};

fn default_container() -> ContainerName {
    Defaults::default().nginx_container
}
fn default_config_path() -> AbsolutePath {
    Defaults::default().nginx_config_path
}

const SHORTEST_HOLD: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST_HOLD: std::time::Duration = std::time::Duration::from_secs(60);
const SHORTEST_SLOW_START: std::time::Duration = std::time::Duration::from_secs(4);
const LONGEST_SLOW_START: std::time::Duration = std::time::Duration::from_secs(3600);
const SHORTEST_READ: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST_READ: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

const fn one() -> u32 {
    1
}
const fn https() -> u16 {
    443
}
const fn yes() -> bool {
    true
}
const fn a_minute() -> Duration {
    Duration::from_secs(60)
}
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_true(field: &bool) -> bool {
    *field
}
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_false(field: &bool) -> bool {
    !*field
}
fn is_a_minute(timeout: &Duration) -> bool {
    *timeout == a_minute()
}
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_one(weight: &u32) -> bool {
    *weight == 1
}
fn eighty() -> u16 {
    80
}
const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the rules say of a spec with these fields, by field.
    pub(super) fn complaints(fields: &Value, backends: &Value) -> Vec<String> {
        let mut spec = json!({"backends": backends});
        for (name, value) in fields.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let spec: LoadBalancerSpec = serde_json::from_value(spec).unwrap();
        let mut out = Vec::new();
        spec.rules("spec", &mut out);
        out.into_iter().map(|error| error.field).collect()
    }

    pub(super) fn backend(upstream: &str, fields: &Value) -> Value {
        let mut all = json!({"workload": format!("{upstream}-app"), "port": 80, "upstream": upstream});
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }

    #[test]
    fn an_upstream_is_served_at_one_path_and_a_path_serves_one_upstream() {
        let none = &json!({});
        let at = |path: &str| json!({"path": path});
        for (backends, field) in [
            (json!([backend("a", none), backend("b", none)]), None),
            (json!([backend("a", &at("/b/")), backend("b", &at("/"))]), None),
            (
                json!([backend("a", &at("/b/")), backend("b", none)]),
                Some("spec.backends[1].path"),
            ),
            (
                json!([backend("a", none), backend("b", &at("/"))]),
                Some("spec.backends[1].path"),
            ),
            (
                json!([backend("a", &json!({"readTimeout": "500ms"}))]),
                Some("spec.backends[0].readTimeout"),
            ),
            (
                json!([backend("a", &json!({"readTimeout": "25h"}))]),
                Some("spec.backends[0].readTimeout"),
            ),
        ] {
            let found = complaints(none, &backends);
            assert_eq!(found, field.into_iter().collect::<Vec<_>>(), "{backends}");
        }
        let mut second = backend("a", &json!({"buffering": false}));
        second["workload"] = json!("other");
        let found = complaints(none, &json!([backend("a", none), second]));
        assert_eq!(found, ["spec.backends[1]"]);
        let found = complaints(none, &json!([backend("a", &json!({"buffering": false})), second]));
        assert!(found.is_empty(), "the same as the first: {found:?}");
    }

    #[test]
    fn a_tls_listener_has_a_port_of_its_own_and_paths_that_are_nothing_else() {
        let backends = json!([backend("a", &json!({}))]);
        let tls =
            |port: u16, key: &str| json!({"tls": {"port": port, "certificate": "/certs/a.pem", "key": key}});
        assert!(complaints(&tls(443, "/certs/a.key"), &backends).is_empty());
        assert_eq!(complaints(&tls(80, "/certs/a.key"), &backends), ["spec.tls.port"]);
        for key in ["/certs/a;", "/certs/$x", "/c d", "/\"", "/{"] {
            assert_eq!(complaints(&tls(443, key), &backends), ["spec.tls.key"], "{key}");
        }
    }

    #[test]
    fn paths_and_networks_are_what_they_say() {
        for (text, is) in [
            ("/", true),
            ("/a/", true),
            ("/a.b/c-d_e~/", true),
            ("", false),
            ("a/", false),
            ("/a", false),
            ("//", false),
            ("/../", false),
            ("/a b/", false),
            ("/a;/", false),
            ("/{/", false),
        ] {
            assert_eq!(text.parse::<LocationPath>().is_ok(), is, "{text}");
        }
        for (text, is) in [
            ("10.0.0.0/8", true),
            ("10.0.0.7", true),
            ("fd00::/8", true),
            ("::1", true),
            ("10.0.0.0/33", false),
            ("fd00::/129", false),
            ("10.0.0/8", false),
            ("10.0.0.0/", false),
            ("10.0.0.0/+8", false),
            ("all", false),
        ] {
            assert_eq!(text.parse::<NetworkPrefix>().is_ok(), is, "{text}");
        }
    }
}
