//! The types that the server knows.

use crate::cluster::now;
use crate::structure;
use serde_json::{Value, json};
use std::sync::Arc;

/// The group of SubjectAccessReviews, which are answered and not kept.
pub(crate) const REVIEWS: &str = "authorization.k8s.io";
/// The plural of CustomResourceDefinition.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions";

/// A type of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for core.
    pub group: String,
    /// Served versions, the stored one first.
    pub versions: Vec<String>,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub is_namespaced: bool,
    /// Whether the status is a subresource of its own.
    pub has_status: bool,
    /// Whether there is a `scale` subresource, over `spec.replicas`.
    pub has_scale: bool,
    /// Other names, as discovery tells them.
    pub short_names: Vec<String>,
    /// What its definition says of its objects.
    pub(crate) schema: Option<Arc<Value>>,
}

impl Kind {
    /// A namespaced custom resource with a status subresource, as most are. Without a definition there is no schema:
    /// its objects are taken as they are.
    pub fn custom(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Kind {
            group: group.to_owned(),
            versions: vec![version.to_owned()],
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            is_namespaced: true,
            has_status: true,
            has_scale: false,
            short_names: Vec::new(),
            schema: None,
        }
    }

    /// One that lives in no namespace.
    pub fn cluster_wide(mut self) -> Self {
        self.is_namespaced = false;
        self
    }

    pub(crate) fn is_built_in(&self) -> bool {
        let same = |entry: &(&str, &str, &str, &str, &str)| entry.0 == self.group && entry.3 == self.plural;
        BUILT_IN.iter().any(same)
    }

    /// Whether the server counts changes of what is wanted; it does not where nobody acts on them.
    pub(crate) fn has_generation(&self) -> bool {
        let none = [
            "namespaces",
            "services",
            "configmaps",
            "controllerrevisions",
            "leases",
            "events",
        ];
        !self.is_built_in() || !none.contains(&self.plural.as_str())
    }

    /// `apps/v1`, or `v1` in the core group.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }
}

/// Group, version, kind, plural, and: n(amespaced), s(tatus), c(=scale).
const BUILT_IN: &[(&str, &str, &str, &str, &str)] = &[
    ("", "v1", "Namespace", "namespaces", "s"),
    ("", "v1", "Pod", "pods", "ns"),
    ("", "v1", "Service", "services", "ns"),
    ("", "v1", "ConfigMap", "configmaps", "n"),
    ("apps", "v1", "Deployment", "deployments", "nsc"),
    ("apps", "v1", "ReplicaSet", "replicasets", "nsc"),
    ("apps", "v1", "StatefulSet", "statefulsets", "nsc"),
    ("apps", "v1", "DaemonSet", "daemonsets", "ns"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "n"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "n"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "n"),
    ("events.k8s.io", "v1", "Event", "events", "n"),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        DEFINITIONS,
        "s",
    ),
    (REVIEWS, "v1", "SubjectAccessReview", "subjectaccessreviews", ""),
];

pub(crate) fn built_in() -> Vec<Kind> {
    BUILT_IN
        .iter()
        .map(|(group, version, kind, plural, traits)| Kind {
            group: (*group).to_owned(),
            versions: vec![(*version).to_owned()],
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            is_namespaced: traits.contains('n'),
            has_status: traits.contains('s'),
            has_scale: traits.contains('c'),
            short_names: Vec::new(),
            schema: None,
        })
        .collect()
}

/// Whether objects of this type declare types.
pub(crate) fn is_definition(kind: &Kind) -> bool {
    kind.plural == DEFINITIONS && kind.is_built_in()
}

/// The type that a CustomResourceDefinition declares.
pub(crate) fn declared(definition: &Value) -> Option<Kind> {
    let (spec, names) = (&definition["spec"], &definition["spec"]["names"]);
    let mut versions: Vec<&Value> = spec["versions"].as_array()?.iter().collect();
    versions.retain(|version| version["served"] == true);
    versions.sort_by_key(|version| version["storage"] != true);
    let first = versions.first()?;
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    Some(Kind {
        group: spec["group"].as_str()?.to_owned(),
        versions: versions
            .iter()
            .filter_map(|version| Some(version["name"].as_str()?.to_owned()))
            .collect(),
        kind: names["kind"].as_str()?.to_owned(),
        plural: names["plural"].as_str()?.to_owned(),
        is_namespaced: spec["scope"] == "Namespaced",
        has_status: first["subresources"]["status"].is_object(),
        has_scale: first["subresources"]["scale"].is_object(),
        short_names: texts(&names["shortNames"]),
        schema: structure::of(first).map(Arc::new),
    })
}

/// Says in a definition's status that its type is served.
pub(crate) fn establish(definition: &mut Value) {
    if definition["status"]["conditions"].is_array() {
        return;
    }
    let condition = |kind: &str, reason: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now(),
        })
    };
    definition["status"] = json!({
        "acceptedNames": definition["spec"]["names"],
        "storedVersions": definition["spec"]["versions"].as_array().into_iter().flatten()
            .filter(|version| version["storage"] == true).map(|version| &version["name"]).collect::<Vec<_>>(),
        "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
    });
}
