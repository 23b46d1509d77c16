//! Schemas of custom resources, as their definition has them: unknown fields are dropped, defaults filled in, and what
//! does not fit is refused. Rules in CEL, patterns, formats and `anyOf` are not looked at.

use serde_json::{Value, json};

/// Drops what the schema does not know and fills in what it knows better.
pub(crate) fn prune(schema: &Value, object: &mut Value) {
    let (apart, metadata) = apart(object);
    prune_below(schema, object);
    for (field, value) in apart {
        object[field.as_str()] = value;
    }
    if !metadata.is_null() {
        object["metadata"] = metadata;
    }
}

/// Type and metadata, which no schema of a custom resource is about.
fn apart(object: &mut Value) -> (Vec<(String, Value)>, Value) {
    let Some(map) = object.as_object_mut() else {
        return (Vec::new(), Value::Null);
    };
    let kept = ["apiVersion", "kind"];
    let kept = kept.iter().filter_map(|field| map.remove_entry(*field)).collect();
    (kept, map.remove("metadata").unwrap_or_default())
}

fn prune_below(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let known = schema["properties"].as_object();
            let others = &schema["additionalProperties"];
            let keeps_all = schema["x-kubernetes-preserve-unknown-fields"] == true;
            map.retain(|field, value| {
                let own = known.and_then(|known| known.get(field));
                // A null where none may be, and a default is, is as good as nothing.
                let is_nothing = own.is_some_and(|own| {
                    value.is_null() && own["nullable"] != true && !own["default"].is_null()
                });
                let is_known = own.is_some() || others.is_object() || *others == true || keeps_all;
                is_known && !is_nothing
            });
            for (field, own) in known.into_iter().flatten() {
                if !map.contains_key(field) && !own["default"].is_null() {
                    map.insert(field.clone(), own["default"].clone());
                }
            }
            for (field, value) in map {
                let own = known.and_then(|known| known.get(field.as_str()));
                match own {
                    Some(own) => prune_below(own, value),
                    None if others.is_object() => prune_below(others, value),
                    None => {}
                }
            }
        }
        Value::Array(list) => {
            let items = &schema["items"];
            if items.is_object() {
                list.iter_mut().for_each(|item| prune_below(items, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The first field that does not fit, and why.
pub(crate) fn mistake(schema: &Value, object: &Value) -> Option<(String, String)> {
    let mut object = object.clone();
    apart(&mut object);
    mistake_below(schema, &object, "")
}

fn mistake_below(schema: &Value, value: &Value, path: &str) -> Option<(String, String)> {
    let wrong = |why: String| Some((path.to_owned(), why));
    let own = schema["type"].as_str().unwrap_or_default();
    if value.is_null() && schema["nullable"] == true {
        return None;
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return match value.is_i64() || value.is_string() {
            true => None,
            false => wrong(format!(
                "Invalid value: {value}: must be of type integer or string"
            )),
        };
    }
    let fits = match own {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        return wrong(format!(
            "Invalid value: {value}: {path} in body must be of type {own}"
        ));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|words| !words.contains(value))
    {
        return wrong(format!(
            "Unsupported value: {value}: supported values: {}",
            schema["enum"]
        ));
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "Length")),
        Value::Array(list) => Some((list.len(), "Items")),
        Value::Object(map) => Some((map.len(), "Properties")),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    };
    if let Some((size, what)) = size {
        let bound = |end: &str| schema[format!("{end}{what}")].as_u64();
        if bound("max").is_some_and(|max| size as u64 > max) {
            return wrong(format!(
                "Too long: may not be more than {}",
                schema[format!("max{what}")]
            ));
        }
        if bound("min").is_some_and(|min| (size as u64) < min) {
            return wrong(format!(
                "Invalid value: should be at least {}",
                schema[format!("min{what}")]
            ));
        }
    }
    if let Some(number) = value.as_f64() {
        if schema["maximum"].as_f64().is_some_and(|max| number > max) {
            return wrong(format!(
                "Invalid value: {value}: should be less than or equal to {}",
                schema["maximum"]
            ));
        }
        if schema["minimum"].as_f64().is_some_and(|min| number < min) {
            let min = &schema["minimum"];
            return wrong(format!(
                "Invalid value: {value}: should be greater than or equal to {min}"
            ));
        }
    }
    mistake_inside(schema, value, path)
}

fn mistake_inside(schema: &Value, value: &Value, path: &str) -> Option<(String, String)> {
    let at = |field: &str| match path.is_empty() {
        true => field.to_owned(),
        false => format!("{path}.{field}"),
    };
    match value {
        Value::Object(map) => {
            let required = schema["required"].as_array().into_iter().flatten();
            let missing = required
                .filter_map(Value::as_str)
                .find(|field| !map.contains_key(*field));
            if let Some(field) = missing.filter(|field| !["apiVersion", "kind", "metadata"].contains(field)) {
                return Some((at(field), "Required value".to_owned()));
            }
            let others = &schema["additionalProperties"];
            map.iter().find_map(|(field, value)| {
                let own = match &schema["properties"][field] {
                    Value::Null if others.is_object() => others,
                    own => own,
                };
                mistake_below(own, value, &at(field))
            })
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .find_map(|(n, item)| mistake_below(&schema["items"], item, &format!("{path}[{n}]"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The schema of a version in a definition, if it says anything.
pub(crate) fn of(version: &Value) -> Option<Value> {
    let schema = &version["schema"]["openAPIV3Schema"];
    (schema.is_object() && *schema != json!({})).then(|| schema.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "required": ["spec"], "properties": { "spec": {
            "type": "object", "required": ["agent"], "properties": {
                "agent": { "type": "string", "minLength": 1 },
                "priority": { "type": "integer", "default": 0, "maximum": 10 },
                "mode": { "type": "string", "enum": ["on", "off"], "nullable": true },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            },
        } } })
    }

    /// Guarantees: unknown fields go except where all are kept, defaults come, type and metadata stay.
    #[test]
    fn objects_are_pruned() {
        let mut object = json!({
            "apiVersion": "a/v1", "kind": "A", "metadata": { "name": "x" }, "other": 1,
            "spec": { "agent": "a", "typo": 1, "labels": { "a": "b" }, "free": { "x": { "y": 1 } } },
        });
        prune(&schema(), &mut object);
        let spec =
            json!({ "agent": "a", "priority": 0, "labels": { "a": "b" }, "free": { "x": { "y": 1 } } });
        let wanted = json!({ "apiVersion": "a/v1", "kind": "A", "metadata": { "name": "x" }, "spec": spec });
        assert_eq!(object, wanted);
    }

    /// Guarantees: each mistake is found where it is; what fits is none.
    #[test]
    fn mistakes_are_found() {
        let found = |object: Value| {
            mistake(&schema(), &object)
                .map(|(path, _)| path)
                .unwrap_or_default()
        };
        assert_eq!(
            found(json!({ "kind": "A", "spec": { "agent": "a", "mode": null, "priority": 3 } })),
            ""
        );
        for (object, path) in [
            (json!({}), "spec"),
            (json!({ "spec": {} }), "spec.agent"),
            (json!({ "spec": { "agent": "" } }), "spec.agent"),
            (
                json!({ "spec": { "agent": "a", "priority": "1" } }),
                "spec.priority",
            ),
            (
                json!({ "spec": { "agent": "a", "priority": 11 } }),
                "spec.priority",
            ),
            (json!({ "spec": { "agent": "a", "mode": "up" } }), "spec.mode"),
            (
                json!({ "spec": { "agent": "a", "labels": { "a": 1 } } }),
                "spec.labels.a",
            ),
        ] {
            assert_eq!(found(object.clone()), path, "{object}");
        }
    }
}
