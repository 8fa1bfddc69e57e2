//! The document of the wire contract's routes, as `/openapi.json` answers it. Pure.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::wire;

/// The document; `version` is the controller's.
pub fn rest_document(version: &str) -> Value {
    with_generator(version).0
}

/// The document, and the generator that knows the names of its schemas.
pub(super) fn with_generator(version: &str) -> (Value, SchemaGenerator) {
    let mut settings = SchemaSettings::openapi3();
    settings.meta_schema = None;
    let mut routes = Routes {
        generator: settings.into_generator(),
        paths: Map::new(),
    };
    routes.incidents();
    routes.host();
    routes.scaling();
    routes.knowledge();
    let Routes {
        mut generator,
        mut paths,
    } = routes;
    super::access::add(&mut paths, &mut generator);
    super::files::add(&mut paths, &mut generator);
    super::automation::add(&mut paths, &mut generator);
    super::notifications::add(&mut paths, &mut generator);
    super::plan::add(&mut paths, &mut generator);
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    let document = json!({
        "openapi": "3.0.3",
        "info": {
            "title": "AegisOps",
            "version": version,
            "description": "REST routes of the AegisOps controller. The resources behind them are served in the shape \
                            of the Kubernetes API under /apis/aegisops.io/v1alpha1; live frames come over /ws.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    });
    (document, generator)
}

struct Routes {
    generator: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Routes {
    fn incidents(&mut self) {
        let one = self.answer::<wire::IncidentResult>("The incident.");
        let many = self.answer::<Vec<wire::IncidentResult>>("Every incident, oldest first.");
        let post = json!({
            "summary": "Take an alert", "tags": ["incidents"], "requestBody": alert_body(),
            "responses": {"200": one, "401": error("No token, or a wrong one."), "413": error("Larger than 1 MiB."),
                "422": error("A field is missing or of the wrong type.")},
        });
        self.paths.insert("/webhook".to_owned(), json!({"post": post}));
        let source = json!({"name": "source", "in": "path", "required": true, "schema": {"type": "string"},
            "description": "aegisops, alertmanager, grafana, pagerduty, cloudevents, or the name of an AlertSource."});
        let taken = json!({"description": "What became of each alert; of PagerDuty's events 202 and their dedup_key.",
            "content": {"application/json": {"schema": {"type": "object"}}}});
        let post = json!({
            "summary": "Take alerts as their sender writes them", "tags": ["incidents"], "parameters": [source],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {}}}},
            "responses": {"200": taken, "400": error("Nothing in it can be read; it is kept."),
                "401": error("No token, or no proof of the source's sender."), "404": error("There is no such source."),
                "413": error("Larger than 1 MiB."), "503": error("It cannot be taken in now: to be sent again.")},
        });
        self.paths
            .insert("/webhook/{source}".to_owned(), json!({"post": post}));
        let tried = json!({"description": "What the body would become.",
            "content": {"application/json": {"schema": {"type": "object"}}}});
        let post = json!({
            "summary": "Say what a body of alerts would become, without taking it in", "tags": ["incidents"],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object",
                "required": ["body"], "properties": {
                    "source": {"type": "string", "description": "The name in /webhook/NAME; absent: /webhook."},
                    "spec": {"type": "object", "description": "The spec of an AlertSource that is not stored."},
                    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                    "body": {"type": "string", "format": "byte"}}}}}},
            "responses": {"200": tried, "400": error("The trial itself cannot be read."), "413": error("Larger than 1 MiB.")},
        });
        self.paths
            .insert("/intake/test".to_owned(), json!({"post": post}));
        let kept = json!({"description": "The newest first, at most 100.",
            "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}});
        let get = json!({"summary": "Bodies of alerts that could not be read", "tags": ["incidents"], "responses": {"200": kept}});
        self.paths
            .insert("/intake/unreadable".to_owned(), json!({"get": get}));
        self.get("/incidents", "List incidents", "incidents", &[], &many);
        let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
        self.get(
            "/incidents/{id}",
            "Get an incident by its id or resource name",
            "incidents",
            &[id],
            &one,
        );
        self.refuse("/incidents/{id}", "404", "There is no such incident.");
    }

    fn host(&mut self) {
        let answer = self.answer::<Vec<wire::ContainerRow>>("The containers of the host.");
        self.get("/containers", "List containers", "host", &[], &answer);
        let mut answer = self.answer::<Vec<wire::ContainerMetrics>>("The load of the running ones.");
        if let Some(Value::Object(content)) = answer.get_mut("content") {
            content.insert("text/plain".to_owned(), json!({"schema": {"type": "string"}}));
        }
        self.get(
            "/metrics",
            "Container metrics; Prometheus text where Accept requests it",
            "host",
            &[],
            &answer,
        );
        let answer = self.answer::<wire::MetricHistory>(
            "The samples, oldest first, a series a container: readings of the last quarter of an hour, and before them, where \
             it is requested, one sample a minute. Beyond 15 minutes an answer has at most 60,000 samples: whole containers \
             are left out then, and named in leftOut.",
        );
        let minutes = json!({"name": "minutes", "in": "query", "description": "How far back.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 1440, "default": 15}});
        let name = json!({"name": "name", "in": "query", "description": "Only this container; may be repeated.",
            "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 100}});
        self.get(
            "/metrics/history",
            "The load of the last minutes, up to a day",
            "host",
            &[minutes, name],
            &answer,
        );
        let answer = self.answer::<wire::HostMetrics>("What is in use of the host that the engine runs on.");
        self.get(
            "/metrics/host",
            "CPU, memory, load and disks of the host",
            "host",
            &[],
            &answer,
        );
        let answer = self.answer::<Vec<wire::BalancerMetrics>>(
            "The load balancers, by name. What the rates are of is said with each.",
        );
        let name = json!({"name": "name", "in": "query", "description": "Only this load balancer; may be repeated.",
            "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 100}});
        self.get(
            "/metrics/load-balancers",
            "Requests of each upstream and server, and nginx's connections",
            "host",
            &[name],
            &answer,
        );
        let answer = self.answer::<Vec<wire::WorkloadRequests>>(
            "The workloads that had requests within a quarter of an hour, by name.",
        );
        let summary = "Rate, errors and duration of the requests to each workload";
        self.get("/metrics/workloads", summary, "host", &[], &answer);
        let answer = self.answer::<wire::Topology>("What stands beside what, and why.");
        self.get("/topology", "Show the topology", "host", &[], &answer);
        let answer = self.answer::<wire::HealthAnswer>("The controller is up.");
        self.get("/health", "Say that the controller is up", "host", &[], &answer);
    }

    fn scaling(&mut self) {
        let body = self.generator.subschema_for::<wire::SimulationRequest>();
        let answer = self.answer::<wire::SimulationSummary>("What would have been decided.");
        let post = json!({
            "summary": "Say what autoscaling would have done on recorded signals", "tags": ["scaling"],
            "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
            "responses": {"200": answer, "400": error("The request, the spec to try or the trace cannot be used."),
                "404": error("There is no such workload."), "413": error("Larger than 8 MiB.")},
        });
        self.paths
            .insert("/autoscale/simulate".to_owned(), json!({"post": post}));
        let count = json!({"name": "count", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 2},
            "description": "Replicas beside the base."});
        let up = self.answer::<wire::ScaleEvent>("The replicas serve.");
        let down = self.answer::<wire::Removed>("The replicas are gone.");
        for (path, summary, parameters, answer) in [
            (
                "/scale/up",
                "Add replicas of the target container",
                vec![count],
                up,
            ),
            (
                "/scale/down",
                "Remove the replicas of the target container",
                vec![],
                down,
            ),
        ] {
            let post = json!({
                "summary": summary, "tags": ["scaling"], "parameters": parameters,
                "responses": {"200": answer, "404": error("No Workload covers the target container."),
                    "504": error("Not within a minute; says what is missing.")},
            });
            self.paths.insert(path.to_owned(), json!({"post": post}));
        }
    }

    fn knowledge(&mut self) {
        let answer = self.answer::<Vec<wire::DetectorView>>("Every detector, by name.");
        self.get(
            "/detectors",
            "List what the detectors read",
            "knowledge",
            &[],
            &answer,
        );
        let answer = self.answer::<wire::RunbookList>("Every entry, or a page of them.");
        let page = [
            json!({"name": "limit", "in": "query", "description": "Most entries of a page; all of them without it.",
                "schema": {"type": "integer", "minimum": 0}}),
            json!({"name": "continue", "in": "query", "description": "Where a page goes on, as the one before it says.",
                "schema": {"type": "string"}}),
        ];
        self.get("/runbook", "List the runbook", "knowledge", &page, &answer);
        let answer = self.answer::<wire::RagAnswer>("What is similar, best first.");
        let logs = json!({"name": "logs", "in": "query", "schema": {"type": "string"}});
        self.get(
            "/rag/test",
            "Ask retrieval what is similar to a text",
            "knowledge",
            &[logs],
            &answer,
        );
    }

    fn answer<T: JsonSchema>(&mut self, description: &str) -> Value {
        let schema = self.generator.subschema_for::<T>();
        json!({"description": description, "content": {"application/json": {"schema": schema}}})
    }

    fn get(&mut self, path: &str, summary: &str, tag: &str, parameters: &[Value], answer: &Value) {
        let get = json!({"summary": summary, "tags": [tag], "parameters": parameters, "responses": {"200": answer}});
        self.paths.insert(path.to_owned(), json!({"get": get}));
    }

    fn refuse(&mut self, path: &str, code: &str, description: &str) {
        let responses = self
            .paths
            .get_mut(path)
            .and_then(|path| path.pointer_mut("/get/responses"));
        if let Some(Value::Object(responses)) = responses {
            responses.insert(code.to_owned(), error(description));
        }
    }
}

/// The alert as senders may spell it: two fields, some that are known, and any more.
fn alert_body() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({"required": true, "content": {"application/json": {"schema": {
        "type": "object",
        "required": ["incident_id", "alert_type"],
        "properties": {
            "incident_id": text(
                "The same id again is the same incident while that is open and for a minute after its end; later it is a \
                 new one that names the earlier."
            ),
            "alert_type": text("What kind of alert."),
            "logs": text("Log lines; the last 16,384 characters are kept."),
            "container_name": text(
                "The container it is about. Without it the name is read from container, labels.container, labels.name, \
                 service, instance and the like; where nothing names one, it is about the target container."
            ),
            "status": text("resolved, ok, recovered, …: the trouble is over, and no incident is opened."),
            "severity": text("critical, high, warning, info, …"),
            "timestamp": text("When it began: RFC 3339, or unix seconds."),
            "fingerprint": text("Alerts with the same fingerprint are the same trouble while it is open."),
            "url": text("Where a person can read more."),
        },
        "additionalProperties": true,
    }}}})
}

fn error(description: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Error"});
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn error_schema() -> Value {
    json!({"type": "object", "required": ["detail"], "properties": {"detail": {
        "description": "What is wrong; a list of {loc, msg, type} where fields of the request are.",
    }}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, out)),
            _ => {}
        }
    }

    #[test]
    fn every_route_of_the_contract_is_there_and_every_reference_leads_somewhere() {
        let document = rest_document("1.2.3");
        for path in [
            "/webhook",
            "/webhook/{source}",
            "/intake/test",
            "/intake/unreadable",
            "/incidents",
            "/incidents/{id}",
            "/containers",
            "/metrics",
            "/metrics/history",
            "/metrics/host",
            "/metrics/load-balancers",
            "/metrics/workloads",
            "/autoscale/simulate",
            "/scale/up",
            "/scale/down",
            "/health",
            "/topology",
            "/detectors",
            "/runbook",
            "/rag/test",
            "/auth/session",
            "/auth/login",
            "/auth/logout",
            "/auth/once",
            "/auth/tokens",
            "/auth/tokens/{name}",
            "/auth/tokens/{name}/rotate",
            "/audit",
            "/files",
            "/files/confirm",
            "/automation",
            "/automation/pause",
            "/automation/resume",
        ] {
            assert!(document["paths"][path].is_object(), "{path}");
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            assert!(
                document.pointer(reference.trim_start_matches('#')).is_some(),
                "{reference}"
            );
        }
        assert_eq!(
            document["components"]["schemas"]["IncidentResult"]["properties"]["error"]["nullable"],
            true
        );
    }
}
