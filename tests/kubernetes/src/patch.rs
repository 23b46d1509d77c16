//! The three kinds of patches that are not server-side apply.

use crate::fields::list_keys;
use crate::refusal::Refusal;
use serde_json::{Value, json};

/// A patch by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl How {
    pub(crate) fn told(content_type: &str) -> Result<Self, Refusal> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(How::Json),
            "application/merge-patch+json" => Ok(How::Merge),
            "application/strategic-merge-patch+json" => Ok(How::Strategic),
            "application/apply-patch+yaml" => Ok(How::Apply),
            other => Err(Refusal::new(
                415,
                "UnsupportedMediaType",
                format!("the body of the request was in an unknown format: {other}"),
            )),
        }
    }
}

/// RFC 7396.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// RFC 6902.
pub(crate) fn json(target: &mut Value, patch: Value) -> Result<(), Refusal> {
    let patch: json_patch::Patch = serde_json::from_value(patch)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(target, &patch).map_err(|error| {
        Refusal::new(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {error}"),
        )
    })
}

/// Like a merge patch, but lists whose items have keys are merged item by item; `$patch: delete` and
/// `$patch: replace` are understood.
pub(crate) fn strategic(target: &mut Value, patch: &Value) {
    let Some(map) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || patch["$patch"] == "replace" {
        *target = json!({});
    }
    for (field, value) in map.iter().filter(|(field, _)| !field.starts_with('$')) {
        match value {
            Value::Null => {
                target.as_object_mut().expect("it is one").remove(field);
            }
            Value::Array(items) if field == "finalizers" => add_to_set(&mut target[field.as_str()], items),
            Value::Array(items) if items.iter().any(|item| list_keys(field, item).is_some()) => {
                merge_list(&mut target[field.as_str()], items, field);
            }
            Value::Array(_) => target[field.as_str()] = value.clone(),
            Value::Object(_) => strategic(&mut target[field.as_str()], value),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => target[field.as_str()] = value.clone(),
        }
    }
}

fn add_to_set(target: &mut Value, items: &[Value]) {
    if !target.is_array() {
        *target = json!([]);
    }
    let list = target.as_array_mut().expect("it was just made one");
    for item in items {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn merge_list(target: &mut Value, items: &[Value], field: &str) {
    let (marks, items): (Vec<&Value>, Vec<&Value>) = items
        .iter()
        .partition(|item| item["$patch"] == "replace" && item.as_object().is_some_and(|map| map.len() == 1));
    if !target.is_array() || !marks.is_empty() {
        *target = json!([]);
    }
    let list = target.as_array_mut().expect("it was just made one");
    for item in items {
        // The first key is the patch merge key; the others only tell items apart for apply.
        let Some(key) = list_keys(field, item).and_then(|keys| keys.first().copied()) else {
            list.push(item.clone());
            continue;
        };
        let at = list.iter().position(|other| other[key] == item[key]);
        match (at, item["$patch"] == "delete") {
            (Some(at), true) => {
                list.remove(at);
            }
            (Some(at), false) => strategic(&mut list[at], item),
            (None, true) => {}
            (None, false) => {
                let mut new = json!({});
                strategic(&mut new, item);
                list.push(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: containers and environment are merged by name, plain lists replaced, null removes.
    #[test]
    fn lists_merge_by_key() {
        let mut live = json!({ "a": 1, "args": ["x"], "containers": [
            { "name": "c", "image": "i", "env": [{ "name": "E", "value": "1" }] }, { "name": "d" },
        ] });
        strategic(
            &mut live,
            &json!({ "a": null, "args": ["y"], "containers": [
                { "name": "c", "env": [{ "name": "F", "value": "2" }] }, { "name": "d", "$patch": "delete" },
            ] }),
        );
        let wanted = json!({ "args": ["y"], "containers": [
            { "name": "c", "image": "i", "env": [{ "name": "E", "value": "1" }, { "name": "F", "value": "2" }] },
        ] });
        assert_eq!(live, wanted);
    }
}
