//! Vitals in PostgreSQL, for clusters without InfluxDB and fleets of a moderate size.

use crate::database::{Database, PURGE_STEP, Query, Repeat};
use crate::nul;
use crate::rows::{Reader, page_limit};
use crate::vitals_rows;
use crate::vitals_series;
use async_trait::async_trait;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::series::{Buckets, Latencies};
use immune_store::vitals::{AgentSummary, VitalsStore};
use std::sync::Arc;
use std::time::Duration;

/// The [`VitalsStore`] of a PostgreSQL database.
pub(crate) struct PgVitals(pub(crate) Arc<Database>);

impl PgVitals {
    /// The one number that a question is answered with.
    async fn number(&self, doing: &'static str, query: impl Fn() -> Query + Send + Sync) -> Result<u64> {
        let rows = self.0.read(doing, query).await?;
        rows.first()
            .map_or(Ok(0), |row| Reader::new(row, "count", "count").number("count"))
    }

    /// Records of an agent, newest first.
    async fn newest(
        &self,
        doing: &'static str,
        key: &AgentKey,
        since: Timestamp,
        limit: i64,
    ) -> Result<Vec<Vitals>> {
        let sql = "SELECT a.agent, v.* FROM immune.vitals_agents a JOIN immune.vitals v ON v.agent_id = a.id \
                   WHERE a.run = $1 AND a.agent = $2 AND v.timestamp >= $3 \
                   ORDER BY v.timestamp DESC, v.execution DESC LIMIT $4";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
                .bind(since.as_micros())
                .bind(limit)
        };
        let rows = self.0.read(doing, query).await?;
        rows.iter().map(|row| vitals_rows::read(row, &key.run)).collect()
    }
}

#[async_trait]
impl VitalsStore for PgVitals {
    async fn append(&self, batch: &[Vitals]) -> Result<()> {
        const DOING: &str = "appending vitals";
        if batch.is_empty() {
            return Ok(());
        }
        let batch = vitals_rows::batch(DOING, batch)?;
        // Repeated after a lost answer it changes nothing.
        self.0
            .run(DOING, Repeat::Always, || batch.query())
            .await
            .map(|_| ())
    }

    async fn retract(&self, executions: &[(AgentKey, ExecutionId)]) -> Result<()> {
        const DOING: &str = "retracting vitals";
        if executions.is_empty() {
            return Ok(());
        }
        let text = |text: fn(&(AgentKey, ExecutionId)) -> &str| -> Vec<_> {
            executions.iter().map(|of| nul::hide(text(of))).collect()
        };
        let runs = text(|(key, _)| key.run.as_str());
        let agents = text(|(key, _)| key.agent.as_str());
        let names = text(|(_, execution)| execution.as_str());
        let query = || {
            sqlx::query("SELECT immune.retract_vitals($1, $2, $3)")
                .bind(runs.as_slice())
                .bind(agents.as_slice())
                .bind(names.as_slice())
        };
        self.0.run(DOING, Repeat::Always, query).await.map(|_| ())
    }

    async fn recent(&self, key: &AgentKey, since: Timestamp, limit: u32) -> Result<Vec<Vitals>> {
        let mut found = self
            .newest("reading recent vitals", key, since, page_limit(limit))
            .await?;
        found.reverse();
        Ok(found)
    }

    async fn latest(&self, key: &AgentKey) -> Result<Option<Vitals>> {
        let beginning = Timestamp::from_micros(i64::MIN);
        let found = self
            .newest("reading the latest vitals", key, beginning, 1)
            .await?;
        Ok(found.into_iter().next())
    }

    async fn execution_count(&self, key: &AgentKey) -> Result<u64> {
        let sql = "SELECT executions AS count FROM immune.vitals_agents WHERE run = $1 AND agent = $2";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(key.run.as_str()))
                .bind(nul::hide(key.agent.as_str()))
        };
        self.number("counting executions", query).await
    }

    async fn total_executions(&self, run: &RunId) -> Result<u64> {
        let sql =
            "SELECT coalesce(sum(executions), 0)::bigint AS count FROM immune.vitals_agents WHERE run = $1";
        let query = || sqlx::query(sql).bind(nul::hide(run.as_str()));
        self.number("counting executions", query).await
    }

    async fn agents(&self, run: &RunId, after: Option<&str>, limit: u32) -> Result<Vec<AgentSummary>> {
        let sql = "SELECT a.agent, a.executions, a.first_received_at, v.* FROM immune.vitals_agents a \
                   CROSS JOIN LATERAL (\
                       SELECT * FROM immune.vitals v WHERE v.agent_id = a.id \
                       ORDER BY v.timestamp DESC, v.execution DESC LIMIT 1) v \
                   WHERE a.run = $1 AND a.agent > $2 ORDER BY a.agent LIMIT $3";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run.as_str()))
                .bind(nul::hide(after.unwrap_or("")))
                .bind(page_limit(limit))
        };
        let rows = self.0.read("listing agents", query).await?;
        rows.iter().map(|row| vitals_series::summary(row, run)).collect()
    }

    async fn summaries(&self, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
        vitals_series::summaries(&self.0, run, agents).await
    }

    async fn recent_latencies(&self, run: &RunId, agents: &[AgentId], limit: u32) -> Result<Vec<Latencies>> {
        vitals_series::recent_latencies(&self.0, run, agents, limit).await
    }

    async fn between(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Vitals>> {
        vitals_series::between(&self.0, key, from, to, limit).await
    }

    async fn buckets(
        &self,
        key: &AgentKey,
        from: Timestamp,
        to: Timestamp,
        width: Duration,
    ) -> Result<Buckets> {
        vitals_series::buckets(&self.0, key, from, to, width).await
    }

    async fn agents_seen(&self, run: &RunId, since: Timestamp) -> Result<u64> {
        let sql = "SELECT count(*) FROM immune.vitals_agents WHERE run = $1 AND last_received_at >= $2";
        let query = || {
            sqlx::query(sql)
                .bind(nul::hide(run.as_str()))
                .bind(since.as_micros())
        };
        self.number("counting agents", query).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "SELECT immune.purge_vitals($1, $2) AS count";
        let query = || sqlx::query(sql).bind(before.as_micros()).bind(PURGE_STEP);
        self.0.purge_by("purging vitals", query).await
    }

    async fn ping(&self) -> Result<()> {
        self.number("answering a ping", || sqlx::query("SELECT 0::bigint AS count"))
            .await
            .map(|_| ())
    }
}
