//! The rights in the cluster that cases need. The chart grants these and nothing else
//! (`helm/immune/files/rbac/cases.yaml`); tests hold the two equal, and equal to what is used.

/// Verbs on a resource of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// API group; the core's is empty.
    pub group: &'static str,
    /// Plural, a subresource after a slash.
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

/// What the account of the quarantine role needs in its own namespace and in each in which cases are shown.
pub const RULES: &[Rule] = &[
    rule(
        "immune.io",
        "agentcases",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    rule("immune.io", "agentcases/status", &["patch"]),
    rule("events.k8s.io", "events", &["create", "patch"]),
];
