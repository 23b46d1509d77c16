//! The kinds of objects that we deal with, and where in them what is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind, Selector, SelectorExt};
use serde_json::Value;

/// A kind of workload: something whose controller keeps pods running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    /// agent-sandbox's.
    Sandbox,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
            Kind::Sandbox => "Sandbox",
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Kind::Deployment => resource("apps", "v1", "Deployment", "deployments"),
            Kind::StatefulSet => resource("apps", "v1", "StatefulSet", "statefulsets"),
            Kind::DaemonSet => resource("apps", "v1", "DaemonSet", "daemonsets"),
            Kind::Sandbox => resource("agents.x-k8s.io", "v1beta1", "Sandbox", "sandboxes"),
        }
    }

    /// Where the pod template is.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => "template",
            Kind::Sandbox => "podTemplate",
        }
    }

    /// The labels of its pods, as the object itself says; `None` where they are not known yet.
    pub(crate) fn selector(self, object: &DynamicObject) -> Option<LabelSelector> {
        match self {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                let selector = object.data.pointer("/spec/selector")?;
                serde_json::from_value(selector.clone()).ok()
            }
            // Its controller tells the labels it gave, as text: `key=value,...`.
            Kind::Sandbox => {
                let text = object.data.pointer("/status/selector")?.as_str()?;
                let pairs = text.split(',').map(|pair| pair.split_once('='));
                let labels = pairs
                    .map(|pair| pair.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())))
                    .collect::<Option<_>>()?;
                Some(LabelSelector {
                    match_labels: Some(labels),
                    match_expressions: None,
                })
            }
        }
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

pub(crate) fn pods() -> ApiResource {
    resource("", "v1", "Pod", "pods")
}

pub(crate) fn config_maps() -> ApiResource {
    resource("", "v1", "ConfigMap", "configmaps")
}

pub(crate) fn services() -> ApiResource {
    resource("", "v1", "Service", "services")
}

pub(crate) fn namespaces() -> ApiResource {
    resource("", "v1", "Namespace", "namespaces")
}

pub(crate) fn replica_sets() -> ApiResource {
    resource("apps", "v1", "ReplicaSet", "replicasets")
}

pub(crate) fn controller_revisions() -> ApiResource {
    resource("apps", "v1", "ControllerRevision", "controllerrevisions")
}

pub(crate) fn network_policies() -> ApiResource {
    resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
}

pub(crate) fn cilium_policies() -> ApiResource {
    resource("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
}

pub(crate) fn kagent_agents() -> ApiResource {
    resource("kagent.dev", "v1alpha2", "Agent", "agents")
}

/// The selector as the API takes it in a query. `None` where it would choose everything: an empty selector of a
/// workload is a mistake, and nobody is contained by it.
pub(crate) fn query(selector: &LabelSelector) -> Option<String> {
    let parsed = Selector::try_from(selector.clone()).ok()?;
    (!parsed.selects_all()).then(|| parsed.to_string())
}

/// Whether labels are chosen by a selector; what cannot be read chooses everything, which errs on the safe side for
/// whoever looks for policies that open something.
pub(crate) fn selects(selector: &Value, labels: &std::collections::BTreeMap<String, String>) -> bool {
    let parsed = serde_json::from_value::<LabelSelector>(selector.clone()).ok();
    let parsed = parsed.and_then(|selector| Selector::try_from(selector).ok());
    parsed.is_none_or(|selector| selector.matches(labels))
}
