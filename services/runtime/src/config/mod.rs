//! Configuration: defaults < file < environment < flags, every mistake reported at once.

mod secret;

pub use secret::Secret;

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration has {}:\n{}", count(.0.len()), .0.iter().map(|m| format!("  {m}")).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<String>);

fn count(n: usize) -> String {
    if n == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{n} mistakes")
    }
}

/// Reads the layers into one value: the file, then `IMMUNE_A__B=value` from the environment (two underscores
/// between levels, so that names may hold one), then `extra`, each over the last. `T`'s own defaults fill the rest.
///
/// # Errors
/// All mistakes that reading shows: a file that is no YAML, unknown keys, values of a wrong type.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    extra: &[(&[&str], String)],
) -> Result<T, Mistakes> {
    let mut tree = match file {
        None => Value::Object(serde_json::Map::new()),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Mistakes(vec![format!("{}: cannot be read: {e}", path.display())]))?;
            match serde_norway::from_str::<Value>(&text) {
                Ok(Value::Null) => Value::Object(serde_json::Map::new()),
                Ok(value) => value,
                Err(e) => return Err(Mistakes(vec![format!("{}: {e}", path.display())])),
            }
        }
    };
    let mut variables: Vec<(String, String)> = environment
        .filter_map(|(name, value)| Some((name.strip_prefix("IMMUNE_")?.to_ascii_lowercase(), value)))
        .filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, value) in &variables {
        let path: Vec<&str> = name.split("__").collect();
        set(&mut tree, &path, scalar(value));
    }
    for (path, value) in extra {
        set(&mut tree, path, scalar(value));
    }
    serde_json::from_value(tree).map_err(|e| Mistakes(vec![e.to_string()]))
}

/// Variables that belong to the command-line client, not to the server's configuration.
const CLIENT_VARIABLES: [&str; 6] = ["server", "api_key", "run", "config", "captures", "detection_data"];

/// Numbers and booleans are read as such, lists and maps as JSON, anything else as text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => value,
        Ok(Value::String(_) | Value::Null) | Err(_) => Value::String(text.to_owned()),
    }
}

fn set(tree: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(map) = tree {
        set(map.entry((*first).to_owned()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: String,
        inner: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        limit_bytes: u32,
    }

    impl Default for Sample {
        fn default() -> Self {
            Sample {
                name: "default".to_owned(),
                inner: Inner { limit_bytes: 1 },
            }
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Scenario: file, environment and flags name the same key.
    /// Guarantees: the later layer wins, and keys that none names keep their defaults.
    #[test]
    fn later_layers_win() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "inner:\n  limit_bytes: 2\n").unwrap();
        let read = |env: &[(&str, &str)], extra: &[(&[&str], String)]| {
            load::<Sample>(Some(file.path()), environment(env), extra)
                .unwrap()
                .inner
                .limit_bytes
        };
        assert_eq!(read(&[], &[]), 2);
        assert_eq!(read(&[("IMMUNE_INNER__LIMIT_BYTES", "3")], &[]), 3);
        assert_eq!(
            read(
                &[("IMMUNE_INNER__LIMIT_BYTES", "3")],
                &[(&["inner", "limit_bytes"], "4".into())]
            ),
            4
        );
    }

    /// Guarantees: a misspelt key is refused by name instead of being ignored.
    #[test]
    fn unknown_keys_are_refused() {
        let error = load::<Sample>(None, environment(&[("IMMUNE_NAMES", "x")]), &[]).unwrap_err();
        assert!(error.to_string().contains("names"), "{error}");
        assert!(
            error.to_string().starts_with("configuration has 1 mistake:"),
            "{error}"
        );
    }
}
