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
        ("reason", pick::text(case, "/state_details/reason")),
        ("first of two", pick::text(case, "/first_approval/by")),
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

/// The executions that are shown of an agent.
const VITALS_SHOWN: usize = 10;

/// An agent: how it is, what is normal for it, its latest executions, its cases, healings and memory.
pub fn agent(agent: &Value, now: Timestamp) -> String {
    let mut parts = vec![table::facts(vec![
        ("agent", pick::text(agent, "/agent_id")),
        ("type", pick::text(agent, "/type")),
        ("model", pick::text(agent, "/model")),
        ("MCP servers", pick::text(agent, "/mcp_servers")),
        ("status", columns::status(agent)),
        ("severity", pick::severity(agent, "/severity")),
        ("anomalies", pick::text(agent, "/anomalies")),
        ("case", pick::text(agent, "/case_id")),
        ("executions", pick::text(agent, "/executions")),
        ("baseline", columns::baseline(agent)),
        ("last seen", pick::moment(agent, "/last_seen_at")),
    ])];
    parts.extend(section("BASELINE", &columns::BAND, agent, "/band", now));
    let vitals = agent["vitals"].as_array().map_or(&[][..], Vec::as_slice);
    let latest = &vitals[vitals.len().saturating_sub(VITALS_SHOWN)..];
    if !latest.is_empty() {
        parts.push(format!(
            "LATEST EXECUTIONS\n{}",
            table::list(&columns::VITALS, latest, now)
        ));
    }
    let lists: [(&str, &[Column], &str); 3] = [
        ("CASES", &columns::CASES, "/cases"),
        ("HEALINGS", &columns::HEALINGS, "/healings"),
        ("MEMORY", &columns::MEMORY, "/memory"),
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
