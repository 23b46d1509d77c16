//! Questions about executions. Each is a bounded number of requests, whatever the number of records.

pub(crate) mod agents;
pub(crate) mod series;

use crate::answer::Series;
use crate::place;
use crate::plan::is;
use crate::record::{self, VITALS};
use crate::server::Server;
use crate::trouble::Trouble;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::{PAGE_MAX, StorageError};
use std::collections::HashMap;
use std::time::Duration;

/// Records that are read of one millisecond of one agent at most.
const CROWD_MAX: u32 = 100_000;

/// How often a record is read that looks damaged, and how long it may take to be written whole.
const TORN_TRIES: u32 = 5;
const TORN_PAUSE: Duration = Duration::from_millis(20);

fn of(key: &AgentKey) -> String {
    format!(
        "{} AND {}",
        is("run_id", key.run.as_str()),
        is("agent_id", key.agent.as_str())
    )
}

/// One question.
async fn ask(server: &Server, doing: &'static str, statement: String) -> Result<Vec<Series>> {
    let answers = server.query(&[statement]).await;
    let mut answers = answers.map_err(|trouble| trouble.while_doing(doing))?;
    Ok(answers.pop().unwrap_or_default())
}

/// The records of rows of one agent, each execution once: where two replicas wrote revisions of one execution at the
/// same time, the later revision is meant.
fn records<'a>(series: impl IntoIterator<Item = &'a Series>, key: &AgentKey) -> Result<Vec<Vitals>> {
    let mut found: HashMap<ExecutionId, Vitals> = HashMap::new();
    for row in series.into_iter().flat_map(Series::rows) {
        let vitals = record::read(row, key)?;
        match found.get(&vitals.execution) {
            Some(other) if other.revision >= vitals.revision => {}
            Some(_) | None => {
                found.insert(vitals.execution.clone(), vitals);
            }
        }
    }
    let mut records: Vec<Vitals> = found.into_values().collect();
    record::in_order(&mut records);
    Ok(records)
}

pub(crate) async fn recent(
    server: &Server,
    key: &AgentKey,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Vitals>> {
    latest_of(server, key, since, None, limit).await
}

/// The latest records from a time on, and before another if there is one; oldest first.
///
/// InfluxDB shows a point while it is being written, some of its columns before the others. So what looks damaged is
/// read again before it is called so.
pub(crate) async fn latest_of(
    server: &Server,
    key: &AgentKey,
    since: Timestamp,
    before: Option<Timestamp>,
    limit: u32,
) -> Result<Vec<Vitals>> {
    let mut tries = 1;
    loop {
        match latest_now(server, key, since, before, limit).await {
            Err(StorageError::Damaged { .. }) if tries < TORN_TRIES => {
                tries += 1;
                tokio::time::sleep(TORN_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

async fn latest_now(
    server: &Server,
    key: &AgentKey,
    since: Timestamp,
    before: Option<Timestamp>,
    limit: u32,
) -> Result<Vec<Vitals>> {
    const DOING: &str = "reading recent vitals";
    let limit = limit.min(PAGE_MAX) as usize;
    if limit == 0 {
        return Ok(Vec::new());
    }
    let until = before.map(|before| {
        let micros = before.as_micros();
        format!(
            " AND time <= {} AND \"timestamp\" < {micros}",
            place::latest(before)
        )
    });
    let until = until.unwrap_or_default();
    let newest = format!(
        "SELECT * FROM {VITALS} WHERE {} AND \"live\" = 1 AND time >= {}{until} ORDER BY time DESC LIMIT {limit}",
        of(key),
        place::earliest(since),
    );
    let mut series = ask(server, DOING, newest).await?;
    let last = series.iter().flat_map(Series::rows).next_back();
    let rows: usize = series.iter().map(|series| series.rows().len()).sum();
    if let Some(last) = last.and_then(|row| row.int("time")).filter(|_| rows >= limit) {
        // Within a millisecond points lie in no order, so the limit may have left out one that belongs here.
        let (from, to) = place::group_of(last);
        let crowd = format!(
            "SELECT * FROM {VITALS} WHERE {} AND \"live\" = 1 AND time >= {from} AND time <= {to} LIMIT {CROWD_MAX}",
            of(key),
        );
        series.extend(ask(server, DOING, crowd).await?);
    }
    let mut found = records(&series, key)?;
    found.retain(|vitals| vitals.timestamp >= since && before.is_none_or(|before| vitals.timestamp < before));
    Ok(found.split_off(found.len().saturating_sub(limit)))
}

pub(crate) async fn latest(server: &Server, key: &AgentKey) -> Result<Option<Vitals>> {
    let newest = recent(server, key, Timestamp::from_micros(i64::MIN), 1).await?;
    Ok(newest.into_iter().next())
}

/// Executions of an agent, or of all agents of a run.
pub(crate) async fn count(server: &Server, run: &RunId, key: Option<&AgentKey>) -> Result<u64> {
    let whose = key.map_or_else(|| is("run_id", run.as_str()), of);
    let statement = format!("SELECT SUM(\"live\") AS \"executions\" FROM {VITALS} WHERE {whose}");
    let series = ask(server, "counting executions", statement).await?;
    let sum = series
        .iter()
        .flat_map(Series::rows)
        .find_map(|row| row.int("executions"));
    Ok(sum.map_or(0, |sum| u64::try_from(sum).unwrap_or(0)))
}

/// Answers when the database does; otherwise says what to do.
pub(crate) async fn ping(server: &Server) -> Result<()> {
    const DOING: &str = "answering a ping";
    let fail = |trouble: Trouble| trouble.while_doing(DOING);
    let version = server.version().await.map_err(fail)?;
    // 1.x answers a question about a measurement of a missing database with that error, and so do the others.
    let statement = format!("SELECT \"live\" FROM {VITALS} ORDER BY time DESC LIMIT 1");
    match server.query(&[statement]).await {
        Ok(_) => Ok(()),
        Err(Trouble::Unready { .. }) if server.makes_databases() => {
            // 3.x makes it with the first write, if the token may.
            Ok(())
        }
        Err(trouble @ Trouble::Unready { .. }) => {
            let command = server.command(version);
            let why = trouble.to_string();
            let hint = match why.contains(&command) {
                true => why,
                false => format!(
                    "{why}; the database is {:?}, made with: {command}",
                    server.database()
                ),
            };
            Err(StorageError::Unavailable {
                doing: DOING,
                source: hint.into(),
            })
        }
        Err(trouble) => Err(fail(trouble)),
    }
}
