//! One agent or one case in full.

use super::columns;
use crate::cli::pick;
use crate::cli::table::{self, Column};
use immune_domain::Timestamp;
use serde_json::Value;

/// A case: where it stands, its levers, the steps tried, and everything that happened.
pub fn case(case: &Value, now: Timestamp) -> String {
    let mut parts = vec![table::facts(vec![
        ("case", pick::text(case, "/case_id")),
        ("agent", pick::text(case, "/agent_id")),
        ("state", pick::state(case, "/state")),
        ("for", pick::text(case, "/state_details/reason")),
        ("severity", pick::severity(case, "/severity")),
        ("diagnosis", pick::text(case, "/diagnosis_type")),
        ("because", pick::text(case, "/reasoning")),
        ("anomalies", pick::text(case, "/anomalies")),
        ("quarantine", pick::state(case, "/quarantine/phase")),
        ("opened", pick::moment(case, "/opened_at")),
        ("changed", pick::moment(case, "/updated_at")),
        ("next steps", pick::text(case, "/plan/steps")),
    ])];
    let lists: [(&str, &[Column], &str); 6] = [
        ("EVIDENCE", &columns::EVIDENCE, "/evidence"),
        ("DIAGNOSES", &columns::HYPOTHESES, "/hypotheses"),
        ("LEVERS", &columns::LEVERS, "/quarantine/levers"),
        ("STEPS TRIED", &columns::ATTEMPTS, "/attempts"),
        ("STEPS SKIPPED", &columns::SKIPPED, "/plan/skipped"),
        ("TIMELINE", &columns::TIMELINE, "/timeline"),
    ];
    for (title, columns, pointer) in lists {
        parts.extend(section(title, columns, case, pointer, now));
    }
    parts.join("\n\n")
}

/// An agent: how it is, its last vitals, its cases and healings.
pub fn agent(agent: &Value, now: Timestamp) -> String {
    let mut parts = vec![table::facts(vec![
        ("agent", pick::text(agent, "/agent_id")),
        ("type", pick::text(agent, "/type")),
        ("model", pick::text(agent, "/model")),
        ("MCP servers", pick::text(agent, "/mcp_servers")),
        ("status", pick::state(agent, "/status")),
        ("severity", pick::severity(agent, "/severity")),
        ("executions", pick::text(agent, "/executions")),
        ("baseline", pick::text(agent, "/has_baseline")),
        ("latency, ms", pick::number(agent, "/latest_metrics/latency", 0)),
        ("tokens", pick::number(agent, "/latest_metrics/tokens", 0)),
        ("tool calls", pick::number(agent, "/latest_metrics/tools", 0)),
    ])];
    let lists: [(&str, &[Column], &str); 2] = [
        ("CASES", &columns::CASES, "/cases"),
        ("HEALINGS", &columns::HEALINGS, "/healings"),
    ];
    for (title, columns, pointer) in lists {
        parts.extend(section(title, columns, agent, pointer, now));
    }
    parts.join("\n\n")
}

/// A list within, with its title; nothing when it is empty.
fn section(title: &str, columns: &[Column], of: &Value, pointer: &str, now: Timestamp) -> Option<String> {
    let rows = of.pointer(pointer)?.as_array()?;
    (!rows.is_empty()).then(|| format!("{title}\n{}", table::list(columns, rows, now)))
}
