//! Agents, executions, profiles and cases.

use immune_domain::baseline::{Moments, Profile, State as ProfileState};
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, Timestamp};
use immune_proto::convert::time::to_wire;
use immune_proto::v1;
use immune_proto::v1::case_state::{AwaitingApproval, Healed, State};
use immune_runtime::clock::{Clock, System};
use std::time::Duration;

pub fn key() -> AgentKey {
    AgentKey::new("default", "a")
}

/// Ready: latency 1,000 ms, deviation 100.
pub fn profile() -> Profile {
    profile_of(&key())
}

pub fn profile_of(key: &AgentKey) -> Profile {
    let latency = Moments {
        count: 15,
        mean: 1_000.0,
        stddev: 100.0,
    };
    Profile {
        key: key.clone(),
        version: 7,
        state: ProfileState::Active,
        sample_count: 15,
        moments: [latency, Moments::default(), Moments::default()],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

/// An execution of agent `a` that ended just now.
pub fn execution(id: &str, latency_ms: f64) -> Vitals {
    execution_of(&key(), id, latency_ms)
}

pub fn execution_of(key: &AgentKey, id: &str, latency_ms: f64) -> Vitals {
    let now = System.now();
    let mut vitals = Vitals {
        key: key.clone(),
        execution: id.into(),
        revision: 0,
        // Measured by the agent; these tests run faster than their agents say they do.
        started_at: now,
        timestamp: now,
        received_at: now.plus(Duration::from_micros((latency_ms * 1e3) as u64)),
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    };
    vitals.context.trace_id = Some(format!("trace-{id}"));
    vitals.context.agent_type = Some("research".to_owned());
    vitals
}

fn case(key: &AgentKey, id: &str, severity: f64, state: State, phase: &str) -> v1::Case {
    let at = Some(to_wire(Timestamp::EPOCH));
    let hypothesis = v1::Hypothesis {
        diagnosis: "unknown".into(),
        confidence: 0.2,
        because: "x".into(),
    };
    v1::Case {
        case_id: id.into(),
        key: Some(key.into()),
        version: 1,
        opened_at: at,
        updated_at: at,
        infection: Some(v1::Infection {
            infection_id: "i1".into(),
            key: Some(key.into()),
            detected_at: at,
            severity,
            hypotheses: vec![hypothesis],
            window: Some(v1::WindowSummary::default()),
            deviations: Some(v1::Deviations::default()),
            ..v1::Infection::default()
        }),
        state: Some(v1::CaseState { state: Some(state) }),
        quarantine: Some(v1::Quarantine {
            phase: phase.into(),
            since: at,
            ..v1::Quarantine::default()
        }),
        ..v1::Case::default()
    }
}

/// The case of agent `a`, open.
pub fn waiting(severity: f64, phase: &str) -> v1::Case {
    waiting_of(&key(), "c1", severity, phase)
}

pub fn waiting_of(key: &AgentKey, id: &str, severity: f64, phase: &str) -> v1::Case {
    let at = Some(to_wire(Timestamp::EPOCH));
    let state = AwaitingApproval {
        since: at,
        reason: "severe".into(),
        escalates_at: at,
        ..AwaitingApproval::default()
    };
    case(key, id, severity, State::AwaitingApproval(state), phase)
}

/// The case of agent `a`, closed.
pub fn healed(at: Timestamp) -> v1::Case {
    healed_of(&key(), "c1", at)
}

pub fn healed_of(key: &AgentKey, id: &str, at: Timestamp) -> v1::Case {
    let state = Healed {
        at: Some(to_wire(at)),
        action: "reset_memory".into(),
    };
    case(key, id, 5.0, State::Healed(state), "released")
}
