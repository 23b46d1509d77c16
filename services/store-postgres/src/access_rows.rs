//! Keys and sessions between rows and values.

use crate::rows::Reader;
use crate::types::At;
use immune_domain::Timestamp;
use immune_store::access::{SecretHash, Session, StoredKey};
use immune_store::error::Result;
use sqlx::postgres::PgRow;

fn hash(row: &Reader<'_>) -> Result<SecretHash> {
    let bytes: &[u8] = row.get("hash")?;
    SecretHash::try_from(bytes).map_err(|_| row.damaged("the hash does not have 32 bytes"))
}

fn time_if_any(row: &Reader<'_>, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.get::<Option<At>>(column)?.map(|at| at.0))
}

/// Reads a key back.
pub(crate) fn key(row: &PgRow) -> Result<StoredKey> {
    let row = Reader::new(row, "key", "id");
    let revoked_by = row.text_if_any("revoked_by")?;
    Ok(StoredKey {
        id: row.text("id")?,
        name: row.text("name")?,
        hash: hash(&row)?,
        role: row.text("role")?,
        runs: row.json("runs")?,
        created_at: row.time("created_at")?,
        created_by: row.text("created_by")?,
        expires_at: time_if_any(&row, "expires_at")?,
        revoked: time_if_any(&row, "revoked_at")?.map(|at| (at, revoked_by.unwrap_or_default())),
        last_used_at: time_if_any(&row, "last_used_at")?,
    })
}

/// Reads a session back. A damaged one is named by its person: its hash is nobody's business.
pub(crate) fn session(row: &PgRow) -> Result<Session> {
    let row = Reader::new(row, "session", "subject");
    Ok(Session {
        hash: hash(&row)?,
        subject: row.text("subject")?,
        via: row.text("via")?,
        name: row.text("name")?,
        role: row.text("role")?,
        runs: row.json("runs")?,
        provider_session: row.text_if_any("provider_session")?,
        provider_subject: row.text_if_any("provider_subject")?,
        id_token: row.text_if_any("id_token")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        ends_at: row.time("ends_at")?,
    })
}
