//! Who sends, and for which run.

use crate::assemble::Runs;
use axum::http::HeaderMap;
use immune_domain::{RunId, is_well_formed};
use immune_runtime::access::{KeyRing, Role};

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
    #[error("x-run-id must be 1 to 512 bytes of UTF-8 without control characters, and neither . nor ..")]
    BadRun,
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
/// Without configured keys everybody may send: then the listeners are loopback ones, or the process would not have
/// started.
pub(crate) fn run_of(keys: &KeyRing, headers: &HeaderMap) -> Result<Run, Stranger> {
    // Bytes that are no text must not pass for absence, or they would land in another run.
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| std::str::from_utf8(value.as_bytes()))
    };
    let named = match header("x-run-id") {
        Some(Ok(run)) if is_well_formed(run) => Some(RunId::new(run)),
        Some(_) => return Err(Stranger::BadRun),
        None => None,
    };
    if keys.is_empty() {
        return Ok(Run {
            stated: named,
            otherwise: RunId::default(),
        });
    }
    let bearer = || {
        let (scheme, token) = header("authorization")?.ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    let presented = header("x-api-key")
        .map(Result::unwrap_or_default)
        .or_else(bearer)
        .ok_or(Stranger::NoKey)?;
    let caller = keys.verify(presented).ok_or(Stranger::UnknownKey)?;
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
