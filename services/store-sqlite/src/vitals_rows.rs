//! Vitals as rows.

use crate::rows::{Reader, encode_unchecked};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId};
use immune_store::error::Result;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{Sqlite, SqliteRow};
use std::collections::HashMap;

/// Columns of [`push`], in its order, after the agent.
pub(crate) const COLUMNS: &str = "execution, revision, started_at, timestamp, received_at, latency_ms, \
    input_tokens, output_tokens, token_count, tool_calls, retries, success, completeness, source, context";

/// A record ready to be written: what costs time is done before it waits for the writer.
pub(crate) struct Ready {
    pub(crate) vitals: Vitals,
    context: String,
}

/// Prepares a batch: one record per execution, that of the highest revision, the first of equal ones.
pub(crate) fn ready(doing: &'static str, batch: &[Vitals]) -> Result<Vec<Ready>> {
    let mut places: HashMap<(&AgentKey, &ExecutionId), usize> = HashMap::with_capacity(batch.len());
    let mut chosen: Vec<&Vitals> = Vec::with_capacity(batch.len());
    for vitals in batch {
        let place = *places
            .entry((&vitals.key, &vitals.execution))
            .or_insert(chosen.len());
        if place == chosen.len() {
            chosen.push(vitals);
        } else if chosen[place].revision < vitals.revision {
            chosen[place] = vitals;
        }
    }
    chosen
        .into_iter()
        .map(|vitals| {
            Ok(Ready {
                vitals: vitals.clone(),
                context: encode_unchecked(doing, &vitals.context)?,
            })
        })
        .collect()
}

/// Binds the values of [`COLUMNS`].
pub(crate) fn push(values: &mut Separated<'_, Sqlite, &str>, ready: &Ready) {
    let vitals = &ready.vitals;
    // All 64 bits are kept; above 2^63 - 1 the number is negative in the file and whole again when read.
    let tokens = |count: Option<u64>| count.map(|count| count as i64);
    values
        .push_bind(vitals.execution.as_str())
        .push_bind(i64::from(vitals.revision))
        .push_bind(vitals.started_at.as_micros())
        .push_bind(vitals.timestamp.as_micros())
        .push_bind(vitals.received_at.as_micros())
        .push_bind(vitals.latency_ms)
        .push_bind(tokens(vitals.input_tokens))
        .push_bind(tokens(vitals.output_tokens))
        .push_bind(tokens(vitals.token_count))
        .push_bind(vitals.tool_calls.map(i64::from))
        .push_bind(vitals.retries.map(i64::from))
        .push_bind(i64::from(vitals.success))
        .push_bind(completeness_word(vitals.completeness))
        .push_bind(source_word(vitals.source))
        .push_bind(ready.context.as_str());
}

/// Reads a record of an agent back.
pub(crate) fn read(row: &SqliteRow, key: &AgentKey) -> Result<Vitals> {
    let row = Reader::new(row, "vitals", "execution");
    let tokens = |column| {
        row.get::<Option<i64>>(column)
            .map(|count| count.map(|count| count as u64))
    };
    let completeness: &str = row.get("completeness")?;
    let source: &str = row.get("source")?;
    Ok(Vitals {
        key: key.clone(),
        execution: ExecutionId::new(row.get::<String>("execution")?),
        revision: row.number("revision")?,
        started_at: row.time("started_at")?,
        timestamp: row.time("timestamp")?,
        received_at: row.time("received_at")?,
        // SQLite keeps "not a number" as NULL.
        latency_ms: row.get::<Option<f64>>("latency_ms")?.unwrap_or(f64::NAN),
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        token_count: tokens("token_count")?,
        tool_calls: row.number_if_any("tool_calls")?,
        retries: row.number_if_any("retries")?,
        success: row.flag("success")?,
        completeness: [
            Completeness::Complete,
            Completeness::Incomplete,
            Completeness::Running,
        ]
        .into_iter()
        .find(|value| completeness_word(*value) == completeness)
        .ok_or_else(|| row.damaged(format!("completeness is {completeness:?}")))?,
        source: [Source::Otlp, Source::Posted]
            .into_iter()
            .find(|value| source_word(*value) == source)
            .ok_or_else(|| row.damaged(format!("source is {source:?}")))?,
        context: row.json("context")?,
    })
}

fn completeness_word(completeness: Completeness) -> &'static str {
    match completeness {
        Completeness::Complete => "complete",
        Completeness::Incomplete => "incomplete",
        Completeness::Running => "running",
    }
}

fn source_word(source: Source) -> &'static str {
    match source {
        Source::Otlp => "otlp",
        Source::Posted => "posted",
    }
}
