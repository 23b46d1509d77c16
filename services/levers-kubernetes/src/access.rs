//! The rights that the lever needs. The chart grants these and nothing else (`helm/immune/files/rbac`); tests hold
//! the two equal, and equal to what the lever asks for in all of its tests.

/// Verbs on a resource of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// API group; the core's is empty.
    pub group: &'static str,
    /// Plural.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Rule {
    Rule {
        group,
        resource,
        verbs,
    }
}

/// What it needs in each allowed namespace.
pub const RULES: &[Rule] = &[
    rule("apps", "deployments", &["create", "get", "list", "patch"]),
    rule("apps", "statefulsets", &["get", "list", "patch"]),
    rule("apps", "daemonsets", &["get", "list", "patch"]),
    rule("apps", "replicasets", &["get", "list"]),
    rule("apps", "controllerrevisions", &["list"]),
    rule("", "pods", &["delete", "get", "list", "patch"]),
    rule("", "configmaps", &["get", "patch"]),
    rule("", "services", &["list", "patch"]),
    rule(
        "networking.k8s.io",
        "networkpolicies",
        &["create", "delete", "get", "list", "patch"],
    ),
    rule("events.k8s.io", "events", &["create", "patch"]),
];

/// What it needs besides, in the whole cluster: which namespaces were opened to it.
pub const CLUSTER_RULES: &[Rule] = &[rule("", "namespaces", &["get"])];

/// With `cilium`.
pub const CILIUM_RULES: &[Rule] = &[rule(
    "cilium.io",
    "ciliumnetworkpolicies",
    &["create", "delete", "get", "list", "patch"],
)];

/// With `sandboxes`.
pub const SANDBOX_RULES: &[Rule] = &[rule("agents.x-k8s.io", "sandboxes", &["get", "list", "patch"])];

/// With `kagent`.
pub const KAGENT_RULES: &[Rule] = &[rule("kagent.dev", "agents", &["get"])];
