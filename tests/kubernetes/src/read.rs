//! Get and list.

use crate::cluster::{Cluster, Key};
use crate::kinds::Kind;
use crate::path::Target;
use crate::refusal::Refusal;
use crate::request::Query;
use crate::selector::Wanted;
use serde_json::{Value, json};

/// One object, or its scale.
pub(crate) fn get(cluster: &Cluster, kind: &Kind, target: &Target) -> Result<Value, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let key = Key::of(kind, target.namespace.as_deref(), name);
    let object = cluster
        .objects
        .get(&key)
        .ok_or_else(|| Refusal::not_found(&kind.plural, &kind.group, name))?;
    Ok(match target.subresource.as_deref() {
        Some("scale") => scale(object),
        _ => as_version(kind, &target.version, object.clone()),
    })
}

/// An object as another version of its type; all versions have one schema here.
pub(crate) fn as_version(kind: &Kind, version: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(kind.api_version(version));
    object
}

/// The `autoscaling/v1` Scale of a workload.
pub(crate) fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": object["spec"]["replicas"].as_i64().unwrap_or(0) },
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector.join(","),
        },
    })
}

/// A page of objects.
pub(crate) fn list(cluster: &Cluster, kind: &Kind, target: &Target, query: &Query) -> Result<Value, Refusal> {
    let wanted = Wanted::parse(query.get("labelSelector"), query.get("fieldSelector"))?;
    let (after, revision) = match query.get("continue").filter(|token| !token.is_empty()) {
        None => (None, cluster.revision),
        Some(token) => {
            let (revision, name) = token
                .split_once(' ')
                .ok_or_else(|| Refusal::bad_request("continue key is not valid"))?;
            let revision: u64 = revision
                .parse()
                .map_err(|_| Refusal::bad_request("continue key is not valid"))?;
            // The real server gives later pages as of the first; here a page is as of now, which clients must
            // tolerate as well, and a token from before a compaction is gone.
            if revision < cluster.compacted {
                return Err(Refusal::gone());
            }
            (Some(name.to_owned()), revision)
        }
    };
    let place = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{}/{}",
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"])
        )
    };
    let mut found: Vec<Value> = cluster
        .listed(&kind.group, &kind.plural, target.namespace.as_deref())
        .into_iter()
        .filter(|object| wanted.matches(object))
        .filter(|object| after.as_ref().is_none_or(|after| place(object) > *after))
        .collect();
    found.sort_by_key(place);
    let limit = query
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if found.len() > limit {
        metadata["remainingItemCount"] = json!(found.len() - limit);
        found.truncate(limit);
        metadata["continue"] = json!(format!(
            "{revision} {}",
            found.last().map(place).unwrap_or_default()
        ));
    }
    let items: Vec<Value> = found
        .into_iter()
        .map(|object| as_version(kind, &target.version, object))
        .collect();
    Ok(json!({
        "apiVersion": kind.api_version(&target.version), "kind": format!("{}List", kind.kind),
        "metadata": metadata, "items": items,
    }))
}

/// Only the metadata, for clients that ask for `as=PartialObjectMetadata`.
pub(crate) fn partial(answer: &Value) -> Value {
    let one = |object: &Value| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
        })
    };
    match answer["items"].as_array() {
        Some(items) => json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": answer["metadata"],
            "items": items.iter().map(one).collect::<Vec<_>>(),
        }),
        None => one(answer),
    }
}
