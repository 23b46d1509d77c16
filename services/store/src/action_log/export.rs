//! Rows as JSON lines, and back.

use super::{LinkHash, StoredRow, canonical};
use serde_json::{Map, Value, json};

/// A row as one line, without the newline: the hashed fields, `previous_hash` and `hash`.
pub fn line(previous: LinkHash, stored: &StoredRow, hash: LinkHash) -> String {
    let row = &stored.row;
    json!({
        "sequence": stored.sequence,
        "at": canonical::time(row.at),
        "run_id": row.run,
        "type": row.kind,
        "agent_id": row.agent,
        "actor": row.actor,
        "outcome": row.outcome,
        "payload": row.payload,
        "previous_hash": previous,
        "hash": hash,
    })
    .to_string()
}

/// A row that the reader may not see as one line: only its links, so that the chain does not break.
pub fn other_run_line(previous: LinkHash, sequence: u64, hash: LinkHash) -> String {
    json!({ "sequence": sequence, "other_run": true, "previous_hash": previous, "hash": hash }).to_string()
}

/// A line that was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Place in the order.
    pub sequence: u64,
    /// Hash of the row before.
    pub previous: LinkHash,
    /// Hash of the row.
    pub hash: LinkHash,
    /// The canonical bytes; `None` for a row of another run.
    pub content: Option<Vec<u8>>,
}

/// What is no exported row.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON.
    #[error("is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// A field is missing or has another type.
    #[error("has no {0} of the right kind")]
    Field(&'static str),
}

impl LineError {
    /// What a caller may do about it.
    pub fn kind(&self) -> immune_domain::ErrorKind {
        match self {
            LineError::Json(_) | LineError::Field(_) => immune_domain::ErrorKind::Invalid,
        }
    }
}

impl Exported {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is none of [`line`]'s or [`other_run_line`]'s. A changed value is no error here; its hash shows it.
    pub fn read(text: &str) -> Result<Self, LineError> {
        let mut fields: Map<String, Value> = serde_json::from_str(text).map_err(LineError::Json)?;
        let sequence = fields
            .get("sequence")
            .and_then(Value::as_u64)
            .ok_or(LineError::Field("sequence"))?;
        let (previous, hash) = (taken(&mut fields, "previous_hash")?, taken(&mut fields, "hash")?);
        let is_other = fields.get("other_run") == Some(&Value::Bool(true)) && fields.len() == 2;
        let content = (!is_other).then(|| canonical::canonical_json(&Value::Object(fields)).into_bytes());
        Ok(Exported {
            sequence,
            previous,
            hash,
            content,
        })
    }
}

fn taken(fields: &mut Map<String, Value>, name: &'static str) -> Result<LinkHash, LineError> {
    let text = fields.remove(name);
    let hash = text
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    hash.ok_or(LineError::Field(name))
}
