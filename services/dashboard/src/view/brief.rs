//! An agent in the fewest words that a list of the whole fleet needs.

use super::agent::{BaselineState, LatestMetrics, telemetry};
use super::vitals::seconds;
use crate::problems::{Answer, garbled};
use immune_domain::case::Case;
use immune_domain::detection::rounded;
use immune_proto::convert::{profile, time};
use immune_proto::v1;
use serde::Serialize;
use utoipa::ToSchema;

/// An agent in brief. The fields mean what they mean in `AgentView`; `phase` is its `quarantine_phase`, `latest` its
/// `latest_metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Brief {
    /// Identity within the run.
    pub id: String,
    /// Kind of agent, `unknown` where nobody said.
    #[serde(rename = "type")]
    pub type_: String,
    /// Model of the latest execution, if known.
    pub model: Option<String>,
    /// `healthy`, `infected`, `quarantined`.
    pub status: &'static str,
    /// `live`, `silent`, `gone`; null before the first execution.
    pub telemetry: Option<&'static str>,
    /// Seconds since it was heard, when it is silent or gone; left out otherwise, for there are many agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<f64>,
    /// A deviation is over the threshold now; shown, no action.
    pub suspect: bool,
    /// Severity of the open case, else of the present suspicion; 0 when there is neither. One decimal.
    pub severity: f64,
    /// Diagnosis of the open case.
    pub diagnosis: Option<String>,
    /// The open case.
    pub case_id: Option<String>,
    /// State of the open case.
    pub case_state: Option<&'static str>,
    /// How far its containment is.
    pub phase: Option<&'static str>,
    /// Executions on record.
    pub executions: u64,
    /// How far the baseline is.
    pub baseline: BaselineState,
    /// Epoch seconds; null before the first execution.
    pub last_seen_at: Option<f64>,
    /// Numbers of the latest execution; null before the first.
    pub latest: Option<LatestMetrics>,
}

/// What a list shows of an open case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenCase {
    pub id: String,
    state: &'static str,
    phase: &'static str,
    severity: f64,
    diagnosis: String,
    is_contained: bool,
}

impl OpenCase {
    pub fn of(case: &Case) -> Self {
        OpenCase {
            id: case.id.to_string(),
            state: case.state.as_str(),
            phase: case.quarantine.phase.as_str(),
            severity: case.infection.severity,
            diagnosis: case.diagnosis().to_string(),
            is_contained: case.quarantine.phase.is_in_force(),
        }
    }
}

impl Brief {
    /// What the sentinel knows of an agent, its open case, and whether a client-deployed system holds it.
    pub(crate) fn new(state: v1::AgentState, case: Option<&OpenCase>, held_by_client: bool) -> Answer<Self> {
        let baseline = profile::state("baseline_state", state.baseline_state).map_err(garbled)?;
        let last_seen_at = state
            .last_seen_at
            .map(|at| time::from_wire("last_seen_at", Some(at)).map(seconds))
            .transpose()
            .map_err(garbled)?;
        let severity = match case {
            Some(case) => case.severity,
            None if state.suspect => state.severity,
            None => 0.0,
        };
        let status = match case {
            Some(case) if case.is_contained => "quarantined",
            Some(_) => "infected",
            None if held_by_client => "quarantined",
            None => "healthy",
        };
        let telemetry = telemetry(&state);
        Ok(Brief {
            id: state.key.map(|key| key.agent_id).unwrap_or_default(),
            type_: state.agent_type.unwrap_or_else(|| "unknown".to_owned()),
            model: state.model,
            status,
            telemetry,
            silent_seconds: state.silent_seconds,
            suspect: state.suspect,
            severity: rounded(severity),
            diagnosis: case.map(|case| case.diagnosis.clone()),
            case_id: case.map(|case| case.id.clone()),
            case_state: case.map(|case| case.state),
            phase: case.map(|case| case.phase),
            executions: state.executions,
            baseline: BaselineState {
                state: baseline.as_str(),
                samples: state.baseline_samples,
                samples_min: state.baseline_samples_min,
                version: None,
            },
            last_seen_at,
            latest: state.latest.map(|latest| LatestMetrics {
                latency: latest.latency_ms.round() as u64,
                tokens: latest.token_count,
                tools: latest.tool_calls,
            }),
        })
    }
}
