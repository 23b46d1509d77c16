//! Keys and sessions between rows and values.

use crate::rows::{Reader, encode_unchecked};
use immune_domain::{RunId, Timestamp};
use immune_store::access::{SecretHash, Session, StoredKey};
use immune_store::error::Result;
use sqlx::sqlite::SqliteRow;

/// Runs as they are stored.
pub(crate) fn runs(doing: &'static str, runs: &[RunId]) -> Result<String> {
    encode_unchecked(doing, &runs)
}

fn hash(row: &Reader<'_>) -> Result<SecretHash> {
    let bytes: &[u8] = row.get("hash")?;
    SecretHash::try_from(bytes).map_err(|_| row.damaged("the hash does not have 32 bytes"))
}

fn time_if_any(row: &Reader<'_>, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
}

/// Reads a key back.
pub(crate) fn key(row: &SqliteRow) -> Result<StoredKey> {
    let row = Reader::new(row, "key", "id");
    let revoked_by: Option<String> = row.get("revoked_by")?;
    Ok(StoredKey {
        id: row.get("id")?,
        name: row.get("name")?,
        hash: hash(&row)?,
        role: row.get("role")?,
        runs: row.json("runs")?,
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        expires_at: time_if_any(&row, "expires_at")?,
        revoked: time_if_any(&row, "revoked_at")?.map(|at| (at, revoked_by.unwrap_or_default())),
        last_used_at: time_if_any(&row, "last_used_at")?,
    })
}

/// Reads a session back. A damaged one is named by its person: its hash is nobody's business.
pub(crate) fn session(row: &SqliteRow) -> Result<Session> {
    let row = Reader::new(row, "session", "subject");
    Ok(Session {
        hash: hash(&row)?,
        subject: row.get("subject")?,
        via: row.get("via")?,
        name: row.get("name")?,
        role: row.get("role")?,
        runs: row.json("runs")?,
        provider_session: row.get("provider_session")?,
        provider_subject: row.get("provider_subject")?,
        id_token: row.get("id_token")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        ends_at: row.time("ends_at")?,
    })
}
