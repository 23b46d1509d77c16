//! Keys and sessions in PostgreSQL.

use crate::access_rows::{key, session};
use crate::database::{Database, Query, Repeat};
use crate::nul;
use crate::rows::{Reader, jsonb_unchecked};
use crate::types::At;
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_store::StorageError;
use immune_store::access::{
    AccessStore, Added, Ending, KEYS_MAX, SESSIONS_PER_SUBJECT, SecretHash, Session, StoredKey,
};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// The [`AccessStore`] of a PostgreSQL database. Every statement may be done twice, so that each is repeated when its
/// answer was lost.
pub(crate) struct PgAccess(pub(crate) Arc<Database>);

impl PgAccess {
    /// The one row of a statement that always has one.
    async fn one<T>(
        &self,
        doing: &'static str,
        query: impl Fn() -> Query + Send + Sync,
        read: impl Fn(&PgRow) -> Result<T>,
    ) -> Result<T> {
        let answer = self.0.run(doing, Repeat::Always, query).await?;
        let row = answer.rows.first();
        read(row.ok_or_else(|| StorageError::refused(doing, "the database answered without a row"))?)
    }
}

#[async_trait]
impl AccessStore for PgAccess {
    async fn add_key(&self, key: &StoredKey, first: bool) -> Result<Added> {
        const DOING: &str = "adding a key";
        let runs = jsonb_unchecked(DOING, &key.runs)?;
        let query = || {
            let query =
                sqlx::query("SELECT immune.add_access_key($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS added")
                    .bind(nul::hide(&key.id))
                    .bind(nul::hide(&key.name))
                    .bind(key.hash.to_vec())
                    .bind(nul::hide(&key.role))
                    .bind(runs.clone());
            query
                .bind(At(key.created_at))
                .bind(nul::hide(&key.created_by))
                .bind(key.expires_at.map(At))
                .bind(first)
                .bind(KEYS_MAX as i64)
        };
        self.one(DOING, query, |row| {
            let row = Reader::new(row, "answer", "added");
            match row.get::<&str>("added")? {
                "added" => Ok(Added::Yes),
                "not_first" => Ok(Added::NotFirst),
                "full" => Ok(Added::Full),
                "name_taken" => Ok(Added::NameTaken),
                other => Err(row.damaged(format!("{other} is no answer"))),
            }
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>> {
        let sql = "SELECT * FROM immune.access_keys ORDER BY created_at, id LIMIT $1";
        let query = || sqlx::query(sql).bind(KEYS_MAX as i64);
        let rows = self.0.read("reading the keys", query).await?;
        rows.iter().map(key).collect()
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool> {
        let sql = "UPDATE immune.access_keys SET revoked_at = $2, revoked_by = $3 WHERE id = $1 \
                   AND (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) \
                        OR revoked_at = $2 AND revoked_by = $3) RETURNING id";
        let query = || {
            let query = sqlx::query(sql).bind(nul::hide(id));
            query.bind(At(at)).bind(nul::hide(by))
        };
        let answer = self.0.run("revoking a key", Repeat::Always, query).await?;
        Ok(!answer.rows.is_empty())
    }

    async fn keys_used(&self, uses: &[(String, Timestamp)]) -> Result<()> {
        const DOING: &str = "noting uses of keys";
        if uses.is_empty() {
            return Ok(());
        }
        let uses: Vec<(&str, i64)> = uses
            .iter()
            .map(|(id, at)| (id.as_str(), At::micros(*at)))
            .collect();
        let uses = jsonb_unchecked(DOING, &uses)?;
        let query = || sqlx::query("SELECT immune.access_keys_used($1)").bind(uses.clone());
        self.0.run(DOING, Repeat::Always, query).await.map(|_| ())
    }

    async fn put_session(&self, session: &Session) -> Result<()> {
        const DOING: &str = "keeping a session";
        let runs = jsonb_unchecked(DOING, &session.runs)?;
        let query = || {
            let query = sqlx::query(
                "SELECT immune.put_access_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            );
            let query = query
                .bind(session.hash.to_vec())
                .bind(nul::hide(&session.subject))
                .bind(nul::hide(&session.via))
                .bind(nul::hide(&session.name))
                .bind(nul::hide(&session.role));
            let query = query
                .bind(runs.clone())
                .bind(session.provider_session.as_deref().map(nul::hide))
                .bind(session.provider_subject.as_deref().map(nul::hide))
                .bind(session.id_token.as_deref().map(nul::hide));
            query
                .bind(At(session.created_at))
                .bind(At(session.seen_at))
                .bind(At(session.ends_at))
                .bind(SESSIONS_PER_SUBJECT as i64)
        };
        self.0.run(DOING, Repeat::Always, query).await.map(|_| ())
    }

    async fn session(&self, hash: &SecretHash) -> Result<Option<Session>> {
        let query =
            || sqlx::query("SELECT * FROM immune.access_sessions WHERE hash = $1").bind(hash.to_vec());
        let rows = self.0.read("reading a session", query).await?;
        rows.first().map(session).transpose()
    }

    async fn session_seen(&self, hash: &SecretHash, at: Timestamp) -> Result<()> {
        let sql = "UPDATE immune.access_sessions SET seen_at = $2 WHERE hash = $1 AND seen_at < $2";
        let query = || sqlx::query(sql).bind(hash.to_vec()).bind(At(at));
        self.0
            .run("noting that a session was seen", Repeat::Always, query)
            .await
            .map(|_| ())
    }

    async fn end_sessions(&self, ending: &Ending) -> Result<u64> {
        let query = || match ending {
            Ending::Session(hash) => sqlx::query(
                "WITH gone AS (DELETE FROM immune.access_sessions WHERE hash = $1 RETURNING 1) \
                 SELECT count(*) FROM gone",
            )
            .bind(hash.to_vec()),
            Ending::ProviderSession(sid) => sqlx::query(
                "WITH gone AS (DELETE FROM immune.access_sessions \
                               WHERE md5(provider_session) = md5($1) AND provider_session = $1 RETURNING 1) \
                 SELECT count(*) FROM gone",
            )
            .bind(nul::hide(sid)),
            Ending::ProviderSubject(sub) => sqlx::query(
                "WITH gone AS (DELETE FROM immune.access_sessions \
                               WHERE md5(provider_subject) = md5($1) AND provider_subject = $1 RETURNING 1) \
                 SELECT count(*) FROM gone",
            )
            .bind(nul::hide(sub)),
            Ending::Via(via) => sqlx::query(
                "WITH gone AS (DELETE FROM immune.access_sessions \
                               WHERE md5(via) = md5($1) AND via = $1 RETURNING 1) \
                 SELECT count(*) FROM gone",
            )
            .bind(nul::hide(via)),
        };
        self.one("ending sessions", query, |row| {
            Reader::new(row, "count", "count").number("count")
        })
        .await
    }

    async fn shared_secret(&self, name: &str, proposed: &[u8; 32]) -> Result<[u8; 32]> {
        let sql = "INSERT INTO immune.access_secrets AS old (name, secret) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET secret = old.secret RETURNING name, secret";
        let query = || sqlx::query(sql).bind(nul::hide(name)).bind(proposed.to_vec());
        self.one("agreeing on a secret", query, |row| {
            let row = Reader::new(row, "secret", "name");
            let secret: &[u8] = row.get("secret")?;
            <[u8; 32]>::try_from(secret).map_err(|_| row.damaged("it does not have 32 bytes"))
        })
        .await
    }

    async fn purge_access(&self, before: Timestamp) -> Result<u64> {
        let keys = "WITH old AS MATERIALIZED (\
                        SELECT id FROM immune.access_keys WHERE revoked_at < $1 OR expires_at < $1 \
                        LIMIT $2 FOR UPDATE SKIP LOCKED), \
                    removed AS (DELETE FROM immune.access_keys k USING old WHERE k.id = old.id RETURNING 1) \
                    SELECT count(*) FROM removed";
        let removed = self.0.purge("purging keys", keys, before).await?;
        let sessions = "WITH old AS MATERIALIZED (\
                            SELECT hash FROM immune.access_sessions WHERE ends_at < $1 OR seen_at < $1 \
                            LIMIT $2 FOR UPDATE SKIP LOCKED), \
                        removed AS (DELETE FROM immune.access_sessions s USING old WHERE s.hash = old.hash \
                                    RETURNING 1) \
                        SELECT count(*) FROM removed";
        Ok(removed + self.0.purge("purging sessions", sessions, before).await?)
    }
}
