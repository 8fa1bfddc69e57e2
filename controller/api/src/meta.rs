//! Annotations, labels and finalizers that AegisOps gives a meaning. Pure.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// On a LoadBalancer: its nginx still has a configuration that sends requests to containers.
pub const LOAD_BALANCER_FINALIZER: &str = "aegisops.io/nginx";
/// On a Workload: the controller still has containers of its own to remove before the object may go.
pub const WORKLOAD_FINALIZER: &str = "aegisops.io/containers";

/// Container label: name of the Workload a container was made for.
pub const LABEL_WORKLOAD: &str = "io.aegisops.workload";
/// Container label: the revision (hash of the template) it was made from.
pub const LABEL_REVISION: &str = "io.aegisops.revision";
/// Container label: id of the controller's state directory, so that two controllers never own one container.
pub const LABEL_INSTANCE: &str = "io.aegisops.instance";
/// Container label: which replica this is, counted from 1.
pub const LABEL_REPLICA: &str = "io.aegisops.replica";
/// Container label: the name it was made under. An image that was committed from a container brings all labels along; what
/// is run from it has another name, and so belongs to no workload.
pub const LABEL_NAME: &str = "io.aegisops.name";
/// Container label: holds the networks that a container has yet to join before its first start, on engines that create it in one only.
/// Written and read by the driver, so that a crash between creating and joining leaves no container that is half connected.
/// It is written for every container, since an image may bring a label of this name, which a container's own replaces.
pub const LABEL_NETWORKS: &str = "io.aegisops.networks";

/// Annotation: the whole object once more, as text, as kubectl and aegisctl applied it last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotation: which fields each field manager has applied on the server's side, by name.
pub const APPLIED_FIELDS: &str = "aegisops.io/applied-fields";
/// Annotations that programs write for themselves: no part of what a person wrote, nor of what a person is shown.
pub const NOTES: [&str; 2] = [LAST_APPLIED, APPLIED_FIELDS];
/// Workload annotation: `"true"` protects it from every automated action.
pub const ANNOTATION_PROTECTED: &str = "aegisops.io/protected";
