//! Resources as tests apply them. Quick where people would be patient; otherwise as in `examples/`.

use serde_json::{Value, json};

const API_VERSION: &str = "aegisops.io/v1alpha1";

/// A Workload that adopts the container of its own name.
pub fn adopting(container: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "Workload", "metadata": {"name": container},
        "spec": {"container": container, "replicas": replicas, "health": health()},
    })
}

/// A Workload that runs a template of the patient's image, with these further fields of the template.
pub fn templated(name: &str, network: &str, replicas: u32, template: &Value) -> Value {
    let mut all = json!({
        "image": "aegisops/buggy-app:dev", "networks": [network], "ports": [8000], "stopGracePeriod": "5s",
        "env": {"CONTAINER_NAME": name, "AEGIS_WEBHOOK_URL": "http://127.0.0.1:9/webhook"},
    });
    merge(&mut all, template);
    json!({
        "apiVersion": API_VERSION, "kind": "Workload", "metadata": {"name": name},
        "spec": {"template": all, "replicas": replicas, "health": health()},
    })
}

/// A Workload whose replicas have so much CPU, and run the patient that lies beside the tests: its requests can be made to use
/// CPU time, `/?works_ms=5`.
pub fn working(name: &str, network: &str, replicas: u32, cpu_millis: u32) -> Value {
    let program = crate::binaries::binary("buggy-app");
    let template = json!({
        "entrypoint": ["/patient"], "resources": {"cpuMillis": cpu_millis},
        "volumes": [{"source": program, "target": "/patient", "readOnly": true}],
    });
    templated(name, network, replicas, &template)
}

/// A Workload that runs the application of strict clients (`tests/src/bin/echo.rs`), with these further fields of the template.
pub fn echoing(name: &str, network: &str, replicas: u32, template: &Value) -> Value {
    let program = crate::binaries::binary("echo");
    let mut all = json!({
        "image": NGINX_ON_SOURCE, "entrypoint": ["/echo"], "networks": [network], "ports": [8000], "stopGracePeriod": "5s",
        "volumes": [{"source": program, "target": "/echo", "readOnly": true}],
    });
    merge(&mut all, template);
    json!({
        "apiVersion": API_VERSION, "kind": "Workload", "metadata": {"name": name},
        "spec": {"template": all, "replicas": replicas, "health": health()},
    })
}

/// The image with the nginx that is made from source, and a shell, and no configuration of ours.
pub const NGINX_ON_SOURCE: &str = "aegisops/nginx-base:source";
/// The image with Debian's older one.
pub const NGINX_OF_DEBIAN: &str = "aegisops/nginx-base:debian";

/// A probe that finds out soon.
pub fn health() -> Value {
    json!({"http": {"path": "/health", "port": 8000}, "interval": "500ms", "timeout": "500ms"})
}

/// A LoadBalancer of its container's name in front of one workload.
pub fn balancing(container: &str, workload: &str) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "LoadBalancer", "metadata": {"name": container},
        "spec": {
            "container": container, "drainTimeout": "5s",
            "backends": [{"workload": workload, "port": 8000, "upstream": "buggy_app"}],
        },
    })
}

/// A LoadBalancer of its container's name in front of several upstreams of one workload each: the first one answers `/`,
/// the others `/<upstream>/`.
pub fn balancing_all(container: &str, upstreams: &[(String, &str)]) -> Value {
    let backend = |(upstream, workload): &(String, &str)| json!({"workload": workload, "port": 8000, "upstream": upstream});
    let backends: Vec<Value> = upstreams.iter().map(backend).collect();
    json!({
        "apiVersion": API_VERSION, "kind": "LoadBalancer", "metadata": {"name": container},
        "spec": {"container": container, "drainTimeout": "5s", "backends": backends},
    })
}

/// A policy for one workload that holds nothing up, with these further fields of its spec.
pub fn policy(workload: &str, spec: &Value) -> Value {
    let mut all = json!({
        "workloads": {"names": [workload]}, "mode": "Auto", "cooldown": "0ms", "actionsPerHour": 1000,
        "verification": {"successes": 1, "deadline": "30s"},
    });
    merge(&mut all, spec);
    json!({"apiVersion": API_VERSION, "kind": "RemediationPolicy", "metadata": {"name": workload}, "spec": all})
}

/// An Incident written manually, with these further fields of its spec.
pub fn incident(name: &str, workload: &str, spec: &Value) -> Value {
    let mut all = json!({"workloadRef": workload, "alertType": "health_check_failed"});
    merge(&mut all, spec);
    json!({"apiVersion": API_VERSION, "kind": "Incident", "metadata": {"name": name}, "spec": all})
}

/// An Incident whose action was ordered by a person.
pub fn ordered(name: &str, workload: &str, action: &str, count: u32) -> Value {
    let order = json!({"action": action, "replicaCount": count, "by": "a test"});
    incident(name, workload, &json!({"override": order}))
}

/// Puts the fields of one object over those of another, object by object; null changes nothing.
fn merge(onto: &mut Value, from: &Value) {
    match (onto, from) {
        (Value::Object(onto), Value::Object(from)) => {
            for (key, value) in from {
                merge(onto.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (onto, from) => from.clone_into(onto),
    }
}
