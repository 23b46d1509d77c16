//! The rendered manifests as Kubernetes' own types read them.

use k8s_openapi::api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a type makes of an object.
type Read = fn(Value) -> serde_json::Result<Value>;

fn through<T: DeserializeOwned + Serialize>(object: Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(object)?)
}

/// The types that we render, by apiVersion and kind. Others' custom resources have no type here.
const TYPES: &[(&str, &str, Read)] = &[
    ("v1", "Service", through::<api::core::v1::Service>),
    ("v1", "ServiceAccount", through::<api::core::v1::ServiceAccount>),
    ("v1", "ConfigMap", through::<api::core::v1::ConfigMap>),
    ("v1", "Secret", through::<api::core::v1::Secret>),
    ("v1", "Namespace", through::<api::core::v1::Namespace>),
    ("v1", "Pod", through::<api::core::v1::Pod>),
    (
        "v1",
        "PersistentVolumeClaim",
        through::<api::core::v1::PersistentVolumeClaim>,
    ),
    ("apps/v1", "Deployment", through::<api::apps::v1::Deployment>),
    ("apps/v1", "StatefulSet", through::<api::apps::v1::StatefulSet>),
    ("apps/v1", "DaemonSet", through::<api::apps::v1::DaemonSet>),
    ("batch/v1", "Job", through::<api::batch::v1::Job>),
    (
        "policy/v1",
        "PodDisruptionBudget",
        through::<api::policy::v1::PodDisruptionBudget>,
    ),
    (
        "networking.k8s.io/v1",
        "NetworkPolicy",
        through::<api::networking::v1::NetworkPolicy>,
    ),
    (
        "networking.k8s.io/v1",
        "Ingress",
        through::<api::networking::v1::Ingress>,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "Role",
        through::<api::rbac::v1::Role>,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        through::<api::rbac::v1::RoleBinding>,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        through::<api::rbac::v1::ClusterRole>,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        through::<api::rbac::v1::ClusterRoleBinding>,
    ),
    (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        through::<api::admissionregistration::v1::MutatingWebhookConfiguration>,
    ),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        through::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>,
    ),
];

/// Paths of what was written and is not read back the same; a type drops what it does not know.
fn lost(written: &Value, read: &Value, path: &str, found: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(other) => lost(value, other, &path, found),
                    None if value.is_null() => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            for (i, (value, other)) in written.iter().zip(read).enumerate() {
                lost(value, other, &format!("{path}[{i}]"), found);
            }
        }
        (written, read) if written == read => {}
        (written, read) => found.push(format!("{path}: {written} is read as {read}")),
    }
}

fn manifests() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let mut files = Vec::new();
    for folder in ["k8s", "k8s/dev", "k8s/examples", "helm/immune/crds"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.ends_with(".yaml") && !name.contains("values") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Scenario: every manifest that is kept in the tree: the chart rendered for both modes, what development needs,
/// examples, and the definitions of custom resources.
/// Guarantees: Kubernetes' types read each object of theirs and lose nothing of it, so no field is misspelt, misplaced
/// or of a wrong type.
#[test]
fn kubernetes_reads_what_is_rendered() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in manifests() {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for document in serde_norway::Deserializer::from_str(&text) {
            let object: Value =
                serde::Deserialize::deserialize(document).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (version, kind) = (&object["apiVersion"], &object["kind"]);
            let Some((_, _, read)) = TYPES.iter().find(|(v, k, _)| version == v && kind == k) else {
                let is_ours = version
                    .as_str()
                    .is_some_and(|version| !version.contains('.') || version.contains("k8s.io"));
                let is_known = ["gateway.networking.k8s.io", "kustomize.config.k8s.io"]
                    .iter()
                    .any(|known| version.as_str().is_some_and(|version| version.starts_with(known)));
                if is_ours && !object.is_null() && !is_known {
                    wrong.push(format!("{name}: no type is named for {version} {kind}"));
                }
                continue;
            };
            seen += 1;
            let whose = format!("{name} {kind} {}", object["metadata"]["name"]);
            match read(object.clone()) {
                Ok(again) => {
                    let mut found = Vec::new();
                    lost(&object, &again, "", &mut found);
                    wrong.extend(found.into_iter().map(|path| format!("{whose}: {path}")));
                }
                Err(error) => wrong.push(format!("{whose}: {error}")),
            }
        }
    }
    assert!(seen > 40, "only {seen} objects were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
