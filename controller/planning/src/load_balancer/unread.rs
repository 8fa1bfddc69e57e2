//! What the spec says and a template of one's own does not read: it has no effect, which the condition `Ready` says. Pure.

use aegis_api::LoadBalancerSpec;
use aegis_api::load_balancer::{Algorithm, Protocol};

use super::syntax::mentions;

/// The fields that are set and have no effect, human-readable; `None` where all have one. `waits`: requests would wait for a
/// server.
pub(crate) fn unread(spec: &LoadBalancerSpec, waits: bool, template: &str) -> Option<String> {
    let backend = |is_set: fn(&aegis_api::load_balancer::Backend) -> bool| {
        let mut backends = spec.backends.iter();
        backends.any(is_set)
    };
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
        (spec.algorithm != Algorithm::default(), "algorithm", "algorithm"),
        (
            backend(|backend| backend.weight != 1 || backend.slow_start.is_some()),
            "backends[].weight or slowStart",
            "weight",
        ),
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
    let unread: Vec<String> = fields
        .into_iter()
        .filter(|(is_set, _, value)| *is_set && !mentions(template, value))
        .map(|(_, field, value)| format!("spec.{field} ({value})"))
        .collect();
    (!unread.is_empty()).then(|| {
        let fields = unread.join(", ");
        format!("without effect, for the template does not use the value in brackets: {fields}")
    })
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
            let said = unread(&spec, waits, OWN).unwrap_or_default();
            assert!(said.contains(field), "{field}: {said}");
            assert_eq!(unread(&spec, waits, built_in), None, "{field}");
        }
        assert_eq!(unread(&spec(json!({}), json!({})), false, OWN), None);
    }
}
