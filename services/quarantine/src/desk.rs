//! The one way to change a case: fetch, decide, save with what comes alongside, and tell those who wait.

use crate::directory::Directory;
use crate::error::Error;
use crate::{Config, Dependencies, Metrics};
use immune_domain::case::{self, Case, Command, Context, Effect, State, WaitReason};
use immune_domain::detection::Infection;
use immune_domain::policy::{Compiled, Policy};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};
use immune_levers::Levers;
use immune_runtime::clock::SharedClock;
use immune_store::action_log::LogRow;
use immune_store::cases::{Alongside, CaseFilter, NewEvent, Opened, Saved};
use immune_store::{ActionLog, CaseStore, VitalsStore};
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// How often a change is decided anew because somebody else saved first.
const CONFLICTS_MAX: usize = 16;
/// Open cases fetched at a time while loading.
const LOAD_PAGE: u32 = 500;

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
    /// Grows with every save, so that watchers look for new events.
    pub(crate) saves: watch::Sender<u64>,
    pub(crate) action_log: Arc<dyn ActionLog>,
    vitals: Arc<dyn VitalsStore>,
    policies: Compiled,
    /// Runs whose blast radius is used up and has been said to be.
    alerted: Mutex<HashSet<RunId>>,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The agent's case.
    pub case: CaseId,
    /// Whether this report opened it.
    pub opened: bool,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The case as it is now.
    pub case: Case,
    /// Whether the command changed it.
    pub changed: bool,
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
        Desk {
            config,
            store: cases,
            levers,
            clock,
            metrics,
            directory: Directory::default(),
            levers_wanted: Notify::new(),
            saves: watch::Sender::new(0),
            action_log,
            vitals,
            policies: policies.compile(),
            alerted: Mutex::default(),
        }
    }

    /// Reads every open case into the directory.
    pub(crate) async fn load(&self) -> Result<(), Error> {
        let mut before = None;
        loop {
            let filter = CaseFilter {
                open: Some(true),
                before,
                limit: LOAD_PAGE,
                ..CaseFilter::default()
            };
            let page = self.store.list(&filter).await?;
            page.iter().for_each(|case| self.directory.put(case));
            match page.last() {
                Some(last) if page.len() == LOAD_PAGE as usize => {
                    before = Some((last.opened_at, last.id.clone()));
                }
                Some(_) | None => break,
            }
        }
        self.directory.loaded();
        self.levers_wanted.notify_one();
        Ok(())
    }

    /// What holds for the agent of a case.
    pub(crate) fn policy(&self, case: &Case) -> &Arc<Policy> {
        let (agent_type, namespace) = (case.agent_type.as_deref(), case.namespace.as_deref());
        self.policies
            .resolve(&case.key.run, &case.key.agent, agent_type, namespace)
    }

    /// Opens a case for a report, or merges it into the agent's open one.
    pub(crate) async fn report(
        &self,
        infection: Infection,
        agent_type: Option<String>,
        namespace: Option<String>,
    ) -> Result<Reported, Error> {
        if !self.directory.is_loaded() {
            return Err(Error::Starting);
        }
        // A case that closes between "it is open" and the merge makes the next round open a new one.
        for _ in 0..CONFLICTS_MAX {
            let opened = self
                .open(&infection, agent_type.clone(), namespace.clone())
                .await?;
            let open = match opened {
                (case, Opened::New) => {
                    self.metrics.opened.inc();
                    return Ok(Reported {
                        case: case.id,
                        opened: true,
                    });
                }
                (_, Opened::AlreadyReported(case)) => {
                    self.metrics.merged.inc();
                    return Ok(Reported {
                        case: case.id,
                        opened: false,
                    });
                }
                (_, Opened::AlreadyOpen(open)) => open.id,
            };
            let merge = Command::ReportAgain {
                infection: Box::new(infection.clone()),
            };
            match self.apply(&open, merge).await {
                Ok(_) => {
                    self.metrics.merged.inc();
                    return Ok(Reported {
                        case: open,
                        opened: false,
                    });
                }
                Err(Error::Refused {
                    refusal: case::Refusal::Closed { .. },
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended(CaseId::from(infection.id.as_str())))
    }

    async fn open(
        &self,
        infection: &Infection,
        agent_type: Option<String>,
        namespace: Option<String>,
    ) -> Result<(Case, Opened), Error> {
        let key = &infection.key;
        let now = self.clock.now();
        let policy = self
            .policies
            .resolve(&key.run, &key.agent, agent_type.as_deref(), namespace.as_deref());
        let place = self.directory.take_place(&key.run);
        let context = Context {
            agent_type,
            namespace,
            quarantined_now: place.others,
            agents_seen_last_hour: self.agents_seen(key, policy, place.others, now).await,
        };
        let id = CaseId::new(new_id(now));
        let (case, effects) = case::open(id, infection.clone(), policy, context, now);
        let mut alongside = alongside(&case, effects, now);
        let is_first_beyond = self.note_blast_radius(&case);
        if is_first_beyond {
            alongside.log.push(LogRow {
                run: key.run.clone(),
                at: now,
                kind: "blast_radius_reached".to_owned(),
                agent: None,
                actor: "quarantine".to_owned(),
                outcome: "done".to_owned(),
                payload: json!({ "quarantined": place.others, "case_id": case.id }),
            });
        }
        let opened = self.store.open_case(&case, &alongside).await?;
        match &opened {
            Opened::New => {
                self.published(&case);
                if is_first_beyond {
                    tracing::warn!(run = %key.run, quarantined = place.others, "blast radius reached");
                }
            }
            Opened::AlreadyOpen(known) | Opened::AlreadyReported(known) => self.directory.put(known),
        }
        Ok((case, opened))
    }

    /// Agents of the run seen in the last hour. Asked only where the answer matters; 0, which makes the cap
    /// smallest, when the store cannot say.
    async fn agents_seen(&self, key: &AgentKey, policy: &Policy, taken: u32, now: Timestamp) -> u64 {
        if taken < policy.blast_radius.agents {
            return 0;
        }
        match self
            .vitals
            .agents_seen(&key.run, now.minus(Duration::from_secs(3_600)))
            .await
        {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, run = %key.run, "agents seen in the last hour are not known");
                0
            }
        }
    }

    /// Counts a case that was not contained for the blast radius; whether it is the first of its run since one was
    /// contained, so that one alert is given and not one per agent.
    fn note_blast_radius(&self, case: &Case) -> bool {
        let is_beyond = matches!(
            &case.state,
            State::AwaitingApproval {
                reason: WaitReason::BlastRadius { .. },
                ..
            }
        );
        let mut alerted = self.alerted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_beyond {
            self.metrics.beyond_blast_radius.inc();
            alerted.insert(case.key.run.clone())
        } else {
            alerted.remove(&case.key.run);
            false
        }
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
            let (id, version, now) = (current.id.clone(), current.version, self.clock.now());
            let policy = self.policy(&current).clone();
            let decided = case::decide(current, command.clone(), &policy, now);
            let (next, effects) = decided.map_err(|refusal| Error::Refused {
                case: id.clone(),
                refusal,
            })?;
            if next.version == version {
                return Ok(Applied {
                    case: next,
                    changed: false,
                });
            }
            let alongside = alongside(&next, effects, now);
            match self.store.save_case(&next, version, &alongside).await? {
                Saved::Done => {
                    self.published(&next);
                    return Ok(Applied {
                        case: next,
                        changed: true,
                    });
                }
                Saved::Conflict(newer) => {
                    self.metrics.conflicts.inc();
                    current = *newer;
                }
                Saved::Missing => return Err(Error::CaseNotFound(id)),
            }
        }
        Err(Error::Contended(current.id))
    }

    /// Tells those who wait that a case was saved.
    fn published(&self, case: &Case) {
        self.directory.put(case);
        self.levers_wanted.notify_one();
        self.saves.send_modify(|saves| *saves = saves.wrapping_add(1));
    }
}

/// An id that sorts by time.
fn new_id(now: Timestamp) -> String {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let (seconds, nanos) = (micros / 1_000_000, (micros % 1_000_000) * 1_000);
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos as u32);
    Uuid::new_v7(time).to_string()
}

/// What the store writes in the transaction that saves the case.
fn alongside(case: &Case, effects: Vec<Effect>, now: Timestamp) -> Alongside {
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
