//! The schema's versions: what there is, what is needed, and how a database gets from one to the next.

use crate::error::{OpenError, postgres};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, Row};

/// One step from a schema to the next.
pub(crate) struct Migration {
    /// `0001_action_log`: the number is the schema it leads to.
    pub(crate) name: &'static str,
    /// What it does.
    sql: &'static str,
    /// The oldest schema whose programs still work after it. A migration that takes nothing away and changes no
    /// meaning keeps the number of its predecessor, so that old and new programs run side by side during an update.
    needs: u32,
}

macro_rules! migration {
    ($name:literal, needs: $needs:literal) => {
        Migration {
            name: $name,
            sql: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
            needs: $needs,
        }
    };
}

/// Every migration, in order; the position plus one is the schema it leads to.
pub(crate) const MIGRATIONS: [Migration; 12] = [
    migration!("0001_action_log", needs: 1),
    migration!("0002_baseline", needs: 2),
    migration!("0003_quarantine", needs: 3),
    migration!("0004_quarantine_functions", needs: 4),
    migration!("0005_healer", needs: 5),
    migration!("0006_client_records", needs: 6),
    migration!("0007_vitals", needs: 7),
    migration!("0008_access", needs: 7),
    migration!("0009_action_log_chain", needs: 9),
    migration!("0010_notifications", needs: 9),
    migration!("0011_reports_delivered_at_once", needs: 10),
    migration!("0012_profiles_with_rows", needs: 10),
];

/// The schema that this program reads and writes.
pub(crate) const NEWEST: u32 = MIGRATIONS.len() as u32;

impl Migration {
    fn checksum(&self) -> String {
        hex::encode(Sha256::digest(self.sql))
    }
}

/// The schema of a database that this program may have migrated; 0 when there is none.
pub(crate) struct Found {
    /// The newest migration that was applied.
    pub(crate) version: u32,
    /// The oldest programs that work with it.
    needs: u32,
}

impl Found {
    /// Whether this program may serve from it.
    pub(crate) fn fits(&self) -> Result<(), OpenError> {
        if self.version < NEWEST {
            return Err(OpenError::Older {
                found: self.version,
                needed: NEWEST,
            });
        }
        self.is_known()
    }

    /// Whether this program may migrate it.
    pub(crate) fn is_known(&self) -> Result<(), OpenError> {
        if self.needs > NEWEST {
            return Err(OpenError::Newer {
                found: self.version,
                known: NEWEST,
            });
        }
        Ok(())
    }
}

/// Reads the schema of a database. Refuses one that other migrations have made.
pub(crate) async fn read(conn: &mut PgConnection) -> Result<Found, OpenError> {
    let sql = "SELECT version, name, checksum, needs FROM immune.migrations ORDER BY version";
    let rows = match sqlx::query(sql).persistent(false).fetch_all(conn).await {
        Ok(rows) => rows,
        // Neither the schema nor the table exists.
        Err(error) if postgres(&error).is_some_and(|error| matches!(error.code(), "3F000" | "42P01")) => {
            return Ok(Found { version: 0, needs: 0 });
        }
        Err(source) => return Err(failed("reading the schema's version", source)),
    };
    let mut found = Found { version: 0, needs: 0 };
    for (n, row) in (1_u32..).zip(&rows) {
        let column = |source| failed("reading the schema's version", source);
        let version: i32 = row.try_get("version").map_err(column)?;
        let name: String = row.try_get("name").map_err(column)?;
        let checksum: String = row.try_get("checksum").map_err(column)?;
        let needs: i32 = row.try_get("needs").map_err(column)?;
        if u32::try_from(version) != Ok(n) {
            return Err(OpenError::Dirty {
                why: format!("migration {n} is missing before {version}"),
            });
        }
        let ours = MIGRATIONS.get(n as usize - 1);
        if let Some(ours) = ours.filter(|ours| ours.checksum() != checksum) {
            return Err(OpenError::Dirty {
                why: format!(
                    "migration {name} is not the one that this program has as {}",
                    ours.name
                ),
            });
        }
        found = Found {
            version: n,
            needs: u32::try_from(needs).unwrap_or(u32::MAX),
        };
    }
    Ok(found)
}

/// Makes the place where migrations are noted.
pub(crate) async fn prepare(conn: &mut PgConnection) -> Result<(), OpenError> {
    let sql = "CREATE SCHEMA IF NOT EXISTS immune; \
               CREATE TABLE IF NOT EXISTS immune.migrations (\
                   version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
                   needs integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    let done = sqlx::raw_sql(sql).execute(conn).await;
    done.map(|_| ())
        .map_err(|source| failed("making the schema", source))
}

/// Applies the migration that leads to schema `version`, with its note, in one transaction.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    version: u32,
    migration: &Migration,
) -> Result<(), OpenError> {
    let doing = || format!("migrating to {}", migration.name);
    let failed = |source| OpenError::Database {
        doing: doing(),
        source,
    };
    let mut transaction = conn.begin().await.map_err(failed)?;
    sqlx::raw_sql(migration.sql)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("INSERT INTO immune.migrations (version, name, checksum, needs) VALUES ($1, $2, $3, $4)")
        .bind(version as i32)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(migration.needs as i32)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

fn failed(doing: &str, source: sqlx::Error) -> OpenError {
    OpenError::Database {
        doing: doing.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: every migration file is applied, in the order of its number, and never asks for a newer program
    /// than the one that brings it.
    #[test]
    fn every_file_is_in_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/postgres");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS.iter().map(|m| format!("{}.sql", m.name)).collect();
        assert_eq!(files, listed);
        for (n, migration) in (1..).zip(&MIGRATIONS) {
            assert!(
                migration.name.starts_with(&format!("{n:04}_")),
                "{}",
                migration.name
            );
            assert!((1..=n).contains(&migration.needs), "{}", migration.name);
        }
        assert!(MIGRATIONS.is_sorted_by_key(|migration| migration.needs));
    }
}
