//! The schemas of built-in types: what they do not know is dropped, what they cannot read is refused, and what is
//! left out gets its default.

use crate::kinds::Kind;
use crate::refusal::Refusal;
use crate::structure;
use k8s_openapi::api::{apps, authorization, coordination, core, events, networking};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn round<T: DeserializeOwned + Serialize>(object: Value) -> Result<Value, Refusal> {
    let typed: T = serde_json::from_value(object)
        .map_err(|error| Refusal::bad_request(format!("error decoding object: {error}")))?;
    Ok(serde_json::to_value(typed).expect("what was read can be written"))
}

/// As [`round`], and without empty lists: the API server leaves them out.
fn lean<T: DeserializeOwned + Serialize>(object: Value) -> Result<Value, Refusal> {
    let mut object = round::<T>(object)?;
    drop_empty_lists(&mut object);
    Ok(object)
}

fn drop_empty_lists(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
            map.values_mut().for_each(drop_empty_lists);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_empty_lists),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The object as the type's schema has it. Of a custom resource without a definition only the metadata has one.
pub(crate) fn typed(kind: &Kind, mut object: Value) -> Result<Value, Refusal> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => lean::<core::v1::Namespace>(object),
        ("", "pods") => lean::<core::v1::Pod>(object),
        ("", "services") => lean::<core::v1::Service>(object),
        ("", "configmaps") => lean::<core::v1::ConfigMap>(object),
        ("apps", "deployments") => lean::<apps::v1::Deployment>(object),
        ("apps", "replicasets") => lean::<apps::v1::ReplicaSet>(object),
        ("apps", "statefulsets") => lean::<apps::v1::StatefulSet>(object),
        ("apps", "daemonsets") => lean::<apps::v1::DaemonSet>(object),
        ("apps", "controllerrevisions") => round::<apps::v1::ControllerRevision>(object),
        ("networking.k8s.io", "networkpolicies") => lean::<networking::v1::NetworkPolicy>(object),
        ("coordination.k8s.io", "leases") => lean::<coordination::v1::Lease>(object),
        ("events.k8s.io", "events") => lean::<events::v1::Event>(object),
        ("authorization.k8s.io", "subjectaccessreviews") => {
            lean::<authorization::v1::SubjectAccessReview>(object)
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            round::<apiextensions::v1::CustomResourceDefinition>(object)
        }
        _ => {
            object["metadata"] = lean::<ObjectMeta>(object["metadata"].take())?;
            if let Some(schema) = &kind.schema {
                structure::prune(schema, &mut object);
            }
            Ok(object)
        }
    }
}

/// Fills in what the API server fills in; the object is of its type.
pub(crate) fn default(kind: &Kind, object: &mut Value) {
    let is_workload = kind.group == "apps" && kind.plural != "controllerrevisions";
    if is_workload {
        default_pod(&mut object["spec"]["template"]["spec"]);
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments") => {
            set(object, "spec/replicas", json!(1));
            set(object, "spec/revisionHistoryLimit", json!(10));
            set(object, "spec/progressDeadlineSeconds", json!(600));
            set(object, "spec/strategy/type", json!("RollingUpdate"));
            if object["spec"]["strategy"]["type"] == "RollingUpdate" {
                set(object, "spec/strategy/rollingUpdate/maxSurge", json!("25%"));
                set(object, "spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
            }
        }
        ("apps", "replicasets") => set(object, "spec/replicas", json!(1)),
        ("apps", "statefulsets") => {
            set(object, "spec/replicas", json!(1));
            set(object, "spec/revisionHistoryLimit", json!(10));
            set(object, "spec/podManagementPolicy", json!("OrderedReady"));
            set(object, "spec/updateStrategy/type", json!("RollingUpdate"));
        }
        ("apps", "daemonsets") => {
            set(object, "spec/revisionHistoryLimit", json!(10));
            set(object, "spec/updateStrategy/type", json!("RollingUpdate"));
        }
        ("", "pods") => default_pod(&mut object["spec"]),
        ("", "services") => {
            set(object, "spec/type", json!("ClusterIP"));
            set(object, "spec/sessionAffinity", json!("None"));
            for port in items(&mut object["spec"]["ports"]) {
                set(port, "protocol", json!("TCP"));
                let own = port["port"].clone();
                set(port, "targetPort", own);
            }
            drop_null(&mut object["spec"], "ports");
        }
        ("networking.k8s.io", "networkpolicies") => {
            let types = match object["spec"]["egress"].is_array() {
                true => json!(["Ingress", "Egress"]),
                false => json!(["Ingress"]),
            };
            set(object, "spec/policyTypes", types);
            for way in ["ingress", "egress"] {
                for rule in items(&mut object["spec"][way]) {
                    for port in items(&mut rule["ports"]) {
                        set(port, "protocol", json!("TCP"));
                    }
                    drop_null(rule, "ports");
                }
                drop_null(&mut object["spec"], way);
            }
        }
        _ => {}
    }
}

fn default_pod(spec: &mut Value) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        set(spec, field, value);
    }
    for list in ["containers", "initContainers"] {
        for container in items(&mut spec[list]) {
            set(container, "imagePullPolicy", json!("IfNotPresent"));
            set(container, "terminationMessagePath", json!("/dev/termination-log"));
            set(container, "terminationMessagePolicy", json!("File"));
            set(container, "resources", json!({}));
            for port in items(&mut container["ports"]) {
                set(port, "protocol", json!("TCP"));
            }
            drop_null(container, "ports");
        }
        drop_null(spec, list);
    }
}

fn items(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// Looking into what is not there leaves a null.
fn drop_null(object: &mut Value, field: &str) {
    if object[field].is_null()
        && let Some(map) = object.as_object_mut()
    {
        map.remove(field);
    }
}

fn set(object: &mut Value, path: &str, value: Value) {
    let at = path.split('/').fold(object, |at, step| &mut at[step]);
    if at.is_null() {
        *at = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    /// Scenario: a NetworkPolicy with an empty list, a port without protocol and a field that is none.
    /// Guarantees: it reads back as from a real server: lists gone, protocol and types filled in, unknown field dropped.
    #[test]
    fn a_policy_reads_back_as_from_a_real_server() {
        let kinds = kinds::built_in();
        let kind = kinds
            .iter()
            .find(|kind| kind.plural == "networkpolicies")
            .unwrap();
        let sent = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "a" },
            "spec": {
                "podSelector": {}, "ingress": [], "nonsense": 1, "egress": [{ "ports": [{ "port": 53 }] }],
            },
        });
        let mut object = typed(kind, sent).unwrap();
        default(kind, &mut object);
        let wanted = json!({
            "podSelector": {}, "egress": [{ "ports": [{ "port": 53, "protocol": "TCP" }] }],
            "policyTypes": ["Ingress", "Egress"],
        });
        assert_eq!(object["spec"], wanted);
    }
}
