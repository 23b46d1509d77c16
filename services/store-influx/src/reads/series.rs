//! Many agents or many records at once.

use super::agents::{AGENTS_MAX, agent_of, whose};
use super::latest_of;
use crate::lines;
use crate::record::VITALS;
use crate::server::Server;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::PAGE_MAX;
use immune_store::error::Result;
use immune_store::series::{Buckets, Latencies, sum_up};
use std::collections::HashMap;
use std::time::Duration;

/// The latest latencies. Which of the records of one millisecond are left out at the limit is not defined.
pub(crate) async fn recent_latencies(
    server: &Server,
    run: &RunId,
    agents: &[AgentId],
    limit: u32,
) -> Result<Vec<Latencies>> {
    let limit = limit.min(PAGE_MAX) as usize;
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut names: Vec<&str> = agents.iter().map(AgentId::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(PAGE_MAX as usize);
    let mut found = Vec::with_capacity(names.len());
    for names in names.chunks(AGENTS_MAX) {
        let statement = format!(
            "SELECT \"execution_id\",\"revision\",\"timestamp\",\"latency_ms\",\"latency_bits\",\"known\" \
             FROM {VITALS} WHERE {} AND \"live\" = 1 GROUP BY \"agent_id\" ORDER BY time DESC LIMIT {limit}",
            whose(run, names),
        );
        for series in super::ask(server, "reading recent latencies", statement).await? {
            // Of two revisions that two replicas wrote at the same time the later one is meant.
            let mut latest: HashMap<&str, (i64, Timestamp, f64)> = HashMap::new();
            for row in series.rows() {
                let said = (
                    row.text("execution_id"),
                    row.int("revision"),
                    row.int("timestamp"),
                );
                let (Some(execution), Some(revision), Some(at)) = said else {
                    continue;
                };
                let bits = || row.int("latency_bits").map(lines::count).map(f64::from_bits);
                let latency = match crate::record::is_latency_a_number(row) {
                    true => row.float("latency_ms"),
                    false => bits(),
                };
                let point = (revision, Timestamp::from_micros(at), latency.unwrap_or(f64::NAN));
                let known = latest.entry(execution).or_insert(point);
                if known.0 < revision {
                    *known = point;
                }
            }
            let Some(agent) = agent_of(&series) else { continue };
            let mut points: Vec<(&str, Timestamp, f64)> = latest
                .into_iter()
                .map(|(execution, (_, at, latency))| (execution, at, latency))
                .collect();
            points.sort_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
            found.push(Latencies {
                agent: AgentId::new(agent),
                points: points.into_iter().map(|(_, at, latency)| (at, latency)).collect(),
            });
        }
    }
    found.sort_by(|a, b| a.agent.cmp(&b.agent));
    Ok(found)
}

/// The latest records of a stretch of time.
pub(crate) async fn between(
    server: &Server,
    key: &AgentKey,
    from: Timestamp,
    to: Timestamp,
    limit: u32,
) -> Result<Vec<Vitals>> {
    if to <= from {
        return Ok(Vec::new());
    }
    latest_of(server, key, from, Some(to), limit).await
}

/// Records summed up here: what a correction has left behind in a point makes a mean of InfluxDB's wrong.
pub(crate) async fn buckets(
    server: &Server,
    key: &AgentKey,
    from: Timestamp,
    to: Timestamp,
    width: Duration,
) -> Result<Buckets> {
    let records = between(server, key, from, to, PAGE_MAX).await?;
    Ok(Buckets {
        buckets: sum_up(&records, from, width),
        is_truncated: records.len() >= PAGE_MAX as usize,
    })
}
