//! Discovery: which groups, versions and resources there are.

use crate::kinds::{Kind, REVIEWS};
use crate::refusal::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The answer to a path that names no resource.
pub(crate) fn answer(kinds: &[Kind], path: &str) -> Result<Value, Refusal> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Ok(json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
        })),
        ["livez" | "readyz" | "healthz"] => Ok(json!("ok")),
        ["api"] => Ok(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["apis"] => Ok(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups(kinds) })),
        ["apis", group] => {
            let found = groups(kinds).into_iter().find(|found| found["name"] == *group);
            let mut found = found.ok_or_else(Refusal::no_such_path)?;
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Ok(found)
        }
        ["api", version] => resources(kinds, "", version),
        ["apis", group, version] => resources(kinds, group, version),
        _ => Err(Refusal::no_such_path()),
    }
}

fn groups(kinds: &[Kind]) -> Vec<Value> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        let known = versions.entry(&kind.group).or_default();
        for version in &kind.versions {
            if !known.contains(&version.as_str()) {
                known.push(version);
            }
        }
    }
    versions
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
                .collect();
            json!({ "name": group, "versions": versions, "preferredVersion": versions[0] })
        })
        .collect()
}

fn resources(kinds: &[Kind], group: &str, version: &str) -> Result<Value, Refusal> {
    let mut resources = Vec::new();
    let mut group_version = None;
    for kind in kinds.iter().filter(|kind| kind.group == group) {
        if !kind.versions.iter().any(|served| served == version) {
            continue;
        }
        group_version = Some(kind.api_version(version));
        let entry = |name: String, verbs: Value| {
            json!({
                "name": name, "singularName": kind.kind.to_lowercase(), "namespaced": kind.is_namespaced,
                "kind": kind.kind, "verbs": verbs,
            })
        };
        let all = match kind.group == REVIEWS {
            true => json!(["create"]),
            false => json!([
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch"
            ]),
        };
        let mut whole = entry(kind.plural.clone(), all);
        if !kind.short_names.is_empty() {
            whole["shortNames"] = json!(kind.short_names);
        }
        resources.push(whole);
        let below = |name: &str| {
            entry(
                format!("{}/{name}", kind.plural),
                json!(["get", "patch", "update"]),
            )
        };
        if kind.has_status {
            resources.push(below("status"));
        }
        if kind.has_scale {
            let mut scale = below("scale");
            scale["group"] = json!("autoscaling");
            scale["version"] = json!("v1");
            scale["kind"] = json!("Scale");
            resources.push(scale);
        }
    }
    let group_version = group_version.ok_or_else(Refusal::no_such_path)?;
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}
