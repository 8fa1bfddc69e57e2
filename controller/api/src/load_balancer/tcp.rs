//! TCP backends of a `LoadBalancer`: each has a port of its own, and all have a file of their own, which nginx includes in its
//! `stream` block. Pure.

use std::collections::BTreeSet;

use super::{Backend, LONGEST_READ, LoadBalancerSpec, Protocol, SHORTEST_READ, a_minute, is_same_path};
use crate::scalar::TemplateName;
use crate::validate::FieldError;

/// Port of nginx's count of its connections, inside its container: the port that is balanced is published, this one is not.
pub const STATUS_PORT: u16 = 28_079;
/// Port of the loopback, inside nginx's container, where held requests are tried. Load balancers that share an nginx share
/// it, by name.
pub const HOLD_PORT: u16 = 28_081;
/// Where files of TCP backends lie unless a spec says otherwise.
const STREAM_FOLDER: &str = "/etc/nginx/stream.d";
const STREAM_TEMPLATE: &str = "nginx-stream.conf.tera";

impl LoadBalancerSpec {
    /// Whether any of its backends is one of TCP.
    pub fn has_tcp(&self) -> bool {
        let mut backends = self.backends.iter();
        backends.any(|backend| backend.protocol == Protocol::Tcp)
    }

    /// Where the file of its TCP backends goes.
    pub fn stream_config_path(&self) -> String {
        match &self.stream_config_path {
            Some(path) => path.to_string(),
            None => {
                let config = self.config_path.as_str();
                let file = config.rsplit_once('/').map_or(config, |(_, file)| file);
                format!("{STREAM_FOLDER}/{file}")
            }
        }
    }

    /// The template of its TCP backends.
    pub fn stream_template(&self) -> &str {
        let said = self.stream_template.as_ref();
        said.map_or(STREAM_TEMPLATE, TemplateName::as_str)
    }

    /// Those of its TCP backends.
    pub fn tcp_ports(&self) -> Vec<(String, u16)> {
        let mut seen = BTreeSet::new();
        let backends = self.backends.iter().enumerate();
        let first = backends.filter(|(_, backend)| seen.insert(backend.upstream.as_str()));
        first
            .filter(|(_, backend)| backend.protocol == Protocol::Tcp)
            .filter_map(|(index, backend)| Some((listen_port_field(index), backend.listen_port?)))
            .collect()
    }
}

fn listen_port_field(backend: usize) -> String {
    format!("spec.backends[{backend}].listenPort")
}

/// What goes with TCP and with nothing else, and whose port it is.
pub(super) fn rules(
    spec: &LoadBalancerSpec,
    index: usize,
    backend: &Backend,
    path: &str,
    out: &mut Vec<FieldError>,
) {
    if backend.protocol != Protocol::Tcp {
        for (field, is_set) in [
            ("listenPort", backend.listen_port.is_some()),
            ("idleTimeout", backend.idle_timeout.is_some()),
        ] {
            if is_set {
                let why = "goes with protocol: Tcp; HTTP and gRPC share spec.port, at a path each";
                out.push(FieldError::forbidden(format!("{path}.{field}"), why));
            }
        }
        return;
    }
    for (field, is_set, why) in [
        (
            "path",
            backend.path.is_some(),
            "TCP has no paths: what is meant is said by listenPort",
        ),
        ("stripPath", !backend.strip_path, "TCP has no paths"),
        (
            "readTimeout",
            backend.read_timeout != a_minute(),
            "is for HTTP and gRPC: set idleTimeout",
        ),
        (
            "buffering",
            !backend.buffering,
            "is for HTTP: of TCP each piece is passed on at once",
        ),
    ] {
        if is_set {
            out.push(FieldError::forbidden(format!("{path}.{field}"), why));
        }
    }
    if let Some(idle) = backend.idle_timeout
        && !(SHORTEST_READ..=LONGEST_READ).contains(&idle.std())
    {
        let field = format!("{path}.idleTimeout");
        out.push(FieldError::invalid(field, idle, "must be from 1s to 1d"));
    }
    let field = format!("{path}.listenPort");
    let Some(port) = backend.listen_port else {
        let what = "the port that nginx listens on for this TCP backend";
        out.push(FieldError::required(field, what));
        return;
    };
    let own = listen_port_field(index);
    let ports = spec.ports();
    let mut earlier = ports.iter().take_while(|(field, _)| *field != own);
    let taken = earlier.find(|(_, other)| *other == port);
    let taken = taken.map(|(field, _)| format!("{field} says it: name another port"));
    let of_ours = [STATUS_PORT, HOLD_PORT].contains(&port);
    let of_ours =
        of_ours.then(|| "nginx's own port for its status or for held requests: name another one".to_owned());
    if let Some(why) = taken.or(of_ours) {
        out.push(FieldError::invalid(field, port, why));
    }
}

/// The file of TCP backends lies where nothing but a `stream` block includes it.
pub(super) fn path_rules(spec: &LoadBalancerSpec, path: &str, out: &mut Vec<FieldError>) {
    let stream = spec.stream_config_path();
    let is_written = spec.has_tcp() || spec.stream_config_path.is_some();
    let why = match () {
        () if !is_written => return,
        () if !stream.ends_with(".conf") => "must end in '.conf'",
        () if is_same_path(&stream, spec.main_config_path.as_str()) => {
            "must be another file than spec.mainConfigPath, which includes it"
        }
        () if spec.has_tcp() && is_same_path(folder(&stream), folder(spec.config_path.as_str())) => {
            "must lie in another folder than spec.configPath, which nginx includes in its http block"
        }
        () => return,
    };
    out.push(FieldError::invalid(
        format!("{path}.streamConfigPath"),
        &stream,
        why,
    ));
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{backend, complaints};
    use super::*;

    #[test]
    fn a_tcp_backend_has_a_port_of_its_own_and_nothing_of_http() {
        let tcp = |fields: Value| {
            let mut all = json!({"protocol": "Tcp", "listenPort": 5432});
            for (name, value) in fields.as_object().unwrap() {
                all[name] = value.clone();
            }
            backend("db", &all)
        };
        let web = backend("web", &json!({}));
        let at = |field: &str| Some(format!("spec.backends[1].{field}"));
        for (fields, field) in [
            (json!({}), None),
            (json!({"listenPort": null}), at("listenPort")),
            (json!({"listenPort": 80}), at("listenPort")),
            (json!({"listenPort": 443}), at("listenPort")),
            (json!({"listenPort": 28079}), at("listenPort")),
            (json!({"listenPort": 28081}), at("listenPort")),
            (json!({"idleTimeout": "1h"}), None),
            (json!({"idleTimeout": "2d"}), at("idleTimeout")),
            (json!({"path": "/db/"}), at("path")),
            (json!({"stripPath": false}), at("stripPath")),
            (json!({"readTimeout": "5m"}), at("readTimeout")),
            (json!({"buffering": false}), at("buffering")),
            (json!({"protocol": "Http"}), at("listenPort")),
            (json!({"protocol": "Grpc", "stripPath": false}), at("listenPort")),
        ] {
            let tls = json!({"tls": {"certificate": "/a", "key": "/b"}});
            let found = complaints(&tls, &json!([web, tcp(fields.clone())]));
            assert_eq!(found, field.into_iter().collect::<Vec<_>>(), "{fields}");
        }
        let mut same = tcp(json!({}));
        same["upstream"] = json!("cache");
        let found = complaints(&json!({}), &json!([web, tcp(json!({})), same]));
        assert_eq!(found, ["spec.backends[2].listenPort"]);
        let mut more = backend("db", &json!({"weight": 2}));
        more["workload"] = json!("db-2");
        let found = complaints(&json!({}), &json!([tcp(json!({})), more, web]));
        assert!(
            found.is_empty(),
            "it joins the upstream, and web answers /: {found:?}"
        );
    }

    #[test]
    fn the_file_of_tcp_backends_lies_where_http_does_not_include_it() {
        let db = json!([backend("db", &json!({"protocol": "Tcp", "listenPort": 5432}))]);
        let of = |fields: Value| complaints(&fields, &db);
        assert!(of(json!({})).is_empty());
        for path in [
            "/etc/nginx/conf.d/tcp.conf",
            "/etc/nginx//conf.d/./tcp.conf",
            "/etc/nginx/stream.d/tcp",
            "/etc/nginx//nginx.conf",
        ] {
            assert_eq!(
                of(json!({"streamConfigPath": path})),
                ["spec.streamConfigPath"],
                "{path}"
            );
        }
        let named = |fields: Value| complaints(&fields, &json!([backend("web", &json!({}))]));
        let http = named(json!({"configPath": "/etc/nginx/conf.d/front"}));
        assert!(!http.contains(&"spec.streamConfigPath".to_owned()), "{http:?}");
        assert_eq!(
            named(json!({"streamConfigPath": "/etc/nginx/stream.d/tcp"})),
            ["spec.streamConfigPath"]
        );
        let spec = json!({"backends": db, "configPath": "/srv/conf.d/front.conf"});
        let spec: LoadBalancerSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.stream_config_path(), "/etc/nginx/stream.d/front.conf");
        assert!(spec.stream_template().parse::<TemplateName>().is_ok());
    }
}
