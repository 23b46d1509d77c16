//! Keys and sessions in SQLite.

use crate::access_rows::{key, runs, session};
use crate::error::storage;
use crate::open::Database;
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_store::StorageError;
use immune_store::access::{
    AccessStore, Added, Ending, KEYS_MAX, SESSIONS_PER_SUBJECT, SecretHash, Session, StoredKey,
};
use immune_store::error::Result;
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;

/// The [`AccessStore`] of a SQLite file.
pub(crate) struct SqliteAccess(pub(crate) Arc<Database>);

/// Adds a key, or says why not; alone in the one writer, so what is read here stays true.
async fn add(conn: &mut SqliteConnection, key: StoredKey, runs: String, first: bool) -> sqlx::Result<Added> {
    let sql = "SELECT EXISTS (SELECT 1 FROM access_keys WHERE id = ?1 AND hash = ?2), \
                      EXISTS (SELECT 1 FROM access_began), \
                      (SELECT count(*) FROM access_keys), \
                      EXISTS (SELECT 1 FROM access_keys WHERE name = ?3 AND revoked_at IS NULL \
                              AND (expires_at IS NULL OR expires_at > ?4))";
    let query = sqlx::query(sql).bind(&key.id).bind(&key.hash[..]);
    let found = query
        .bind(&key.name)
        .bind(key.created_at.as_micros())
        .fetch_one(&mut *conn)
        .await?;
    let (is_there, had_a_key, count, is_taken): (bool, bool, i64, bool) =
        (found.get(0), found.get(1), found.get(2), found.get(3));
    if is_there {
        return Ok(Added::Yes);
    }
    if first && had_a_key {
        return Ok(Added::NotFirst);
    }
    if count >= KEYS_MAX as i64 {
        return Ok(Added::Full);
    }
    if is_taken {
        return Ok(Added::NameTaken);
    }
    let sql = "INSERT INTO access_keys (id, name, hash, role, runs, created_at, created_by, expires_at, \
                                        revoked_at, revoked_by, last_used_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(key.id).bind(key.name).bind(&key.hash[..]);
    let query = query
        .bind(key.role)
        .bind(runs)
        .bind(key.created_at.as_micros())
        .bind(key.created_by);
    let (revoked_at, revoked_by) = key.revoked.unzip();
    query
        .bind(key.expires_at.map(Timestamp::as_micros))
        .bind(revoked_at.map(Timestamp::as_micros))
        .bind(revoked_by)
        .bind(key.last_used_at.map(Timestamp::as_micros))
        .execute(&mut *conn)
        .await?;
    let began = sqlx::query("INSERT INTO access_began (one) VALUES (1) ON CONFLICT DO NOTHING");
    began.execute(conn).await.map(|_| Added::Yes)
}

async fn put(conn: &mut SqliteConnection, session: Session, runs: String) -> sqlx::Result<()> {
    let sql = "INSERT INTO access_sessions (hash, subject, via, name, role, runs, provider_session, \
                                            provider_subject, id_token, created_at, seen_at, ends_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql)
        .bind(&session.hash[..])
        .bind(&session.subject)
        .bind(&session.via);
    let query = query
        .bind(session.name)
        .bind(session.role)
        .bind(runs)
        .bind(session.provider_session);
    query
        .bind(session.provider_subject)
        .bind(session.id_token)
        .bind(session.created_at.as_micros())
        .bind(session.seen_at.as_micros())
        .bind(session.ends_at.as_micros())
        .execute(&mut *conn)
        .await?;
    let sql = "DELETE FROM access_sessions WHERE hash IN (\
                   SELECT hash FROM access_sessions WHERE via = ? AND subject = ? \
                   ORDER BY seen_at DESC, hash DESC LIMIT -1 OFFSET ?)";
    let query = sqlx::query(sql).bind(session.via).bind(session.subject);
    query
        .bind(SESSIONS_PER_SUBJECT as i64)
        .execute(conn)
        .await
        .map(|_| ())
}

#[async_trait]
impl AccessStore for SqliteAccess {
    async fn add_key(&self, key: &StoredKey, first: bool) -> Result<Added> {
        const DOING: &str = "adding a key";
        let (key, runs) = (key.clone(), runs(DOING, &key.runs)?);
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move { add(conn, key, runs, first).await.map_err(storage(DOING)) })
        });
        work.await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>> {
        let query = sqlx::query("SELECT * FROM access_keys ORDER BY created_at, id LIMIT ?");
        let rows = query.bind(KEYS_MAX as i64).fetch_all(&self.0.reads).await;
        rows.map_err(storage("reading the keys"))?
            .iter()
            .map(key)
            .collect()
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool> {
        const DOING: &str = "revoking a key";
        let (id, by) = (id.to_owned(), by.to_owned());
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "UPDATE access_keys SET revoked_at = ?2, revoked_by = ?3 WHERE id = ?1 \
                           AND (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2) \
                                OR revoked_at = ?2 AND revoked_by = ?3)";
                let query = sqlx::query(sql).bind(id).bind(at.as_micros()).bind(by);
                let done = query.execute(conn).await.map_err(storage(DOING))?;
                Ok(done.rows_affected() > 0)
            })
        });
        work.await
    }

    async fn keys_used(&self, uses: &[(String, Timestamp)]) -> Result<()> {
        const DOING: &str = "noting uses of keys";
        if uses.is_empty() {
            return Ok(());
        }
        let uses: Vec<(&str, i64)> = uses
            .iter()
            .map(|(id, at)| (id.as_str(), at.as_micros()))
            .collect();
        let uses = serde_json::to_string(&uses).map_err(|error| StorageError::Failed {
            doing: DOING,
            source: error.into(),
        })?;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "UPDATE access_keys SET last_used_at = max(coalesce(last_used_at, used.at), used.at) \
                           FROM (SELECT value ->> 0 AS id, max(value ->> 1) AS at FROM json_each(?) GROUP BY 1) used \
                           WHERE access_keys.id = used.id";
                let done = sqlx::query(sql).bind(uses).execute(conn).await;
                done.map(|_| ()).map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn put_session(&self, session: &Session) -> Result<()> {
        const DOING: &str = "keeping a session";
        let (session, runs) = (session.clone(), runs(DOING, &session.runs)?);
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move { put(conn, session, runs).await.map_err(storage(DOING)) })
        });
        work.await
    }

    async fn session(&self, hash: &SecretHash) -> Result<Option<Session>> {
        let query = sqlx::query("SELECT * FROM access_sessions WHERE hash = ?").bind(&hash[..]);
        let row = query.fetch_optional(&self.0.reads).await;
        row.map_err(storage("reading a session"))?
            .map(|row| session(&row))
            .transpose()
    }

    async fn session_seen(&self, hash: &SecretHash, at: Timestamp) -> Result<()> {
        const DOING: &str = "noting that a session was seen";
        let hash = *hash;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "UPDATE access_sessions SET seen_at = ?2 WHERE hash = ?1 AND seen_at < ?2";
                let query = sqlx::query(sql).bind(&hash[..]).bind(at.as_micros());
                query.execute(conn).await.map(|_| ()).map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn end_sessions(&self, ending: &Ending) -> Result<u64> {
        const DOING: &str = "ending sessions";
        let ending = ending.clone();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = match ending {
                    Ending::Session(hash) => {
                        sqlx::query("DELETE FROM access_sessions WHERE hash = ?").bind(hash.to_vec())
                    }
                    Ending::ProviderSession(sid) => {
                        sqlx::query("DELETE FROM access_sessions WHERE provider_session = ?").bind(sid)
                    }
                    Ending::ProviderSubject(sub) => {
                        sqlx::query("DELETE FROM access_sessions WHERE provider_subject = ?").bind(sub)
                    }
                    Ending::Via(via) => sqlx::query("DELETE FROM access_sessions WHERE via = ?").bind(via),
                };
                let done = query.execute(conn).await.map_err(storage(DOING))?;
                Ok(done.rows_affected())
            })
        });
        work.await
    }

    async fn shared_secret(&self, name: &str, proposed: &[u8; 32]) -> Result<[u8; 32]> {
        const DOING: &str = "agreeing on a secret";
        let (name, proposed) = (name.to_owned(), *proposed);
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let sql = "INSERT INTO access_secrets (name, secret) VALUES (?, ?) \
                           ON CONFLICT (name) DO UPDATE SET secret = access_secrets.secret RETURNING secret";
                let query = sqlx::query_scalar::<_, Vec<u8>>(sql)
                    .bind(&name)
                    .bind(&proposed[..]);
                let secret = query.fetch_one(conn).await.map_err(storage(DOING))?;
                <[u8; 32]>::try_from(secret)
                    .map_err(|_| StorageError::damaged("secret", name, "it does not have 32 bytes"))
            })
        });
        work.await
    }

    async fn purge_access(&self, before: Timestamp) -> Result<u64> {
        let keys = "DELETE FROM access_keys WHERE id IN (\
                        SELECT id FROM access_keys WHERE revoked_at < ?1 OR expires_at < ?1 LIMIT ?2)";
        let removed = self.0.purge("purging keys", keys, before).await?;
        let sessions = "DELETE FROM access_sessions WHERE hash IN (\
                            SELECT hash FROM access_sessions WHERE ends_at < ?1 OR seen_at < ?1 LIMIT ?2)";
        Ok(removed + self.0.purge("purging sessions", sessions, before).await?)
    }
}
