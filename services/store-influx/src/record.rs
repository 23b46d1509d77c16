//! A record as the fields of a point, and back.
//!
//! A later revision is written over the earlier one, and InfluxDB keeps what the later one does not mention. So the
//! field `known` says which of the fields that may be unknown are meant; whatever else the point has is left over.

use crate::answer::Row;
use crate::lines::{self, Line, tag_text, tag_value};
use crate::place::{self, Identity};
use crate::recall::Known;
use immune_domain::vitals::{Context, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use immune_store::StorageError;
use std::str::FromStr;
use std::time::Duration;

/// The measurement of executions.
pub(crate) const VITALS: &str = "agent_vitals";
/// Where executions are found by the time of their reception when their own time is far from it.
pub(crate) const DISPLACED: &str = "agent_vitals_displaced";
/// How far a record's own time may be from its reception without an entry in [`DISPLACED`].
pub(crate) const NEAR: Duration = Duration::from_secs(60);

/// Bytes of one text field at most: 64 KiB is what the documents of InfluxDB promise.
const TEXT_BYTES_MAX: usize = 60_000;

/// Bits of `known`.
mod bit {
    pub(super) const LATENCY: i64 = 1;
    pub(super) const INPUT_TOKENS: i64 = 1 << 1;
    pub(super) const OUTPUT_TOKENS: i64 = 1 << 2;
    pub(super) const TOKEN_COUNT: i64 = 1 << 3;
    pub(super) const TOOL_CALLS: i64 = 1 << 4;
    pub(super) const RETRIES: i64 = 1 << 5;
    /// The context has a cost that JSON cannot hold.
    pub(super) const COST_BITS: i64 = 1 << 6;
    /// The context is in several fields.
    pub(super) const CONTEXT_PARTS: i64 = 1 << 7;
    /// There is an entry in the other measurement.
    pub(super) const DISPLACED: i64 = 1 << 8;
}

/// Why a point has `live=0`.
const RETRACTED: i64 = 1;
const MOVED: i64 = 2;

/// The columns of [`sighting`].
pub(crate) const SIGHTING: &str = "\"execution_id\",\"revision\",\"live\",\"gone\",\"moved_to\",\"known\",\
                                   \"displaced_to\",\"received_at\",\"first_received_at\"";

/// Where the entry in [`DISPLACED`] lies, if the record needs one.
pub(crate) fn displaced(vitals: &Vitals, identity: Identity) -> Option<i64> {
    let (a, b) = (vitals.timestamp, vitals.received_at);
    let apart = a.since(b).max(b.since(a));
    (apart > NEAR).then(|| identity.place(b, 0))
}

fn series(measurement: &'static str, key: &AgentKey) -> Line {
    Line::of(measurement)
        .tag("agent_id", key.agent.as_str())
        .tag("run_id", key.run.as_str())
}

/// The point of a record.
pub(crate) fn line(vitals: &Vitals, known: &Known) -> Result<String, serde_json::Error> {
    let mut line = series(VITALS, &vitals.key);
    let mut bits = 0;
    line.int("live", 1)
        .text("execution_id", &tag_value(vitals.execution.as_str()))
        .int("revision", vitals.revision.into())
        .int("started_at", vitals.started_at.as_micros())
        .int("timestamp", vitals.timestamp.as_micros())
        .int("received_at", vitals.received_at.as_micros())
        .int("first_received_at", known.first_received.as_micros())
        .yes("success", vitals.success)
        .text("completeness", vitals.completeness.as_str())
        .text("source", vitals.source.as_str());
    if vitals.latency_ms.is_finite() {
        bits |= bit::LATENCY;
        line.float("latency_ms", vitals.latency_ms);
    } else {
        line.count("latency_bits", vitals.latency_ms.to_bits());
    }
    let counts = [
        ("input_tokens", bit::INPUT_TOKENS, vitals.input_tokens),
        ("output_tokens", bit::OUTPUT_TOKENS, vitals.output_tokens),
        ("token_count", bit::TOKEN_COUNT, vitals.token_count),
        ("tool_calls", bit::TOOL_CALLS, vitals.tool_calls.map(u64::from)),
        ("retries", bit::RETRIES, vitals.retries.map(u64::from)),
    ];
    for (name, bit, value) in counts {
        if let Some(value) = value {
            bits |= bit;
            line.count(name, value);
        }
    }
    if let Some(displaced) = known.displaced {
        bits |= bit::DISPLACED;
        line.int("displaced_to", displaced);
    }
    bits |= push_context(&mut line, &vitals.context)?;
    line.int("known", bits);
    Ok(line.at(known.place))
}

fn push_context(line: &mut Line, context: &Context) -> Result<i64, serde_json::Error> {
    let mut bits = 0;
    let json = match context.cost {
        Some(cost) if !cost.is_finite() => {
            bits |= bit::COST_BITS;
            line.count("cost_bits", cost.to_bits());
            let finite = Context {
                cost: None,
                ..context.clone()
            };
            serde_json::to_string(&finite)?
        }
        Some(_) | None => serde_json::to_string(context)?,
    };
    let (first, mut rest) = cut(&json);
    line.text("context", first);
    let mut parts = 1;
    while !rest.is_empty() {
        let (part, after) = cut(rest);
        line.text(&format!("context_{parts}"), part);
        parts += 1;
        rest = after;
    }
    if parts > 1 {
        bits |= bit::CONTEXT_PARTS;
        line.int("context_parts", parts);
    }
    // For people and their dashboards; what is read back is the context.
    line.known("agent_type", context.agent_type.as_deref())
        .known("model", context.model.as_deref())
        .known("trace_id", context.trace_id.as_deref());
    Ok(bits)
}

/// The longest beginning that one field holds, and the rest.
fn cut(text: &str) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(TEXT_BYTES_MAX))
}

/// What takes the place of a point that no longer counts. It says whose it was, so that it reads the same where a
/// later write replaces the whole point instead of adding to it.
pub(crate) fn tombstone(
    key: &AgentKey,
    execution: &ExecutionId,
    was: &Known,
    moved: Option<&Known>,
) -> String {
    let mut line = series(VITALS, key);
    line.int("live", 0)
        .text("execution_id", &tag_value(execution.as_str()))
        .int("revision", moved.unwrap_or(was).revision.into())
        .int("first_received_at", was.first_received.as_micros());
    match moved {
        Some(now) => line.int("gone", MOVED).int("moved_to", now.place),
        None => line.int("gone", RETRACTED),
    };
    line.at(was.place)
}

/// The entry of a record under the time of its reception.
pub(crate) fn displaced_line(vitals: &Vitals, known: &Known, at: i64) -> String {
    let mut line = series(DISPLACED, &vitals.key);
    line.int("live", 1)
        .int("received_at", vitals.received_at.as_micros())
        .int("place", known.place);
    line.at(at)
}

/// What takes the place of such an entry.
pub(crate) fn displaced_tombstone(key: &AgentKey, at: i64) -> String {
    let mut line = series(DISPLACED, key);
    line.int("live", 0);
    line.at(at)
}

/// Which execution a point is of, and what is known of it: from the columns [`SIGHTING`] and the point's time.
pub(crate) fn sighting(row: Row<'_>, key: &AgentKey) -> Option<(Identity, Known)> {
    let execution = ExecutionId::new(tag_text(row.text("execution_id")?)?);
    let place = row.int("time")?;
    let live = row.int("live") == Some(1);
    let moved = !live && row.int("gone") == Some(MOVED);
    let received = row.int("received_at").or_else(|| row.int("first_received_at"))?;
    let has_entry = row.int("known").is_some_and(|known| known & bit::DISPLACED != 0);
    let known = Known {
        revision: u32::try_from(row.int("revision")?).ok()?,
        place: if moved { row.int("moved_to")? } else { place },
        displaced: row.int("displaced_to").filter(|_| live && has_entry),
        first_received: Timestamp::from_micros(row.int("first_received_at").unwrap_or(received)),
        received: Timestamp::from_micros(received),
        live: live || moved,
    };
    Some((Identity::of(key, &execution), known))
}

/// Whether the latency of a point is what `latency_ms` says; else its bits are in `latency_bits`.
pub(crate) fn is_latency_a_number(row: Row<'_>) -> bool {
    row.int("known").is_some_and(|known| known & bit::LATENCY != 0)
}

/// The record of a point that has all its columns.
pub(crate) fn read(row: Row<'_>, key: &AgentKey) -> Result<Vitals, StorageError> {
    parse(row, key).map_err(|why| {
        let id = row.text("execution_id").unwrap_or("?");
        StorageError::damaged("vitals", format_args!("{key} {id}"), why)
    })
}

fn parse(row: Row<'_>, key: &AgentKey) -> Result<Vitals, String> {
    let missing = |what: &str| format!("{what} is missing or is of another type");
    let int = |what: &str| row.int(what).ok_or_else(|| missing(what));
    let text = |what: &str| row.text(what).ok_or_else(|| missing(what));
    let time = |what: &str| int(what).map(Timestamp::from_micros);
    let known = int("known")?;
    let counted = |bit: i64, what: &str| match known & bit {
        0 => Ok(None),
        _ => int(what).map(|n| Some(lines::count(n))),
    };
    let small = |bit: i64, what: &str| match counted(bit, what)? {
        Some(n) => u32::try_from(n).map(Some).map_err(|_| format!("{what} = {n}")),
        None => Ok(None),
    };
    Ok(Vitals {
        key: key.clone(),
        execution: ExecutionId::new(tag_text(text("execution_id")?).ok_or_else(|| missing("execution_id"))?),
        revision: u32::try_from(int("revision")?).map_err(|_| missing("revision"))?,
        started_at: time("started_at")?,
        timestamp: time("timestamp")?,
        received_at: time("received_at")?,
        latency_ms: match known & bit::LATENCY {
            0 => f64::from_bits(lines::count(int("latency_bits")?)),
            _ => row.float("latency_ms").ok_or_else(|| missing("latency_ms"))?,
        },
        input_tokens: counted(bit::INPUT_TOKENS, "input_tokens")?,
        output_tokens: counted(bit::OUTPUT_TOKENS, "output_tokens")?,
        token_count: counted(bit::TOKEN_COUNT, "token_count")?,
        tool_calls: small(bit::TOOL_CALLS, "tool_calls")?,
        retries: small(bit::RETRIES, "retries")?,
        success: row.yes("success").ok_or_else(|| missing("success"))?,
        completeness: word(text("completeness")?)?,
        source: word(text("source")?)?,
        context: Box::new(parse_context(row, known)?),
    })
}

fn parse_context(row: Row<'_>, known: i64) -> Result<Context, String> {
    let missing = |what: &str| format!("{what} is missing");
    let first = row.text("context").ok_or_else(|| missing("context"))?;
    let parsed = if known & bit::CONTEXT_PARTS == 0 {
        serde_json::from_str(first)
    } else {
        let parts = row.int("context_parts").ok_or_else(|| missing("context_parts"))?;
        let mut json = first.to_owned();
        for n in 1..parts {
            let name = format!("context_{n}");
            json.push_str(row.text(&name).ok_or_else(|| missing(&name))?);
        }
        serde_json::from_str(&json)
    };
    let mut context: Context = parsed.map_err(|e| format!("context: {e}"))?;
    if known & bit::COST_BITS != 0 {
        let bits = row.int("cost_bits").ok_or_else(|| missing("cost_bits"))?;
        context.cost = Some(f64::from_bits(lines::count(bits)));
    }
    Ok(context)
}

/// A word of a closed list.
fn word<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}

/// The order of records that the contract asks for.
pub(crate) fn in_order(records: &mut [Vitals]) {
    records.sort_by(|a, b| (a.timestamp, &a.execution).cmp(&(b.timestamp, &b.execution)));
}

/// The earliest place of the records that were received at or after a time and have no entry in [`DISPLACED`].
pub(crate) fn earliest_near(received: Timestamp) -> i64 {
    place::earliest(received.minus(NEAR))
}

/// The latest place of the records that were received before a time and have no entry in [`DISPLACED`].
pub(crate) fn latest_near(received: Timestamp) -> i64 {
    place::latest(received.plus(NEAR))
}
