//! Records to test with: each valid, each different where the arguments say so.

use crate::action_log::LogRow;
use crate::baselines::StoredProfile;
use crate::cases::{Alongside, NewEvent};
use crate::client_records::{ClientRecord, RecordKind};
use immune_domain::baseline::{self, Moments, Profile};
use immune_domain::case::{Case, Person, Quarantine, QuarantinePhase, State, WaitReason};
use immune_domain::detection::{Anomaly, Deviations, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::healing::{Action, Healing, Outcome, Trigger};
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use immune_domain::{AgentKey, CaseId, ExecutionId, HealingId, InfectionId, Timestamp};
use serde_json::json;
use std::time::Duration;

/// A time in 2026, so many seconds on.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

/// An agent of the run `tests`.
pub fn agent(name: &str) -> AgentKey {
    AgentKey::new("tests", name)
}

/// Ids that are well formed and awkward all the same.
pub fn odd_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "a/b/c",
        "it's",
        "say \"x\"",
        "semi;colon--",
        "100%_",
        "back\\slash",
        "ein Agent",
        "агент",
        "代理",
        "🤖🦠",
        "e\u{301}",
        "\u{e9}",
        "A",
        "a",
        "{}",
        "$1",
        ":name",
        "?",
        "NULL",
        "…\u{202e}",
    ]
    .iter()
    .map(|id| (*id).to_owned())
    .collect();
    ids.push("x".repeat(immune_domain::id::ID_BYTES_MAX));
    ids
}

/// One execution that ended, and was received, at `ended`.
pub fn vitals(key: &AgentKey, execution: &str, ended: Timestamp) -> Vitals {
    Vitals {
        key: key.clone(),
        execution: ExecutionId::new(execution),
        revision: 0,
        started_at: ended.minus(Duration::from_millis(1_234)),
        timestamp: ended,
        received_at: ended,
        latency_ms: 1_234.5,
        input_tokens: Some(700),
        output_tokens: Some(77),
        token_count: Some(777),
        tool_calls: Some(3),
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context {
            agent_type: Some("research".into()),
            model: Some("model-1".into()),
            ..Context::default()
        }),
    }
}

/// A profile that judges, with its learner.
pub fn profile(key: &AgentKey, version: u64) -> StoredProfile {
    let moments = |mean: f64| Moments {
        count: 20,
        mean,
        stddev: mean / 7.0,
    };
    StoredProfile {
        profile: Profile {
            key: key.clone(),
            version,
            state: baseline::State::Active,
            sample_count: 20,
            moments: [moments(0.1 + 0.2), moments(1_000.0), moments(3.0)],
            updated_at: at(version as i64),
            of: Default::default(),
            is_frozen: false,
            known: None,
        },
        learner: json!({ "v": 1, "version": version, "m2": 1.0 / 3.0 }),
    }
}

/// A report of a mild infection.
pub fn infection(key: &AgentKey, id: &str) -> Infection {
    Infection {
        id: InfectionId::new(id),
        key: key.clone(),
        detected_at: at(0),
        severity: 4.3,
        anomalies: vec![Anomaly::TokenSpike],
        deviations: Deviations {
            tokens: Some(5.1),
            ..Deviations::default()
        },
        ruled_out: vec![],
        hypotheses: vec![Hypothesis {
            diagnosis: Diagnosis::PromptDrift,
            confidence: 0.8,
            because: "tokens are 5.1 standard deviations above the baseline".into(),
        }],
        window: WindowSummary::default(),
        evidence: Vec::new(),
        baseline_version: 3,
        evidence_score: Some(4.5),
        workload: [("namespace.name".to_owned(), "prod".to_owned())].into(),
    }
}

/// A fresh case that waits for a person, its agent to be quarantined. Its infection is `infection-of-{id}`.
pub fn case(key: &AgentKey, id: &str, opened_at: Timestamp) -> Case {
    Case {
        id: CaseId::new(id),
        key: key.clone(),
        agent_type: None,
        namespace: None,
        version: 1,
        opened_at,
        updated_at: opened_at,
        infection: infection(key, &format!("infection-of-{id}")),
        state: State::AwaitingApproval {
            since: opened_at,
            reason: WaitReason::Severe,
            escalates_at: opened_at.plus(Duration::from_secs(900)),
            escalations: 0,
        },
        quarantine: Quarantine {
            phase: QuarantinePhase::Requested,
            since: opened_at,
            levers: Vec::new(),
            breaches: 0,
        },
        attempts: Vec::new(),
        ladder_from: None,
        last_decision: None,
        needs_second_person: false,
        first_approval: None,
        timeline: Vec::new(),
    }
}

/// The case one version on, in another state.
pub fn changed(case: &Case, state: State, now: Timestamp) -> Case {
    Case {
        version: case.version + 1,
        updated_at: now,
        state,
        ..case.clone()
    }
}

/// The case one version on, released and its containment lifted.
pub fn released(case: &Case, now: Timestamp) -> Case {
    let by = Person {
        subject: "ada".into(),
        via: "api_key".into(),
    };
    let mut next = changed(
        case,
        State::Released {
            at: now,
            by,
            reason: "a drill".into(),
        },
        now,
    );
    next.quarantine.phase = QuarantinePhase::Released;
    next
}

/// The case one version on, healed and its containment lifted.
pub fn healed(case: &Case, now: Timestamp) -> Case {
    let mut next = changed(
        case,
        State::Healed {
            at: now,
            action: Action::ResetMemory,
        },
        now,
    );
    next.quarantine.phase = QuarantinePhase::Released;
    next
}

/// A row of the log.
pub fn row(key: &AgentKey, kind: &str, when: Timestamp) -> LogRow {
    LogRow {
        run: key.run.clone(),
        at: when,
        kind: kind.to_owned(),
        agent: Some(key.agent.clone()),
        actor: "quarantine".into(),
        outcome: "done".into(),
        payload: json!({ "severity": 4.3 }),
    }
}

/// One event and one row of the log about a case.
pub fn alongside(case: &Case, kind: &str) -> Alongside {
    let event = NewEvent {
        kind: kind.to_owned(),
        case: case.id.clone(),
        key: case.key.clone(),
        at: case.updated_at,
        text: format!("{kind} {}", case.id),
        payload: json!({ "version": case.version }),
    };
    Alongside {
        log: vec![row(&case.key, kind, case.updated_at)],
        events: vec![event],
    }
}

/// An attempt under way.
pub fn healing(key: &AgentKey, id: &str, started_at: Timestamp) -> Healing {
    Healing {
        id: HealingId::new(id),
        case: CaseId::new(format!("case-of-{id}")),
        key: key.clone(),
        diagnosis: Diagnosis::PromptDrift,
        action: Action::RollbackPrompt,
        trigger: Trigger::Auto,
        started_at,
        outcome: Outcome::Running,
    }
}

/// The attempt with another outcome.
pub fn with_outcome(healing: &Healing, outcome: Outcome) -> Healing {
    Healing {
        outcome,
        ..healing.clone()
    }
}

/// Recovery proven.
pub fn succeeded(when: Timestamp) -> Outcome {
    Outcome::Succeeded {
        at: when,
        detail: "5 of 5 executions within the baseline".into(),
    }
}

/// Still sick.
pub fn failed(when: Timestamp) -> Outcome {
    Outcome::Failed {
        at: when,
        acted: true,
        detail: "tokens still deviate".into(),
    }
}

/// A posted approval.
pub fn approval(key: &AgentKey, decision: &str, when: Timestamp) -> ClientRecord {
    ClientRecord {
        key: key.clone(),
        kind: RecordKind::Approval,
        at: when,
        body: json!({ "agent_id": key.agent.as_str(), "decision": decision }),
    }
}
