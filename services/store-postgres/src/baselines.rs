//! Profiles in PostgreSQL.

use crate::action_log::entries;
use crate::database::{Database, Repeat};
use crate::nul;
use crate::rows::{Reader, json, jsonb, page_limit, signed};
use crate::types::{Json, Jsonb};
use async_trait::async_trait;
use immune_domain::{AgentKey, RunId};
use immune_store::StorageError;
use immune_store::action_log::LogRow;
use immune_store::baselines::{BaselineStore, Put, StoredProfile, Tenure};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The [`BaselineStore`] of a PostgreSQL database.
pub(crate) struct PgBaselines(pub(crate) Arc<Database>);

/// A batch in columns, as PostgreSQL takes it: in the order of keys, or two writers could wait for each other, and
/// each key once, with its highest version.
#[derive(Default)]
struct Columns {
    runs: Vec<String>,
    agents: Vec<String>,
    versions: Vec<i64>,
    is_ready: Vec<bool>,
    profiles: Vec<Jsonb>,
    learners: Vec<Json>,
}

fn columns(doing: &'static str, batch: &[StoredProfile]) -> Result<Columns> {
    let mut newest: BTreeMap<&AgentKey, &StoredProfile> = BTreeMap::new();
    for stored in batch {
        let kept = newest.entry(&stored.profile.key).or_insert(stored);
        if kept.profile.version < stored.profile.version {
            *kept = stored;
        }
    }
    let mut columns = Columns::default();
    for (key, stored) in newest {
        columns.runs.push(nul::hide(key.run.as_str()).into_owned());
        columns.agents.push(nul::hide(key.agent.as_str()).into_owned());
        columns.versions.push(signed(doing, stored.profile.version)?);
        columns.is_ready.push(stored.profile.state.is_ready());
        columns.profiles.push(jsonb(doing, &stored.profile)?);
        columns.learners.push(json(doing, &stored.learner)?);
    }
    Ok(columns)
}

fn read(row: &PgRow) -> Result<StoredProfile> {
    let row = Reader::new(row, "profile", "agent");
    Ok(StoredProfile {
        profile: row.json("profile")?,
        learner: row.json("learner")?,
    })
}

#[async_trait]
impl BaselineStore for PgBaselines {
    async fn take_over(&self, partition: u16) -> Result<Tenure> {
        const DOING: &str = "taking a partition over";
        // Repeated after a lost answer it takes over from itself.
        let sql = "INSERT INTO immune.partitions AS p (partition, fence) VALUES ($1, 1) \
                   ON CONFLICT (partition) DO UPDATE SET fence = p.fence + 1 RETURNING fence, place";
        let query = || sqlx::query(sql).bind(i32::from(partition));
        let answer = self.0.run(DOING, Repeat::Always, query).await?;
        let none = || StorageError::refused(DOING, "the database answered without a row");
        let row = Reader::new(answer.rows.first().ok_or_else(none)?, "partition", "fence");
        Ok(Tenure {
            partition,
            fence: row.number("fence")?,
            place: row.text_if_any("place")?,
        })
    }

    async fn put_with(&self, batch: &[StoredProfile], tenures: &[Tenure], rows: &[LogRow]) -> Result<Put> {
        const DOING: &str = "storing profiles";
        if batch.is_empty() && tenures.is_empty() && rows.is_empty() {
            return Ok(Put::Done);
        }
        let log = entries(DOING, rows)?;
        let columns = columns(DOING, batch)?;
        let partitions: Vec<i32> = tenures.iter().map(|tenure| i32::from(tenure.partition)).collect();
        let fences = tenures.iter().map(|tenure| signed(DOING, tenure.fence));
        let fences: Vec<i64> = fences.collect::<Result<_>>()?;
        let places = tenures
            .iter()
            .map(|tenure| tenure.place.as_deref().map(nul::hide));
        let places: Vec<_> = places.collect();
        // Repeated after a lost answer it stores nothing new, but would write rows twice.
        let repeat = match log {
            None => Repeat::Always,
            Some(_) => Repeat::IfUndone,
        };
        let query = || {
            sqlx::query("SELECT immune.put_profiles($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS overtaken")
                .bind(columns.runs.as_slice())
                .bind(columns.agents.as_slice())
                .bind(columns.versions.as_slice())
                .bind(columns.is_ready.as_slice())
                .bind(columns.profiles.as_slice())
                .bind(columns.learners.as_slice())
                .bind(partitions.as_slice())
                .bind(fences.as_slice())
                .bind(places.as_slice())
                .bind(log.clone())
        };
        let answer = self.0.run(DOING, repeat, query).await?;
        let Some(row) = answer.rows.first() else {
            return Err(StorageError::refused(
                DOING,
                "the database answered without a row",
            ));
        };
        let row = Reader::new(row, "partition", "overtaken");
        let overtaken: Option<i32> = row.get("overtaken")?;
        Ok(match overtaken {
            None => {
                if log.is_some() {
                    self.0.chain_soon();
                }
                Put::Done
            }
            Some(partition) => Put::Overtaken {
                partition: u16::try_from(partition).map_err(|error| row.damaged(error))?,
            },
        })
    }

    async fn get(&self, key: &AgentKey) -> Result<Option<StoredProfile>> {
        let sql = "SELECT agent, profile, learner FROM immune.profiles WHERE run = $1 AND agent = $2";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
        };
        let rows = self.0.read("reading a profile", query).await?;
        rows.first().map(read).transpose()
    }

    async fn page(&self, after: Option<&AgentKey>, limit: u32) -> Result<Vec<StoredProfile>> {
        let (run, agent) = after.map_or(("", ""), |key| (key.run.as_str(), key.agent.as_str()));
        let sql = "SELECT agent, profile, learner FROM immune.profiles \
                   WHERE (run, agent) > ($1, $2) ORDER BY run, agent LIMIT $3";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run))
                .bind(nul::hide(agent))
                .bind(page_limit(limit))
        };
        let rows = self.0.read("listing profiles", query).await?;
        rows.iter().map(read).collect()
    }

    async fn count_ready(&self, run: &RunId) -> Result<u64> {
        let sql = "SELECT count(*) FROM immune.profiles WHERE run = $1 AND is_ready";
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str()));
        let rows = self.0.read("counting profiles", query).await?;
        rows.first()
            .map_or(Ok(0), |row| Reader::new(row, "count", "count").number("count"))
    }
}
