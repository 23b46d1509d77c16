//! Columns of the lists.

use crate::cli::pick;
use crate::cli::table::{Column, Shown, Tone};
use immune_domain::Timestamp;
use serde_json::Value;

const fn column(title: &'static str, cell: fn(&Value, Timestamp) -> Shown) -> Column {
    Column { title, cell }
}

/// An agent's status, where a suspicion that has no case yet is a word of its own, and one that is not heard is never
/// called healthy.
pub fn status(agent: &Value) -> Shown {
    match (agent["status"].as_str(), agent["telemetry"].as_str()) {
        (Some("healthy"), Some("silent")) => return Shown::plain("no telemetry").meant(Tone::Warning),
        (Some("healthy"), Some("gone")) => return Shown::plain("gone"),
        _ => {}
    }
    match (agent["status"].as_str(), agent["suspect"].as_bool()) {
        (Some("healthy"), Some(true)) => Shown::plain("suspect").meant(Tone::Warning),
        _ => pick::state(agent, "/status"),
    }
}

/// How far an agent's baseline is: its state, or while it learns how many samples it has of how many.
pub fn baseline(agent: &Value) -> Shown {
    let of = &agent["baseline"];
    match (
        of["state"].as_str(),
        of["samples"].as_u64(),
        of["samples_min"].as_u64(),
    ) {
        (Some("learning"), Some(samples), Some(min)) => Shown::plain(format!("learning {samples}/{min}")),
        _ => pick::text(agent, "/baseline/state"),
    }
}

/// `immune get agents`.
pub const AGENTS: [Column; 8] = [
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("TYPE", |row, _| pick::text(row, "/type")),
    column("STATUS", |row, _| status(row)),
    column("EXECUTIONS", |row, _| pick::text(row, "/executions")),
    column("BASELINE", |row, _| baseline(row)),
    column("SEVERITY", |row, _| pick::severity(row, "/severity")),
    column("LAST SEEN", |row, now| pick::age(row, "/last_seen_at", now)),
    column("MODEL", |row, _| pick::text(row, "/model")),
];

/// `immune get cases`.
pub const CASES: [Column; 7] = [
    column("CASE", |row, _| pick::text(row, "/case_id")),
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("STATE", |row, _| pick::state(row, "/state")),
    column("QUARANTINE", |row, _| pick::state(row, "/quarantine/phase")),
    column("SEVERITY", |row, _| pick::severity(row, "/severity")),
    column("OPENED", |row, now| pick::age(row, "/opened_at", now)),
    column("DIAGNOSIS", |row, _| pick::text(row, "/diagnosis_type")),
];

/// `immune get approvals`.
pub const APPROVALS: [Column; 6] = [
    column("CASE", |row, _| pick::text(row, "/case_id")),
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("SEVERITY", |row, _| pick::severity(row, "/severity")),
    column("DIAGNOSIS", |row, _| pick::text(row, "/diagnosis_type")),
    column("WAITING SINCE", |row, now| pick::age(row, "/requested_at", now)),
    column("WHY", |row, _| pick::text(row, "/reasoning")),
];

/// `immune get incidents`.
pub const INCIDENTS: [Column; 7] = [
    column("OPENED", |row, now| pick::age(row, "/opened_at", now)),
    column("STATE", |row, _| incident_state(row)),
    column("SHARED", |row, _| shared(row)),
    column("DEPARTING", |row, _| pick::text(row, "/departing")),
    column("OF", |row, _| pick::text(row, "/active")),
    column("HELD BACK", |row, _| pick::text(row, "/held_back")),
    column("WHAT", |row, _| pick::text(row, "/because")),
];

fn incident_state(incident: &Value) -> Shown {
    match incident["closed_at"].is_null() {
        true => Shown::plain("open").meant(Tone::Warning),
        false => Shown::plain("closed"),
    }
}

/// What the agents of an incident share: the run, or a model or a tool by name.
fn shared(incident: &Value) -> Shown {
    match (incident["shared"].as_str(), incident["name"].as_str()) {
        (Some(kind), Some(name)) => Shown::plain(format!("{kind} {name}")),
        _ => pick::text(incident, "/shared"),
    }
}

/// `immune get healings`.
pub const HEALINGS: [Column; 8] = [
    column("STARTED", |row, now| pick::age(row, "/started_at", now)),
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("DIAGNOSIS", |row, _| pick::text(row, "/diagnosis_type")),
    column("ACTION", |row, _| pick::text(row, "/action")),
    column("TRIGGER", |row, _| pick::text(row, "/trigger")),
    column("OUTCOME", |row, _| pick::state(row, "/outcome")),
    column("CASE", |row, _| pick::text(row, "/case_id")),
    column("DETAIL", |row, _| pick::text(row, "/detail")),
];

/// `immune get memory`.
pub const MEMORY: [Column; 7] = [
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("DIAGNOSIS", |row, _| pick::text(row, "/diagnosis_type")),
    column("ACTION", |row, _| pick::text(row, "/action")),
    column("HELPED", |row, _| pick::text(row, "/successes")),
    column("FAILED", |row, _| pick::text(row, "/failures")),
    column("PIN", |row, _| pick::text(row, "/pin")),
    column("LAST", |row, now| pick::age(row, "/last_at", now)),
];

/// `immune get log`.
pub const LOG: [Column; 7] = [
    column("SEQUENCE", |row, _| pick::text(row, "/sequence")),
    column("WHEN", |row, _| pick::moment(row, "/timestamp")),
    column("WHAT", |row, _| pick::text(row, "/type")),
    column("AGENT", |row, _| pick::text(row, "/agent_id")),
    column("WHO", |row, _| pick::text(row, "/actor")),
    column("OUTCOME", |row, _| pick::state(row, "/outcome")),
    column("WHY", |row, _| pick::text(row, "/reason")),
];

/// The timeline of a case.
pub const TIMELINE: [Column; 3] = [
    column("WHEN", |row, _| pick::moment(row, "/at")),
    column("WHO", |row, _| pick::text(row, "/actor")),
    column("WHAT", |row, _| happened(row)),
];

/// What happened, and how many times when it was more than once.
fn happened(entry: &Value) -> Shown {
    let shown = pick::text(entry, "/text");
    match entry["count"].as_u64() {
        Some(count) if count > 1 => Shown::plain(format!("{} ({count} times)", shown.text)),
        Some(_) | None => shown,
    }
}

/// The levers of a case.
pub const LEVERS: [Column; 5] = [
    column("LEVER", |row, _| pick::text(row, "/lever")),
    column("WANTED", |row, _| pick::text(row, "/wanted")),
    column("STATUS", |row, _| pick::state(row, "/status")),
    column("ATTEMPTS", |row, _| pick::text(row, "/attempts")),
    column("DETAIL", |row, _| pick::text(row, "/detail")),
];

/// The steps tried in a case.
pub const ATTEMPTS: [Column; 4] = [
    column("ENDED", |row, _| pick::moment(row, "/at")),
    column("ACTION", |row, _| pick::text(row, "/action")),
    column("OUTCOME", |row, _| pick::state(row, "/outcome")),
    column("DETAIL", |row, _| pick::text(row, "/detail")),
];

/// The steps that would be left out.
pub const SKIPPED: [Column; 2] = [
    column("ACTION", |row, _| pick::text(row, "/action")),
    column("BECAUSE", |row, _| pick::text(row, "/because")),
];

/// The diagnoses that a case may have.
pub const HYPOTHESES: [Column; 3] = [
    column("DIAGNOSIS", |row, _| pick::text(row, "/diagnosis")),
    column("CONFIDENCE", |row, _| pick::number(row, "/confidence", 2)),
    column("BECAUSE", |row, _| pick::text(row, "/because")),
];

/// The executions that show an infection.
pub const EVIDENCE: [Column; 7] = [
    column("ENDED", |row, _| pick::moment(row, "/timestamp")),
    column("LATENCY MS", |row, _| pick::number(row, "/latency_ms", 0)),
    column("TOKENS", |row, _| pick::text(row, "/token_count")),
    column("TOOL CALLS", |row, _| pick::text(row, "/tool_calls")),
    column("RETRIES", |row, _| pick::text(row, "/retries")),
    column("SUCCESS", |row, _| pick::text(row, "/success")),
    column("TRACE", |row, _| pick::text(row, "/trace_id")),
];

/// The latest executions of an agent.
pub const VITALS: [Column; 7] = [
    column("ENDED", |row, _| pick::moment(row, "/timestamp")),
    column("LATENCY MS", |row, _| pick::number(row, "/latency_ms", 0)),
    column("TOKENS", |row, _| known(row, "token_count")),
    column("TOOL CALLS", |row, _| known(row, "tool_calls")),
    column("RETRIES", |row, _| known(row, "retries")),
    column("SUCCESS", |row, _| pick::text(row, "/success")),
    column("MODEL", |row, _| pick::text(row, "/model")),
];

/// A number of an execution; a dash when nobody told it, although existing clients are given a 0.
fn known(execution: &Value, name: &str) -> Shown {
    let unknown = execution["unknown"]
        .as_array()
        .is_some_and(|names| names.iter().any(|each| each == name));
    if unknown {
        Shown::plain("")
    } else {
        pick::text(execution, &format!("/{name}"))
    }
}

/// What is normal for an agent.
pub const BAND: [Column; 6] = [
    column("NORMAL", |row, _| pick::text(row, "/metric")),
    column("MEAN", |row, _| pick::number(row, "/mean", 1)),
    column("STDDEV", |row, _| pick::number(row, "/stddev", 1)),
    column("FROM", |row, _| pick::number(row, "/low", 1)),
    column("TO", |row, _| pick::number(row, "/high", 1)),
    column("SAMPLES", |row, _| pick::text(row, "/samples")),
];
