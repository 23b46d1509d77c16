//! Label and field selectors, as queries carry them and as objects hold them.

use crate::refusal::Refusal;
use serde_json::Value;

/// One requirement of a query's label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Which objects a query wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    needs: Vec<Need>,
    fields: Vec<(String, bool, String)>,
}

impl Wanted {
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Self, Refusal> {
        let bad = |text: &str| Refusal::bad_request(format!("unable to parse requirement: {text}"));
        let mut wanted = Wanted::default();
        for text in split(labels.unwrap_or_default()) {
            wanted.needs.push(need(&text).ok_or_else(|| bad(&text))?);
        }
        for text in split(fields.unwrap_or_default()) {
            let (is_equal, (path, value)) = match text.split_once("!=") {
                Some(parts) => (false, parts),
                None => (
                    true,
                    text.split_once("==")
                        .or(text.split_once('='))
                        .ok_or_else(|| bad(&text))?,
                ),
            };
            wanted.fields.push((path.to_owned(), is_equal, value.to_owned()));
        }
        Ok(wanted)
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let fits = |need: &Need| match need {
            Need::In(key, values) => labels[key]
                .as_str()
                .is_some_and(|v| values.iter().any(|w| w == v)),
            Need::NotIn(key, values) => labels[key].as_str().is_none_or(|v| values.iter().all(|w| w != v)),
            Need::Exists(key) => labels[key].is_string(),
            Need::Missing(key) => !labels[key].is_string(),
        };
        self.needs.iter().all(fits)
            && self.fields.iter().all(|(path, is_equal, value)| {
                let found = path.split('.').fold(object, |at, step| &at[step]);
                let found = match found {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                };
                (found == *value) == *is_equal
            })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    parts
        .into_iter()
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect()
}

fn need(text: &str) -> Option<Need> {
    let values = |list: &str| {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(list.split(',').map(|v| v.trim().to_owned()).collect::<Vec<_>>())
    };
    if let Some((key, list)) = text.split_once(" notin ") {
        return Some(Need::NotIn(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return Some(Need::In(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Need::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once("==").or(text.split_once('=')) {
        return Some(Need::In(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    match text.strip_prefix('!') {
        Some(key) => Some(Need::Missing(key.trim().to_owned())),
        None => Some(Need::Exists(text.to_owned())),
    }
}

/// Whether labels fit a `LabelSelector` object. An absent selector fits nothing, an empty one everything.
pub(crate) fn fits(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let equal = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| &labels[key] == value));
    let expressions = selector["matchExpressions"].as_array();
    equal
        && expressions.is_none_or(|list| {
            list.iter().all(|e| {
                let found = &labels[e["key"].as_str().unwrap_or_default()];
                let is_listed = e["values"].as_array().is_some_and(|v| v.contains(found));
                match e["operator"].as_str() {
                    Some("In") => is_listed,
                    Some("NotIn") => !is_listed,
                    Some("Exists") => !found.is_null(),
                    Some("DoesNotExist") => found.is_null(),
                    _ => false,
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Guarantees: the documented forms of selectors choose what they say.
    #[test]
    fn selectors_choose() {
        let object = json!({ "metadata": { "name": "a", "labels": { "x": "1", "y": "2" } } });
        for (labels, fields, wanted) in [
            ("x=1,y!=3", "", true),
            ("x in (1, 2),z notin (1)", "", true),
            ("x,!z", "metadata.name=a", true),
            ("z", "", false),
            ("x!=1", "", false),
            ("", "metadata.name!=a", false),
        ] {
            let selector = Wanted::parse(Some(labels), Some(fields)).unwrap();
            assert_eq!(selector.matches(&object), wanted, "{labels} {fields}");
        }
    }
}
