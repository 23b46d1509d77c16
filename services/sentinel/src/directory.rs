//! Every agent and every profile in memory, in shards, each behind a lock that is held for one short step at a time.

use crate::agent::Agent;
use crate::metrics::Metrics;
use crate::report::{Draft, Reporting};
use immune_domain::baseline::Profile;
use immune_domain::case::Case;
use immune_domain::policy::{Compiled, Detector};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, CaseId, Timestamp};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// Agents looked at to find one that has not been seen for long.
const EVICTION_SAMPLE: usize = 16;

/// What stands for an agent in a shard.
#[derive(Debug, Default)]
struct Shard {
    agents: HashMap<AgentKey, Agent>,
    profiles: HashMap<AgentKey, Known>,
    /// Agents with something to look at every second.
    active: Vec<AgentKey>,
}

#[derive(Debug)]
struct Known {
    profile: Arc<Profile>,
    /// Which watch on the profiles last spoke of it.
    generation: u64,
}

/// Every agent and every profile.
#[derive(Debug)]
pub struct Directory {
    shards: Box<[Mutex<Shard>]>,
    policies: Compiled,
    agents_max: usize,
    growth: f64,
    metrics: Metrics,
    profile_generation: AtomicU64,
    case_generation: AtomicU64,
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
    pub fn new(policies: Compiled, agents_max: usize, growth: f64, metrics: Metrics) -> Self {
        Directory {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            policies,
            agents_max: agents_max.div_ceil(SHARDS),
            growth,
            metrics,
            profile_generation: AtomicU64::new(0),
            case_generation: AtomicU64::new(0),
        }
    }

    /// Takes a record, see [`Agent::take`].
    pub fn take(&self, vitals: &Vitals, now: Timestamp) -> crate::agent::Taken {
        let mut shard = self.shard(&vitals.key);
        let Shard {
            agents,
            profiles,
            active,
        } = &mut *shard;
        self.make_room(agents, &vitals.key);
        let agent = agents
            .entry(vitals.key.clone())
            .or_insert_with(|| Agent::new(self.policy(&vitals.key, None, None)));
        self.note_attributes(agent, vitals);
        let profile = profiles.get(&vitals.key).map(|known| &known.profile);
        let taken = agent.take(vitals, profile, self.growth, now);
        if !agent.is_active && !agent.is_idle() {
            agent.is_active = true;
            active.push(vitals.key.clone());
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
        } = &mut *shard;
        let mut drafts = Vec::new();
        active.retain(|key| {
            let Some(agent) = agents.get_mut(key) else {
                return false;
            };
            let profile = profiles.get(key).map(|known| &known.profile);
            drafts.extend(agent.tick(key, profile, self.growth, now));
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

    /// Looks at an agent and its profile.
    pub fn look<T>(&self, key: &AgentKey, at: impl FnOnce(Option<&Agent>, Option<&Arc<Profile>>) -> T) -> T {
        let shard = self.shard(key);
        at(
            shard.agents.get(key),
            shard.profiles.get(key).map(|known| &known.profile),
        )
    }

    /// Changes an agent, which is made if it was never seen.
    pub fn change<T>(&self, key: &AgentKey, by: impl FnOnce(&mut Agent, Option<&Arc<Profile>>) -> T) -> T {
        let mut shard = self.shard(key);
        let Shard { agents, profiles, .. } = &mut *shard;
        let agent = agents
            .entry(key.clone())
            .or_insert_with(|| Agent::new(self.policy(key, None, None)));
        by(agent, profiles.get(key).map(|known| &known.profile))
    }

    /// What holds for an agent of which no more than this is known.
    pub fn policy(
        &self,
        key: &AgentKey,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> Arc<immune_domain::policy::Policy> {
        self.policies
            .resolve(&key.run, &key.agent, agent_type, namespace)
            .clone()
    }

    /// Quarantine accepted a report.
    pub fn accepted(&self, key: &AgentKey, id: CaseId, severity: f64, has_platform_word: bool) {
        let generation = self.case_generation.load(Ordering::SeqCst);
        self.change(key, |agent, _| {
            agent.accepted(id, severity, has_platform_word, generation)
        });
    }

    /// A report could not be delivered.
    pub fn undelivered(&self, key: &AgentKey, again_at: Timestamp) {
        self.change(key, |agent, _| agent.reporting = Reporting::NotBefore(again_at));
    }

    /// A watch on the profiles begins; returns its number.
    pub fn begin_profiles(&self) -> u64 {
        self.profile_generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A profile was stored.
    pub fn set_profile(&self, profile: Profile, generation: u64) {
        let key = profile.key.clone();
        let known = Known {
            profile: Arc::new(profile),
            generation,
        };
        self.shard(&key).profiles.insert(key, known);
    }

    /// A profile was forgotten.
    pub fn remove_profile(&self, key: &AgentKey) {
        self.shard(key).profiles.remove(key);
    }

    /// The watch has told every profile that there is: others were forgotten while nobody watched.
    pub fn end_profiles(&self, generation: u64) {
        for shard in &self.shards {
            lock(shard)
                .profiles
                .retain(|_, known| known.generation == generation);
        }
    }

    /// Whether there may be agents about which the guarded detector decides.
    pub fn has_guarded(&self) -> bool {
        self.policies.has_detector(Detector::Guarded)
    }

    /// The executions on record of an agent are about to be read, see [`Agent::begin_history`]. `false` where they
    /// are not needed, or there is no room for the agent.
    pub fn begin_history(&self, key: &AgentKey) -> bool {
        let mut shard = self.shard(key);
        if shard.agents.len() >= self.agents_max && !shard.agents.contains_key(key) {
            return false;
        }
        shard
            .agents
            .entry(key.clone())
            .or_insert_with(|| Agent::new(self.policy(key, None, None)))
            .begin_history()
    }

    /// The executions on record of an agent, oldest first.
    pub fn end_history(&self, key: &AgentKey, history: &[Vitals]) {
        let mut shard = self.shard(key);
        let Some(agent) = shard.agents.get_mut(key) else {
            return;
        };
        if let Some(latest) = history.last().filter(|_| agent.last_seen == Timestamp::EPOCH) {
            // Which policy holds depends on what telemetry says of the agent; live telemetry has said nothing yet.
            self.note_attributes(agent, latest);
            agent.last_seen = latest.received_at;
        }
        agent.end_history(history);
    }

    /// A watch on the cases begins; returns its number.
    pub fn begin_cases(&self) -> u64 {
        self.case_generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Quarantine spoke of a case.
    pub fn set_case(&self, case: &Case, generation: u64) {
        self.change(&case.key, |agent, _| agent.note_case(case, generation));
    }

    /// The watch has told every open case that there is: others were closed while nobody watched.
    pub fn end_cases(&self, generation: u64, now: Timestamp) {
        for shard in &self.shards {
            for agent in lock(shard).agents.values_mut() {
                let closed = agent
                    .case
                    .as_ref()
                    .filter(|case| case.generation < generation)
                    .map(|case| case.id.clone());
                if let Some(id) = closed {
                    agent.closed(id, now);
                }
            }
        }
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

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A step that panicked left an agent half-judged at worst; the next record judges it anew.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
