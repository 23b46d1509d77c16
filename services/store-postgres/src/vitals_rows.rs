//! Vitals between columns and values.

use crate::database::Query;
use crate::nul;
use crate::rows::{Reader, json};
use crate::types::Json;
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentId, AgentKey, ExecutionId, RunId, Timestamp};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::borrow::Cow;
use std::collections::HashMap;

/// A batch: one record per execution, that of the highest revision, the first of equal ones.
pub(crate) struct Batch<'a> {
    records: Vec<&'a Vitals>,
    contexts: Vec<Json>,
}

pub(crate) fn batch<'a>(doing: &'static str, vitals: &'a [Vitals]) -> Result<Batch<'a>> {
    let mut places: HashMap<(&AgentKey, &ExecutionId), usize> = HashMap::with_capacity(vitals.len());
    let mut records: Vec<&Vitals> = Vec::with_capacity(vitals.len());
    for record in vitals {
        let place = *places
            .entry((&record.key, &record.execution))
            .or_insert(records.len());
        if place == records.len() {
            records.push(record);
        } else if records[place].revision < record.revision {
            records[place] = record;
        }
    }
    let contexts = records.iter().map(|record| json(doing, &record.context));
    Ok(Batch {
        contexts: contexts.collect::<Result<_>>()?,
        records,
    })
}

impl Batch<'_> {
    /// The statement that stores the batch, its columns in the order of `immune.put_vitals`.
    pub(crate) fn query(&self) -> Query {
        // All 64 bits are kept; above 2^63 - 1 the number is negative in the database and whole again when read.
        let tokens = |count: Option<u64>| count.map(|count| count as i64);
        let sql = "SELECT immune.put_vitals(\
                       $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        sqlx::query(sql)
            .bind(self.texts(|record| record.key.run.as_str()))
            .bind(self.texts(|record| record.key.agent.as_str()))
            .bind(self.texts(|record| record.execution.as_str()))
            .bind(self.column(|record| i64::from(record.revision)))
            .bind(self.column(|record| record.started_at.as_micros()))
            .bind(self.column(|record| record.timestamp.as_micros()))
            .bind(self.column(|record| record.received_at.as_micros()))
            .bind(self.column(|record| record.latency_ms))
            .bind(self.column(|record| tokens(record.input_tokens)))
            .bind(self.column(|record| tokens(record.output_tokens)))
            .bind(self.column(|record| tokens(record.token_count)))
            .bind(self.column(|record| record.tool_calls.map(i64::from)))
            .bind(self.column(|record| record.retries.map(i64::from)))
            .bind(self.column(|record| record.success))
            .bind(self.column(|record| completeness_word(record.completeness)))
            .bind(self.column(|record| source_word(record.source)))
            .bind(self.contexts.as_slice())
    }

    fn column<T>(&self, value: impl Fn(&Vitals) -> T) -> Vec<T> {
        self.records.iter().map(|record| value(record)).collect()
    }

    fn texts<'a>(&'a self, text: impl Fn(&'a Vitals) -> &'a str) -> Vec<Cow<'a, str>> {
        self.records
            .iter()
            .map(|record| nul::hide(text(record)))
            .collect()
    }
}

/// Reads a record back, with its agent in the column `agent`.
pub(crate) fn read(row: &PgRow, run: &RunId) -> Result<Vitals> {
    let row = Reader::new(row, "vitals", "execution");
    let time = |column| row.get(column).map(Timestamp::from_micros);
    let tokens = |column| {
        row.get::<Option<i64>>(column)
            .map(|count| count.map(|count| count as u64))
    };
    let completeness: &str = row.get("completeness")?;
    let source: &str = row.get("source")?;
    Ok(Vitals {
        key: AgentKey {
            run: run.clone(),
            agent: AgentId::new(row.text("agent")?),
        },
        execution: ExecutionId::new(row.text("execution")?),
        revision: row.number("revision")?,
        started_at: time("started_at")?,
        timestamp: time("timestamp")?,
        received_at: time("received_at")?,
        latency_ms: row.get("latency_ms")?,
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        token_count: tokens("token_count")?,
        tool_calls: row.number_if_any("tool_calls")?,
        retries: row.number_if_any("retries")?,
        success: row.get("success")?,
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
