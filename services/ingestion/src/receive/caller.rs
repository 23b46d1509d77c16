//! Who sends, and for which run.

use crate::assemble::Runs;
use axum::http::HeaderMap;
use immune_domain::{RunId, Timestamp, is_well_formed};
use immune_door::{Door, Refusal};
use immune_runtime::access::Role;
use std::net::IpAddr;
use std::time::Duration;

/// Why a sender is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    #[error("an API key is needed: send it as x-api-key or as Authorization: Bearer")]
    NoKey,
    #[error("the API key is not known")]
    UnknownKey,
    #[error("the API key may not write telemetry: it needs the role ingest")]
    WrongRole,
    #[error("the API key is bound to other runs")]
    WrongRun,
    #[error("{refusal}")]
    Later { refusal: Refusal, retry_after: Duration },
    #[error("x-run-id must be 1 to 512 bytes of UTF-8 without control characters, and neither . nor ..")]
    BadRun,
}

impl From<Refusal> for Stranger {
    fn from(refusal: Refusal) -> Self {
        match (refusal, refusal.retry_after()) {
            (_, Some(retry_after)) => Stranger::Later { refusal, retry_after },
            (Refusal::NoCredential, None) => Stranger::NoKey,
            // Telemetry is sent with keys; a session opens nothing here.
            (
                Refusal::UnknownKey
                | Refusal::SessionEnded
                | Refusal::Csrf
                | Refusal::LockedOut { .. }
                | Refusal::TooMany { .. }
                | Refusal::NotReady,
                None,
            ) => Stranger::UnknownKey,
        }
    }
}

/// The run that a request is for, as far as its headers and its key say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    stated: Option<RunId>,
    otherwise: RunId,
}

impl Run {
    /// As the assembler wants it.
    pub(crate) fn runs(&self) -> Runs<'_> {
        Runs {
            stated: self.stated.as_ref(),
            otherwise: &self.otherwise,
        }
    }
}

/// Verifies the sender. The run is `x-run-id`, else what a resource names, else the key's own, else `default`; what
/// a key that is bound to runs sends stays in its first run, whatever a resource names.
///
/// Which keys there are is said by the door: configured ones, and stored ones where this process shares the store in
/// which people create them (all roles in one process, or `store.url = postgres://...`); else only configured ones.
/// While nobody has made a key for telemetry, loopback listeners take it from everybody on the machine.
pub(crate) fn run_of(
    door: &Door,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    now: Timestamp,
) -> Result<Run, Stranger> {
    // Bytes that are no text must not pass for absence, or they would land in another run.
    let header = headers
        .get("x-run-id")
        .map(|value| std::str::from_utf8(value.as_bytes()));
    let named = match header {
        Some(Ok(run)) if is_well_formed(run) => Some(RunId::new(run)),
        Some(_) => return Err(Stranger::BadRun),
        None => None,
    };
    let Some(caller) = door.identify_sender(headers, peer, now)? else {
        return Ok(Run {
            stated: named,
            otherwise: RunId::default(),
        });
    };
    if !caller.role.covers(Role::Ingest) {
        return Err(Stranger::WrongRole);
    }
    match named {
        Some(run) if !caller.may_use(&run) => Err(Stranger::WrongRun),
        Some(run) => Ok(Run {
            stated: Some(run),
            otherwise: RunId::default(),
        }),
        None => Ok(Run {
            stated: caller.runs.first().cloned(),
            otherwise: RunId::default(),
        }),
    }
}
