//! Managed fields: which fields an object has, and who has set them (`fieldsV1` of structured-merge-diff).

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of a map.
    Field(String),
    /// The item of a list that has these values in its key fields; JSON.
    Key(String),
    /// The item of a set; JSON.
    Item(String),
}

pub(crate) type Path = Vec<Step>;
pub(crate) type Set = BTreeSet<Path>;

/// Fields that say which object it is, or that only the server sets.
const NOT_MANAGED: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// How the items of a list are told apart; by the list's name, in built-in types.
pub(crate) fn list_keys(list: &str, item: &Value) -> Option<&'static [&'static str]> {
    match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some(&["name"])
        }
        "volumeMounts" => Some(&["mountPath"]),
        "ports" if item["containerPort"].is_number() => Some(&["containerPort", "protocol"]),
        "ports" if item["port"].is_number() => Some(&["port", "protocol"]),
        "ownerReferences" => Some(&["uid"]),
        "conditions" => Some(&["type"]),
        "hostAliases" => Some(&["ip"]),
        _ => None,
    }
}

/// Maps that change as a whole.
pub(crate) fn is_atomic(map: &str) -> bool {
    matches!(
        map,
        "selector" | "podSelector" | "namespaceSelector" | "nodeSelector"
    )
}

/// The step to an item of a list, where items have keys.
pub(crate) fn item_step(list: &str, item: &Value) -> Option<Step> {
    if list == "finalizers" {
        return Some(Step::Item(item.to_string()));
    }
    let keys = list_keys(list, item)?;
    let mut key = Map::new();
    for name in keys {
        match &item[*name] {
            Value::Null if *name == "protocol" => key.insert("protocol".to_owned(), json!("TCP")),
            Value::Null => return None,
            value => key.insert((*name).to_owned(), value.clone()),
        };
    }
    Some(Step::Key(Value::Object(key).to_string()))
}

/// Every field that can be owned, with its value; items of keyed lists are there themselves, with null.
pub(crate) fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !NOT_MANAGED.contains(&name.as_str()) {
                        let path = vec![Step::Field("metadata".into()), Step::Field(name.clone())];
                        walk(path, name, value, &mut found);
                    }
                }
            }
            _ => walk(vec![Step::Field(name.clone())], name, value, &mut found),
        }
    }
    found
}

fn walk(path: Path, name: &str, value: &Value, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic(name) => {
            for (field, value) in map {
                let mut path = path.clone();
                path.push(Step::Field(field.clone()));
                walk(path, field, value, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let steps: Option<Vec<Step>> = items.iter().map(|item| item_step(name, item)).collect();
            let Some(steps) = steps else {
                found.insert(path, value.clone());
                return;
            };
            for (step, item) in steps.into_iter().zip(items) {
                let mut path = path.clone();
                path.push(step);
                found.insert(path.clone(), Value::Null);
                for (field, value) in item.as_object().into_iter().flatten() {
                    let mut path = path.clone();
                    path.push(Step::Field(field.clone()));
                    walk(path, field, value, found);
                }
            }
        }
        _ => {
            found.insert(path, value.clone());
        }
    }
}

/// The wire form of a set.
pub(crate) fn encode(set: &Set) -> Value {
    let mut root = Map::new();
    for path in set {
        let mut at = &mut root;
        for step in path {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Key(key) => format!("k:{key}"),
                Step::Item(item) => format!("v:{item}"),
            };
            at = at
                .entry(name)
                .or_insert_with(|| json!({}))
                .as_object_mut()
                .expect("only maps are inserted");
        }
        if let Some(Step::Key(_)) = path.last() {
            at.insert(".".to_owned(), json!({}));
        }
    }
    Value::Object(root)
}

pub(crate) fn decode(fields: &Value) -> Set {
    let mut set = Set::new();
    read(&mut Vec::new(), fields, &mut set);
    set
}

fn read(path: &mut Path, fields: &Value, set: &mut Set) {
    let Some(map) = fields.as_object() else { return };
    if map.is_empty() && !path.is_empty() {
        set.insert(path.clone());
    }
    for (name, below) in map {
        let step = match name.split_once(':') {
            Some(("f", field)) => Step::Field(field.to_owned()),
            Some(("k", key)) => Step::Key(key.to_owned()),
            Some(("v", item)) => Step::Item(item.to_owned()),
            _ => {
                set.insert(path.clone());
                continue;
            }
        };
        path.push(step);
        read(path, below, set);
        path.pop();
    }
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Owned {
    pub(crate) manager: String,
    pub(crate) is_apply: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) set: Set,
}

impl Owned {
    pub(crate) fn is_of(&self, manager: &str, is_apply: bool, subresource: &str) -> bool {
        self.manager == manager && self.is_apply == is_apply && self.subresource == subresource
    }
}

pub(crate) fn owners(object: &Value) -> Vec<Owned> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| Owned {
            manager: text(&entry["manager"]),
            is_apply: entry["operation"] == "Apply",
            api_version: text(&entry["apiVersion"]),
            subresource: text(&entry["subresource"]),
            time: text(&entry["time"]),
            set: decode(&entry["fieldsV1"]),
        })
        .collect()
}

pub(crate) fn set_owners(object: &mut Value, owners: Vec<Owned>) {
    let entries: Vec<Value> = owners
        .into_iter()
        .filter(|owned| !owned.set.is_empty())
        .map(|owned| {
            let mut entry = json!({
                "manager": owned.manager, "operation": if owned.is_apply { "Apply" } else { "Update" },
                "apiVersion": owned.api_version, "time": owned.time,
                "fieldsType": "FieldsV1", "fieldsV1": encode(&owned.set),
            });
            if !owned.subresource.is_empty() {
                entry["subresource"] = json!(owned.subresource);
            }
            entry
        })
        .collect();
    object["metadata"]["managedFields"] = json!(entries);
}

/// Records that `who` has turned `before` into `after` by create, update or patch: what changed is theirs alone.
pub(crate) fn updated(before: Option<&Value>, after: &mut Value, who: Owned) {
    let old = before.map(leaves).unwrap_or_default();
    let new = leaves(after);
    let changed: Set = new
        .iter()
        .filter(|(path, value)| old.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect();
    let mut entries = before.map(owners).unwrap_or_default();
    for owned in &mut entries {
        let is_own = owned.is_of(&who.manager, who.is_apply, &who.subresource);
        owned
            .set
            .retain(|path| new.contains_key(path) && (is_own || !changed.contains(path)));
    }
    if !changed.is_empty() {
        match entries
            .iter_mut()
            .find(|owned| owned.is_of(&who.manager, who.is_apply, &who.subresource))
        {
            Some(owned) => {
                owned.set.extend(changed);
                owned.time = who.time;
            }
            None => entries.push(Owned { set: changed, ..who }),
        }
    }
    set_owners(after, entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a set survives its wire form, keyed items and deep fields included.
    #[test]
    fn sets_are_read_as_written() {
        let object = json!({
            "metadata": { "name": "no", "labels": { "a": "1" } },
            "spec": { "replicas": 1, "template": { "spec": { "containers": [
                { "name": "c", "image": "i", "ports": [{ "containerPort": 80 }] },
            ] } } },
        });
        let set: Set = leaves(&object).into_keys().collect();
        let wire = encode(&set);
        assert_eq!(decode(&wire), set);
        let container = &wire["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
        assert_eq!(container["f:image"], json!({}));
        assert_eq!(container["."], json!({}));
        assert!(wire["f:metadata"]["f:name"].is_null());
    }
}
