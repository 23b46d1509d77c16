//! What is mirrored, as points: one file's worth of names and fields that dashboards rely on.
//!
//! A change that is told twice makes the same point twice: its time comes from the change, and the nanoseconds below
//! from a hash of what changed.

use crate::lines::Line;
use crate::place::Identity;
use immune_domain::baseline::Profile;
use immune_domain::case::{Case, Decision, QuarantinePhase, State};
use immune_domain::healing::{Healing, Outcome};
use immune_domain::vitals::Metric;
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use immune_store::action_log::LogRow;
use immune_store::cases::NewEvent;
use serde::Serialize;
use serde_json::Value;

/// Bytes of a text at most; what is longer is cut.
const TEXT_BYTES_MAX: usize = 60_000;

fn series(measurement: &'static str, key: &AgentKey) -> Line {
    Line::of(measurement)
        .tag("agent_id", key.agent.as_str())
        .tag("run_id", key.run.as_str())
}

/// The time of a point: that of the change, and a place within it by what changed.
fn place(key: &AgentKey, what: &str, at: Timestamp) -> i64 {
    Identity::of(key, &ExecutionId::new(what)).place(at, 0)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// `baseline_profile`
pub(super) fn profile(profile: &Profile) -> String {
    let mut line = series("baseline_profile", &profile.key);
    line.count("version", profile.version)
        .text("state", profile.state.as_str())
        .count("sample_size", profile.sample_count);
    for metric in Metric::ALL {
        let moments = &profile.moments[metric.index()];
        let name = metric.as_str();
        line.count(&format!("{name}_count"), moments.count)
            .float(&format!("{name}_mean"), moments.mean)
            .float(&format!("{name}_stddev"), moments.stddev);
    }
    let what = format!("profile/{}", profile.version);
    line.at(place(&profile.key, &what, profile.updated_at))
}

/// `infection_event`, `quarantine_event` and `approval_event`: what the change of a case says to each.
pub(super) fn case(case: &Case, events: &[NewEvent]) -> Vec<String> {
    let mut points = Vec::new();
    // Every report that became the case's worst is one; the others say nothing new.
    if events
        .iter()
        .any(|event| matches!(event.kind.as_str(), "case_opened" | "case_worsened"))
    {
        points.push(infection(case));
    }
    points.extend(quarantine(case));
    points.extend(approval(case));
    points
}

fn infection(case: &Case) -> String {
    let infection = &case.infection;
    let mut line = series("infection_event", &case.key);
    report(&mut line, case)
        .text("infection_id", infection.id.as_str())
        .text("deviations", &json(&infection.deviations))
        .count("baseline_version", infection.baseline_version)
        .int("executions", infection.window.executions.into());
    let deviations = [
        ("deviation_latency", infection.deviations.latency),
        ("deviation_tokens", infection.deviations.tokens),
        ("deviation_tools", infection.deviations.tools),
        ("deviation_retry_rate", infection.deviations.retry_rate),
        ("evidence_score", infection.evidence_score),
    ];
    for (name, value) in deviations {
        if let Some(value) = value {
            line.float(name, value);
        }
    }
    let what = format!("infection/{}", infection.id);
    line.at(place(&case.key, &what, infection.detected_at))
}

/// The fields that infections and approvals share.
fn report<'a>(line: &'a mut Line, case: &Case) -> &'a mut Line {
    let infection = &case.infection;
    let first = infection.hypotheses.first();
    if let Some(first) = first {
        line.float("confidence", first.confidence);
    }
    line.text("case_id", case.id.as_str())
        .float("severity", infection.severity)
        .text("anomalies", &json(&infection.anomalies))
        .text("diagnosis_type", case.diagnosis().as_str())
        .known("reasoning", first.map(|first| cut(&first.because)))
}

/// A phase of the containment that this change reached.
fn quarantine(case: &Case) -> Option<String> {
    let quarantine = &case.quarantine;
    if quarantine.since != case.updated_at {
        return None;
    }
    let action = match quarantine.phase {
        QuarantinePhase::NotWanted => return None,
        QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Confirmed
        | QuarantinePhase::Breached => "enter",
        QuarantinePhase::Probation | QuarantinePhase::Releasing | QuarantinePhase::Released => "release",
    };
    let mut line = series("quarantine_event", &case.key);
    line.text("action", action)
        .text("phase", quarantine.phase.as_str())
        .text("case_id", case.id.as_str())
        .int("breaches", quarantine.breaches.into());
    if action == "release" {
        let seconds = quarantine.since.since(case.opened_at).as_secs_f64();
        line.float("duration_s", seconds);
    }
    let what = format!("quarantine/{}/{}", case.id, quarantine.phase.as_str());
    Some(line.at(place(&case.key, &what, quarantine.since)))
}

/// A request for a decision, or a decision, that this change made.
fn approval(case: &Case) -> Option<String> {
    let mut line = series("approval_event", &case.key);
    let decided = case
        .last_decision
        .as_ref()
        .filter(|decision| decision.at == case.updated_at);
    let word = match (decided, &case.state) {
        (Some(decided), _) => {
            line.text("by", &decided.by.subject)
                .text("reason", cut(&decided.reason));
            match decided.decision {
                Decision::Approve => "approved",
                Decision::Reject => "rejected",
                Decision::HealNow => "heal_now",
                Decision::Release => "released",
            }
        }
        (None, State::AwaitingApproval { since, .. }) if *since == case.updated_at => "pending",
        (None, State::AwaitingApproval { .. })
        | (
            None,
            State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. },
        ) => return None,
    };
    report(line.text("decision", word), case);
    let what = format!("approval/{}/{word}", case.id);
    Some(line.at(place(&case.key, &what, case.updated_at)))
}

/// `healing_event`
pub(super) fn healing(healing: &Healing) -> String {
    let mut line = series("healing_event", &healing.key);
    line.text("healing_id", healing.id.as_str())
        .text("case_id", healing.case.as_str())
        .text("diagnosis_type", healing.diagnosis.as_str())
        .text("healing_action", healing.action.as_str())
        .text("trigger", healing.trigger.as_str())
        .text("state", healing.outcome.as_str());
    let (at, message) = match &healing.outcome {
        Outcome::Running => (healing.started_at, None),
        Outcome::Verifying { acted_at, detail } => (*acted_at, Some(detail)),
        Outcome::Succeeded { at, detail } => {
            line.yes("success", true).yes("validation_passed", true);
            (*at, Some(detail))
        }
        Outcome::Failed { at, acted, detail } => {
            line.yes("success", false);
            if *acted {
                line.yes("validation_passed", false);
            }
            (*at, Some(detail))
        }
        Outcome::Unsupported { at, detail } | Outcome::Abandoned { at, detail } => (*at, Some(detail)),
    };
    line.known("message", message.map(|message| cut(message)));
    let what = format!("healing/{}/{}", healing.id, healing.outcome.as_str());
    line.at(place(&healing.key, &what, at))
}

/// `action_log`; `n` is the row's place among those written together.
pub(super) fn log(row: &LogRow, n: usize) -> String {
    // A row about no agent has an empty tag value, written in the form that tags have for it.
    let key = AgentKey {
        run: row.run.clone(),
        agent: row.agent.clone().unwrap_or_else(|| "".into()),
    };
    let mut line = Line::of("action_log");
    if row.agent.is_some() {
        line = line.tag("agent_id", key.agent.as_str());
    }
    let mut line = line.tag("run_id", row.run.as_str());
    let payload = row.payload.to_string();
    line.text("action_type", &row.kind)
        .text("actor", &row.actor)
        .text("outcome", &row.outcome)
        .text("payload", cut(&payload));
    let text = |name: &str| row.payload.get(name).and_then(Value::as_str).map(cut);
    if let Some(severity) = row.payload.get("severity").and_then(Value::as_f64) {
        line.float("severity", severity);
    }
    if let Some(success) = row.payload.get("success").and_then(Value::as_bool) {
        line.yes("success", success);
    }
    for name in ["diagnosis_type", "action", "trigger", "case_id"] {
        line.known(name, text(name));
    }
    let what = format!("log/{}/{}/{}/{n}/{payload}", row.kind, row.actor, row.outcome);
    line.at(place(&key, &what, row.at))
}
