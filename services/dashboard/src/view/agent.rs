//! An agent, as operators and existing scripts see it.

use super::vitals::{VitalsView, seconds};
use crate::approvals::{PENDING, REJECTED};
use crate::healings::HealingView;
use crate::problems::{Answer, garbled};
use crate::view::case::CaseView;
use immune_domain::baseline::Version;
use immune_domain::case::Case;
use immune_domain::detection::rounded;
use immune_domain::memory::Memory;
use immune_domain::vitals::Vitals;
use immune_proto::convert::{optional, profile, time};
use immune_proto::v1;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// An agent in short.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AgentView {
    /// Identity within the run.
    pub id: String,
    /// The same.
    pub agent_id: String,
    /// Kind of agent, `unknown` where nobody said.
    #[serde(rename = "type")]
    pub type_: String,
    /// Model of the latest execution, if known.
    pub model: Option<String>,
    /// MCP servers that it says it uses.
    pub mcp_servers: Vec<String>,
    /// `healthy`, `infected`, `quarantined`.
    pub status: &'static str,
    /// Whether it has an open case, or a client-deployed system holds it in quarantine.
    pub infected: bool,
    /// Diagnosis of the open case.
    pub infection_type: Option<String>,
    /// The same.
    pub diagnosis: Option<String>,
    /// Executions on record.
    pub executions: u64,
    /// Whether its baseline may judge.
    pub has_baseline: bool,
    /// A person said no to healing it.
    pub healing_rejected: bool,
    /// A person has to decide.
    pub healing_pending: bool,
    /// Numbers of the latest execution; null before the first.
    pub latest_metrics: Option<LatestMetrics>,
    /// `live`; `silent`: it was active and is not heard any more; `gone`: for so long that it is expected no longer; null
    /// before the first execution. Of one that is silent or gone nobody knows whether it is healthy.
    pub telemetry: Option<&'static str>,
    /// Seconds since it was heard, when it is silent or gone.
    pub silent_seconds: Option<f64>,
    /// A deviation is over the threshold now; shown, no action.
    pub suspect: bool,
    /// How sure the guarded detector is, in about standard deviations; null where it does not decide or cannot say.
    pub evidence: Option<f64>,
    /// Severity of the open case, else of the present suspicion; 0 when there is neither. One decimal.
    pub severity: f64,
    /// What departs now.
    pub anomalies: Vec<String>,
    /// How far, by metric; what cannot be said is left out.
    #[schema(value_type = Object)]
    pub deviations: Value,
    /// The open case.
    pub case_id: Option<String>,
    /// State of the open case.
    pub case_state: Option<String>,
    /// How far its containment is.
    pub quarantine_phase: Option<String>,
    /// The baseline's state.
    pub baseline: BaselineState,
    /// Epoch seconds; null before the first execution.
    pub first_seen_at: Option<f64>,
    /// Epoch seconds; null before the first execution.
    pub last_seen_at: Option<f64>,
}

/// Numbers of the latest execution.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LatestMetrics {
    /// Milliseconds, rounded.
    pub latency: u64,
    /// Null when unknown.
    pub tokens: Option<u64>,
    /// Null when unknown.
    pub tools: Option<u32>,
}

/// How far a baseline is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BaselineState {
    /// `learning`, `active`, `stale`, or `suspect`: at another level for long, a person should say which is right.
    pub state: &'static str,
    /// Samples that taught it.
    pub samples: u64,
    /// Samples that make it ready.
    pub samples_min: u64,
    /// The version of the agent that it is of; absent in lists, for the first version, and without a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionView>,
}

/// A version of an agent that began while it was watched, or whose baseline a person has set.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VersionView {
    /// How many there were before it.
    pub epoch: u32,
    /// When its first execution began, or its baseline was set, epoch seconds.
    pub since: f64,
    /// What is other than in the version before: `model`, `prompt`, `tools`.
    pub changed: Vec<&'static str>,
    /// Where its baseline comes from: `seen`, or, set by a person, `reset`, `pinned`, `imported`, `accepted`.
    pub origin: &'static str,
}

impl VersionView {
    pub(crate) fn of(version: &Version) -> Option<Self> {
        let changed = [
            ("model", version.changed.model),
            ("prompt", version.changed.prompt),
            ("tools", version.changed.tools),
        ];
        (version.epoch > 0).then(|| VersionView {
            epoch: version.epoch,
            since: seconds(version.since),
            origin: version.origin.as_str(),
            changed: changed
                .into_iter()
                .filter(|(_, is)| *is)
                .map(|(what, _)| what)
                .collect(),
        })
    }
}

/// What is normal for one metric.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Band {
    /// `latency`, `tokens`, `tools`.
    pub metric: &'static str,
    /// Samples that had it.
    pub samples: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation.
    pub stddev: f64,
    /// Averages below are an anomaly; never below 0.
    pub low: f64,
    /// Averages above are an anomaly.
    pub high: f64,
}

/// An agent in full.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WholeAgent {
    /// What lists show.
    #[serde(flatten)]
    pub agent: AgentView,
    /// The latest executions, oldest first.
    pub vitals: Vec<VitalsView>,
    /// What is normal; empty before anything was learned.
    pub band: Vec<Band>,
    /// Deviation above which an average is an anomaly, standard deviations.
    pub threshold_stddev: f64,
    /// Its cases, newest first.
    pub cases: Vec<CaseView>,
    /// Its healings, newest first.
    pub healings: Vec<HealingView>,
    /// What helped it against what.
    pub memory: Vec<MemoryView>,
}

/// The outcomes of past healings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MemoryView {
    /// Whose.
    pub agent_id: String,
    /// Against what.
    pub diagnosis_type: String,
    /// What was done.
    pub action: String,
    /// How often it helped.
    pub successes: u32,
    /// How often it did not.
    pub failures: u32,
    /// Epoch seconds.
    pub last_at: f64,
    /// A person's word: `prefer`, `avoid`, or null.
    pub pin: Option<&'static str>,
}

impl From<&Memory> for MemoryView {
    fn from(memory: &Memory) -> Self {
        MemoryView {
            agent_id: memory.key.agent.to_string(),
            diagnosis_type: memory.diagnosis.to_string(),
            action: memory.action.to_string(),
            successes: memory.successes,
            failures: memory.failures,
            last_at: seconds(memory.last_at),
            pin: memory.pin.map(|pin| pin.as_str()),
        }
    }
}

/// What is known of an agent beside what the sentinel says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside<'a> {
    /// Its open native case.
    pub case: Option<&'a Case>,
    /// The latest word on it.
    pub decision: Option<&'a str>,
    /// Whether a client-deployed system holds it in quarantine.
    pub held_by_client: bool,
}

impl Beside<'_> {
    fn status(&self) -> &'static str {
        let contained = self.case.is_some_and(|case| case.quarantine.phase.is_in_force());
        if contained || (self.case.is_none() && self.held_by_client) {
            "quarantined"
        } else if self.case.is_some() {
            "infected"
        } else {
            "healthy"
        }
    }
}

/// How an agent's telemetry is, in a word.
pub(super) fn telemetry(state: &v1::AgentState) -> Option<&'static str> {
    match state.telemetry() {
        v1::agent_state::Telemetry::Unspecified => None,
        v1::agent_state::Telemetry::Live => Some("live"),
        v1::agent_state::Telemetry::Silent => Some("silent"),
        v1::agent_state::Telemetry::Gone => Some("gone"),
    }
}

impl AgentView {
    /// What the sentinel knows of an agent, and what else is known.
    pub(crate) fn new(state: v1::AgentState, beside: Beside<'_>) -> Answer<Self> {
        let telemetry = telemetry(&state);
        let version: Option<Version> = optional("agent_version", state.agent_version).map_err(garbled)?;
        let agent_id = state.key.map(|key| key.agent_id).unwrap_or_default();
        let latest: Option<Vitals> = optional("latest", state.latest).map_err(garbled)?;
        let baseline = profile::state("baseline_state", state.baseline_state).map_err(garbled)?;
        let at = |name: &str, at: Option<_>| {
            at.map(|at| time::from_wire(name, Some(at)).map(seconds))
                .transpose()
                .map_err(garbled)
        };
        let severity = match beside.case {
            Some(case) => case.infection.severity,
            None if state.suspect => state.severity,
            None => 0.0,
        };
        let latest_metrics = latest.map(|latest| LatestMetrics {
            latency: latest.latency_ms.round() as u64,
            tokens: latest.token_count,
            tools: latest.tool_calls,
        });
        let deviations = state.deviations.unwrap_or_default();
        let named = [
            ("latency", deviations.latency),
            ("tokens", deviations.tokens),
            ("tools", deviations.tools),
            ("retry_rate", deviations.retry_rate),
        ];
        let said = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        let diagnosis = beside.case.map(|case| case.diagnosis().to_string());
        let status = beside.status();
        Ok(AgentView {
            id: agent_id.clone(),
            agent_id,
            type_: state.agent_type.unwrap_or_else(|| "unknown".to_owned()),
            model: state.model,
            mcp_servers: state.mcp_servers,
            status,
            infected: status != "healthy",
            infection_type: diagnosis.clone(),
            diagnosis,
            executions: state.executions,
            has_baseline: baseline.is_ready(),
            healing_rejected: beside.decision == Some(REJECTED),
            healing_pending: beside.decision == Some(PENDING),
            latest_metrics,
            telemetry,
            silent_seconds: state.silent_seconds,
            suspect: state.suspect,
            evidence: state.evidence,
            severity: rounded(severity),
            anomalies: state.anomalies,
            deviations: Value::Object(said.collect::<Map<_, _>>()),
            case_id: beside.case.map(|case| case.id.to_string()),
            case_state: beside.case.map(|case| case.state.as_str().to_owned()),
            quarantine_phase: beside.case.map(|case| case.quarantine.phase.as_str().to_owned()),
            baseline: BaselineState {
                state: baseline.as_str(),
                samples: state.baseline_samples,
                samples_min: state.baseline_samples_min,
                version: version.as_ref().and_then(VersionView::of),
            },
            first_seen_at: at("first_seen_at", state.first_seen_at)?,
            last_seen_at: at("last_seen_at", state.last_seen_at)?,
        })
    }
}
