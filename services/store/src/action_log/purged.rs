//! What retention leaves behind: a row in the chain that names the last removed link.

use super::{Link, LogRow, canonical};
use immune_domain::{RunId, Timestamp};
use serde_json::json;

/// Kind of the row that retention leaves behind.
pub const CHECKPOINT: &str = "action_log_purged";

/// Run of rows that concern the deployment, not a run. No request can name it: run ids are not empty.
pub const NO_RUN: &str = "";

/// The row that says that everything up to a link may be gone, written before it goes.
pub fn checkpoint(last: Link, before: Timestamp, now: Timestamp) -> LogRow {
    LogRow {
        run: RunId::new(NO_RUN),
        at: now,
        kind: CHECKPOINT.to_owned(),
        agent: None,
        actor: "retention".to_owned(),
        outcome: "done".to_owned(),
        payload: json!({
            "last_sequence": last.sequence, "last_hash": last.hash, "older_than": canonical::time(before),
        }),
    }
}

/// The link that such a row names; `None` for every other row.
pub fn removed_up_to(row: &LogRow) -> Option<Link> {
    if row.kind != CHECKPOINT || row.run.as_str() != NO_RUN {
        return None;
    }
    Some(Link {
        sequence: row.payload.get("last_sequence")?.as_u64()?,
        hash: row.payload.get("last_hash")?.as_str()?.parse().ok()?,
    })
}
