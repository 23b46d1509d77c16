//! Whom a fleet incident explains, and whose report waits for one.

use super::{Directory, lock};
use crate::report::Draft;
use immune_domain::fleet::Incident;
use immune_domain::{AgentKey, CaseId, Timestamp};

/// Agents whose departure an incident explains.
#[derive(Debug, Default)]
pub(crate) struct Explained {
    /// Those with a case that no platform has asked for, at most as many as were wanted.
    pub(crate) cases: Vec<(AgentKey, CaseId)>,
    /// Others, at most as many as were wanted.
    pub(crate) others: Vec<AgentKey>,
}

impl Directory {
    /// The active agents whose departure an incident explains, at most so many of either kind.
    pub(crate) fn explained(&self, incident: &Incident, max: usize) -> Explained {
        let mut explained = Explained::default();
        for shard in &self.shards {
            let shard = lock(shard);
            for key in shard.active.iter().filter(|key| key.run == incident.run) {
                let Some(agent) = shard.agents.get(key) else {
                    continue;
                };
                let member = &agent.fleet;
                let is_explained = incident.shared.has(member.model(), member.tools())
                    && member.departures().is_explained_by(incident.what);
                if !is_explained {
                    continue;
                }
                match &agent.case {
                    Some(case) if case.has_platform_word => {}
                    Some(case) if explained.cases.len() < max => {
                        explained.cases.push((key.clone(), case.id.clone()));
                    }
                    None if explained.others.len() < max => explained.others.push(key.clone()),
                    Some(_) | None => {}
                }
            }
        }
        explained
    }

    /// Asks the fleet check once more about a report that is about to be sent, see [`crate::fleet`].
    pub(crate) fn lets_pass(&self, draft: &Draft, now: Timestamp) -> bool {
        self.change(&draft.key, |agent, _| self.fleet.lets_pass(agent, draft, now))
            .unwrap_or(true)
    }
}
