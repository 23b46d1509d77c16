//! The one way to change a case: fetch, decide, save with what comes alongside, and tell those who wait.

use crate::admission::Asking;
use crate::directory::Directory;
use crate::error::Error;
use crate::{Config, Dependencies, Metrics};
use immune_domain::case::{self, Case, Command, Effect};
use immune_domain::policy::{LivePolicies, Policy};
use immune_domain::{CaseId, Timestamp};
use immune_levers::Levers;
use immune_runtime::clock::SharedClock;
use immune_store::action_log::LogRow;
use immune_store::cases::{Alongside, NewEvent, Saved};
use immune_store::{ActionLog, CaseStore, VitalsStore};
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, watch};
use uuid::Uuid;

/// How often a change is decided anew because somebody else saved first.
pub(crate) const CONFLICTS_MAX: usize = 16;

/// Fetches, decides and saves.
pub struct Desk {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn CaseStore>,
    pub(crate) levers: Levers,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
    pub(crate) directory: Directory,
    /// Wakes the reconciler.
    pub(crate) levers_wanted: Notify,
    /// Name under which this process drives levers.
    pub(crate) replica: String,
    /// How the role is, for whoever reports readiness.
    pub(crate) state: watch::Sender<crate::State>,
    pub(crate) action_log: Arc<dyn ActionLog>,
    pub(crate) vitals: Arc<dyn VitalsStore>,
    pub(crate) policies: LivePolicies,
    /// Asks of the store for admission checks that may be under way.
    pub(crate) asking: Asking,
    /// The turn to say that a run's blast radius is used up.
    pub(crate) alerting: Semaphore,
    /// The turn to record a fleet incident.
    pub(crate) recording: Semaphore,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The case as it is now.
    pub case: Case,
    /// Whether the command changed it.
    pub changed: bool,
}

/// How an attempt to apply a command to one version of a case ended.
pub(crate) enum Tried {
    /// Applied, or without effect.
    Applied(Box<Applied>),
    /// Somebody else saved first; the case as it is now.
    Conflict(Box<Case>),
}

impl Desk {
    pub(crate) fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            cases,
            action_log,
            vitals,
            levers,
            policies,
            clock,
            metrics,
        } = dependencies;
        let replica = match config.replica.as_str() {
            "" => format!("quarantine-{}", Uuid::new_v4().simple()),
            name => name.to_owned(),
        };
        Desk {
            config,
            store: cases,
            levers,
            clock,
            metrics,
            directory: Directory::default(),
            levers_wanted: Notify::new(),
            replica,
            state: watch::Sender::new(crate::State::default()),
            action_log,
            vitals,
            policies,
            asking: Asking::default(),
            alerting: Semaphore::new(1),
            recording: Semaphore::new(1),
        }
    }

    /// What holds for the agent of a case.
    pub(crate) fn policy(&self, case: &Case) -> Arc<Policy> {
        let (agent_type, namespace) = (case.agent_type.as_deref(), case.namespace.as_deref());
        self.policies
            .resolve(&case.key.run, &case.key.agent, agent_type, namespace)
    }

    /// Applies a command to a case as it is now; when somebody else saves first, to the case as it is then.
    pub(crate) async fn apply(&self, id: &CaseId, command: Command) -> Result<Applied, Error> {
        let case = self
            .store
            .get(id)
            .await?
            .ok_or_else(|| Error::CaseNotFound(id.clone()))?;
        self.apply_to(case, command).await
    }

    pub(crate) async fn apply_to(&self, mut current: Case, command: Command) -> Result<Applied, Error> {
        for _ in 0..CONFLICTS_MAX {
            match self.try_apply(current, command.clone()).await? {
                Tried::Applied(applied) => return Ok(*applied),
                Tried::Conflict(newer) => current = *newer,
            }
        }
        Err(Error::Contended(current.id))
    }

    /// Applies a command to exactly this version of a case.
    pub(crate) async fn try_apply(&self, current: Case, command: Command) -> Result<Tried, Error> {
        let (id, version, now) = (current.id.clone(), current.version, self.clock.now());
        let policy = self.policy(&current).clone();
        let decided = case::decide(current, command, &policy, now);
        let (next, effects) = decided.map_err(|refusal| Error::Refused {
            case: id.clone(),
            refusal,
        })?;
        if next.version == version {
            return Ok(Tried::Applied(Box::new(Applied {
                case: next,
                changed: false,
            })));
        }
        let alongside = alongside(&next, effects, now);
        match self.store.save_case(&next, version, &alongside).await? {
            Saved::Done => {
                self.published(&next);
                Ok(Tried::Applied(Box::new(Applied {
                    case: next,
                    changed: true,
                })))
            }
            Saved::Conflict(newer) => {
                self.metrics.conflicts.inc();
                Ok(Tried::Conflict(newer))
            }
            Saved::Missing => Err(Error::CaseNotFound(id)),
        }
    }

    /// Tells those of this process who wait that a case was saved; the others hear of its events.
    pub(crate) fn published(&self, case: &Case) {
        self.directory.put(case);
        self.levers_wanted.notify_one();
    }
}

/// An id that sorts by time.
pub(crate) fn new_id(now: Timestamp) -> String {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let (seconds, nanos) = (micros / 1_000_000, (micros % 1_000_000) * 1_000);
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos as u32);
    Uuid::new_v7(time).to_string()
}

/// What the store writes in the transaction that saves the case.
pub(crate) fn alongside(case: &Case, effects: Vec<Effect>, now: Timestamp) -> Alongside {
    let mut alongside = Alongside::default();
    for effect in effects {
        match effect {
            Effect::Log(entry) => alongside.log.push(LogRow {
                run: case.key.run.clone(),
                at: now,
                kind: entry.kind.to_owned(),
                agent: Some(case.key.agent.clone()),
                actor: entry.actor,
                outcome: "done".to_owned(),
                payload: entry.payload,
            }),
            Effect::Announce(announcement) => alongside.events.push(NewEvent {
                kind: announcement.kind.as_str().to_owned(),
                case: case.id.clone(),
                key: case.key.clone(),
                at: now,
                text: announcement.text,
                payload: announcement.payload,
            }),
            // The reconciler reads what is wanted from the case itself.
            Effect::AskLever { .. } => {}
        }
    }
    alongside
}
