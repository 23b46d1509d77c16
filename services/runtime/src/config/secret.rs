//! A secret is a value or a file, never both, and is never printed.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::path::Path;

/// A text that prints as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself, for the one place that sends or hashes it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret named by `x` or `x_file`; `None` after adding a mistake when both or neither is given, or when
    /// the file cannot be read.
    pub fn resolve(
        path: &str,
        name: &str,
        value: Option<&Secret>,
        file: Option<&Path>,
        mistakes: &mut Vec<String>,
    ) -> Option<Secret> {
        match (value, file) {
            (Some(value), None) => Some(value.clone()),
            (None, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => Some(Secret(text.lines().next().unwrap_or_default().trim().to_owned())),
                Err(e) => {
                    mistakes.push(format!(
                        "{path}.{name}_file = {}: cannot be read: {e}",
                        file.display()
                    ));
                    None
                }
            },
            (Some(_), Some(_)) => {
                mistakes.push(format!("{path}: give {name} or {name}_file, not both"));
                None
            }
            (None, None) => {
                mistakes.push(format!("{path}: needs {name} or {name}_file"));
                None
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
