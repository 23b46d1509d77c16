//! How a case begins.

use super::draft::{Draft, is_severe};
use super::{
    Case, Containment, Effect, EventKind, LeverState, LeverStatus, Quarantine, QuarantinePhase, State,
    WaitReason,
};
use crate::detection::Infection;
use crate::healing::Trigger;
use crate::policy::{Mode, Policy};
use crate::{CaseId, Timestamp};
use serde_json::json;

/// What must be known beyond the report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Kind of agent, if known.
    pub agent_type: Option<String>,
    /// Kubernetes namespace of the agent, if known.
    pub namespace: Option<String>,
    /// Agents of the run that are quarantined (or on probation) now.
    pub quarantined_now: u32,
    /// Agents of the run seen in the last hour.
    pub agents_seen_last_hour: u64,
}

/// How many agents of a run may be quarantined automatically at the same time: the larger of the policy's number
/// and its share of the agents seen in the last hour, rounded down.
pub fn blast_radius_cap(policy: &Policy, agents_seen_last_hour: u64) -> u32 {
    let share = (policy.blast_radius.share * agents_seen_last_hour as f64).floor();
    // A float to integer cast saturates, and what is no number becomes 0.
    policy.blast_radius.agents.max(share as u32)
}

/// Opens a case of a report. The quarantine is asked for at once, unless the policy only observes or too many
/// agents are quarantined already; then the case waits for a person and says so.
pub fn open(
    id: CaseId,
    infection: Infection,
    policy: &Policy,
    context: Context,
    now: Timestamp,
) -> (Case, Vec<Effect>) {
    let cap = blast_radius_cap(policy, context.agents_seen_last_hour);
    let wait = match policy.mode {
        Mode::Observe => Some(WaitReason::Observing),
        Mode::Enforce if context.quarantined_now >= cap => Some(WaitReason::BlastRadius { cap }),
        Mode::Enforce if is_severe(infection.severity, policy) => Some(WaitReason::Severe),
        Mode::Enforce => None,
    };
    let contain = match wait {
        Some(WaitReason::Observing | WaitReason::BlastRadius { .. }) => false,
        None | Some(WaitReason::Severe | WaitReason::LadderExhausted | WaitReason::Unproven) => true,
    };
    let levers = policy.levers.iter().map(|name| LeverState {
        lever: name.clone(),
        wanted: Containment::Free,
        status: LeverStatus::Confirmed,
        attempts: 0,
        retry_at: now,
        detail: String::new(),
        generation: 0,
    });
    let case = Case {
        id,
        key: infection.key.clone(),
        agent_type: context.agent_type,
        namespace: context.namespace,
        version: 1,
        opened_at: now,
        updated_at: now,
        infection,
        state: State::HealQueued {
            trigger: Trigger::Auto,
            not_before: now,
        },
        quarantine: Quarantine {
            phase: QuarantinePhase::NotWanted,
            since: now,
            levers: levers.collect(),
            breaches: 0,
        },
        attempts: Vec::new(),
        ladder_from: None,
        last_decision: None,
        needs_second_person: false,
        first_approval: None,
        timeline: Vec::new(),
    };
    let mut draft = Draft::new(case, policy, now);
    let infection = &draft.case.infection;
    let because = infection
        .hypotheses
        .first()
        .map_or("no rule says why", |h| h.because.as_str());
    let text = format!(
        "severity {:.1}, {}: {because}",
        infection.severity,
        draft.case.diagnosis()
    );
    let anomalies = json!({ "anomalies": infection.anomalies, "deviations": infection.deviations });
    draft.note("opened", "sentinel", text.clone());
    draft.log("case_opened", "sentinel", anomalies.clone());
    draft.announce(EventKind::Opened, text, anomalies);
    if contain {
        draft.want(Containment::Contained);
        draft.note("quarantine_requested", "quarantine", "quarantine asked for");
        draft.log("quarantine_requested", "quarantine", json!({ "automatic": true }));
    }
    if let Some(reason) = wait {
        draft.wait(reason);
    }
    draft.opened()
}
