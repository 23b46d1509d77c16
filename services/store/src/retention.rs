//! How long records are kept, and the sweep that removes what is older.

use crate::Stores;
use crate::error::Result;
use immune_domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most days that can be asked for: a hundred years.
pub const DAYS_MAX: u32 = 36_500;

/// How long each kind of record is kept, days; 0 keeps it for ever. Immune memory, profiles and the totals of a run
/// are never swept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Vitals after they were received, days, default 30.
    pub vitals_days: u32,
    /// Events, days, default 30. A listener that is away for longer misses some.
    pub events_days: u32,
    /// Cases after they closed, days, default 365. Open cases, and closed ones whose containment is not lifted, stay.
    pub cases_days: u32,
    /// Healings after they began, days, default 365. Those under way stay.
    pub healings_days: u32,
    /// Rows of the action log, days, default 730. The oldest go first, and a row that names the last of them stays.
    pub action_log_days: u32,
    /// Records of client-deployed systems after they were received, days, default 90.
    pub client_records_days: u32,
    /// Dead letters of outgoing notifications after they died, and what deliveries leave for later ones of the same
    /// case, days, default 30.
    pub notifications_days: u32,
    /// API keys after they were revoked or have expired, and sessions that were forgotten, days, default 30.
    pub access_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            vitals_days: 30,
            events_days: 30,
            cases_days: 365,
            healings_days: 365,
            action_log_days: 730,
            client_records_days: 90,
            notifications_days: 30,
            access_days: 30,
        }
    }
}

impl Retention {
    /// Adds a line for every option that cannot be meant.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        for (name, days) in [
            ("vitals_days", self.vitals_days),
            ("events_days", self.events_days),
            ("cases_days", self.cases_days),
            ("healings_days", self.healings_days),
            ("action_log_days", self.action_log_days),
            ("client_records_days", self.client_records_days),
            ("notifications_days", self.notifications_days),
            ("access_days", self.access_days),
        ] {
            if days > DAYS_MAX {
                mistakes.push(format!(
                    "{path}.{name} = {days}: must be at most {DAYS_MAX}, or 0 to keep for ever"
                ));
            }
        }
    }
}

/// What a sweep did to one kind of record.
#[derive(Debug)]
pub struct Swept {
    /// `vitals`, `events`, `cases`, `healings`, `action_log`, `client_records`, `notifications` or `access`.
    pub records: &'static str,
    /// How many went, or why the store could not say.
    pub result: Result<u64>,
}

/// Removes what is older than it should be kept. One kind's failure does not keep the others from being swept; the
/// next sweep makes up for it.
pub async fn sweep(stores: &Stores, retention: &Retention, now: Timestamp) -> Vec<Swept> {
    let mut done = Vec::new();
    if let Some(before) = limit(retention.vitals_days, now) {
        done.push(Swept {
            records: "vitals",
            result: stores.vitals.purge(before).await,
        });
    }
    if let Some(before) = limit(retention.events_days, now) {
        done.push(Swept {
            records: "events",
            result: stores.cases.purge_events(before).await,
        });
    }
    if let Some(before) = limit(retention.cases_days, now) {
        done.push(Swept {
            records: "cases",
            result: stores.cases.purge(before).await,
        });
    }
    if let Some(before) = limit(retention.healings_days, now) {
        done.push(Swept {
            records: "healings",
            result: stores.healings.purge(before).await,
        });
    }
    if let Some(before) = limit(retention.action_log_days, now) {
        done.push(Swept {
            records: "action_log",
            result: stores.action_log.purge(before, now).await,
        });
    }
    if let Some(before) = limit(retention.client_records_days, now) {
        done.push(Swept {
            records: "client_records",
            result: stores.client_records.purge(before).await,
        });
    }
    if let Some(before) = limit(retention.notifications_days, now) {
        done.push(Swept {
            records: "notifications",
            result: stores.notifications.purge(before).await,
        });
    }
    if let Some(before) = limit(retention.access_days, now) {
        done.push(Swept {
            records: "access",
            result: stores.access.purge_access(before).await,
        });
    }
    done
}

/// The time before which records go; `None` when they stay for ever.
fn limit(days: u32, now: Timestamp) -> Option<Timestamp> {
    (days > 0).then(|| now.minus(Duration::from_secs(u64::from(days) * 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{agent, approval, at, row, vitals};
    use crate::memory;

    const DAY: i64 = 86_400;

    /// Scenario: records of many ages, swept with the defaults, then with everything kept.
    /// Guarantees: each kind has its own age, and 0 sweeps nothing.
    #[tokio::test]
    async fn each_kind_has_its_own_age() {
        let (stores, key, now) = (memory::stores(), agent("a"), at(1_000 * DAY));
        for days in [731, 400, 91, 31, 0] {
            let then = at((1_000 - days) * DAY);
            stores
                .vitals
                .append(&[vitals(&key, &days.to_string(), then)])
                .await
                .unwrap();
            stores
                .action_log
                .append(&[row(&key, "note", then)])
                .await
                .unwrap();
            stores
                .client_records
                .append(&approval(&key, "pending", then))
                .await
                .unwrap();
        }
        let forever = Retention {
            vitals_days: 0,
            events_days: 0,
            cases_days: 0,
            healings_days: 0,
            action_log_days: 0,
            client_records_days: 0,
            notifications_days: 0,
            access_days: 0,
        };
        assert_eq!(sweep(&stores, &forever, now).await.len(), 0);
        let swept = sweep(&stores, &Retention::default(), now).await;
        let counts: Vec<(&str, u64)> = swept
            .into_iter()
            .map(|s| (s.records, s.result.unwrap()))
            .collect();
        let expected = [
            ("vitals", 4),
            ("events", 0),
            ("cases", 0),
            ("healings", 0),
            ("action_log", 1),
            ("client_records", 3),
            ("notifications", 0),
            ("access", 0),
        ];
        assert_eq!(counts, expected);
    }

    /// Guarantees: an age that overflows no clock is refused with its name.
    #[test]
    fn absurd_ages_are_mistakes() {
        let mut mistakes = Vec::new();
        Retention {
            cases_days: DAYS_MAX + 1,
            ..Retention::default()
        }
        .check("retention", &mut mistakes);
        assert_eq!(
            mistakes,
            ["retention.cases_days = 36501: must be at most 36500, or 0 to keep for ever"]
        );
    }
}
