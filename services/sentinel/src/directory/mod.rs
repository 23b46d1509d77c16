//! The agents whose partitions are held here, and every profile, in shards, each behind a lock that is held for one
//! short step at a time.
//!
//! Profiles of agents that are held elsewhere are kept too: a partition that comes over is judged at once, instead of
//! after every baseline has told all of its profiles again. That costs about 340 bytes an agent (34 MB for 100,000),
//! beside 880 of one that is judged. Of the cases of agents elsewhere the open ones are kept.
//!
//! - [`partitions`]: agents come and go with their partitions. [`profiles`], [`cases`]: what the watches tell.
//! - [`silent`]: agents that are not heard any more. [`policing`]: policies that change. [`incidents`]: whom a fleet incident explains.

mod cases;
mod incidents;
mod partitions;
mod policing;
mod profiles;
mod silent;

pub use silent::SHARDS_A_SECOND;

use crate::agent::{Agent, Taken};
use crate::changes::{Changes, Judged};
use crate::fleet::{self, Fleet};
use crate::metrics::Metrics;
use crate::report::{Draft, Reporting};
use crate::silence::{Hearing, Telemetry};
use crate::standing::Standing;
use immune_domain::baseline::Profile;
use immune_domain::baseline::Reason;
use immune_domain::policy::LivePolicies;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, RunId, Timestamp};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// Agents looked at to find one that has not been seen for long.
const EVICTION_SAMPLE: usize = 16;

/// What stands for an agent in a shard.
#[derive(Debug, Default)]
struct Shard {
    agents: HashMap<AgentKey, Agent>,
    /// Agents of other replicas that have an open case, and nothing else of them.
    elsewhere: HashMap<AgentKey, Agent>,
    profiles: HashMap<AgentKey, Known>,
    /// Agents with something to look at every second.
    active: Vec<AgentKey>,
    /// Agents whose telemetry has stopped.
    silent: HashSet<AgentKey>,
}

#[derive(Debug)]
struct Known {
    profile: Arc<Profile>,
    /// Which watch on the profiles last spoke of it.
    generation: u64,
}

/// The agents that are held here, and every profile.
#[derive(Debug)]
pub struct Directory {
    shards: Box<[Mutex<Shard>]>,
    policies: LivePolicies,
    /// Which generation of the policies the agents have.
    policed: AtomicU64,
    agents_max: usize,
    growth: f64,
    metrics: Metrics,
    standing: Arc<Standing>,
    profile_generation: AtomicU64,
    case_generation: AtomicU64,
    changes: Arc<Changes>,
    fleet: Fleet,
    hearing: Mutex<Hearing>,
    /// Which shard is listened for next.
    listened: AtomicUsize,
}

/// What a look at all agents found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Agents in memory.
    pub agents: usize,
    /// With something to look at.
    pub active: usize,
    /// With an anomaly.
    pub suspect: usize,
}

impl Directory {
    /// An empty directory of at most so many agents.
    pub(crate) fn new(
        policies: LivePolicies,
        agents_max: usize,
        growth: f64,
        metrics: Metrics,
        standing: Arc<Standing>,
    ) -> Self {
        Directory {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            policed: AtomicU64::new(policies.generation()),
            policies,
            agents_max: agents_max.div_ceil(SHARDS),
            growth,
            changes: Arc::new(Changes::new(metrics.watches.clone())),
            hearing: Mutex::default(),
            listened: AtomicUsize::new(0),
            fleet: Fleet::new(fleet::Config::default(), metrics.clone()),
            metrics,
            standing,
            profile_generation: AtomicU64::new(0),
            case_generation: AtomicU64::new(0),
        }
    }

    /// The same with other settings of the fleet check.
    pub(crate) fn with_fleet(self, config: fleet::Config) -> Self {
        let fleet = Fleet::new(config, self.metrics.clone());
        Directory { fleet, ..self }
    }

    /// Takes a record, see [`Agent::take`]. While the profiles of its partition are not known, no execution of an
    /// agent without one may teach: it may have one that calls it sick.
    pub fn take(&self, vitals: &Vitals, knows_profiles: bool, now: Timestamp) -> Taken {
        let mut shard = self.shard(&vitals.key);
        let Shard {
            agents,
            profiles,
            active,
            silent,
            ..
        } = &mut *shard;
        self.make_room(agents, &vitals.key);
        let before = self
            .changes
            .is_watched()
            .then(|| agents.get(&vitals.key).map(Judged::of));
        let profile = profiles.get(&vitals.key).map(|known| &known.profile);
        let agent = agents.entry(vitals.key.clone()).or_insert_with(|| {
            let mut agent = Agent::new(self.policy(&vitals.key, None, None));
            if let Some(profile) = profile {
                agent.follow(profile);
            }
            agent
        });
        self.note_attributes(agent, vitals);
        if agent.telemetry() == Telemetry::Silent {
            silent.remove(&vitals.key);
        }
        agent.hear_from(vitals, &self.hearing(), now);
        let mut taken = agent.take(vitals, profile, self.growth, now);
        if !knows_profiles && profile.is_none() && taken.reason == Some(Reason::Healthy) {
            taken.reason = Some(Reason::ProfilesUnknown);
        }
        self.fleet.take(vitals, agent, profile, now);
        taken.draft = taken
            .draft
            .filter(|draft| self.fleet.lets_pass(agent, draft, now));
        keep_active(agent, &vitals.key, active);
        if before.is_some_and(|before| before != Some(Judged::of(agent))) {
            self.changes.mark(&vitals.key);
        }
        taken
    }

    /// Takes an execution out of its agent's window.
    pub fn retract(&self, key: &AgentKey, execution: u64) {
        if let Some(agent) = self.shard(key).agents.get_mut(key) {
            agent.window.retract(execution);
        }
    }

    /// A second passed for one shard; returns the reports that are due. Shard by shard, so that records are not kept
    /// waiting by a look at a million agents.
    pub fn tick(&self, shard: usize, now: Timestamp, census: &mut Census) -> Vec<Draft> {
        let mut shard = lock(&self.shards[shard]);
        let Shard {
            agents,
            profiles,
            active,
            ..
        } = &mut *shard;
        let mut drafts = Vec::new();
        let mut look = self.fleet.look();
        active.retain(|key| {
            let Some(agent) = agents.get_mut(key) else {
                return false;
            };
            let profile = profiles.get(key).map(|known| &known.profile);
            let before = Judged::of(agent);
            let draft = agent.tick(key, profile, self.growth, now);
            self.fleet.follow(key, agent, profile, now);
            self.fleet.count(&mut look, key, agent, profile, now);
            drafts.extend(draft.filter(|draft| self.fleet.lets_pass(agent, draft, now)));
            if before != Judged::of(agent) {
                self.changes.mark(key);
            }
            census.suspect += usize::from(agent.judgement.is_anomalous());
            agent.is_active = !agent.is_idle();
            agent.is_active
        });
        census.agents += agents.len();
        census.active += active.len();
        drafts
    }

    /// How many shards [`Directory::tick`] has to be called for.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Looks at an agent and its profile. Of an agent that is held elsewhere no more than an open case is known.
    pub fn look<T>(&self, key: &AgentKey, at: impl FnOnce(Option<&Agent>, Option<&Arc<Profile>>) -> T) -> T {
        let shard = self.shard(key);
        at(
            shard.agents.get(key).or_else(|| shard.elsewhere.get(key)),
            shard.profiles.get(key).map(|known| &known.profile),
        )
    }

    /// Changes an agent, which is made if it was never seen. `None`: it is held elsewhere.
    pub fn change<T>(
        &self,
        key: &AgentKey,
        by: impl FnOnce(&mut Agent, Option<&Arc<Profile>>) -> T,
    ) -> Option<T> {
        let mut shard = self.shard(key);
        // Under the lock: a partition that is lost is first marked as lost, and then swept from every shard.
        if !self.holds(key) {
            return None;
        }
        let Shard { agents, profiles, .. } = &mut *shard;
        let agent = agents
            .entry(key.clone())
            .or_insert_with(|| Agent::new(self.policy(key, None, None)));
        Some(by(agent, profiles.get(key).map(|known| &known.profile)))
    }

    /// The fleet check.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Who is told of changes.
    pub(crate) fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// The agents of a run that are held here and have an anomaly now, at most so many.
    pub fn suspects(&self, run: &RunId, max: usize) -> Vec<AgentKey> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let is_suspect = |key: &&AgentKey| {
                key.run == *run && shard.agents.get(key).is_some_and(|a| a.judgement.is_anomalous())
            };
            // Who has an anomaly has a window, and so is looked at every second.
            found.extend(
                shard
                    .active
                    .iter()
                    .filter(is_suspect)
                    .take(max - found.len())
                    .cloned(),
            );
        }
        found
    }

    /// Whether the partition of an agent is held here.
    pub fn holds(&self, key: &AgentKey) -> bool {
        self.standing.holds_agent(key)
    }

    /// What holds for an agent of which no more than this is known.
    pub fn policy(
        &self,
        key: &AgentKey,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> Arc<immune_domain::policy::Policy> {
        self.policies.resolve(&key.run, &key.agent, agent_type, namespace)
    }

    /// The policies that hold now.
    pub fn policies(&self) -> Arc<immune_domain::policy::Compiled> {
        self.policies.now()
    }

    /// A report could not be delivered.
    pub fn undelivered(&self, key: &AgentKey, again_at: Timestamp) {
        self.change(key, |agent, _| agent.reporting = Reporting::NotBefore(again_at));
    }

    /// Policy follows what telemetry says of the agent. Compared first: it says the same nearly always.
    fn note_attributes(&self, agent: &mut Agent, vitals: &Vitals) {
        let agent_type = vitals
            .context
            .agent_type
            .as_deref()
            .or(agent.agent_type.as_deref());
        let namespace = vitals.context.namespace().or(agent.namespace.as_deref());
        if agent_type == agent.agent_type.as_deref() && namespace == agent.namespace.as_deref() {
            return;
        }
        let (agent_type, namespace) = (agent_type.map(Arc::from), namespace.map(Arc::from));
        agent.policy = self.policy(&vitals.key, agent_type.as_deref(), namespace.as_deref());
        (agent.agent_type, agent.namespace) = (agent_type, namespace);
    }

    /// Lets the agent go that was seen longest ago of a few, if this one is new and there is no room. One with an
    /// open case stays.
    fn make_room(&self, agents: &mut HashMap<AgentKey, Agent>, key: &AgentKey) {
        if agents.len() < self.agents_max || agents.contains_key(key) {
            return;
        }
        let candidates = agents
            .iter()
            .filter(|(_, agent)| agent.case.is_none())
            .take(EVICTION_SAMPLE);
        let oldest = candidates
            .min_by_key(|(_, agent)| agent.last_seen)
            .map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            agents.remove(&oldest);
            self.metrics.evicted.inc();
        }
    }

    fn shard(&self, key: &AgentKey) -> MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        lock(&self.shards[hasher.finish() as usize % SHARDS])
    }
}

/// Has an agent looked at every second, if there is something to look at.
fn keep_active(agent: &mut Agent, key: &AgentKey, active: &mut Vec<AgentKey>) {
    if !agent.is_active && !agent.is_idle() {
        agent.is_active = true;
        active.push(key.clone());
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A step that panicked left an agent half-judged at worst; the next record judges it anew.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
