//! The containment of an agent, overall and per lever.

use super::{WireError, list, time, word};
use crate::v1;
use immune_domain::case::{LeverState, Quarantine};

impl From<&Quarantine> for v1::Quarantine {
    fn from(quarantine: &Quarantine) -> Self {
        v1::Quarantine {
            phase: quarantine.phase.as_str().to_owned(),
            since: Some(time::to_wire(quarantine.since)),
            levers: quarantine.levers.iter().map(Into::into).collect(),
            breaches: quarantine.breaches,
        }
    }
}

impl TryFrom<v1::Quarantine> for Quarantine {
    type Error = WireError;

    fn try_from(wire: v1::Quarantine) -> Result<Self, Self::Error> {
        Ok(Quarantine {
            phase: word("phase", &wire.phase)?,
            since: time::from_wire("since", wire.since)?,
            levers: list("levers", wire.levers)?,
            breaches: wire.breaches,
        })
    }
}

impl From<&LeverState> for v1::LeverState {
    fn from(lever: &LeverState) -> Self {
        v1::LeverState {
            lever: lever.lever.clone(),
            wanted: lever.wanted.as_str().to_owned(),
            status: lever.status.as_str().to_owned(),
            attempts: lever.attempts,
            retry_at: Some(time::to_wire(lever.retry_at)),
            detail: lever.detail.clone(),
            generation: lever.generation,
        }
    }
}

impl TryFrom<v1::LeverState> for LeverState {
    type Error = WireError;

    fn try_from(wire: v1::LeverState) -> Result<Self, Self::Error> {
        Ok(LeverState {
            lever: wire.lever,
            wanted: word("wanted", &wire.wanted)?,
            status: word("status", &wire.status)?,
            attempts: wire.attempts,
            retry_at: time::from_wire("retry_at", wire.retry_at)?,
            detail: wire.detail,
            generation: wire.generation,
        })
    }
}
