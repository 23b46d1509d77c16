//! The credential that a platform wants with each request.

use crate::config::Base;
use crate::secret::Secret;
use std::path::PathBuf;

/// The most bytes of a token; more is not a token.
const TOKEN_BYTES_MAX: usize = 64 * 1_024;

/// A header to send, and where its value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    header: Option<String>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    None,
    Value(Secret),
    File(PathBuf),
}

impl Credential {
    pub(crate) fn of(base: &Base) -> Self {
        let source = match (&base.token, &base.token_file) {
            (Some(token), _) => Source::Value(token.clone()),
            (None, Some(file)) => Source::File(file.clone()),
            (None, None) => Source::None,
        };
        Credential {
            header: base.header.as_ref().map(|name| name.to_ascii_lowercase()),
            source,
        }
    }

    /// Name and value of the header, `None` when the platform wants none. The error names no content.
    pub(crate) async fn header(&self) -> Result<Option<(String, Secret)>, String> {
        let token = match &self.source {
            Source::None => return Ok(None),
            Source::Value(token) => token.clone(),
            Source::File(file) => {
                let text = tokio::fs::read_to_string(file)
                    .await
                    .map_err(|e| format!("the token file cannot be read: {}", e.kind()))?;
                if text.len() > TOKEN_BYTES_MAX {
                    return Err(format!(
                        "the token file has {} bytes, at most {TOKEN_BYTES_MAX}",
                        text.len()
                    ));
                }
                Secret::new(text.lines().next().unwrap_or_default().trim())
            }
        };
        Ok(Some(match &self.header {
            Some(name) => (name.clone(), token),
            None => (
                "authorization".to_owned(),
                Secret::new(format!("Bearer {}", token.expose())),
            ),
        }))
    }
}
