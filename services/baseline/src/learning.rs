//! The one loop that changes profiles and stores them.

use crate::board::Board;
use crate::config::Config;
use crate::late::Late;
use crate::matching::{Lesson, Matching, Outcome};
use crate::metrics::Metrics;
use crate::verdicts::Verdict;
use immune_bus::{Consumer, Delivery, Record};
use immune_domain::baseline::{Learner, Profile, State};
use immune_domain::policy::Compiled;
use immune_domain::{AgentKey, Timestamp};
use immune_runtime::clock::SharedClock;
use immune_store::baselines::StoredProfile;
use immune_store::{BaselineStore, StorageError};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Profiles per write, and per page when loading.
const BATCH_MAX: usize = 500;
/// Time between two looks for profiles that have become stale.
const STALE_EVERY: Duration = Duration::from_secs(60);
/// Wait before the store is asked again at start.
const LOAD_RETRY: Duration = Duration::from_secs(1);

/// What others ask of the loop; it alone changes profiles, so that no write can undo another.
pub(crate) enum Command {
    /// Forget an agent's profile.
    Reset {
        /// Whose.
        key: AgentKey,
        /// Whether there was one.
        answer: oneshot::Sender<Result<bool, StorageError>>,
    },
}

/// The learner's state as stored beside its profile.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// Version of this form.
    form: u32,
    learner: Learner,
    samples_min: u32,
}

const FORM: u32 = 1;

#[derive(Debug)]
struct Agent {
    learner: Learner,
    version: u64,
    samples_min: u32,
    updated_at: Timestamp,
    /// As last stored.
    state: State,
}

/// The loop's state.
pub(crate) struct Learning {
    config: Config,
    policies: Compiled,
    store: Arc<dyn BaselineStore>,
    board: Arc<Board>,
    clock: SharedClock,
    metrics: Metrics,
    inbox: mpsc::Receiver<Command>,
    agents: HashMap<AgentKey, Agent>,
    changed: HashSet<AgentKey>,
    matching: Matching,
    late: Late,
}

impl Learning {
    pub(crate) fn new(
        config: Config,
        policies: Compiled,
        store: Arc<dyn BaselineStore>,
        board: Arc<Board>,
        clock: SharedClock,
        metrics: Metrics,
        inbox: mpsc::Receiver<Command>,
    ) -> Self {
        let matching = Matching::new(
            config.waiting_max,
            Duration::from_secs(config.waiting_seconds_max),
        );
        let late = Late::new(config.waiting_max, Duration::from_secs(config.learn_late_seconds));
        let (agents, changed) = (HashMap::new(), HashSet::new());
        Learning {
            config,
            policies,
            store,
            board,
            clock,
            metrics,
            inbox,
            agents,
            changed,
            matching,
            late,
        }
    }

    /// Loads, then learns until the token is cancelled or the bus ends.
    pub(crate) async fn run(
        mut self,
        mut bus: Box<dyn Consumer>,
        mut verdicts: mpsc::Receiver<Verdict>,
        shutdown: CancellationToken,
    ) {
        if !self.load(&shutdown).await {
            return;
        }
        let mut flush = every(Duration::from_millis(self.config.flush_interval_ms));
        let mut stale = every(STALE_EVERY);
        let mut is_watching = true;
        loop {
            tokio::select! {
                delivery = bus.next() => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => break,
                },
                verdict = verdicts.recv(), if is_watching => match verdict {
                    Some(verdict) => self.judge(&verdict),
                    None => is_watching = false,
                },
                Some(command) = self.inbox.recv() => self.obey(command).await,
                _ = flush.tick() => self.flush().await,
                _ = stale.tick() => self.mark_stale(),
                () = shutdown.cancelled() => break,
            }
        }
        self.flush().await;
    }

    /// Loads every profile; `false` when shut down before it was done.
    async fn load(&mut self, shutdown: &CancellationToken) -> bool {
        let mut after: Option<AgentKey> = None;
        loop {
            let page = match self.store.page(after.as_ref(), BATCH_MAX as u32).await {
                Ok(page) => page,
                Err(error) => {
                    warn!(error = %with_source(&error), "cannot load profiles; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(LOAD_RETRY) => continue,
                        () = shutdown.cancelled() => return false,
                    }
                }
            };
            let Some(last) = page.last() else { break };
            after = Some(last.profile.key.clone());
            for stored in page {
                self.agents.insert(stored.profile.key.clone(), Agent::of(&stored));
                self.board.show([Arc::new(stored.profile)]);
            }
            if self.agents.len() >= self.config.agents_max {
                warn!(
                    agents = self.agents.len(),
                    "the limit of agents is reached while loading profiles"
                );
                break;
            }
        }
        self.metrics.agents.set(self.agents.len() as i64);
        self.board.set_loaded();
        info!(profiles = self.agents.len(), "profiles loaded");
        true
    }

    /// Takes executions in. Acknowledged at once: what waits here and is lost with the process taught nothing, while
    /// a redelivery after a restart could teach twice.
    fn take(&mut self, delivery: Delivery) {
        let now = self.clock.now();
        for record in delivery.batch.iter() {
            let outcome = match record {
                Record::Vitals(vitals) => self.matching.vitals(vitals, now),
                Record::Retracted(key, execution) => self.matching.withdraw(key, execution, now),
            };
            self.apply(outcome, now);
        }
        delivery.ack();
    }

    fn judge(&mut self, verdict: &Verdict) {
        let now = self.clock.now();
        let Verdict {
            key,
            execution,
            revision,
            teaches,
            is_sick,
        } = verdict;
        if *is_sick {
            self.metrics.withheld.inc_by(self.late.discard(key));
        }
        let outcome = self.matching.verdict(key, execution, *revision, *teaches, now);
        self.apply(outcome, now);
    }

    fn apply(&mut self, outcome: Option<Outcome>, now: Timestamp) {
        let Some(Outcome { key, forget, learn }) = outcome else {
            return;
        };
        if let Some(sample) = forget
            && !self.late.take_back(&key, &sample)
            && let Some(agent) = self.agents.get_mut(&key)
        {
            agent.learner.forget(&sample);
            self.metrics.forgotten.inc();
            self.changed.insert(key.clone());
        }
        match learn {
            Some(lesson) if self.is_judged(&lesson.key) => {
                if !self.late.push(lesson, now) {
                    self.metrics.withheld.inc();
                }
            }
            Some(lesson) => self.learn(lesson, now),
            None => {
                self.metrics.withheld.inc();
            }
        }
    }

    /// Whether the agent has a baseline that judges, so that its executions teach late.
    fn is_judged(&self, key: &AgentKey) -> bool {
        let judges =
            |agent: &Agent| agent.samples_min > 0 && agent.learner.samples() >= u64::from(agent.samples_min);
        self.config.learn_late_seconds > 0 && self.agents.get(key).is_some_and(judges)
    }

    fn learn(&mut self, lesson: Lesson, now: Timestamp) {
        let policy = self.policies.resolve(
            &lesson.key.run,
            &lesson.key.agent,
            lesson.agent_type.as_deref(),
            lesson.namespace.as_deref(),
        );
        let is_known = self.agents.contains_key(&lesson.key);
        if !is_known && self.agents.len() >= self.config.agents_max {
            self.metrics.refused.inc();
            return;
        }
        let agent = self
            .agents
            .entry(lesson.key.clone())
            .or_insert_with(|| Agent::new(now));
        if !agent.learner.learn(&lesson.sample) {
            self.metrics.incredible.inc();
            return;
        }
        agent.samples_min = policy.baseline_samples_min;
        agent.updated_at = now;
        self.changed.insert(lesson.key);
        self.metrics.learned.inc();
        self.metrics.agents.set(self.agents.len() as i64);
    }

    /// Stores what changed, then shows it. What cannot be stored stays changed and is tried with the next flush.
    async fn flush(&mut self) {
        let now = self.clock.now();
        for lesson in self.late.due(now) {
            self.learn(lesson, now);
        }
        self.metrics.unjudged.inc_by(self.matching.expire(now));
        self.metrics.waiting.set(self.matching.len() as i64);
        let keys: Vec<AgentKey> = self.changed.iter().cloned().collect();
        for keys in keys.chunks(BATCH_MAX) {
            let batch: Vec<StoredProfile> = keys
                .iter()
                .filter_map(|key| self.next_version(key, now))
                .collect();
            if let Err(error) = self.store.put(&batch).await {
                self.metrics.store_failures.inc();
                warn!(error = %with_source(&error), profiles = batch.len(), "cannot store profiles; trying again");
                return;
            }
            self.metrics.stored.inc_by(batch.len() as u64);
            for stored in batch {
                self.changed.remove(&stored.profile.key);
                if let Some(agent) = self.agents.get_mut(&stored.profile.key) {
                    (agent.version, agent.state) = (stored.profile.version, stored.profile.state);
                }
                self.board.show([Arc::new(stored.profile)]);
            }
        }
    }

    fn next_version(&self, key: &AgentKey, now: Timestamp) -> Option<StoredProfile> {
        let agent = self.agents.get(key)?;
        let version = agent.version + 1;
        let profile = agent.learner.profile(
            key.clone(),
            version,
            agent.samples_min,
            agent.updated_at,
            now,
            self.stale_after(),
        );
        let saved = Saved {
            form: FORM,
            learner: agent.learner,
            samples_min: agent.samples_min,
        };
        let learner = serde_json::to_value(&saved).expect("numbers and names serialise");
        Some(StoredProfile { profile, learner })
    }

    fn mark_stale(&mut self) {
        let (now, stale_after) = (self.clock.now(), self.stale_after());
        let is_outdated = |agent: &Agent| {
            let state = State::of(
                agent.learner.samples(),
                agent.samples_min,
                agent.updated_at,
                now,
                stale_after,
            );
            state != agent.state
        };
        let outdated = self
            .agents
            .iter()
            .filter(|(_, agent)| is_outdated(agent))
            .map(|(key, _)| key.clone());
        self.changed.extend(outdated);
    }

    fn stale_after(&self) -> Duration {
        Duration::from_secs(self.config.stale_after_seconds)
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Reset { key, answer } => {
                let removed = self.store.remove(&key).await;
                if let Ok(was_stored) = &removed {
                    let was_known = self.agents.remove(&key).is_some();
                    self.changed.remove(&key);
                    self.metrics.agents.set(self.agents.len() as i64);
                    if was_known || *was_stored {
                        self.board.take_away(&key);
                    }
                }
                // The asker may be gone; the profile is too.
                let _ = answer.send(removed);
            }
        }
    }
}

impl Agent {
    fn new(now: Timestamp) -> Self {
        Agent {
            learner: Learner::default(),
            version: 0,
            samples_min: 0,
            updated_at: now,
            state: State::Learning,
        }
    }

    /// Continues from what is stored. A learner's state that cannot be read is begun from the profile's numbers.
    fn of(stored: &StoredProfile) -> Self {
        let Profile {
            version,
            state,
            sample_count,
            updated_at,
            ..
        } = stored.profile;
        let saved = serde_json::from_value::<Saved>(stored.learner.clone())
            .ok()
            .filter(|saved| saved.form == FORM);
        let samples_min = match state {
            State::Learning => u32::try_from(sample_count).unwrap_or(u32::MAX).saturating_add(1),
            State::Active | State::Stale => u32::try_from(sample_count).unwrap_or(u32::MAX),
        };
        let saved = saved.unwrap_or_else(|| Saved {
            form: FORM,
            learner: Learner::of(&stored.profile),
            samples_min,
        });
        Agent {
            learner: saved.learner,
            version,
            samples_min: saved.samples_min,
            updated_at,
            state,
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// An error with what caused it, for the log.
fn with_source(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
