//! Columns of the lists.

use crate::cli::pick;
use crate::cli::table::{Column, Shown, Tone};
use serde_json::Value;

/// An agent's status, where a suspicion that has no case yet is a word of its own.
pub fn status(agent: &Value) -> Shown {
    match (agent["status"].as_str(), agent["suspect"].as_bool()) {
        (Some("healthy"), Some(true)) => Shown::plain("suspect").meant(Tone::Warning),
        _ => pick::state(agent, "/status"),
    }
}

/// How far an agent's baseline is: its state, or while it learns how many samples it has of how many.
pub fn baseline(agent: &Value) -> Shown {
    let of = &agent["baseline"];
    match (of["state"].as_str(), of["samples"].as_u64(), of["samples_min"].as_u64()) {
        (Some("learning"), Some(samples), Some(min)) => Shown::plain(format!("learning {samples}/{min}")),
        _ => pick::text(agent, "/baseline/state"),
    }
}

/// `immune get agents`.
pub const AGENTS: [Column; 8] = [
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "TYPE",
        cell: |row, _| pick::text(row, "/type"),
    },
    Column {
        title: "STATUS",
        cell: |row, _| pick::state(row, "/status"),
    },
    Column {
        title: "EXECUTIONS",
        cell: |row, _| pick::text(row, "/executions"),
    },
    Column {
        title: "BASELINE",
        cell: |row, _| pick::text(row, "/has_baseline"),
    },
    Column {
        title: "SEVERITY",
        cell: |row, _| pick::severity(row, "/severity"),
    },
    Column {
        title: "MODEL",
        cell: |row, _| pick::text(row, "/model"),
    },
];

/// `immune get cases`.
pub const CASES: [Column; 7] = [
    Column {
        title: "CASE",
        cell: |row, _| pick::text(row, "/case_id"),
    },
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "STATE",
        cell: |row, _| pick::state(row, "/state"),
    },
    Column {
        title: "QUARANTINE",
        cell: |row, _| pick::state(row, "/quarantine/phase"),
    },
    Column {
        title: "SEVERITY",
        cell: |row, _| pick::severity(row, "/severity"),
    },
    Column {
        title: "OPENED",
        cell: |row, now| pick::age(row, "/opened_at", now),
    },
    Column {
        title: "DIAGNOSIS",
        cell: |row, _| pick::text(row, "/diagnosis_type"),
    },
];

/// `immune get approvals`.
pub const APPROVALS: [Column; 6] = [
    Column {
        title: "CASE",
        cell: |row, _| pick::text(row, "/case_id"),
    },
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "SEVERITY",
        cell: |row, _| pick::severity(row, "/severity"),
    },
    Column {
        title: "DIAGNOSIS",
        cell: |row, _| pick::text(row, "/diagnosis_type"),
    },
    Column {
        title: "WAITING SINCE",
        cell: |row, now| pick::age(row, "/requested_at", now),
    },
    Column {
        title: "WHY",
        cell: |row, _| pick::text(row, "/reasoning"),
    },
];

/// `immune get healings`.
pub const HEALINGS: [Column; 8] = [
    Column {
        title: "STARTED",
        cell: |row, now| pick::age(row, "/started_at", now),
    },
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "DIAGNOSIS",
        cell: |row, _| pick::text(row, "/diagnosis_type"),
    },
    Column {
        title: "ACTION",
        cell: |row, _| pick::text(row, "/action"),
    },
    Column {
        title: "TRIGGER",
        cell: |row, _| pick::text(row, "/trigger"),
    },
    Column {
        title: "OUTCOME",
        cell: |row, _| pick::state(row, "/outcome"),
    },
    Column {
        title: "DETAIL",
        cell: |row, _| pick::text(row, "/detail"),
    },
];

/// `immune get memory`.
pub const MEMORY: [Column; 7] = [
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "DIAGNOSIS",
        cell: |row, _| pick::text(row, "/diagnosis_type"),
    },
    Column {
        title: "ACTION",
        cell: |row, _| pick::text(row, "/action"),
    },
    Column {
        title: "HELPED",
        cell: |row, _| pick::text(row, "/successes"),
    },
    Column {
        title: "FAILED",
        cell: |row, _| pick::text(row, "/failures"),
    },
    Column {
        title: "PIN",
        cell: |row, _| pick::text(row, "/pin"),
    },
    Column {
        title: "LAST",
        cell: |row, now| pick::age(row, "/last_at", now),
    },
];

/// `immune get log`.
pub const LOG: [Column; 7] = [
    Column { title: "SEQUENCE", cell: |row, _| pick::text(row, "/sequence") },
    Column {
        title: "WHEN",
        cell: |row, _| pick::moment(row, "/timestamp"),
    },
    Column {
        title: "WHAT",
        cell: |row, _| pick::text(row, "/type"),
    },
    Column {
        title: "AGENT",
        cell: |row, _| pick::text(row, "/agent_id"),
    },
    Column {
        title: "WHO",
        cell: |row, _| pick::text(row, "/actor"),
    },
    Column {
        title: "OUTCOME",
        cell: |row, _| pick::state(row, "/outcome"),
    },
    Column {
        title: "WHY",
        cell: |row, _| pick::text(row, "/reason"),
    },
];

/// The timeline of a case.
pub const TIMELINE: [Column; 4] = [
    Column {
        title: "WHEN",
        cell: |row, _| pick::moment(row, "/at"),
    },
    Column {
        title: "WHO",
        cell: |row, _| pick::text(row, "/actor"),
    },
    Column {
        title: "TIMES",
        cell: |row, _| pick::text(row, "/count"),
    },
    Column {
        title: "WHAT",
        cell: |row, _| pick::text(row, "/text"),
    },
];

/// The levers of a case.
pub const LEVERS: [Column; 5] = [
    Column {
        title: "LEVER",
        cell: |row, _| pick::text(row, "/lever"),
    },
    Column {
        title: "WANTED",
        cell: |row, _| pick::text(row, "/wanted"),
    },
    Column {
        title: "STATUS",
        cell: |row, _| pick::state(row, "/status"),
    },
    Column {
        title: "ATTEMPTS",
        cell: |row, _| pick::text(row, "/attempts"),
    },
    Column {
        title: "DETAIL",
        cell: |row, _| pick::text(row, "/detail"),
    },
];

/// The steps tried in a case.
pub const ATTEMPTS: [Column; 4] = [
    Column {
        title: "ENDED",
        cell: |row, _| pick::moment(row, "/at"),
    },
    Column {
        title: "ACTION",
        cell: |row, _| pick::text(row, "/action"),
    },
    Column {
        title: "OUTCOME",
        cell: |row, _| pick::state(row, "/outcome"),
    },
    Column {
        title: "DETAIL",
        cell: |row, _| pick::text(row, "/detail"),
    },
];

/// The steps that would be left out.
pub const SKIPPED: [Column; 2] = [
    Column { title: "ACTION", cell: |row, _| pick::text(row, "/action") },
    Column { title: "BECAUSE", cell: |row, _| pick::text(row, "/because") },
];

/// The diagnoses that a case may have.
pub const HYPOTHESES: [Column; 3] = [
    Column { title: "DIAGNOSIS", cell: |row, _| pick::text(row, "/diagnosis") },
    Column { title: "CONFIDENCE", cell: |row, _| pick::number(row, "/confidence", 2) },
    Column { title: "BECAUSE", cell: |row, _| pick::text(row, "/because") },
];

/// The executions that show an infection.
pub const EVIDENCE: [Column; 7] = [
    Column { title: "ENDED", cell: |row, _| pick::moment(row, "/timestamp") },
    Column { title: "LATENCY MS", cell: |row, _| pick::number(row, "/latency_ms", 0) },
    Column { title: "TOKENS", cell: |row, _| pick::text(row, "/token_count") },
    Column { title: "TOOL CALLS", cell: |row, _| pick::text(row, "/tool_calls") },
    Column { title: "RETRIES", cell: |row, _| pick::text(row, "/retries") },
    Column { title: "SUCCESS", cell: |row, _| pick::text(row, "/success") },
    Column { title: "TRACE", cell: |row, _| pick::text(row, "/trace_id") },
];

/// The latest executions of an agent.
pub const VITALS: [Column; 7] = [
    Column { title: "ENDED", cell: |row, _| pick::moment(row, "/timestamp") },
    Column { title: "LATENCY MS", cell: |row, _| pick::number(row, "/latency_ms", 0) },
    Column { title: "TOKENS", cell: |row, _| known(row, "token_count") },
    Column { title: "TOOL CALLS", cell: |row, _| known(row, "tool_calls") },
    Column { title: "RETRIES", cell: |row, _| known(row, "retries") },
    Column { title: "SUCCESS", cell: |row, _| pick::text(row, "/success") },
    Column { title: "MODEL", cell: |row, _| pick::text(row, "/model") },
];

/// A number of an execution; a dash when nobody told it, although existing clients are given a 0.
fn known(execution: &Value, name: &str) -> Shown {
    let unknown = execution["unknown"].as_array().is_some_and(|names| names.iter().any(|each| each == name));
    if unknown { Shown::plain("") } else { pick::text(execution, &format!("/{name}")) }
}

/// What is normal for an agent.
pub const BAND: [Column; 6] = [
    Column { title: "NORMAL", cell: |row, _| pick::text(row, "/metric") },
    Column { title: "MEAN", cell: |row, _| pick::number(row, "/mean", 1) },
    Column { title: "STDDEV", cell: |row, _| pick::number(row, "/stddev", 1) },
    Column { title: "FROM", cell: |row, _| pick::number(row, "/low", 1) },
    Column { title: "TO", cell: |row, _| pick::number(row, "/high", 1) },
    Column { title: "SAMPLES", cell: |row, _| pick::text(row, "/samples") },
];
