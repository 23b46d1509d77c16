//! Healings of a run, as existing clients know them: what client-deployed systems post and what the healer did.

use crate::app::App;
use crate::problems::{Answer, garbled, stored};
use immune_domain::diagnosis::Diagnosis;
use immune_domain::memory::Memory;
use immune_domain::{AgentId, AgentKey, CaseId, RunId, Timestamp};
use immune_proto::convert::time;
use immune_proto::v1;
use immune_store::PAGE_MAX;
use immune_store::client_records::{ClientRecord, RecordKind};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// One healing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HealingView {
    /// `healing_attempt`, as in the action log.
    #[serde(rename = "type")]
    pub type_: &'static str,
    /// Whose.
    pub agent_id: String,
    /// When it began, epoch seconds.
    pub timestamp: f64,
    /// The same.
    pub started_at: f64,
    /// When its outcome was known, epoch seconds.
    pub ended_at: Option<f64>,
    /// What was treated.
    pub diagnosis_type: String,
    /// What was done.
    pub action: String,
    /// `auto`, `after_approval`, `explicit_after_reject`.
    pub trigger: String,
    /// `running`, `verifying`, `succeeded`, `failed`, `unsupported`, `abandoned`.
    pub outcome: String,
    /// Null while nobody knows.
    pub success: Option<bool>,
    /// What the lever or the verification said.
    pub detail: String,
    /// The attempt; null for posted ones.
    pub healing_id: Option<String>,
    /// The case; null for posted ones.
    pub case_id: Option<String>,
    /// `native`, or `posted` by a client-deployed system.
    pub source: &'static str,
}

/// How many healings there were and how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub total: u64,
    pub succeeded: u64,
    pub failed: u64,
}

impl Tally {
    /// Share of successes, 0 when there is nothing.
    pub fn rate(self) -> f64 {
        match self.succeeded + self.failed {
            0 => 0.0,
            known => self.succeeded as f64 / known as f64,
        }
    }
}

/// What helps against a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pattern {
    /// The action with the most successes.
    pub best_action: String,
    /// How many it had.
    pub success_count: u64,
}

/// Healings, newest first.
pub(crate) async fn recent(
    app: &App,
    run: &RunId,
    agent: Option<&AgentId>,
    case: Option<&CaseId>,
    limit: u32,
) -> Answer<Vec<HealingView>> {
    let native = app.roles.healings(run, agent, case, limit).await?;
    let mut all: Vec<HealingView> = native.into_iter().map(of_native).collect::<Answer<_>>()?;
    if case.is_none() {
        let posted = app
            .client_records
            .list(run, agent, RecordKind::Healing, limit)
            .await
            .map_err(stored)?;
        all.extend(posted.iter().map(of_record));
    }
    all.sort_by(|a, b| b.timestamp.total_cmp(&a.timestamp));
    all.truncate(limit as usize);
    Ok(all)
}

/// The tally of a run. Of posted records the latest 10,000 tell how healings end.
pub(crate) async fn tally(app: &App, run: &RunId) -> Answer<Tally> {
    let (native, count, posted) = tokio::join!(
        app.roles.healing_totals(run),
        app.client_records.count(run, RecordKind::Healing),
        app.client_records.list(run, None, RecordKind::Healing, PAGE_MAX),
    );
    let (native, posted) = (native?, posted.map_err(stored)?);
    let succeeded = posted.iter().filter(|record| is_success(record)).count() as u64;
    let failed = posted.len() as u64 - succeeded;
    Ok(Tally {
        total: native.succeeded + native.failed + count.map_err(stored)?,
        succeeded: native.succeeded + succeeded,
        failed: native.failed + failed,
    })
}

/// Actions that failed for an agent and a diagnosis and never succeeded, in the order of their names.
pub(crate) async fn failed_actions(app: &App, key: &AgentKey, diagnosis: &str) -> Answer<Vec<String>> {
    let (mut failed, mut succeeded) = (BTreeSet::new(), BTreeSet::new());
    let posted = app
        .client_records
        .list(&key.run, Some(&key.agent), RecordKind::Healing, PAGE_MAX)
        .await;
    for record in posted.map_err(stored)? {
        if text(&record, "diagnosis_type") == diagnosis {
            let action = text(&record, "healing_action").to_owned();
            if is_success(&record) {
                succeeded.insert(action)
            } else {
                failed.insert(action)
            };
        }
    }
    // Clients may have diagnoses that the healer has never heard of.
    if diagnosis.parse::<Diagnosis>().is_ok() {
        for memory in app
            .roles
            .memories(&key.run, Some(&key.agent), diagnosis, PAGE_MAX)
            .await?
        {
            if memory.successes > 0 {
                succeeded.insert(memory.action.to_string());
            } else if memory.failures > 0 {
                failed.insert(memory.action.to_string());
            }
        }
    }
    Ok(failed.difference(&succeeded).cloned().collect())
}

/// What helps against each diagnosis that anything has helped against.
pub(crate) async fn patterns(
    app: &App,
    run: &RunId,
    memories: &[Memory],
) -> Answer<BTreeMap<String, Pattern>> {
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut add = |diagnosis: &str, action: &str, successes: u64| {
        if successes > 0 {
            let actions = counts.entry(diagnosis.to_owned()).or_default();
            *actions.entry(action.to_owned()).or_default() += successes;
        }
    };
    for memory in memories {
        add(
            memory.diagnosis.as_str(),
            memory.action.as_str(),
            u64::from(memory.successes),
        );
    }
    for record in app
        .client_records
        .list(run, None, RecordKind::Healing, PAGE_MAX)
        .await
        .map_err(stored)?
    {
        add(
            text(&record, "diagnosis_type"),
            text(&record, "healing_action"),
            u64::from(is_success(&record)),
        );
    }
    let best = |actions: BTreeMap<String, u64>| {
        let best = actions
            .into_iter()
            .min_by_key(|(action, count)| (Reverse(*count), action.clone()))?;
        Some(Pattern {
            best_action: best.0,
            success_count: best.1,
        })
    };
    Ok(counts
        .into_iter()
        .filter_map(|(diagnosis, actions)| Some((diagnosis, best(actions)?)))
        .collect())
}

fn of_native(record: v1::HealingRecord) -> Answer<HealingView> {
    let at = |field: &str, at: Option<_>| time::from_wire(field, at).map(Timestamp::as_epoch_seconds);
    let started_at = at("started_at", record.started_at).map_err(garbled)?;
    let ended_at = record
        .ended_at
        .map(|ended| at("ended_at", Some(ended)))
        .transpose()
        .map_err(garbled)?;
    let success = match record.outcome.as_str() {
        "succeeded" => Some(true),
        "failed" | "unsupported" => Some(false),
        _ => None,
    };
    Ok(HealingView {
        type_: "healing_attempt",
        agent_id: record.key.map(|key| key.agent_id).unwrap_or_default(),
        timestamp: started_at,
        started_at,
        ended_at,
        diagnosis_type: record.diagnosis,
        action: record.action,
        trigger: record.trigger,
        outcome: record.outcome,
        success,
        detail: record.detail,
        healing_id: Some(record.healing_id),
        case_id: Some(record.case_id),
        source: "native",
    })
}

fn of_record(record: &ClientRecord) -> HealingView {
    let at = record.at.as_epoch_seconds();
    let success = is_success(record);
    let trigger = text(record, "trigger");
    HealingView {
        type_: "healing_attempt",
        agent_id: record.key.agent.to_string(),
        timestamp: at,
        started_at: at,
        ended_at: Some(at),
        diagnosis_type: text(record, "diagnosis_type").to_owned(),
        action: text(record, "healing_action").to_owned(),
        trigger: if trigger.is_empty() { "auto" } else { trigger }.to_owned(),
        outcome: if success { "succeeded" } else { "failed" }.to_owned(),
        success: Some(success),
        detail: text(record, "message").to_owned(),
        healing_id: None,
        case_id: None,
        source: "posted",
    }
}

fn text<'a>(record: &'a ClientRecord, field: &str) -> &'a str {
    record.body.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_success(record: &ClientRecord) -> bool {
    record
        .body
        .get("success")
        .and_then(Value::as_bool)
        .unwrap_or_default()
}
