//! What a request is for, in the words of the Kubernetes API: verb, resource, namespace, name. Pure.

use axum::http::Method;

use super::{Need, Role, need};
use crate::status::Status;

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attributes<'a> {
    verb: &'static str,
    path: &'a str,
    resource: Option<Resource<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Resource<'a> {
    group: &'a str,
    plural: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(method: &Method, path: &'a str, query: Option<&str>) -> Self {
        let resource = Resource::of(path);
        let one = resource.as_ref().is_none_or(|resource| resource.name.is_some());
        let watch = query.is_some_and(|query| {
            query
                .split('&')
                .any(|pair| pair == "watch=true" || pair == "watch=1")
        });
        let verb = match *method {
            Method::GET | Method::HEAD if watch => "watch",
            Method::GET | Method::HEAD if one => "get",
            Method::GET | Method::HEAD => "list",
            Method::POST if resource.is_some() => "create",
            Method::POST => "post",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "use",
        };
        Self { verb, path, resource }
    }

    /// What it takes.
    pub(super) fn need(&self) -> Need {
        let part = self.resource.as_ref().and_then(|resource| resource.subresource);
        if (self.verb, part) == ("create", Some("plan")) {
            // Asking what a change would do changes nothing.
            return Need::Read;
        }
        let kind = self
            .resource
            .as_ref()
            .map(|resource| (resource.group, resource.plural));
        need(self.verb, self.path, kind)
    }

    /// The refusal, in the words that Kubernetes' authoriser uses, and what would suffice.
    pub(super) fn forbidden(&self, user: &str, role: Role, need: Need) -> Status {
        let why = format!("its role is {role}, this takes {}", need.least());
        let Some(resource) = &self.resource else {
            let (verb, path) = (self.verb, self.path);
            return Status::forbidden(format!(
                "forbidden: User \"{user}\" cannot {verb} path \"{path}\": {why}"
            ));
        };
        let full = match resource.subresource {
            Some(subresource) => format!("{}/{subresource}", resource.plural),
            None => resource.plural.to_owned(),
        };
        let dot = if resource.group.is_empty() { "" } else { "." };
        let name = resource
            .name
            .map(|name| format!(" \"{name}\""))
            .unwrap_or_default();
        let scope = match resource.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        Status::forbidden(format!(
            "{}{dot}{}{name} is forbidden: User \"{user}\" cannot {} resource \"{full}\" in API group \"{}\" {scope}: {why}",
            resource.plural, resource.group, self.verb, resource.group,
        ))
    }
}

impl<'a> Resource<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').peekable();
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        parts.next()?;
        let namespace = parts.next_if_eq(&"namespaces").and_then(|_| parts.next());
        let plural = parts.next()?;
        Some(Self {
            group,
            plural,
            namespace,
            name: parts.next(),
            subresource: parts.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: &Method, path: &str) -> String {
        let attributes = Attributes::of(method, path, None);
        attributes
            .forbidden("anna", Role::Viewer, attributes.need())
            .message
            .into_owned()
    }

    #[test]
    fn a_refusal_reads_as_in_kubernetes() {
        assert_eq!(
            message(
                &Method::POST,
                "/apis/aegisops.io/v1alpha1/namespaces/default/incidents"
            ),
            "incidents.aegisops.io is forbidden: User \"anna\" cannot create resource \"incidents\" \
             in API group \"aegisops.io\" in the namespace \"default\": its role is viewer, this takes operator"
        );
        assert_eq!(
            message(
                &Method::PATCH,
                "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/web/scale"
            ),
            "workloads.aegisops.io \"web\" is forbidden: User \"anna\" cannot patch resource \"workloads/scale\" \
             in API group \"aegisops.io\" in the namespace \"default\": its role is viewer, this takes operator"
        );
        assert_eq!(
            message(&Method::DELETE, "/apis/aegisops.io/v1alpha1/detectors/cpu"),
            "detectors.aegisops.io \"cpu\" is forbidden: User \"anna\" cannot delete resource \"detectors\" \
             in API group \"aegisops.io\" at the cluster scope: its role is viewer, this takes admin"
        );
        assert_eq!(
            message(&Method::POST, "/scale/up"),
            "forbidden: User \"anna\" cannot post path \"/scale/up\": its role is viewer, this takes operator"
        );
    }
}
