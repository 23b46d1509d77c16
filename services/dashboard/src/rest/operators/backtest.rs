//! `POST /api/backtest`: would the executions on record have raised an alarm, and under another policy?

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, POSITIVE, TEXT_BYTES_MAX};
use crate::view::vitals::seconds;
use axum::Json;
use axum::extract::State;
use immune_domain::Timestamp;
use immune_proto::convert::time;
use immune_proto::v1;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Agents in one answer at most.
const AGENTS_MAX: u64 = 50;

/// What to replay.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewBacktest {
    /// Policies as in the configuration (`defaults`, `rules`) to compare with those that hold; absent: only these.
    #[schema(value_type = Object)]
    policy: Option<serde_json::Value>,
    /// Alarms from this time on are told, epoch seconds; default the beginning.
    from: Option<f64>,
    /// And before this one, epoch seconds; default now.
    to: Option<f64>,
    /// Go on after this agent.
    after: Option<String>,
    /// Agents in one answer, at most 50; default 10.
    limit: Option<u64>,
}

/// Some agents, replayed.
#[derive(Serialize, ToSchema)]
pub struct Backtest {
    /// In the order of their ids.
    agents: Vec<Replayed>,
    /// Where to go on; null when there are no more agents.
    next_after: Option<String>,
}

/// One agent, replayed.
#[derive(Serialize, ToSchema)]
pub struct Replayed {
    /// Who.
    agent_id: String,
    /// Executions in the period.
    executions: u64,
    /// Executions before it that were learned from.
    executions_before: u64,
    /// Older executions were not read, or more alarms not told.
    is_cut: bool,
    /// Alarms under the policies that hold, oldest first.
    current: Vec<AlarmView>,
    /// Alarms under the proposed policies; null where none were given.
    proposed: Option<Vec<AlarmView>>,
    /// The decisions on record in the period, and whether the replay comes to the same.
    decisions: Vec<DecisionView>,
}

/// An alarm as it would have begun.
#[derive(Serialize, ToSchema)]
pub struct AlarmView {
    /// Epoch seconds.
    at: f64,
    /// 0 to 10.
    severity: f64,
    /// Its name.
    diagnosis: String,
    /// Why, in a sentence.
    because: String,
    /// What departed, by the specified rule.
    anomalies: Vec<String>,
    /// How sure the guarded detector is; null where it was not asked.
    evidence: Option<f64>,
    /// Whether a person would have had to decide.
    needs_approval: bool,
}

/// An infection on record, decided once more.
#[derive(Serialize, ToSchema)]
pub struct DecisionView {
    /// Its case.
    case_id: String,
    /// Epoch seconds.
    detected_at: f64,
    /// As it is on record.
    severity: f64,
    /// As it is on record.
    diagnosis: String,
    /// The replay comes to the same, bit for bit.
    is_repeated: bool,
    /// The first part in which it does not; null where it does.
    difference: Option<String>,
}

/// Replays some agents of the run. Ask again with `after` for the next ones; a sentinel replays for one caller at a time.
#[utoipa::path(post, path = "/api/backtest", tag = "operators", request_body = NewBacktest,
    responses((status = 200, description = "Some agents, replayed", body = Backtest)))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Backtest>> {
    let mut fields = Fields::of(&body);
    let policy = fields.object("policy");
    let from = fields.number("from", POSITIVE).map_or(Timestamp::EPOCH, at);
    let to = fields.number("to", POSITIVE).map_or_else(|| app.clock.now(), at);
    let after = fields.text("after", TEXT_BYTES_MAX).unwrap_or_default();
    let limit = fields.integer("limit", AGENTS_MAX).unwrap_or(0);
    if to <= from {
        fields.mistake("to", "must be later than `from`");
    }
    fields.done()?;
    let has_policy = policy.is_some();
    let request = v1::BacktestRequest {
        run_id: context.run.to_string(),
        from: Some(time::to_wire(from)),
        to: Some(time::to_wire(to)),
        after,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        proposed_policies: policy
            .map(|policy| serde_json::Value::Object(policy.clone()).to_string())
            .unwrap_or_default(),
    };
    let answer = app.roles.backtest(request).await?;
    Ok(Json(Backtest {
        agents: answer
            .agents
            .into_iter()
            .map(|agent| replayed(agent, has_policy))
            .collect(),
        next_after: Some(answer.next_after).filter(|next| !next.is_empty()),
    }))
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::EPOCH
        .plus(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(u64::from(u32::MAX))))
}

fn replayed(agent: v1::BacktestAgent, has_policy: bool) -> Replayed {
    let alarms = |alarms: Vec<v1::BacktestAlarm>| alarms.into_iter().map(alarm).collect();
    Replayed {
        agent_id: agent.agent_id,
        executions: agent.executions,
        executions_before: agent.executions_before,
        is_cut: agent.cut,
        current: alarms(agent.current),
        proposed: has_policy.then(|| alarms(agent.proposed)),
        decisions: agent.decisions.into_iter().map(decision).collect(),
    }
}

fn alarm(alarm: v1::BacktestAlarm) -> AlarmView {
    AlarmView {
        at: time::from_wire("at", alarm.at).map_or(0.0, seconds),
        severity: alarm.severity,
        diagnosis: alarm.diagnosis,
        because: alarm.because,
        anomalies: alarm.anomalies,
        evidence: alarm.evidence,
        needs_approval: alarm.severity >= alarm.approval_threshold,
    }
}

fn decision(decision: v1::BacktestDecision) -> DecisionView {
    DecisionView {
        case_id: decision.case_id,
        detected_at: time::from_wire("detected_at", decision.detected_at).map_or(0.0, seconds),
        severity: decision.severity,
        diagnosis: decision.diagnosis,
        is_repeated: decision.repeated,
        difference: Some(decision.difference).filter(|difference| !difference.is_empty()),
    }
}
