//! Logins and logouts go into the action log; refused ones within a limit, so that strangers cannot fill it.

use crate::Logins;
use immune_domain::Timestamp;
use immune_runtime::access::Caller;
use immune_store::action_log::LogRow;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Refused logins that are written per minute.
const ROWS_PER_MINUTE: u32 = 30;

/// How many refused logins were written of late.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<(Timestamp, u32, u64)>);

impl Refused {
    /// How many went unwritten before this one; `None` when this one does, too.
    fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, rows, unwritten) = &mut *window;
        if now.since(*began) >= Duration::from_secs(60) {
            (*began, *rows) = (now, 0);
        }
        if *rows >= ROWS_PER_MINUTE {
            *unwritten += 1;
            return None;
        }
        *rows += 1;
        Some(std::mem::take(unwritten))
    }
}

impl Logins {
    pub(super) async fn record_login(&self, caller: &Caller, now: Timestamp) {
        let payload = json!({ "via": caller.person.via, "role": caller.role.to_string() });
        self.record("logged_in", "done", Some(caller), payload, now).await;
    }

    /// `by`: the person, the provider.
    pub(super) async fn record_logout(&self, caller: Option<&Caller>, by: &str, ended: u64, now: Timestamp) {
        let payload = json!({ "by": by, "sessions": ended });
        self.record("logged_out", "done", caller, payload, now).await;
    }

    /// `who` as far as it is known and verified.
    pub(super) async fn record_refused(&self, way: &str, because: &str, who: Option<&str>, now: Timestamp) {
        let Some(unwritten) = self.refused.admit(now) else {
            return;
        };
        let payload = json!({
            "way": way, "refused_because": because, "subject": who, "unwritten_before": unwritten,
        });
        self.record("login_refused", "refused", None, payload, now).await;
    }

    async fn record(
        &self,
        kind: &str,
        outcome: &str,
        caller: Option<&Caller>,
        payload: Value,
        at: Timestamp,
    ) {
        let row = LogRow {
            run: caller
                .and_then(|caller| caller.runs.first().cloned())
                .unwrap_or_default(),
            at,
            kind: kind.to_owned(),
            agent: None,
            actor: caller.map_or_else(|| "unknown".to_owned(), |caller| caller.person.subject.clone()),
            outcome: outcome.to_owned(),
            payload,
        };
        if let Err(error) = self.action_log.append(&[row]).await {
            tracing::error!(%error, kind, "a login or logout could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: beyond the limit of a minute refusals are counted, and the next row says how many they were.
    #[test]
    fn a_flood_is_counted_not_written() {
        let (refused, now) = (Refused::default(), Timestamp::from_micros(1_000_000_000_000));
        for _ in 0..ROWS_PER_MINUTE {
            assert_eq!(refused.admit(now), Some(0));
        }
        assert_eq!(refused.admit(now), None);
        assert_eq!(refused.admit(now.plus(Duration::from_secs(60))), Some(1));
    }
}
