//! What validation refuses, of the mistakes that clients make.

use crate::kinds::Kind;
use crate::refusal::Refusal;
use crate::selector;
use crate::structure;
use serde_json::Value;

/// Longest label value, by the API's documentation.
const LABEL_MAX: usize = 63;
/// Most bytes of all annotations together.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// A field, and what is wrong with it.
type Mistake = (&'static str, String);

/// Refuses what validation refuses; `before` is the object as it was, if it was.
pub(crate) fn check(kind: &Kind, before: Option<&Value>, object: &Value) -> Result<(), Refusal> {
    let found = check_metadata(object)
        .and_then(|()| check_labels(object))
        .and_then(|()| match (kind.group.as_str(), kind.plural.as_str()) {
            ("apps", "controllerrevisions") => Ok(()),
            ("apps", _) => check_workload(before, object),
            ("", "pods") => check_pod(before, object),
            ("", "configmaps") => check_config(before, object),
            ("events.k8s.io", "events") if before.is_none() => check_event(object),
            ("apiextensions.k8s.io", _) => check_definition(object),
            _ => Ok(()),
        });
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let schema = kind.schema.as_ref();
    if let Some((field, why)) = schema.and_then(|schema| structure::mistake(schema, object)) {
        return Err(Refusal::invalid(&kind.kind, &kind.group, name, &field, &why));
    }
    found.map_err(|(field, why)| Refusal::invalid(&kind.kind, &kind.group, name, field, &why))
}

fn mistake(field: &'static str, why: &str) -> Result<(), Mistake> {
    Err((field, why.to_owned()))
}

fn check_metadata(object: &Value) -> Result<(), Mistake> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !is_name(name) {
        let why =
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";
        return Err(("metadata.name", format!("Invalid value: {name:?}: {why}")));
    }
    let annotations = || {
        object["metadata"]["annotations"]
            .as_object()
            .into_iter()
            .flatten()
    };
    if let Some((key, _)) = annotations().find(|(key, _)| !is_key(&key.to_lowercase())) {
        return Err((
            "metadata.annotations",
            format!("Invalid value: {key:?}: name part must be valid"),
        ));
    }
    let bytes: usize = annotations()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > ANNOTATIONS_MAX {
        return mistake(
            "metadata.annotations",
            "Too long: may not be more than 262144 bytes",
        );
    }
    Ok(())
}

fn check_labels(object: &Value) -> Result<(), Mistake> {
    let spec = &object["spec"];
    for (field, labels) in [
        ("metadata.labels", &object["metadata"]["labels"]),
        ("spec.template.labels", &spec["template"]["metadata"]["labels"]),
        ("spec.selector.matchLabels", &spec["selector"]["matchLabels"]),
        (
            "spec.podSelector.matchLabels",
            &spec["podSelector"]["matchLabels"],
        ),
    ] {
        for (key, value) in labels.as_object().into_iter().flatten() {
            if !is_key(key) {
                return Err((field, format!("Invalid value: {key:?}: name part must be valid")));
            }
            if !value.as_str().is_some_and(is_label_value) {
                let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'";
                return Err((
                    field,
                    format!("Invalid value: {value}: {why}, and be at most 63 characters"),
                ));
            }
        }
    }
    Ok(())
}

fn check_workload(before: Option<&Value>, object: &Value) -> Result<(), Mistake> {
    let (selector, template) = (&object["spec"]["selector"], &object["spec"]["template"]);
    if selector["matchLabels"].is_null() && selector["matchExpressions"].is_null() {
        return mistake("spec.selector", "Required value");
    }
    if !selector::fits(selector, &template["metadata"]["labels"]) {
        return mistake(
            "spec.template.metadata.labels",
            "`selector` does not match template `labels`",
        );
    }
    if template["spec"]["containers"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        return mistake("spec.template.spec.containers", "Required value");
    }
    if before.is_some_and(|before| before["spec"]["selector"] != *selector) {
        return mistake("spec.selector", "field is immutable");
    }
    Ok(())
}

fn check_pod(before: Option<&Value>, object: &Value) -> Result<(), Mistake> {
    if object["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        return mistake("spec.containers", "Required value");
    }
    let without_images = |pod: &Value| {
        let mut containers = pod["spec"]["containers"].clone();
        for container in containers.as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
        containers
    };
    if before.is_some_and(|before| without_images(before) != without_images(object)) {
        let why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`";
        return mistake("spec", why);
    }
    Ok(())
}

fn check_config(before: Option<&Value>, object: &Value) -> Result<(), Mistake> {
    let Some(before) = before.filter(|before| before["immutable"] == true) else {
        return Ok(());
    };
    match ["immutable", "data", "binaryData"]
        .iter()
        .all(|field| before[*field] == object[*field])
    {
        true => Ok(()),
        false => mistake("data", "Forbidden: field is immutable when `immutable` is set"),
    }
}

/// `events.k8s.io/v1` wants more than the older events did.
fn check_event(object: &Value) -> Result<(), Mistake> {
    for (field, longest) in [
        ("reportingController", 63 + 253),
        ("reportingInstance", 128),
        ("action", 128),
        ("reason", 128),
    ] {
        let text = object[field].as_str().unwrap_or_default();
        if text.is_empty() || text.len() > longest {
            return Err((field, format!("must be there, with at most {longest} characters")));
        }
    }
    if object["eventTime"].is_null() {
        return mistake("eventTime", "Required value");
    }
    if object["note"].as_str().is_some_and(|note| note.len() > 1024) {
        return mistake("note", "can have at most 1024 characters");
    }
    if object["type"] != "Normal" && object["type"] != "Warning" {
        return mistake("type", "has invalid value");
    }
    let about = object["regarding"]["namespace"].as_str().unwrap_or("default");
    if object["metadata"]["namespace"] != about {
        return mistake("regarding.namespace", "does not match event.namespace");
    }
    Ok(())
}

fn check_definition(object: &Value) -> Result<(), Mistake> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spec = &object["spec"];
    let wanted = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if object["metadata"]["name"] != wanted {
        return mistake("metadata.name", "must be spec.names.plural+\".\"+spec.group");
    }
    let versions = || spec["versions"].as_array().into_iter().flatten();
    if versions().filter(|version| version["storage"] == true).count() != 1 {
        return mistake(
            "spec.versions",
            "must have exactly one version marked as storage version",
        );
    }
    if !versions().all(|version| version["schema"]["openAPIV3Schema"].is_object()) {
        return mistake(
            "spec.versions[0].schema.openAPIV3Schema",
            "Required value: schemas are required",
        );
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_outer)
            && part.ends_with(is_outer)
            && part.chars().all(|c| is_outer(c) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(is_part)
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
    is_name(prefix) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    value.len() <= LABEL_MAX
        && value.chars().all(|c| is_outer(c) || "-_.".contains(c))
        && (value.is_empty() || (value.starts_with(is_outer) && value.ends_with(is_outer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: names, label keys and label values are as the API documents them.
    #[test]
    fn words_are_checked() {
        for (name, is_good) in [
            ("a-1.b", true),
            ("A", false),
            ("a.-b", false),
            ("", false),
            ("a..b", false),
        ] {
            assert_eq!(is_name(name), is_good, "{name:?}");
        }
        for (key, is_good) in [
            ("app", true),
            ("immune.io/agent-id", true),
            ("a b", false),
            ("a/", false),
            ("/a", false),
        ] {
            assert_eq!(is_key(key), is_good, "{key:?}");
        }
        for (value, is_good) in [("", true), ("a_B.c-1", true), ("-a", false), ("a/b", false)] {
            assert_eq!(is_label_value(value), is_good, "{value:?}");
        }
        assert!(!is_label_value(&"a".repeat(64)));
    }
}
