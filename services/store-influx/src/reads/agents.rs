//! Questions about agents: who there is, and who was heard of.

use super::{ask, latest, records};
use crate::answer::Series;
use crate::lines::tag_text;
use crate::place;
use crate::plan::is;
use crate::record::{self, DISPLACED, VITALS};
use crate::server::Server;
use crate::version::Version;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_store::error::Result;
use immune_store::vitals::AgentSummary;
use immune_store::{PAGE_MAX, StorageError};
use std::collections::{HashMap, HashSet};

/// Agents that are asked about in one statement at most.
pub(super) const AGENTS_MAX: usize = 500;
const DOING: &str = "listing agents";

/// The names of a run's agents after one, in order. Comes from the index of tags, not from records.
async fn names(server: &Server, run: &RunId, after: Option<&str>) -> Result<Vec<String>> {
    let version = server
        .version()
        .await
        .map_err(|trouble| trouble.while_doing(DOING))?;
    let mut statement = format!(
        "SHOW TAG VALUES FROM {VITALS} WITH KEY = \"agent_id\" WHERE {}",
        is("run_id", run.as_str())
    );
    if version == Version::V3 {
        // Without a time 3.x shows those of the last day.
        statement.push_str(&format!(
            " AND time >= {}",
            place::earliest(Timestamp::from_micros(i64::MIN))
        ));
    }
    let series = ask(server, DOING, statement).await?;
    let rows = series.iter().flat_map(Series::rows);
    let mut names: Vec<String> = rows
        .filter_map(|row| tag_text(row.text("value")?))
        .filter(|name| after.is_none_or(|after| name.as_str() > after))
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

pub(crate) async fn page(
    server: &Server,
    run: &RunId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<AgentSummary>> {
    let limit = limit.min(PAGE_MAX) as usize;
    let mut page = Vec::new();
    if limit == 0 {
        return Ok(page);
    }
    let names = names(server, run, after).await?;
    let mut rest = names.as_slice();
    while page.len() < limit && !rest.is_empty() {
        // Some may have nothing left that counts; then there is another round.
        let (these, others) = rest.split_at(rest.len().min(AGENTS_MAX).min(limit - page.len()));
        page.extend(summaries(server, run, these).await?);
        rest = others;
    }
    Ok(page)
}

/// What is known of these agents.
pub(crate) async fn these(server: &Server, run: &RunId, agents: &[AgentId]) -> Result<Vec<AgentSummary>> {
    let mut names: Vec<String> = agents.iter().map(AgentId::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(PAGE_MAX as usize);
    let mut found = Vec::with_capacity(names.len());
    for names in names.chunks(AGENTS_MAX) {
        found.extend(summaries(server, run, names).await?);
    }
    Ok(found)
}

/// The condition for some agents of a run.
pub(super) fn whose(run: &RunId, names: &[impl AsRef<str>]) -> String {
    let agents: Vec<String> = names.iter().map(|name| is("agent_id", name.as_ref())).collect();
    format!("{} AND ({})", is("run_id", run.as_str()), agents.join(" OR "))
}

/// What is known of some agents, in one request; those without executions are left out.
async fn summaries(server: &Server, run: &RunId, names: &[String]) -> Result<Vec<AgentSummary>> {
    let whose = whose(run, names);
    let statements = [
        format!(
            "SELECT SUM(\"live\") AS \"executions\", MIN(\"first_received_at\") AS \"first\" FROM {VITALS} WHERE \
             {whose} GROUP BY \"agent_id\""
        ),
        // Two, to see whether the order within a millisecond matters.
        format!(
            "SELECT * FROM {VITALS} WHERE {whose} AND \"live\" = 1 GROUP BY \"agent_id\" ORDER BY time DESC LIMIT 2"
        ),
    ];
    let answers = server.query(&statements).await;
    let answers = answers.map_err(|trouble| trouble.while_doing(DOING))?;
    let [counts, newest] = [by_agent(&answers, 0), by_agent(&answers, 1)];
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let count = counts.get(name.as_str()).and_then(|series| series.rows().next());
        let Some((count, newest)) = count.zip(newest.get(name.as_str())) else {
            continue;
        };
        let (Some(executions), Some(first)) = (count.int("executions"), count.int("first")) else {
            continue;
        };
        let key = AgentKey::new(run.clone(), name.as_str());
        let groups: Vec<(i64, i64)> = newest
            .rows()
            .filter_map(|row| Some(place::group_of(row.int("time")?)))
            .collect();
        let newest = match groups.as_slice() {
            [a, b] if a == b => latest(server, &key).await?,
            _ => match records([*newest], &key) {
                Ok(mut newest) => newest.pop(),
                // It may be written just now.
                Err(StorageError::Damaged { .. }) => latest(server, &key).await?,
                Err(error) => return Err(error),
            },
        };
        if let Some(newest) = newest {
            found.push(AgentSummary {
                key,
                executions: u64::try_from(executions).unwrap_or(0),
                latest: newest,
                first_received_at: Timestamp::from_micros(first),
            });
        }
    }
    Ok(found)
}

/// The series of a statement that groups by agent.
fn by_agent(answers: &[Vec<Series>], statement: usize) -> HashMap<String, &Series> {
    let series = answers.get(statement).into_iter().flatten();
    series
        .filter_map(|series| Some((agent_of(series)?, series)))
        .collect()
}

pub(super) fn agent_of(series: &Series) -> Option<String> {
    tag_text(series.tags.get("agent_id")?)
}

pub(crate) async fn seen(server: &Server, run: &RunId, since: Timestamp) -> Result<u64> {
    let whose = format!(
        "{} AND \"live\" = 1 AND \"received_at\" >= {}",
        is("run_id", run.as_str()),
        since.as_micros()
    );
    // One row per agent and no more: each series is read backwards until the first that fits. Records whose own time
    // is far from their reception are found by the other measurement, so that no series is read to its beginning.
    let newest = |measurement: &str, from: i64| {
        format!(
            "SELECT \"received_at\" FROM {measurement} WHERE {whose} AND time >= {from} GROUP BY \"agent_id\" \
             ORDER BY time DESC LIMIT 1"
        )
    };
    let statements = [
        newest(VITALS, record::earliest_near(since)),
        newest(DISPLACED, place::earliest(since)),
    ];
    let answers = server.query(&statements).await;
    let answers = answers.map_err(|trouble| trouble.while_doing("counting agents"))?;
    let agents: HashSet<&str> = answers
        .iter()
        .flatten()
        .filter_map(|series| series.tags.get("agent_id").map(String::as_str))
        .collect();
    Ok(agents.len() as u64)
}
