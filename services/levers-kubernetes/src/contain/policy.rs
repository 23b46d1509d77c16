//! The NetworkPolicy that contains an agent, and whether it does.

use crate::config::{Config, Peer};
use crate::find::Workload;
use crate::kinds;
use crate::names::{AGENT, AGENT_MARK, CASE, QUARANTINED, mark, short};
use immune_domain::{AgentKey, CaseId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name of what contains a workload.
pub(crate) fn name(workload: &Workload) -> String {
    format!("immune-quarantine-{}", short(&workload.to_string()))
}

/// Metadata of what contains a workload.
pub(crate) fn metadata(workload: &Workload, key: &AgentKey, case: &CaseId) -> Value {
    json!({
        "name": name(workload),
        "namespace": workload.place().namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "immune",
            QUARANTINED: "true",
            AGENT_MARK: mark(key),
        },
        "annotations": { CASE: case.as_str(), AGENT: key.to_string() },
    })
}

/// Cuts every connection of the pods but names and telemetry. The pods are chosen by the workload's own selector, so
/// that those which its controller makes later are cut as well, and no pod has to be replaced for it.
pub(crate) fn network_policy(selector: &LabelSelector, metadata: &Value, config: &Config) -> Value {
    let egress: Vec<Value> = config.dns.iter().chain(&config.telemetry).map(open).collect();
    let resource = kinds::network_policies();
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": egress,
        },
    })
}

fn open(peer: &Peer) -> Value {
    let ports: Vec<Value> = peer
        .numbers()
        .map(|(port, protocol)| json!({ "port": port, "protocol": protocol }))
        .collect();
    let mut to = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": peer.namespace } },
    });
    if !peer.pod_labels.is_empty() {
        to["podSelector"] = json!({ "matchLabels": peer.pod_labels });
    }
    json!({ "to": [to], "ports": ports })
}

/// What Cilium is told: denials, which no other policy overrules. Pods of namespaces that names and telemetry go to are
/// left to the NetworkPolicy; the node itself may probe.
pub(crate) fn cilium_policy(selector: &LabelSelector, metadata: &Value, config: &Config) -> Value {
    const NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";
    let open: Vec<&str> = config
        .dns
        .iter()
        .chain(&config.telemetry)
        .map(|peer| peer.namespace.as_str())
        .collect();
    let elsewhere = json!({ "key": NAMESPACE, "operator": "NotIn", "values": open });
    let anywhere = json!({ "key": NAMESPACE, "operator": "Exists" });
    let resource = kinds::cilium_policies();
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": {
            "endpointSelector": selector,
            "ingressDeny": [
                { "fromEntities": ["world"] },
                { "fromEndpoints": [{ "matchExpressions": [anywhere] }] },
            ],
            "egressDeny": [
                { "toEntities": ["world", "kube-apiserver", "remote-node"] },
                { "toEndpoints": [{ "matchExpressions": [elsewhere] }] },
            ],
        },
    })
}

/// Whether a policy that was read back is the one that was wanted.
pub(crate) fn is_as_wanted(found: &DynamicObject, wanted: &Value) -> bool {
    let bare = |value: &Value| {
        let mut value = value.clone();
        strip(&mut value);
        value
    };
    found.metadata.deletion_timestamp.is_none()
        && found.data.get("spec").map(bare) == wanted.get("spec").map(bare)
}

/// Takes empty lists and objects away, which the API server does not keep.
fn strip(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match value {
        Value::Array(list) => list.iter_mut().for_each(strip),
        Value::Object(map) => {
            map.values_mut().for_each(strip);
            map.retain(|_, value| !is_empty(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names of policies that let these pods through all the same: NetworkPolicies add up, so what one of them allows no
/// other can forbid.
pub(crate) fn loopholes(
    policies: &[DynamicObject],
    own: &str,
    pods: &BTreeMap<String, String>,
) -> Vec<String> {
    policies
        .iter()
        .filter(|policy| policy.metadata.name.as_deref() != Some(own))
        .filter(|policy| kinds::selects(&policy.data["spec"]["podSelector"], pods))
        .filter(|policy| {
            let opens = |list: &str| {
                policy.data["spec"][list]
                    .as_array()
                    .is_some_and(|rules| !rules.is_empty())
            };
            opens("ingress") || opens("egress")
        })
        // What contains another case's agent opens names and telemetry alone.
        .filter(|policy| crate::api::label(policy, QUARANTINED) != Some("true"))
        .filter_map(|policy| policy.metadata.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, spec: Value) -> DynamicObject {
        let resource = kinds::network_policies();
        let mut object = DynamicObject::new(name, &resource);
        object.data = json!({ "spec": spec });
        object
    }

    /// Scenario: policies beside the one that contains.
    /// Guarantees: those that choose the pods and open anything are named; those that choose others, or only close,
    /// are not.
    #[test]
    fn loopholes_are_named() {
        let pods = BTreeMap::from([("app".to_owned(), "research".to_owned())]);
        let rule = json!([{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }]);
        let policies = [
            policy("own", json!({ "podSelector": {}, "egress": rule })),
            policy("all", json!({ "podSelector": {}, "egress": rule })),
            policy(
                "this",
                json!({ "podSelector": { "matchLabels": { "app": "research" } }, "ingress": [{}] }),
            ),
            policy(
                "other",
                json!({ "podSelector": { "matchLabels": { "app": "data" } }, "egress": rule }),
            ),
            policy(
                "closed",
                json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
            ),
            policy(
                "odd",
                json!({ "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Like" }] }, "ingress": [{}] }),
            ),
        ];
        assert_eq!(loopholes(&policies, "own", &pods), ["all", "this", "odd"]);
    }

    /// Guarantees: a server that leaves empty lists out keeps the policy; one that changes a rule does not.
    #[test]
    fn what_is_read_back_is_compared() {
        let wanted = json!({ "spec": { "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress"], "ingress": [] } });
        let kept = json!({ "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress"] });
        assert!(is_as_wanted(&policy("p", kept.clone()), &wanted));
        let mut opened = kept;
        opened["ingress"] = json!([{}]);
        // An empty rule allows everything; it must not be taken for nothing.
        assert!(!is_as_wanted(&policy("p", opened), &wanted));
    }
}
