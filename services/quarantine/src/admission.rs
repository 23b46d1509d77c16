//! What is known of an agent right now, for the admission check: from memory as long as memory is known to be fresh,
//! otherwise from the store itself.

use crate::config::WhileAway;
use crate::desk::Desk;
use crate::directory::Entry;
use crate::error::Error;
use immune_domain::AgentKey;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long the store may take to say how one agent stands.
const ASK_MAX: Duration = Duration::from_millis(500);
/// Asks of the store at the same time; beyond them checks are answered as if it were away.
const ASKS_MAX: usize = 32;
/// How long the store is not asked after it did not answer, so that checks stay fast while it is away.
const PAUSE: Duration = Duration::from_millis(250);

/// Whether the agent may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Whether it may.
    pub is_allowed: bool,
    /// Why not, and how old the knowledge is where it may be out of date; empty for a plain yes.
    pub reason: String,
    /// The case that keeps the agent out; empty when none does.
    pub case: String,
}

/// Guards of the store against too many questions.
#[derive(Debug)]
pub(crate) struct Asking {
    slots: Semaphore,
    failed_at: Mutex<Option<Instant>>,
}

impl Default for Asking {
    fn default() -> Self {
        Asking {
            slots: Semaphore::new(ASKS_MAX),
            failed_at: Mutex::default(),
        }
    }
}

/// What is known of an agent's latest case.
pub(crate) enum Known {
    /// As it is.
    Now(Option<Entry>),
    /// As it was so long ago; the store cannot be asked.
    Once(Option<Entry>, Duration),
}

impl Desk {
    /// May the agent act?
    ///
    /// # Errors
    /// [`Error::Starting`] before every open case has been read once.
    pub(crate) async fn admission(&self, key: &AgentKey) -> Result<Admission, Error> {
        let (entry, remark) = match self.known(key).await? {
            Known::Now(entry) => (entry, None),
            Known::Once(entry, age) => {
                self.metrics.admissions_uncertain.inc();
                let remark = format!("the store of cases has not answered for {} s", age.as_secs());
                (entry, Some(remark))
            }
        };
        let refusal = entry.filter(|entry| entry.denies);
        let answer = match (refusal, remark) {
            (Some(entry), remark) => Admission {
                is_allowed: false,
                reason: match remark {
                    Some(remark) => format!("{}, as last known: {remark}", entry.reason),
                    None => entry.reason,
                },
                case: entry.case.to_string(),
            },
            (None, None) => Admission {
                is_allowed: true,
                reason: String::new(),
                case: String::new(),
            },
            (None, Some(remark)) => Admission {
                is_allowed: match self.config.admission_while_away {
                    WhileAway::LastKnown => true,
                    WhileAway::Deny => false,
                },
                reason: format!("not quarantined as last known: {remark}"),
                case: String::new(),
            },
        };
        if !answer.is_allowed {
            self.metrics.denied.inc();
        }
        Ok(answer)
    }

    /// What is known of an agent: from memory while that is fresh, else from the store, else as it was.
    pub(crate) async fn known(&self, key: &AgentKey) -> Result<Known, Error> {
        let age = self.directory.age().ok_or(Error::Starting)?;
        if age <= self.config.feed_stale() {
            return Ok(Known::Now(self.directory.get(key)));
        }
        match self.ask_store(key).await {
            Some(entry) => Ok(Known::Now(entry)),
            None => Ok(Known::Once(self.directory.get(key), age)),
        }
    }

    /// The agent's open case as the store has it; `None` when it cannot say.
    async fn ask_store(&self, key: &AgentKey) -> Option<Option<Entry>> {
        let _slot = self.asking.slots.try_acquire().ok()?;
        let failed_at = *self.asking.failed_at();
        if failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        match tokio::time::timeout(ASK_MAX, self.store.open_case_of(key)).await {
            Ok(Ok(case)) => {
                *self.asking.failed_at() = None;
                if let Some(case) = &case {
                    self.directory.put(case);
                }
                Some(case.as_ref().map(Entry::of))
            }
            Ok(Err(_)) | Err(_) => {
                *self.asking.failed_at() = Some(Instant::now());
                None
            }
        }
    }
}

impl Asking {
    fn failed_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
