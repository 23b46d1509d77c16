//! Cases, as the watch on quarantine tells them, and as quarantine answers.

use super::{Directory, Shard, keep_active, lock};
use crate::agent::{Agent, News};
use crate::changes::Judged;
use crate::report::{Draft, Reporting};
use immune_domain::case::Case;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, CaseId, Timestamp};
use std::sync::atomic::Ordering;

impl Directory {
    /// Quarantine accepted a report.
    pub fn accepted(&self, key: &AgentKey, id: CaseId, severity: f64, has_platform_word: bool) {
        let generation = self.case_generation.load(Ordering::SeqCst);
        // An agent that has left in the meantime has its case from the watch where it is now.
        self.change(key, |agent, _| {
            agent.accepted(id, severity, has_platform_word, generation)
        });
    }

    /// A watch on the cases begins; returns its number.
    pub fn begin_cases(&self) -> u64 {
        self.case_generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Quarantine spoke of a case.
    pub fn set_case(&self, case: &Case, generation: u64) {
        let mut shard = self.shard(&case.key);
        let Shard {
            agents, elsewhere, ..
        } = &mut *shard;
        let is_held = self.holds(&case.key);
        if !is_held && case.state.is_closed() {
            elsewhere.remove(&case.key);
            return;
        }
        let map = if is_held { agents } else { elsewhere };
        if map.len() >= self.agents_max && !map.contains_key(&case.key) && !is_held {
            // Asked for before the first report, should the agent ever come here.
            return;
        }
        let agent = map
            .entry(case.key.clone())
            .or_insert_with(|| Agent::new(self.policy(&case.key, None, None)));
        let before = Judged::of(agent);
        agent.note_case(case, generation);
        if before != Judged::of(agent) {
            self.changes.mark(&case.key);
        }
    }

    /// The watch has told every open case that there is: others were closed while nobody watched.
    pub fn end_cases(&self, generation: u64, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.elsewhere.retain(|_, agent| {
                agent
                    .case
                    .as_ref()
                    .is_some_and(|case| case.generation >= generation)
            });
            for agent in shard.agents.values_mut() {
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
        self.standing.cases_told();
    }

    /// Whether the latest case of an agent is known, so that nothing from before its end is held against the agent.
    pub fn is_acquainted(&self, key: &AgentKey) -> bool {
        self.look(key, |agent, _| agent.is_some_and(Agent::is_acquainted))
    }

    /// Quarantine said which case of an agent is the latest, or that there is none. After news a report that was
    /// drafted before is void, see [`Directory::judge_again`].
    pub fn acquaint(&self, key: &AgentKey, latest: Option<&Case>) -> News {
        let generation = self.case_generation.load(Ordering::SeqCst);
        self.change(key, |agent, _| agent.acquaint(latest, generation))
            .unwrap_or(News::Nothing)
    }

    /// Judges executions on record that may have been dropped together with older ones; those that were judged since
    /// change nothing. Returns the report that is due after it, if one is: the one that was under way is void.
    pub fn judge_again(&self, key: &AgentKey, records: &[Vitals], now: Timestamp) -> Option<Draft> {
        let mut shard = self.shard(key);
        let Shard {
            agents,
            profiles,
            active,
            ..
        } = &mut *shard;
        let agent = agents.get_mut(key)?;
        let profile = profiles.get(key).map(|known| &known.profile);
        for vitals in records {
            agent.take(vitals, profile, self.growth, now);
        }
        agent.reporting = Reporting::Idle;
        let draft = agent.draft(key, profile, self.growth, now);
        keep_active(agent, key, active);
        draft
    }
}
