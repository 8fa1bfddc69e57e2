//! Which container an alert is about: read wherever senders put the name, however they spell the key. The field of
//! the highest precedence decides, also when no container has the name; the default target stands in only where nothing
//! in the body names anything. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use aegis_api::incident::Naming;
use aegis_api::wire::ContainerRow;
use aegis_api::{ContainerName, Kind as _, Workload};
use aegis_planning::covering::covering;
use serde_json::{Map, Value};

use super::{key, scalar};
use crate::refusal::Fault;

/// Objects in which senders put labels and further fields.
const HOLDERS: &[&str] = &[
    "labels",
    "commonlabels",
    "grouplabels",
    "tags",
    "dimensions",
    "attributes",
    "annotations",
    "details",
    "detail",
    "customdetails",
    "data",
    "payload",
    "metadata",
    "context",
    "properties",
    "fields",
    "alert",
    "incident",
    "event",
    "docker",
    "extra",
];
/// Of these the ones that hold labels: there, `name` is a container's, as cAdvisor has it.
const LABELS: &[&str] = &["labels", "commonlabels", "grouplabels", "tags", "dimensions"];
/// How deep holders are looked into.
const DEEP: usize = 3;
/// What a `target` or `resource` often is instead of a container.
const MEASURES: &[&str] = &[
    "cpu",
    "memory",
    "mem",
    "ram",
    "disk",
    "filesystem",
    "storage",
    "swap",
    "io",
    "network",
    "gpu",
    "load",
    "latency",
];
/// Shortest prefix of a container's id that counts as one, characters.
const ID: usize = 12;
/// Most names that are reported beside the one that decided.
const OTHERS: usize = 4;
/// Longest field and text that are reported, characters.
const SHOWN: usize = 80;

/// Which field decides where several name something, the highest precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    /// The field of the contract.
    Contract,
    /// A field that says container.
    Container,
    /// A container's id.
    Id,
    /// The labels of Compose.
    Compose,
    /// The label `name`.
    Name,
    /// The cgroup of a container, as cAdvisor's label `id` has it.
    Cgroup,
    /// A service.
    Service,
    /// Where it is asked, as host and port or URL: of an exporter, where it has labels of higher precedence.
    Instance,
    Target,
    Resource,
    /// A host with a port.
    Host,
    /// A name of anything: counts only where somebody has it.
    Hint,
}

/// What the host is known to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) workloads: &'a [Arc<Workload>],
    pub(crate) containers: &'a [ContainerRow],
}

impl<'a> Known<'a> {
    /// What a name stands for: the Workload that covers it, else the container itself.
    fn identity(self, name: &str) -> String {
        match covering(self.workloads, name) {
            Some(workload) => format!("workload/{}", workload.name()),
            None => format!("container/{name}"),
        }
    }

    fn has(self, name: &str) -> bool {
        self.containers.iter().any(|row| row.name == name) || covering(self.workloads, name).is_some()
    }

    fn by_id(self, id: &str) -> Option<&'a str> {
        let is_id = id.len() >= ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let short = id.get(..ID).filter(|_| is_id)?.to_lowercase();
        self.containers
            .iter()
            .find(|row| row.id.starts_with(&short))
            .map(|row| row.name.as_str())
    }

    fn by_address(self, address: &str) -> Option<&'a str> {
        let statuses = self
            .workloads
            .iter()
            .filter_map(|workload| workload.status.as_ref());
        let mut instances = statuses.flat_map(|status| &status.instances);
        let found = instances.find(|row| row.addresses.values().any(|own| own == address));
        found.map(|row| row.name.as_str())
    }

    /// Whether two names stand for the same.
    pub(crate) fn same(self, one: &str, other: &str) -> bool {
        one == other || self.identity(one) == self.identity(other)
    }
}

/// The container of an alert, and how that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) container: ContainerName,
    /// Absent where the field of the contract named it and nothing else says otherwise.
    pub(crate) naming: Option<Naming>,
}

/// Whether a key decides, in the top object or in one of the holders.
pub(super) fn decides(path: &[String]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let holds = |name: &String| HOLDERS.contains(&key(name).as_str());
    let inside = |name: &String| holds(name) || key(name).starts_with("container");
    let last = key(last);
    above.iter().all(inside)
        && (precedence(&last, true).is_some() || compose(&last).is_some() || HOLDERS.contains(&last.as_str()))
}

/// Which container the fields of an alert name. An alert that names none is about `target`.
pub(super) fn find(fields: &Map<String, Value>, known: Known<'_>, target: &str) -> Result<Named, Fault> {
    if let Some(value) = fields.get("container_name")
        && !value.is_null()
        && scalar(value).is_none()
    {
        return Err(fault(
            "container_name",
            "string_type",
            "Input should be a valid string",
        ));
    }
    let mut said = Vec::new();
    gather(fields, "", None, &mut said);
    let named = said
        .iter()
        .map(|one| one.precedence)
        .filter(|precedence| *precedence != Precedence::Hint)
        .min();
    let decisive: Vec<&Said> = match named {
        Some(precedence) => said.iter().filter(|one| one.precedence == precedence).collect(),
        None => said.iter().filter(|one| known.has(one.name(known))).collect(),
    };
    let Some(first) = decisive.first() else {
        return by_default(target);
    };
    let differs = |one: &&Said| !known.same(one.name(known), first.name(known));
    if let Some(other) = decisive.iter().find(|one| differs(one)) {
        let message = format!(
            "{} and {}: which of them is it about? Say it in container_name",
            first.quoted(known),
            other.quoted(known)
        );
        return Err(fault(&first.field, "value_error", message));
    }
    let container = first.container(known)?;
    let others = said
        .iter()
        .filter(|one| one.precedence != Precedence::Hint && Some(one.precedence) != named);
    let mut others: Vec<String> = others.filter(differs).map(|one| one.quoted(known)).collect();
    others.truncate(OTHERS);
    let plain = first.precedence == Precedence::Contract && others.is_empty();
    let naming = (!plain).then(|| Naming {
        by_default: false,
        field: first.field.clone(),
        others,
    });
    Ok(Named { container, naming })
}

/// The alert says nothing of a container: it is about the default.
fn by_default(target: &str) -> Result<Named, Fault> {
    let container = target.parse().map_err(|error| {
        fault(
            "container_name",
            "value_error",
            format!("the alert names no container, and the default is none: {error}"),
        )
    })?;
    let naming = Naming {
        by_default: true,
        ..Naming::default()
    };
    Ok(Named {
        container,
        naming: Some(naming),
    })
}

fn fault(field: &str, kind: &'static str, message: impl Into<String>) -> Fault {
    Fault {
        place: "body",
        field: Cow::Owned(field.to_owned()),
        kind,
        message: message.into(),
    }
}

/// What one field says.
#[derive(Debug)]
struct Said {
    precedence: Precedence,
    /// Its path.
    field: String,
    /// The names it may mean: the first that is known, else the first.
    names: Vec<String>,
}

impl Said {
    fn name<'a>(&'a self, known: Known<'a>) -> &'a str {
        let first = self.names.first().map(String::as_str).unwrap_or_default();
        if self.names.len() == 1 && known.has(first) {
            return first;
        }
        let elsewhere = known.by_id(first).or_else(|| known.by_address(first));
        let mut names = self.names.iter().map(String::as_str);
        elsewhere
            .or_else(|| names.find(|name| known.has(name)))
            .unwrap_or(first)
    }

    /// The container of that name.
    fn container(&self, known: Known<'_>) -> Result<ContainerName, Fault> {
        self.name(known).parse().map_err(|error| {
            let hint = if self.precedence == Precedence::Contract {
                ""
            } else {
                "; name the container in container_name"
            };
            fault(&self.field, "value_error", format!("{error}{hint}"))
        })
    }

    /// For display. A text that is no name is the sender's own: bounded, and quoted with its control characters
    /// escaped.
    fn quoted(&self, known: Known<'_>) -> String {
        let name = self.name(known);
        if name.parse::<ContainerName>().is_ok() {
            return format!("{} says {name}", self.field)
                .chars()
                .take(2 * SHOWN)
                .collect();
        }
        let text: String = name.chars().take(SHOWN).collect();
        format!("{} says {text:?}", self.field)
    }
}

/// The precedence of a field of this name.
fn precedence(key: &str, in_labels: bool) -> Option<Precedence> {
    Some(match key {
        "container"
        | "containers"
        | "containername"
        | "containernames"
        | "k8scontainername"
        | "dockercontainer"
        | "dockercontainername"
        | "workload"
        | "workloadname"
        | "workloadref" => Precedence::Container,
        "containerid" | "dockercontainerid" | "dockerid" => Precedence::Id,
        "name" if in_labels => Precedence::Name,
        "id" if in_labels => Precedence::Cgroup,
        "service"
        | "servicename"
        | "dockerservice"
        | "comdockerswarmservicename"
        | "containerlabelcomdockerswarmservicename" => Precedence::Service,
        "instance" => Precedence::Instance,
        "target" | "targetname" => Precedence::Target,
        "resource" | "resourcename" => Precedence::Resource,
        "host" | "hostname" => Precedence::Host,
        "name" | "app" | "application" | "component" | "entity" | "server" => Precedence::Hint,
        _ => return None,
    })
}

/// What of Compose's a field is, if it is one.
fn compose(key: &str) -> Option<&'static str> {
    let ours = ["composeproject", "composeservice", "composecontainernumber"];
    ours.into_iter().find(|name| key.ends_with(name))
}

/// Collects what the fields say. `holder`: the object that they are in.
fn gather(fields: &Map<String, Value>, path: &str, holder: Option<(usize, &str)>, out: &mut Vec<Said>) {
    let (depth, within) = holder.unwrap_or_default();
    let with_project = gather_compose(fields, path, out);
    for (name, value) in fields {
        let key = key(name);
        let field = below(path, name);
        if with_project && key == "service" {
            continue;
        }
        if let Some(precedence) = precedence(&key, LABELS.contains(&within)) {
            let precedence = if holder.is_none() && key == "containername" {
                Precedence::Contract
            } else {
                precedence
            };
            for text in texts(precedence, value) {
                out.extend(said(precedence, &field, &text));
            }
        }
        if depth < DEEP && HOLDERS.contains(&key.as_str()) {
            match value {
                Value::Object(inner) => gather(inner, &field, Some((depth + 1, &key)), out),
                Value::Array(items) => gather(&pairs(items), &field, Some((depth + 1, &key)), out),
                Value::String(text) if LABELS.contains(&key.as_str()) => {
                    let items: Vec<Value> = text.split(',').map(Value::from).collect();
                    gather(&pairs(&items), &field, Some((depth + 1, &key)), out);
                }
                _ => {}
            }
        }
    }
}

/// The path of a field, of which nothing stays that a terminal could mistake.
fn below(path: &str, name: &str) -> String {
    let plain = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    let name: String = plain.take(SHOWN).collect();
    let path = if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    };
    path.chars().take(128).collect()
}

/// What Compose's labels say, and a project with a service: the names that Compose gives its containers. Answers whether
/// `service` is taken thereby.
fn gather_compose(fields: &Map<String, Value>, path: &str, out: &mut Vec<Said>) -> bool {
    let find = |wanted: &str| {
        let mut entries = fields.iter();
        let (name, value) = entries.find(|(name, _)| compose(&key(name)) == Some(wanted))?;
        Some((below(path, name), scalar(value)?.trim().to_owned())).filter(|(_, text)| !text.is_empty())
    };
    let text = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| key(name) == wanted)?;
        found.1.as_str().map(str::trim).filter(|text| !text.is_empty())
    };
    let number = find("composecontainernumber").map_or_else(|| "1".to_owned(), |(_, number)| number);
    let names = |project: &str, service: &str| {
        [
            format!("{project}-{service}-{number}"),
            format!("{project}_{service}_{number}"),
        ]
    };
    if let Some((field, service)) = find("composeservice") {
        let project = find("composeproject").map(|(_, project)| project);
        let mut all: Vec<String> = project
            .iter()
            .flat_map(|project| names(project, &service))
            .collect();
        all.push(service);
        out.push(Said {
            precedence: Precedence::Compose,
            field,
            names: all,
        });
    } else if let (Some(project), Some(service)) = (text("project"), text("service")) {
        out.push(Said {
            precedence: Precedence::Service,
            field: below(path, "service"),
            names: std::iter::once(service.to_owned())
                .chain(names(project, service))
                .collect(),
        });
        return true;
    }
    false
}

/// The texts of a field that names something.
fn texts(precedence: Precedence, value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) if precedence <= Precedence::Id => vec![number.to_string()],
        Value::Bool(truth) if precedence == Precedence::Contract => vec![truth.to_string()],
        Value::Object(fields) if precedence <= Precedence::Resource => {
            let inner = fields.iter().find(|(name, _)| key(name) == "name");
            let inner = inner.or_else(|| fields.iter().find(|(name, _)| key(name) == "id"));
            inner
                .and_then(|(_, value)| value.as_str())
                .map(str::to_owned)
                .into_iter()
                .collect()
        }
        Value::Array(items) if precedence == Precedence::Container => items
            .iter()
            .filter(|item| !item.is_array())
            .flat_map(|item| texts(precedence, item))
            .collect(),
        _ => Vec::new(),
    }
}

/// What a text says in a field of this precedence.
fn said(precedence: Precedence, field: &str, text: &str) -> Option<Said> {
    let text = text.trim();
    let plain = |text: &str| text.trim_start_matches('/').to_owned();
    let (precedence, name) = match precedence {
        Precedence::Contract => (precedence, plain(text)),
        Precedence::Container
        | Precedence::Id
        | Precedence::Compose
        | Precedence::Name
        | Precedence::Service
        | Precedence::Hint => (precedence, plain(without_prefix(text))),
        Precedence::Cgroup => (precedence, of_cgroup(text)?.to_owned()),
        Precedence::Target | Precedence::Resource if MEASURES.contains(&text.to_lowercase().as_str()) => {
            return None;
        }
        Precedence::Instance | Precedence::Target | Precedence::Resource => {
            (precedence, host(text).to_owned())
        }
        // A host without a port is a machine, unless a container is called like it.
        Precedence::Host if host(text) == text => (Precedence::Hint, text.to_owned()),
        Precedence::Host => (precedence, host(text).to_owned()),
    };
    (!name.is_empty()).then(|| Said {
        precedence,
        field: field.to_owned(),
        names: vec![name],
    })
}

/// The container's id in the path of its cgroup: `/docker/<id>`, `/system.slice/docker-<id>.scope`. The paths of anything
/// else name no container.
fn of_cgroup(path: &str) -> Option<&str> {
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    let id = last.strip_suffix(".scope").unwrap_or(last);
    let id = id.rsplit('-').next()?;
    (path.starts_with('/') && id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// A name without the words that say what it is: `docker://web`, `container/web`.
fn without_prefix(text: &str) -> &str {
    let prefixes = [
        "docker://",
        "containerd://",
        "container://",
        "/docker/",
        "docker/",
        "container/",
        "containers/",
    ];
    prefixes
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text)
}

/// The host of `web:8000`, `http://web:8000/health`, `tcp://web`, `[fe80::1]:80`; a plain name as it is.
fn host(text: &str) -> &str {
    let text = without_prefix(text);
    let place = text.split_once("://").map_or(text, |(_, place)| place);
    let is_url = place.len() != text.len();
    let place = if is_url {
        place.split(['/', '?', '#']).next().unwrap_or_default()
    } else {
        place
    };
    let place = place
        .rsplit_once('@')
        .map_or(place, |(_, place)| place)
        .trim_start_matches('/');
    if let Some((inner, _)) = place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return inner;
    }
    match place.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !name.contains(':') && is_port(port) => name,
        _ => place,
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Labels that are written as a list: `container:web`, `container=web`, `{"name": "container", "value": "web"}`.
pub(crate) fn pairs(items: &[Value]) -> Map<String, Value> {
    let mut all = Map::new();
    for item in items {
        let (name, value) = match item {
            Value::String(text) => match text.split_once([':', '=']) {
                Some((name, value)) => (name.trim().to_owned(), Value::from(value.trim())),
                None => continue,
            },
            Value::Object(fields) => {
                let find = |names: &[&str]| {
                    let mut entries = fields.iter();
                    entries
                        .find(|(name, _)| names.contains(&key(name).as_str()))
                        .map(|(_, value)| value)
                };
                match (
                    find(&["name", "key", "label"]).and_then(Value::as_str),
                    find(&["value"]),
                ) {
                    (Some(name), Some(value)) => (name.to_owned(), value.clone()),
                    _ => continue,
                }
            }
            _ => continue,
        };
        // Two of one name are two names.
        let mut free = name.clone();
        while all.contains_key(&free) && free.len() < name.len() + 8 {
            free.push('_');
        }
        all.insert(free, value);
    }
    all
}

#[cfg(test)]
mod tests;
