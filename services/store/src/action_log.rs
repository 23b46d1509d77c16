//! The audit record: who did what, to what, when, why, with what outcome; and the chain that shows when somebody has
//! changed it afterwards.
//!
//! # The chain
//! Every row gets `hash = SHA-256(hash of the row before it || canonical bytes of the row)`, in the order of
//! `sequence`; the row before the first has 32 zero bytes. There is one chain per deployment, over all runs, since a
//! chain per run would let a whole run vanish. Hashes are written as 64 lower-case hexadecimal digits.
//!
//! The canonical bytes of a row are this object in the form of RFC 8785 (JSON Canonicalization Scheme), UTF-8:
//!
//! ```json
//! {"actor":"ada","agent_id":"agent-7","at":"2026-01-01T00:00:00.000000Z","outcome":"done","payload":{"reason":"x"},
//!  "run_id":"default","sequence":42,"type":"user_approved"}
//! ```
//!
//! - `agent_id` is null where the row concerns no single agent; `at` is RFC 3339 in UTC with six digits of a second.
//! - One extension: an integer beyond 2^53 keeps all its digits. RFC 8785 has no such numbers.
//! - `GET /api/action-log/export` and `immune verify-log` use lines with exactly these fields and `previous_hash` and
//!   `hash` beside them. So anybody can check a line with other tools: take the two away, write the rest canonically,
//!   put the 32 bytes of `previous_hash` before it, and compare SHA-256 with `hash`.
//!
//! What the chain shows: a changed row, a removed one, one put in between, rows that changed places. What it cannot
//! show by itself: that rows at the end are gone, or that somebody with access to the database wrote the whole chain
//! anew. Both show against a link that was kept elsewhere ([`Link`], `immune verify-log --expect SEQUENCE:HASH`); each
//! process says the last one in its log and metrics from time to time.
//!
//! Retention removes the oldest rows only, and leaves a row of its own in the chain ([`checkpoint`]) that names the
//! last removed link, from which verification begins ([`Chain::start`]).
//!
//! A backend in which several processes write may chain rows a moment after they were written, in the order in which
//! their transactions became visible, so that no transaction waits for another's; until then a row has no hash.

mod canonical;
mod export;
mod filter;
mod limit;
mod link;
mod purged;
mod verify;

pub use canonical::canonical_json;
pub use export::{Exported, LineError, line, other_run_line};
pub use filter::LogFilter;
pub use limit::{ROWS_PER_MINUTE, RowLimit};
pub use link::{Link, LinkHash, ParseLinkError};
pub use purged::{CHECKPOINT, NO_RUN, checkpoint, removed_up_to};
pub use verify::{Break, Verdict, Verifier, verify};

use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// One row to append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Run that it concerns.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// What (`approval_requested`, `user_approved`, `user_rejected`, `explicit_heal_requested`, `healing_attempt`, ...).
    pub kind: String,
    /// To whom, when it concerns one agent.
    pub agent: Option<AgentId>,
    /// Who: a verified subject, or a role's name.
    pub actor: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// Details: severity, diagnosis_type, action, success, trigger, reason, case_id, ...
    pub payload: serde_json::Value,
}

/// A stored row with its place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    /// Place in the order.
    pub sequence: u64,
    /// What was written.
    #[serde(flatten)]
    pub row: LogRow,
    /// The link of the chain that holds it; `None` for the moment until it is chained.
    pub hash: Option<LinkHash>,
}

/// How the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The link after which the kept rows begin: that of the last row that retention removed.
    pub start: Link,
    /// The last link that was made.
    pub head: Link,
    /// Rows that have no link yet.
    pub unchained: u64,
    /// Rows that stand at or before the start: retention is about to remove them, or somebody put them there.
    pub strays: u64,
}

/// The append-only log.
#[async_trait]
pub trait ActionLog: Send + Sync {
    /// Appends rows, all or none.
    async fn append(&self, rows: &[LogRow]) -> Result<()>;

    /// Rows of a run that match, newest first.
    async fn list(&self, run: &RunId, filter: &LogFilter) -> Result<Vec<StoredRow>>;

    /// Newest first; older than `before` when given; at most `limit`.
    async fn recent(&self, run: &RunId, before: Option<u64>, limit: u32) -> Result<Vec<StoredRow>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let filter = LogFilter {
            before,
            limit,
            ..LogFilter::default()
        };
        self.list(run, &filter).await
    }

    /// Rows of every run after a place in the order, oldest first, at most `limit`. For verification and export.
    async fn after(&self, sequence: u64, limit: u32) -> Result<Vec<StoredRow>>;

    /// Chains rows that are not yet, a bounded number of them, and says how the chain stands.
    async fn chain(&self) -> Result<Chain>;

    /// Removes the oldest rows, up to the first that is not older than `before`; returns how many. Where any went, a
    /// [`checkpoint`] of the time `now` stays behind.
    async fn purge(&self, before: Timestamp, now: Timestamp) -> Result<u64>;
}
