//! Alerts as senders spell them. Two fields are needed, some are known, any further one is kept as text. Everything is
//! hostile input: bounded here, and it chooses nothing but the container and whether trouble begins or ends. Pure.

mod body;
mod names;
mod over;
mod time;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::incident::{Aliases, IncidentSpec, JoinedAlert, Severity, Source};
use aegis_api::redact::{redact, tail};
use aegis_api::scalar::ResourceName;
use aegis_api::wire::incident_id;
use aegis_api::{ContainerName, Incident, Kind as _, Time, Workload};
use aegis_planning::covering::covering;
use serde_json::{Map, Value};

use crate::intake::report::{Report, State, is_made, made_id};
use crate::refusal::Fault;
use body::Body;

pub(crate) use body::{NOTED, read as read_value};
pub(crate) use names::{Known, Named, pairs};
pub(crate) use over::Over;

/// `spec.source.kind` of what comes in at `/webhook` itself.
pub(crate) const WEBHOOK: &str = "webhook";
/// Longest id, alert type and fingerprint, characters.
const ID: usize = 256;
/// Longest logs, characters; the end is kept.
const LOGS: usize = 16_384;
/// Longest logs that are kept of an alert that joins an incident, characters; the end is kept.
const JOINED_LOGS: usize = 2000;
/// Longest label that is kept of an alert that is inhibited, and most of all of them, bytes.
const HELD_LABEL: usize = 512;
const HELD_LABELS: usize = 4096;
/// Longest address of a page, characters.
const URL: usize = 2048;
/// Most further fields.
const LABELS: usize = 64;
/// Longest name of one, characters.
const LABEL_NAME: usize = 128;
/// Longest text of one, bytes.
const LABEL_TEXT: usize = 2048;
/// Of a longer one so much is looked through for secrets, bytes.
const LOOKED_THROUGH: usize = 4 * LABEL_TEXT;

/// An alert that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    pub(crate) incident_id: String,
    pub(crate) alert_type: String,
    pub(crate) logs: String,
    pub(crate) message: Message,
    pub(crate) severity: Severity,
    pub(crate) starts_at: Option<Time>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) url: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Where it came in, as `spec.source.kind` has it.
    pub(crate) source: String,
    /// When it ended, as the sender says: what began before that and comes later is late.
    pub(crate) ended: Ended,
}

/// What is known of the end of an alert before it was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    #[default]
    Unknown,
    /// It began before an end of it that is known already: it tells nothing new.
    Before,
}

/// What the sender has to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// There is trouble with this container.
    Fires(Named),
    /// The trouble is over: with this container, if one is named.
    Over { over: Over, named: Option<Named> },
}

impl Alert {
    /// Reads an alert. One that names no container is about `target`. Every fault names its field.
    pub(crate) fn read(body: &[u8], target: &str, known: Known<'_>, now: Time) -> Result<Self, Vec<Fault>> {
        let Body { mut fields, twice } = Body::read(body).map_err(|error| {
            vec![fault(
                "",
                "json_invalid",
                format!("the body must be a JSON object: {error}"),
            )]
        })?;
        let mut faults: Vec<Fault> = twice
            .iter()
            .filter(|path| decides(path))
            .map(|path| ambiguous(path))
            .collect();
        fields.retain(|_, value| !value.is_null());
        let over = over::read(&fields, now);
        let named = names::find(&fields, known, target);
        fields.remove("container_name");
        let incident_id = kept(id(&mut fields, "incident_id", true), &mut faults);
        let alert_type = kept(id(&mut fields, "alert_type", false), &mut faults);
        let message = match over {
            Some(over) => Some(Message::Over {
                over,
                named: named
                    .ok()
                    .filter(|named| named.naming.as_ref().is_none_or(|naming| !naming.by_default)),
            }),
            None => kept(named.map(Message::Fires), &mut faults),
        };
        let (Some(incident_id), Some(alert_type), Some(message), true) =
            (incident_id, alert_type, message, faults.is_empty())
        else {
            return Err(faults);
        };
        Ok(Self {
            incident_id,
            alert_type,
            message,
            logs: fields
                .remove("logs")
                .map(|logs| end(&redact(tail(&lines(&logs), LOGS)), LOGS))
                .unwrap_or_default(),
            severity: severity(&mut fields),
            starts_at: starts_at(&mut fields, now),
            fingerprint: taken(&mut fields, "fingerprint", ID),
            url: taken(&mut fields, "url", URL).unwrap_or_default(),
            labels: labels(&fields),
            source: WEBHOOK.to_owned(),
            ended: Ended::Unknown,
        })
    }

    /// What another sender reports, as one of ours. `source`: where it came in; `prefix`: what keeps its ids from being
    /// taken for another sender's.
    pub(crate) fn of(
        report: Report,
        source: &str,
        prefix: &str,
        target: &str,
        known: Known<'_>,
        now: Time,
    ) -> Result<Self, Vec<Fault>> {
        let bounded = |id: &str| {
            let whole = format!("{prefix}-{id}");
            if is_made(prefix, id) {
                id.to_owned()
            } else if whole.chars().count() <= ID {
                whole
            } else {
                made_id(prefix, &[id])
            }
        };
        let mut fields = Map::new();
        fields.extend(
            report
                .container
                .map(|name| ("container_name".to_owned(), name.into())),
        );
        fields.insert("labels".to_owned(), report.labels.into());
        fields.insert("annotations".to_owned(), report.annotations.into());
        let named = names::find(&fields, known, target);
        fields.remove("container_name");
        fields.extend(report.severity.map(|word| ("severity".to_owned(), word.into())));
        fields.extend(report.url.map(|url| ("url".to_owned(), url.into())));
        fields.insert("startsAt".to_owned(), report.starts_at);
        let starts_at = starts_at(&mut fields, now);
        fields.remove("startsAt");
        let message = match report.state {
            State::Resolved(said) => Message::Over {
                over: Over {
                    said,
                    at: time::read(&report.ends_at, now),
                },
                named: named
                    .ok()
                    .filter(|named| named.naming.as_ref().is_none_or(|naming| !naming.by_default)),
            },
            State::Firing | State::Noted(_) | State::Test => {
                Message::Fires(named.map_err(|fault| vec![fault])?)
            }
        };
        let alert_type: String = report.alert_type.trim().chars().take(ID).collect();
        Ok(Self {
            incident_id: bounded(report.id.trim()),
            alert_type,
            message,
            logs: end(&redact(tail(&report.logs, LOGS)), LOGS),
            severity: severity(&mut fields),
            starts_at,
            fingerprint: report.fingerprint.map(|text| bounded(text.trim())),
            url: taken(&mut fields, "url", URL).unwrap_or_default(),
            labels: labels(&fields),
            source: source.to_owned(),
            ended: Ended::Unknown,
        })
    }

    /// What alerts about the same trouble have in common.
    pub(crate) fn same(&self) -> &str {
        self.fingerprint.as_deref().unwrap_or(&self.incident_id)
    }

    /// What is kept of it on an incident that it joins.
    pub(crate) fn joined(&self) -> JoinedAlert {
        let excess = self.logs.chars().count().saturating_sub(JOINED_LOGS);
        JoinedAlert {
            incident_id: self.incident_id.clone(),
            fingerprint: self.same().to_owned(),
            alert_type: self.alert_type.clone(),
            severity: self.severity,
            logs: self.logs.chars().skip(excess).collect(),
            ..JoinedAlert::default()
        }
    }

    /// What is kept of it where it is inhibited: all that the incident shall have which it opens when it is released.
    pub(crate) fn held(&self, container: &ContainerName) -> JoinedAlert {
        let mut room = HELD_LABELS;
        let mut labels = self.labels.clone();
        labels.retain(|name, text| {
            let bytes = name.len() + text.len();
            let fits = bytes <= HELD_LABEL && bytes <= room;
            if fits {
                room -= bytes;
            }
            fits
        });
        JoinedAlert {
            inhibited: Some(container.clone()),
            source: self.source.clone(),
            labels,
            url: self.url.clone(),
            starts_at: self.starts_at,
            ..self.joined()
        }
    }

    /// What is kept of a repeat of it where it joined an incident before; `None` where the incident is its own.
    pub(crate) fn joined_before(&self, incident: &Incident) -> Option<JoinedAlert> {
        let source = &incident.spec.source;
        if incident_id(incident) == self.incident_id
            || source.fingerprint == self.same()
            || incident.is_finished()
        {
            return None;
        }
        let mut joined = source.joined.iter();
        match joined.find(|known| known.incident_id == self.incident_id) {
            Some(before) => {
                let inhibited = before.inhibited.as_ref();
                Some(inhibited.map_or_else(|| self.joined(), |container| self.held(container)))
            }
            // It is listed again.
            None => source.aliases.has(&self.incident_id).then(|| self.joined()),
        }
    }

    /// One that an incident listed as inhibited, and that outlives it.
    pub(crate) fn released(root: &Incident, joined: &JoinedAlert, container: ContainerName) -> Self {
        let mut labels = joined.labels.clone();
        labels.insert("silenced_by".to_owned(), root.name().to_owned());
        // An earlier version did not keep it.
        let source = match joined.source.as_str() {
            "" => WEBHOOK,
            known => known,
        };
        Self {
            incident_id: joined.incident_id.clone(),
            alert_type: joined.alert_type.clone(),
            logs: joined.logs.clone(),
            message: Message::Fires(Named {
                container,
                naming: None,
            }),
            severity: joined.severity,
            starts_at: joined.starts_at,
            fingerprint: Some(joined.fingerprint.clone()),
            url: joined.url.clone(),
            labels,
            source: source.to_owned(),
            ended: Ended::Unknown,
        }
    }

    /// Whether its end, which `over` reports, is none that was noted on an incident before, nor one of an earlier firing.
    pub(crate) fn is_unheard(&self, incident: &Incident, over: &Over) -> bool {
        let source = &incident.spec.source;
        let began = incident.spec.starts_at;
        if began.zip(over.at).is_some_and(|(began, ended)| ended < began) {
            return false;
        }
        if incident_id(incident) == self.incident_id || source.fingerprint == self.same() {
            return source.resolved_at.is_none();
        }
        let mut joined = source.joined.iter();
        joined.any(|known| {
            let is_it = known.incident_id == self.incident_id || known.fingerprint == self.same();
            is_it && known.resolved_at.is_none()
        })
    }

    /// Whether an incident lists it as inhibited.
    pub(crate) fn is_inhibited(&self, incident: &Incident) -> bool {
        let mut joined = incident.spec.source.joined.iter();
        joined.any(|known| known.incident_id == self.incident_id && known.inhibited.is_some())
    }

    /// The incident it opens, about the workload that covers its container. `previous`: what the same alert opened
    /// before.
    pub(crate) fn spec(
        &self,
        named: &Named,
        workloads: &[Arc<Workload>],
        previous: Option<ResourceName>,
    ) -> IncidentSpec {
        IncidentSpec {
            workload_ref: covering(workloads, named.container.as_str())
                .and_then(|workload| workload.name().parse().ok()),
            container_name: Some(named.container.clone()),
            alert_type: self.alert_type.clone(),
            severity: self.severity,
            logs: self.logs.clone(),
            source: Source {
                kind: self.source.clone(),
                fingerprint: self.same().to_owned(),
                incident_id: self.incident_id.clone(),
                labels: self.labels.clone(),
                url: self.url.clone(),
                naming: named.naming.clone(),
                resolved_at: None,
                previous,
                dependent: None,
                joined: Vec::new(),
                aliases: Aliases::default(),
            },
            starts_at: self.starts_at,
            count: 1,
            approval: None,
            override_: None,
        }
    }
}

/// Whether something that matters depends on this key, in the body of any sender.
pub(crate) fn names_something(path: &[String]) -> bool {
    const HOLDERS: &[&str] = &[
        "labels",
        "commonlabels",
        "grouplabels",
        "tags",
        "customdetails",
        "status",
        "eventaction",
        "eventtype",
    ];
    path.last().is_some_and(|last| {
        HOLDERS.contains(&key(last).as_str()) || names::decides(&["labels".to_owned(), last.clone()])
    })
}

/// Whether something that matters depends on this key.
fn decides(path: &[String]) -> bool {
    const OURS: &[&str] = &["incidentid", "alerttype", "fingerprint", "timestamp"];
    let ours = matches!(path, [name] if OURS.contains(&key(name).as_str()));
    ours || names::decides(path) || over::decides(path)
}

fn ambiguous(path: &[String]) -> Fault {
    let field: String = path
        .join(".")
        .chars()
        .filter(|c| !c.is_control())
        .take(LABEL_NAME)
        .collect();
    let message = format!("{field} is there twice with different values: send it once");
    Fault {
        field: Cow::Owned(field),
        ..fault("", "value_error", message)
    }
}

/// A field's name without case, separators and whatever else senders spell differently.
fn key(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn fault(field: &'static str, kind: &'static str, message: impl Into<String>) -> Fault {
    Fault {
        place: "body",
        field: Cow::Borrowed(field),
        kind,
        message: message.into(),
    }
}

fn kept<T>(result: Result<T, Fault>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

/// A text that must be there. An id that is too long is refused, since a cut one would be another's; a type is cut.
fn id(fields: &mut Map<String, Value>, name: &'static str, exact: bool) -> Result<String, Fault> {
    let value = fields
        .remove(name)
        .ok_or_else(|| fault(name, "missing", "Field required"))?;
    let text = scalar(&value).ok_or_else(|| fault(name, "string_type", "Input should be a valid string"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(fault(
            name,
            "string_too_short",
            "String should have at least 1 character",
        ));
    }
    if exact && text.chars().count() > ID {
        return Err(fault(
            name,
            "string_too_long",
            format!("String should have at most {ID} characters"),
        ));
    }
    Ok(text.chars().take(ID).collect())
}

/// The severity in our words; a sender's own word is kept beside it.
fn severity(fields: &mut Map<String, Value>) -> Severity {
    let Some(word) = fields.get("severity").and_then(scalar) else {
        return Severity::default();
    };
    let (severity, ours) = match word.trim().to_lowercase().as_str() {
        "critical" => (Severity::Critical, true),
        "warning" => (Severity::Warning, true),
        "info" => (Severity::Info, true),
        "crit" | "fatal" | "emergency" | "alert" | "high" | "error" | "page" | "p0" | "p1" | "sev0"
        | "sev1" => (Severity::Critical, false),
        "information" | "informational" | "notice" | "low" | "debug" | "ok" | "none" | "p4" | "p5"
        | "sev4" => (Severity::Info, false),
        _ => (Severity::Warning, false),
    };
    if ours {
        fields.remove("severity");
    }
    severity
}

/// When it began; what is no time stays a label.
fn starts_at(fields: &mut Map<String, Value>, now: Time) -> Option<Time> {
    let mut names = ["timestamp", "startsAt", "starts_at"].into_iter();
    let (name, time) = names.find_map(|name| Some((name, time::read(fields.get(name)?, now)?)))?;
    fields.remove(name);
    Some(time)
}

fn taken(fields: &mut Map<String, Value>, name: &str, longest: usize) -> Option<String> {
    let text = fields.get(name).and_then(scalar)?;
    let text: String = text.trim().chars().take(longest).collect();
    fields.remove(name);
    (!text.is_empty()).then_some(text)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Log lines, however they are sent.
fn lines(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(lines).collect::<Vec<_>>().join("\n"),
        other => scalar(other).unwrap_or_else(|| other.to_string()),
    }
}

/// The last characters of a text.
fn end(text: &str, longest: usize) -> String {
    let cut = text.chars().count().saturating_sub(longest);
    text.chars().skip(cut).collect()
}

/// The first bytes of a text, cut at a character.
fn beginning(text: &str, longest: usize) -> String {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    let cut = ends.take_while(|end| *end <= longest).last().unwrap_or_default();
    text.get(..cut).unwrap_or_default().to_owned()
}

/// Every further field as text; a field of a field by its path.
fn labels(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, value) in fields {
        flatten(name, value, &mut labels);
    }
    labels
}

fn flatten(name: &str, value: &Value, labels: &mut BTreeMap<String, String>) {
    if labels.len() >= LABELS {
        return;
    }
    if let Value::Object(inner) = value {
        for (part, value) in inner {
            flatten(&format!("{name}.{part}"), value, labels);
        }
        return;
    }
    let name: String = name.chars().take(LABEL_NAME).collect();
    let text = scalar(value).unwrap_or_else(|| value.to_string());
    // A few times what is kept is looked through: what is longer is cut before, not after.
    let text = without_secret(&name, &beginning(&text, LOOKED_THROUGH));
    labels.insert(name, beginning(&text, LABEL_TEXT));
}

/// The value of a field without its secrets. The name counts, too: what is called a password is one.
fn without_secret(name: &str, text: &str) -> String {
    let pair = redact(&format!("{name}={text}")).into_owned();
    pair.strip_prefix(&format!("{name}="))
        .map_or(pair.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn i11_secrets_are_gone_before_anything_is_stored() {
        let alert = read(&json!({
            "incident_id": "i", "alert_type": "x", "logs": "login with token=abc123secretvalue failed",
            "details": {"password": "hunter2hunter2", "message": "all is well"}
        }))
        .unwrap();
        assert!(!alert.logs.contains("abc123secretvalue"), "{}", alert.logs);
        assert!(
            alert.logs.contains("login with") && alert.logs.contains("failed"),
            "{}",
            alert.logs
        );
        assert!(
            !alert.labels["details.password"].contains("hunter2"),
            "{:?}",
            alert.labels
        );
        assert_eq!(alert.labels["details.message"], "all is well");
    }

    fn container(alert: &Alert) -> &str {
        match &alert.message {
            Message::Fires(named) => named.container.as_str(),
            Message::Over { .. } => panic!("it fires"),
        }
    }

    fn read(body: &Value) -> Result<Alert, Vec<String>> {
        let body = body.to_string();
        let known = Known {
            workloads: &[],
            containers: &[],
        };
        let now = "2026-02-01T00:00:00Z".parse().unwrap();
        Alert::read(body.as_bytes(), "target", known, now).map_err(|faults| {
            faults
                .iter()
                .map(|fault| format!("{} {}", fault.field, fault.kind))
                .collect()
        })
    }

    #[test]
    fn the_least_alert_is_about_the_target() {
        let alert = read(&json!({"incident_id": "i", "alert_type": "Memory Leak"})).unwrap();
        assert_eq!(container(&alert), "target");
        assert_eq!((alert.severity, alert.same()), (Severity::Warning, "i"));
        assert!(alert.labels.is_empty() && alert.starts_at.is_none());
    }

    #[test]
    fn known_fields_are_read_and_all_others_kept_as_text() {
        let alert = read(&json!({
            "incident_id": 7, "alert_type": "x", "logs": ["a", "b"], "container_name": "/web", "severity": "HIGH",
            "timestamp": "2026-01-31T12:00:00.5", "fingerprint": "f", "url": "http://x",
            "details": {"message": "m", "deep": {"n": 1.5}}, "tags": ["t", 1], "ok": true, "gone": null,
        }))
        .unwrap();
        assert_eq!(
            (alert.incident_id.as_str(), alert.logs.as_str(), container(&alert)),
            ("7", "a\nb", "web")
        );
        assert_eq!(
            (alert.severity, alert.same(), alert.url.as_str()),
            (Severity::Critical, "f", "http://x")
        );
        assert_eq!(alert.starts_at.unwrap().to_string(), "2026-01-31T12:00:00.5Z");
        let labels: Vec<String> = alert
            .labels
            .iter()
            .map(|(name, text)| format!("{name}={text}"))
            .collect();
        assert_eq!(
            labels.join(" "),
            "details.deep.n=1.5 details.message=m ok=true severity=HIGH tags=[\"t\",1]"
        );
    }

    #[test]
    fn faults_name_their_field() {
        assert_eq!(
            read(&json!({})).unwrap_err(),
            ["incident_id missing", "alert_type missing"]
        );
        let long = "x".repeat(300);
        let bad = json!({"incident_id": long, "alert_type": [], "container_name": "a b"});
        let faults = read(&bad).unwrap_err();
        assert_eq!(
            faults,
            [
                "incident_id string_too_long",
                "alert_type string_type",
                "container_name value_error"
            ]
        );
        assert_eq!(read(&json!([])).unwrap_err(), [" json_invalid"]);
    }

    #[test]
    fn everything_is_bounded() {
        let mut body =
            json!({"incident_id": "i", "alert_type": "é".repeat(500), "logs": "é".repeat(20_000) + "end"});
        for n in 0..200 {
            body[format!("f{n}")] = "é".repeat(5000).into();
        }
        let alert = read(&body).unwrap();
        assert_eq!(alert.alert_type.chars().count(), ID);
        assert!(alert.logs.chars().count() == LOGS && alert.logs.ends_with("end"));
        assert_eq!(alert.labels.len(), LABELS);
        assert!(alert.labels.values().all(|text| text.len() <= LABEL_TEXT));
    }

    #[test]
    fn what_is_no_start_stays_a_label() {
        let at = |fields: Value| {
            let mut body = json!({"incident_id": "i", "alert_type": "x"});
            body.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            let alert = read(&body).unwrap();
            let labels: Vec<String> = alert.labels.into_keys().collect();
            (alert.starts_at.map(|time| time.to_string()), labels.join(" "))
        };
        let noon = Some("2026-01-31T12:00:00Z".to_owned());
        assert_eq!(
            at(json!({"timestamp": "2026-01-31T12:00:00Z"})),
            (noon.clone(), String::new())
        );
        assert_eq!(
            at(json!({"timestamp": 0, "startsAt": 1_769_860_800})),
            (noon.clone(), "timestamp".to_owned())
        );
        assert_eq!(
            at(json!({"startsAt": "0001-01-01T00:00:00Z"})),
            (None, "startsAt".to_owned())
        );
        assert_eq!(
            at(json!({"timestamp": "2026-01-31", "startsAt": "Sat, 31 Jan 2026 12:00:00 GMT"})),
            (noon, "timestamp".to_owned())
        );
        assert_eq!(
            at(json!({"timestamp": "2099-01-01T00:00:00Z"})),
            (None, "timestamp".to_owned())
        );
    }
}
