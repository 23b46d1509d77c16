//! Which report waits for the fleet check, and which one it holds back.

use super::{Fleet, Inner};
use crate::agent::Agent;
use crate::report::{Draft, Reporting};
use immune_domain::fleet::Signs;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Other agents that begin to depart in the same way, from which on a report waits for the check.
const OTHERS_MIN: usize = 2;
/// How long before it they may have begun.
const MOMENTS: Duration = Duration::from_secs(5);
/// Time until a report that was held back is asked about again.
const HELD_WAIT: Duration = Duration::from_secs(1);
/// Beginnings that are remembered of a run.
const ONSETS_MAX: usize = 16;
/// Runs of which they are.
const RUNS_MAX: usize = 1_024;

/// Which agents began to depart in the last moments, by run.
#[derive(Debug, Default)]
pub(super) struct Onsets {
    runs: HashMap<RunId, VecDeque<Onset>>,
}

#[derive(Debug)]
struct Onset {
    agent: AgentId,
    signs: Signs,
    at: Timestamp,
}

impl Onsets {
    /// An agent began to depart in these ways.
    pub(super) fn note(&mut self, key: &AgentKey, signs: Signs, now: Timestamp) {
        if self.runs.len() >= RUNS_MAX && !self.runs.contains_key(&key.run) {
            let is_recent = |onset: &Onset| now.since(onset.at) < MOMENTS;
            self.runs.retain(|_, onsets| onsets.back().is_some_and(is_recent));
            if self.runs.len() >= RUNS_MAX {
                return;
            }
        }
        let onsets = self.runs.entry(key.run.clone()).or_default();
        if onsets.len() >= ONSETS_MAX {
            onsets.pop_front();
        }
        onsets.push_back(Onset {
            agent: key.agent.clone(),
            signs,
            at: now,
        });
    }

    /// Whether enough others began to depart in one of these ways in the last moments.
    fn has_others(&self, key: &AgentKey, signs: Signs, now: Timestamp) -> bool {
        let recent = self.runs.get(&key.run).into_iter().flatten();
        let others: Vec<&Onset> = recent
            .filter(|onset| now.since(onset.at) < MOMENTS && onset.agent != key.agent)
            .collect();
        signs.iter().any(|sign| {
            let mut agents: Vec<&AgentId> = others
                .iter()
                .filter(|onset| onset.signs.has(sign))
                .map(|onset| &onset.agent)
                .collect();
            agents.sort();
            agents.dedup();
            agents.len() >= OTHERS_MIN
        })
    }
}

impl Fleet {
    /// Whether a report may be sent now. If not, it is drafted again later: while the fleet check has not looked yet,
    /// and while an open incident explains it.
    pub(crate) fn lets_pass(&self, agent: &mut Agent, draft: &Draft, now: Timestamp) -> bool {
        let is_concerned = self.config.enabled && draft.clues.platform_word.is_none() && agent.case.is_none();
        let Some(wait) = is_concerned.then(|| self.wait(&draft.key, agent, now)).flatten() else {
            return true;
        };
        agent.reporting = Reporting::NotBefore(now.plus(wait));
        false
    }

    /// How long the report of an agent waits; `None`: not at all.
    fn wait(&self, key: &AgentKey, agent: &mut Agent, now: Timestamp) -> Option<Duration> {
        let member = &mut agent.fleet;
        let departures = member.departures();
        if departures.signs.is_empty() {
            // It is back within its baseline, and its alarm has not run out yet.
            return member.is_held.then_some(HELD_WAIT);
        }
        let mut inner = self.inner();
        let Inner {
            incidents, onsets, ..
        } = &mut *inner;
        // A level that has lasted becomes a reference, too: the way back departs from it in the other direction.
        let covered = incidents
            .covered(&key.run, member.model(), member.tools())
            .both_ways();
        if departures.is_explained_by(covered) {
            if !member.is_held {
                incidents.hold_back(&key.run, member.model(), member.tools(), departures.signs);
                self.metrics.held_back.inc();
                member.is_held = true;
            }
            return Some(HELD_WAIT);
        }
        if !member.has_waited && onsets.has_others(key, departures.signs, now) {
            member.has_waited = true;
            return Some(self.config.settle());
        }
        None
    }
}
