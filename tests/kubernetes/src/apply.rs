//! Server-side apply: merges what a manager applies, keeps who owns what, and finds conflicts.

use crate::fields::{self, Owned, Path, Set, Step, is_atomic, item_step, leaves};
use crate::refusal::Refusal;
use serde_json::{Value, json};

/// What `live` becomes when `who` applies `config`.
///
/// # Errors
/// 409 with a cause per field, where another manager owns a field and has another value in it, unless forced.
pub(crate) fn apply(live: &Value, config: &Value, mut who: Owned, is_forced: bool) -> Result<Value, Refusal> {
    let mut entries = fields::owners(live);
    let (had, wants) = (leaves(live), leaves(config));
    let mut causes = Vec::new();
    for (path, value) in &wants {
        let differs = had.get(path).is_none_or(|now| now != value);
        for owned in &entries {
            let is_other = !owned.is_of(&who.manager, true, &who.subresource);
            if differs && is_other && owned.set.contains(path) && !value.is_null() {
                causes.push(json!({
                    "reason": "FieldManagerConflict", "field": shown(path),
                    "message": format!("conflict with {:?} using {}", owned.manager, owned.api_version),
                }));
            }
        }
    }
    if !causes.is_empty() && !is_forced {
        let plural = if causes.len() == 1 { "" } else { "s" };
        let list: Vec<String> = causes
            .iter()
            .map(|cause| {
                format!(
                    "{}: {}",
                    cause["message"].as_str().unwrap(),
                    cause["field"].as_str().unwrap()
                )
            })
            .collect();
        let message = format!(
            "Apply failed with {} conflict{plural}: {}",
            causes.len(),
            list.join(", ")
        );
        let mut refusal = Refusal::new(409, "Conflict", message);
        refusal.causes = causes;
        return Err(refusal);
    }

    let mut merged = live.clone();
    for (name, value) in config.as_object().into_iter().flatten() {
        if name != "apiVersion" && name != "kind" {
            merge(&mut merged[name.as_str()], value, name);
        }
    }
    let wanted: Set = wants.keys().cloned().collect();
    let mut others = Set::new();
    let mut mine = Set::new();
    for owned in &mut entries {
        if owned.is_of(&who.manager, true, &who.subresource) {
            mine = std::mem::take(&mut owned.set);
            continue;
        }
        // Values that differed are taken over by force; equal ones are shared.
        owned.set.retain(|path| match wants.get(path) {
            Some(value) if !value.is_null() => had.get(path) == Some(value),
            _ => true,
        });
        others.extend(owned.set.iter().cloned());
    }
    let dropped: Vec<&Path> = mine
        .difference(&wanted)
        .filter(|path| !others.contains(*path))
        .collect();
    // An item of a list comes before its fields: it goes as a whole, while its key still tells which it is.
    for path in dropped {
        let is_held = others.iter().chain(&wanted).any(|other| other.starts_with(path));
        if !is_held {
            remove(&mut merged, path);
        }
    }
    entries.retain(|owned| !owned.is_of(&who.manager, true, &who.subresource));
    who.set = wanted;
    entries.push(who);
    fields::set_owners(&mut merged, entries);
    Ok(merged)
}

fn merge(live: &mut Value, config: &Value, name: &str) {
    match config {
        Value::Object(map) if !is_atomic(name) => {
            if !live.is_object() {
                *live = json!({});
            }
            for (field, value) in map {
                merge(&mut live[field.as_str()], value, field);
            }
        }
        Value::Array(items) => {
            let steps: Option<Vec<Step>> = items.iter().map(|item| item_step(name, item)).collect();
            let Some(steps) = steps else {
                *live = config.clone();
                return;
            };
            if !live.is_array() {
                *live = json!([]);
            }
            let list = live.as_array_mut().expect("it was just made one");
            for (step, item) in steps.iter().zip(items) {
                match list
                    .iter_mut()
                    .find(|other| item_step(name, other).as_ref() == Some(step))
                {
                    Some(other) if item.is_object() => merge(other, item, ""),
                    Some(_) => {}
                    None => list.push(item.clone()),
                }
            }
        }
        _ => *live = config.clone(),
    }
}

/// Takes a field away, and the maps and lists that it leaves empty.
fn remove(object: &mut Value, path: &[Step]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    match first {
        Step::Field(name) => {
            let Some(map) = object.as_object_mut() else { return };
            if rest.is_empty() {
                map.remove(name);
                return;
            }
            let Some(below) = map.get_mut(name) else { return };
            // The list is told by the name of the field that holds it.
            match (&rest[0], below.as_array_mut()) {
                (Step::Field(_), _) | (_, None) => remove(below, rest),
                (step, Some(list)) => {
                    let at = list
                        .iter()
                        .position(|item| item_step(name, item).as_ref() == Some(step));
                    if let Some(at) = at {
                        if rest.len() == 1 {
                            list.remove(at);
                        } else {
                            remove(&mut list[at], &rest[1..]);
                        }
                    }
                }
            }
            if below.as_object().is_some_and(|map| map.is_empty())
                || below.as_array().is_some_and(Vec::is_empty)
            {
                map.remove(name);
            }
        }
        Step::Key(_) | Step::Item(_) => {}
    }
}

fn shown(path: &Path) -> String {
    path.iter()
        .map(|step| match step {
            Step::Field(name) => format!(".{name}"),
            Step::Key(key) => {
                let key: serde_json::Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let parts: Vec<String> = key
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("[{}]", parts.join(","))
            }
            Step::Item(item) => format!("[{item}]"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &str) -> Owned {
        Owned {
            manager: name.to_owned(),
            is_apply: true,
            api_version: "apps/v1".to_owned(),
            subresource: String::new(),
            time: String::new(),
            set: Set::new(),
        }
    }

    /// Scenario: two managers apply to one object; one then applies less.
    /// Guarantees: what only it owned goes, what both own stays, and other lists and maps are left alone.
    #[test]
    fn what_is_no_longer_applied_goes() {
        let start = json!({ "metadata": { "name": "a" } });
        let by_user = json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "paused": true } });
        let live = apply(&start, &by_user, manager("user"), false).unwrap();
        let ours = json!({
            "metadata": { "labels": { "ours": "1" } },
            "spec": { "paused": true, "containers": [{ "name": "c", "image": "i" }] },
        });
        let live = apply(&live, &ours, manager("immune"), false).unwrap();
        assert_eq!(live["metadata"]["labels"], json!({ "app": "x", "ours": "1" }));
        let live = apply(&live, &json!({}), manager("immune"), false).unwrap();
        assert_eq!(live["metadata"]["labels"], json!({ "app": "x" }));
        assert_eq!(live["spec"], json!({ "paused": true }));
        assert_eq!(live["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    }

    /// Scenario: a field that another manager owns, with another value.
    /// Guarantees: a conflict that names both; with force the field changes hands.
    #[test]
    fn conflicts_are_found_and_forced() {
        let live = json!({ "metadata": { "name": "a" } });
        let live = apply(
            &live,
            &json!({ "spec": { "replicas": 1 } }),
            manager("user"),
            false,
        )
        .unwrap();
        let ours = json!({ "spec": { "replicas": 2 } });
        let refusal = apply(&live, &ours, manager("immune"), false).unwrap_err();
        assert_eq!(
            refusal.message,
            "Apply failed with 1 conflict: conflict with \"user\" using apps/v1: .spec.replicas"
        );
        let live = apply(&live, &ours, manager("immune"), true).unwrap();
        assert_eq!(live["spec"]["replicas"], 2);
        let owners = fields::owners(&live);
        assert_eq!((owners.len(), owners[0].manager.as_str()), (1, "immune"));
    }
}
