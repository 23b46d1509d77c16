//! What becomes of what could not be told, and of a target that does not answer.

use crate::courier::Courier;
use crate::http::{Failure, Fate};
use crate::pace::backoff;
use crate::round::Went;
use immune_domain::Timestamp;
use immune_store::notifications::{Notification, Outcome, Settled};
use std::time::Duration;

/// A message that fails comes after others once the target is tried again, so that it is not what everything waits for.
const AFTER_OTHERS: Duration = Duration::from_millis(500);

impl Courier {
    /// What becomes of a notification that could not be told.
    pub(crate) fn failed(&self, row: &Notification, failure: &Failure, now: Timestamp) -> Settled {
        let age = now.since(row.taken_at);
        let is_old = self.is_old(row, now);
        let error = failure.words.clone();
        let outcome = match failure.fate {
            Fate::Never => Outcome::Dead { error },
            Fate::Away { .. } | Fate::Refused if is_old => Outcome::Dead {
                error: format!(
                    "given up after {} s and {} attempts: {error}",
                    age.as_secs(),
                    row.attempts
                ),
            },
            Fate::Away { after: Some(after) } => Outcome::Again {
                due_at: now.plus(after + AFTER_OTHERS),
                error,
            },
            Fate::Away { after: None } | Fate::Refused => Outcome::Again {
                due_at: now.plus(self.wait(row.attempts, &row.id) + AFTER_OTHERS),
                error,
            },
        };
        let (word, is_dead) = match &outcome {
            Outcome::Dead { .. } => ("dead", true),
            Outcome::Again { .. } | Outcome::Held { .. } | Outcome::Delivered { .. } => ("again", false),
        };
        self.office.metrics.attempted(&self.name, word, 1);
        if is_dead {
            tracing::warn!(receiver = %self.name, notification = %row.id, error = %failure.words, "a notification is a dead letter");
        }
        Settled {
            id: row.id.clone(),
            outcome,
        }
    }

    pub(crate) fn is_old(&self, row: &Notification, now: Timestamp) -> bool {
        now.since(row.taken_at) >= self.retry.give_up()
    }

    fn wait(&self, failures: u32, key: &str) -> Duration {
        let first = Duration::from_millis(self.retry.first_ms);
        backoff(
            first,
            Duration::from_secs(self.retry.wait_seconds_max),
            failures,
            key,
        )
    }

    /// Leaves a target alone that is in trouble.
    pub(crate) fn pause(&mut self, went: &Went, now: Timestamp) {
        let Some(failure) = &went.trouble else {
            if went.delivered > 0 {
                self.failures = 0;
            }
            return;
        };
        self.failures = if went.delivered > 0 {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let wait = match failure.fate {
            Fate::Away { after: Some(after) } => after,
            Fate::Away { after: None } | Fate::Refused | Fate::Never => self.wait(self.failures, &self.name),
        };
        self.paused_until = now.plus(wait);
        if self.failures == 1 {
            tracing::warn!(receiver = %self.name, error = %failure.words, wait_seconds = wait.as_secs_f64(),
                "a target does not take notifications; they wait");
        }
    }
}
