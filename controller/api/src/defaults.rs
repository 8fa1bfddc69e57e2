//! Defaults of the resources that the operator of the controller may choose: a value that the store is given, and fills in
//! what it reads with. A resource always wins, and its file stays as it was written. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::scalar::{AbsolutePath, ContainerName, Duration};
use crate::workload::HealthProbe;

/// What a resource means where it is silent.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// `spec.container` of a LoadBalancer.
    pub nginx_container: ContainerName,
    /// `spec.configPath` of a LoadBalancer.
    pub nginx_config_path: AbsolutePath,
    /// `spec.health` of the Workload that adopts this container.
    pub probe: Option<(ContainerName, HealthProbe)>,
    /// `spec.health.timeout` of a Workload.
    pub probe_timeout: Duration,
    /// `spec.verification.deadline` of a RemediationPolicy.
    pub verification_deadline: Duration,
}

#[expect(
    clippy::expect_used,
    reason = "the literals are valid; a test constructs them"
)]
impl Default for Defaults {
    fn default() -> Self {
        Self {
            nginx_container: "aegis-lb".parse().expect("a container name"),
            nginx_config_path: "/etc/nginx/conf.d/upstream.conf"
                .parse()
                .expect("an absolute path"),
            probe: None,
            probe_timeout: Duration::from_secs(1),
            verification_deadline: Duration::from_secs(30),
        }
    }
}

impl Defaults {
    /// Those of somebody who does not know the controller's: nothing is refused for what only they decide.
    pub(crate) fn unknown() -> Self {
        Self {
            verification_deadline: Duration::from_secs(365 * 86_400),
            ..Self::default()
        }
    }
}

/// A spec, or part of one, that a choice fills in where it is silent.
pub trait Fill {
    /// Writes into `spec`, as it was written, what these defaults say of the fields that it leaves out.
    fn fill(spec: &mut Value, defaults: &Defaults) {
        let _ = (spec, defaults);
    }
}

/// Adds the field where it is not there.
pub(crate) fn add(fields: &mut Map<String, Value>, name: &str, value: impl Serialize) {
    if !fields.contains_key(name) {
        fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workload::HttpProbe;
    use crate::{LoadBalancer, RemediationPolicy, Workload, kinds};

    fn chosen() -> Defaults {
        Defaults {
            nginx_container: "front".parse().unwrap(),
            nginx_config_path: "/etc/nginx/conf.d/front.conf".parse().unwrap(),
            probe: Some((
                "shop".parse().unwrap(),
                HealthProbe::http(HttpProbe::new("/up".parse().unwrap(), 9000)),
            )),
            probe_timeout: Duration::from_secs(7),
            verification_deadline: Duration::from_secs(90),
        }
    }

    fn decoded<K: kinds::Kind>(spec: &Value) -> (Value, std::sync::Arc<K>) {
        let object = json!({"metadata": {"name": "one"}, "spec": spec});
        let info = kinds::find(K::PLURAL).unwrap();
        let (value, typed) = info.decode_with(object, &chosen()).unwrap();
        (value, typed.downcast().unwrap())
    }

    #[test]
    fn what_a_resource_leaves_out_is_as_chosen_and_is_not_written_into_it() {
        let spec = json!({"backends": [{"workload": "w", "upstream": "u", "port": 1}]});
        let (value, balancer) = decoded::<LoadBalancer>(&spec);
        assert_eq!(balancer.spec.container.as_str(), "front");
        assert_eq!(balancer.spec.config_path.as_str(), "/etc/nginx/conf.d/front.conf");
        assert_eq!(value["spec"], spec);

        let (_, policy) = decoded::<RemediationPolicy>(&json!({}));
        assert_eq!(policy.spec.verification.deadline, Duration::from_secs(90));
        let (_, policy) = decoded::<RemediationPolicy>(&json!({"verification": {"soak": "60s"}}));
        assert_eq!(policy.spec.verification.deadline, Duration::from_secs(90));

        let (value, workload) = decoded::<Workload>(&json!({"container": "shop"}));
        assert_eq!(workload.spec.health, chosen().probe.map(|(_, probe)| probe));
        assert_eq!(value["spec"], json!({"container": "shop"}));
        let (_, workload) = decoded::<Workload>(&json!({"container": "other"}));
        assert_eq!(workload.spec.health, None);
        let (_, workload) =
            decoded::<Workload>(&json!({"container": "shop", "health": {"tcp": {"port": 1}}}));
        let health = workload.spec.health.clone().unwrap();
        assert_eq!((health.http, health.timeout), (None, Duration::from_secs(7)));
    }

    #[test]
    fn a_resource_always_wins() {
        let (_, balancer) = decoded::<LoadBalancer>(&json!({"container": "mine", "configPath": "/x.conf",
            "backends": [{"workload": "w", "upstream": "u", "port": 1}]}));
        let spec = &balancer.spec;
        assert_eq!(
            (spec.container.as_str(), spec.config_path.as_str()),
            ("mine", "/x.conf")
        );
        let (_, policy) = decoded::<RemediationPolicy>(&json!({"verification": {"deadline": "5s"}}));
        assert_eq!(policy.spec.verification.deadline, Duration::from_secs(5));
    }

    #[test]
    fn a_client_refuses_nothing_for_a_default_that_only_the_controller_knows() {
        let info = kinds::find("rp").unwrap();
        let policy = |verification: Value| json!({"metadata": {"name": "one"}, "spec": {"verification": verification}});
        assert!(info.check(policy(json!({"soak": "60s"}))).is_ok());
        assert!(
            info.check(policy(json!({"soak": "60s", "deadline": "30s"})))
                .is_err()
        );
        assert!(info.decode(policy(json!({"soak": "60s"}))).is_err());
    }
}
