//! Where the workflow of a case stands.

use super::{WireError, id, nested, optional, required, time, word};
use crate::v1;
use crate::v1::case_state as wire_state;
use immune_domain::case::{Lease, State, Step, WaitReason};

impl From<&State> for v1::CaseState {
    fn from(state: &State) -> Self {
        use wire_state::State as Wire;
        let state = match state {
            State::AwaitingApproval {
                since,
                reason,
                escalates_at,
                escalations,
            } => Wire::AwaitingApproval(wire_state::AwaitingApproval {
                since: Some(time::to_wire(*since)),
                reason: reason.as_str().to_owned(),
                escalates_at: Some(time::to_wire(*escalates_at)),
                escalations: *escalations,
                blast_radius_cap: cap(reason),
            }),
            State::Rejected { at, by, reason } => Wire::Rejected(wire_state::Rejected {
                at: Some(time::to_wire(*at)),
                by: Some(by.into()),
                reason: reason.clone(),
            }),
            State::HealQueued { trigger, not_before } => Wire::HealQueued(wire_state::HealQueued {
                trigger: trigger.as_str().to_owned(),
                not_before: Some(time::to_wire(*not_before)),
            }),
            State::Healing { trigger, lease, step } => Wire::Healing(wire_state::Healing {
                trigger: trigger.as_str().to_owned(),
                lease: Some(lease.into()),
                step: step.as_ref().map(Into::into),
            }),
            State::Probation {
                trigger,
                lease,
                step,
                since,
            } => Wire::Probation(wire_state::Probation {
                trigger: trigger.as_str().to_owned(),
                lease: Some(lease.into()),
                step: Some(step.into()),
                since: Some(time::to_wire(*since)),
            }),
            State::Healed { at, action } => Wire::Healed(wire_state::Healed {
                at: Some(time::to_wire(*at)),
                action: action.to_string(),
            }),
            State::Released { at, by, reason } => Wire::Released(wire_state::Released {
                at: Some(time::to_wire(*at)),
                by: Some(by.into()),
                reason: reason.clone(),
            }),
        };
        v1::CaseState { state: Some(state) }
    }
}

fn cap(reason: &WaitReason) -> u32 {
    match reason {
        WaitReason::BlastRadius { cap } => *cap,
        WaitReason::Severe | WaitReason::LadderExhausted | WaitReason::Observing | WaitReason::Unproven => 0,
    }
}

fn wait_reason(text: &str, cap: u32) -> Result<WaitReason, WireError> {
    match text {
        "severe" => Ok(WaitReason::Severe),
        "ladder_exhausted" => Ok(WaitReason::LadderExhausted),
        "blast_radius" => Ok(WaitReason::BlastRadius { cap }),
        "observing" => Ok(WaitReason::Observing),
        "unproven" => Ok(WaitReason::Unproven),
        other => Err(WireError::new(
            "reason",
            format!("{other:?} is not a reason to wait"),
        )),
    }
}

impl TryFrom<v1::CaseState> for State {
    type Error = WireError;

    fn try_from(wire: v1::CaseState) -> Result<Self, Self::Error> {
        use wire_state::State as Wire;
        let name = |name: &'static str| move |error: WireError| error.under(name);
        match required("state", wire.state)? {
            Wire::AwaitingApproval(wire) => wire.try_into().map_err(name("awaiting_approval")),
            Wire::Rejected(wire) => wire.try_into().map_err(name("rejected")),
            Wire::HealQueued(wire) => wire.try_into().map_err(name("heal_queued")),
            Wire::Healing(wire) => wire.try_into().map_err(name("healing")),
            Wire::Probation(wire) => wire.try_into().map_err(name("probation")),
            Wire::Healed(wire) => wire.try_into().map_err(name("healed")),
            Wire::Released(wire) => wire.try_into().map_err(name("released")),
        }
    }
}

impl TryFrom<wire_state::AwaitingApproval> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::AwaitingApproval) -> Result<Self, Self::Error> {
        Ok(State::AwaitingApproval {
            since: time::from_wire("since", wire.since)?,
            reason: wait_reason(&wire.reason, wire.blast_radius_cap)?,
            escalates_at: time::from_wire("escalates_at", wire.escalates_at)?,
            escalations: wire.escalations,
        })
    }
}

impl TryFrom<wire_state::Rejected> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::Rejected) -> Result<Self, Self::Error> {
        let (at, by) = (time::from_wire("at", wire.at)?, nested("by", wire.by)?);
        Ok(State::Rejected {
            at,
            by,
            reason: wire.reason,
        })
    }
}

impl TryFrom<wire_state::HealQueued> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::HealQueued) -> Result<Self, Self::Error> {
        let not_before = time::from_wire("not_before", wire.not_before)?;
        Ok(State::HealQueued {
            trigger: word("trigger", &wire.trigger)?,
            not_before,
        })
    }
}

impl TryFrom<wire_state::Healing> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::Healing) -> Result<Self, Self::Error> {
        Ok(State::Healing {
            trigger: word("trigger", &wire.trigger)?,
            lease: nested("lease", wire.lease)?,
            step: optional("step", wire.step)?,
        })
    }
}

impl TryFrom<wire_state::Probation> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::Probation) -> Result<Self, Self::Error> {
        Ok(State::Probation {
            trigger: word("trigger", &wire.trigger)?,
            lease: nested("lease", wire.lease)?,
            step: nested("step", wire.step)?,
            since: time::from_wire("since", wire.since)?,
        })
    }
}

impl TryFrom<wire_state::Healed> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::Healed) -> Result<Self, Self::Error> {
        Ok(State::Healed {
            at: time::from_wire("at", wire.at)?,
            action: word("action", &wire.action)?,
        })
    }
}

impl TryFrom<wire_state::Released> for State {
    type Error = WireError;

    fn try_from(wire: wire_state::Released) -> Result<Self, Self::Error> {
        let (at, by) = (time::from_wire("at", wire.at)?, nested("by", wire.by)?);
        Ok(State::Released {
            at,
            by,
            reason: wire.reason,
        })
    }
}

impl From<&Lease> for v1::Lease {
    fn from(lease: &Lease) -> Self {
        v1::Lease {
            worker: lease.worker.clone(),
            fence: lease.fence,
            until: Some(time::to_wire(lease.until)),
        }
    }
}

impl TryFrom<v1::Lease> for Lease {
    type Error = WireError;

    fn try_from(wire: v1::Lease) -> Result<Self, Self::Error> {
        Ok(Lease {
            worker: wire.worker,
            fence: wire.fence,
            until: time::from_wire("until", wire.until)?,
        })
    }
}

impl From<&Step> for v1::Step {
    fn from(step: &Step) -> Self {
        v1::Step {
            healing_id: step.healing.to_string(),
            action: step.action.to_string(),
            started_at: Some(time::to_wire(step.started_at)),
        }
    }
}

impl TryFrom<v1::Step> for Step {
    type Error = WireError;

    fn try_from(wire: v1::Step) -> Result<Self, Self::Error> {
        Ok(Step {
            healing: id("healing_id", wire.healing_id)?,
            action: word("action", &wire.action)?,
            started_at: time::from_wire("started_at", wire.started_at)?,
        })
    }
}
