//! What the spec says and a template of one's own does not read: it has no effect, which the condition `Ready` says. Pure.

use aegis_api::LoadBalancerSpec;
use aegis_api::load_balancer::{Algorithm, Backend, Protocol};

use super::syntax::mentions;

/// The fields that are set and have no effect, human-readable; `None` where all have one. `waits`: requests would wait for a
/// server. `stream`: the template of TCP backends, where there are any.
pub(crate) fn unread(
    spec: &LoadBalancerSpec,
    waits: bool,
    template: &str,
    stream: Option<&str>,
) -> Option<String> {
    let is_tcp = |backend: &&Backend| backend.protocol == Protocol::Tcp;
    let backend = |is_set: fn(&Backend) -> bool| {
        let mut backends = spec.backends.iter().filter(|backend| !is_tcp(backend));
        backends.any(is_set)
    };
    let is_weighted = |backend: &Backend| backend.weight != 1 || backend.slow_start.is_some();
    let is_balanced = spec.algorithm != Algorithm::default();
    let fields = [
        (waits, "holdRequests", "hold"),
        (
            backend(|backend| backend.protocol == Protocol::Grpc),
            "backends[].protocol: Grpc",
            "grpc",
        ),
        (spec.tls.is_some(), "tls", "tls"),
        (spec.ipv6, "ipv6", "ipv6"),
        (spec.max_body_mb.is_some(), "maxBodyMb", "max_body_mb"),
        (
            !spec.trusted_proxies().is_empty(),
            "trustedProxies",
            "trusted_proxies",
        ),
        (is_balanced && backend(|_| true), "algorithm", "algorithm"),
        (backend(is_weighted), "backends[].weight or slowStart", "weight"),
        (
            backend(|backend| backend.path.is_some()),
            "backends[].path",
            "path",
        ),
        (
            backend(|backend| !backend.buffering),
            "backends[].buffering",
            "buffering",
        ),
    ];
    let tcp: Vec<&Backend> = spec.backends.iter().filter(is_tcp).collect();
    let of_tcp = [
        (spec.ipv6, "ipv6", "ipv6"),
        // That of a URI is none of TCP's.
        (
            is_balanced && spec.algorithm != Algorithm::UriHash,
            "algorithm",
            "algorithm",
        ),
        (
            tcp.iter().any(|backend| is_weighted(backend)),
            "backends[].weight or slowStart",
            "weight",
        ),
        (
            tcp.iter().any(|backend| backend.idle_timeout.is_some()),
            "backends[].idleTimeout",
            "idle_timeout_secs",
        ),
    ];
    let missing = |fields: &[(bool, &str, &str)], template: &str| {
        let fields = fields.iter();
        let unread = fields.filter(|(is_set, _, value)| *is_set && !mentions(template, value));
        let unread: Vec<String> = unread
            .map(|(_, field, value)| format!("spec.{field} ({value})"))
            .collect();
        (!unread.is_empty()).then(|| unread.join(", "))
    };
    let all = [
        missing(&fields, template)
            .map(|fields| format!("the template does not use the value in brackets: {fields}")),
        stream.and_then(|stream| missing(&of_tcp, stream)).map(|fields| {
            format!("the template of TCP backends does not use the value in brackets: {fields}")
        }),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("without effect, for {}", all.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(fields: serde_json::Value, backend: serde_json::Value) -> LoadBalancerSpec {
        let mut spec = json!({"backends": [{"workload": "web", "port": 8000, "upstream": "web"}]});
        for (onto, from) in [(None, fields), (Some(0), backend)] {
            for (name, value) in from.as_object().unwrap() {
                match onto {
                    None => spec[name] = value.clone(),
                    Some(index) => spec["backends"][index][name] = value.clone(),
                }
            }
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_field_that_a_template_of_ones_own_does_not_know_is_named_and_the_built_in_one_knows_them_all() {
        const OWN: &str =
            "# hold grpc tls ipv6\nupstream {{ upstream.name }} { server {{ server.address }}; }";
        let built_in = include_str!("../../../../lb-templates/nginx-upstream.conf.tera");
        for (fields, backend, field) in [
            (json!({"holdRequests": "5s"}), json!({}), "spec.holdRequests"),
            (json!({}), json!({"protocol": "Grpc"}), "protocol: Grpc"),
            (
                json!({"tls": {"port": 443, "certificate": "/a", "key": "/b"}}),
                json!({}),
                "spec.tls",
            ),
            (json!({"ipv6": true}), json!({}), "spec.ipv6"),
            (json!({"maxBodyMb": 5}), json!({}), "spec.maxBodyMb"),
            (
                json!({"trustedProxies": ["10.0.0.1/32"]}),
                json!({}),
                "spec.trustedProxies",
            ),
            (json!({"algorithm": "LeastConn"}), json!({}), "spec.algorithm"),
            (json!({}), json!({"weight": 2}), "weight"),
            (json!({}), json!({"buffering": false}), "buffering"),
            (json!({}), json!({"path": "/x/"}), "path"),
        ] {
            let spec = spec(fields, backend);
            let waits = spec.hold_requests.is_some();
            let said = unread(&spec, waits, OWN, None).unwrap_or_default();
            assert!(said.contains(field), "{field}: {said}");
            assert_eq!(unread(&spec, waits, built_in, None), None, "{field}");
        }
        assert_eq!(unread(&spec(json!({}), json!({})), false, OWN, None), None);
    }

    #[test]
    fn what_is_of_tcp_is_judged_by_the_template_of_tcp() {
        const OWN: &str = "{{ streams.0.servers.0.address }}";
        let http = include_str!("../../../../lb-templates/nginx-upstream.conf.tera");
        let stream = include_str!("../../../../lb-templates/nginx-stream.conf.tera");
        let tcp = |fields: serde_json::Value| {
            let mut backend = json!({"protocol": "Tcp", "listenPort": 5432});
            for (name, value) in fields.as_object().unwrap() {
                backend[name] = value.clone();
            }
            backend
        };
        for (fields, backend, field) in [
            (json!({"ipv6": true}), json!({}), "spec.ipv6"),
            (json!({"algorithm": "LeastConn"}), json!({}), "spec.algorithm"),
            (json!({}), json!({"weight": 2}), "weight"),
            (
                json!({}),
                json!({"idleTimeout": "1h"}),
                "spec.backends[].idleTimeout",
            ),
        ] {
            let spec = spec(fields, tcp(backend));
            let said = unread(&spec, false, http, Some(OWN)).unwrap_or_default();
            assert!(
                said.contains("of TCP backends") && said.contains(field),
                "{field}: {said}"
            );
            assert_eq!(unread(&spec, false, http, Some(stream)), None, "{field}");
            // Of one's own for requests, it need not know what is of TCP.
            let said = unread(&spec, false, "{{ ipv6 }}", Some(stream));
            assert_eq!(said, None, "{field}");
        }
        let spec = spec(json!({"algorithm": "UriHash"}), tcp(json!({})));
        assert_eq!(unread(&spec, false, http, Some(OWN)), None);
    }
}
