//! One look at the active agents: how many there are and how many depart, by run, and within it by model and by tool.

use super::incident::{Settings, Shared};
use super::{Sign, Signs};
use crate::RunId;
use std::collections::HashMap;
use std::sync::Arc;

/// Runs that are looked at; those beyond are not.
pub const RUNS_MAX: usize = 4_096;
/// Models of a run that are told apart.
pub const MODELS_MAX: usize = 64;
/// Tools of a run that are told apart.
pub const TOOLS_MAX: usize = 256;

/// An active agent, as far as the look counts it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its latest model.
    pub model: Option<&'a Arc<str>>,
    /// Tools of its recent executions.
    pub tools: &'a [Arc<str>],
    /// In which ways it departs.
    pub departing: Signs,
    /// In which of them it began to depart lately: many that fell ill one by one over a day are no incident.
    pub lately: Signs,
}

/// Agents in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) active: u32,
    pub(super) departing: [u32; 8],
    lately: [u32; 8],
}

impl Tally {
    fn count(&mut self, member: &Member<'_>) {
        self.active += 1;
        for sign in member.departing.iter() {
            self.departing[sign.index()] += 1;
        }
        for sign in member.lately.iter() {
            self.lately[sign.index()] += 1;
        }
    }

    fn is_over(&self, sign: Sign, settings: &Settings) -> bool {
        self.lately[sign.index()] >= settings.agents_min
            && share(self.lately[sign.index()], self.active) >= settings.share
    }

    /// Those that are not in a part of it.
    fn outside(&self, part: &Tally, sign: Sign) -> f64 {
        let departing = self.lately[sign.index()].saturating_sub(part.lately[sign.index()]);
        share(departing, self.active.saturating_sub(part.active))
    }
}

pub(super) fn share(part: u32, of: u32) -> f64 {
    match of {
        0 => 0.0,
        of => f64::from(part) / f64::from(of),
    }
}

#[derive(Debug, Default)]
struct Run {
    whole: Tally,
    models: HashMap<Arc<str>, Tally>,
    tools: HashMap<Arc<str>, Tally>,
}

/// One look at all active agents; kept from look to look, so that nothing is allocated for what was there before.
#[derive(Debug, Default)]
pub struct Look {
    runs: HashMap<RunId, Run>,
}

impl Look {
    /// Begins to count anew. Groups too small for an incident leave, and make room for others.
    pub fn begin(&mut self, settings: &Settings) {
        let renew = |group: &mut Tally| {
            let stays = group.active >= settings.agents_min;
            *group = Tally::default();
            stays
        };
        self.runs.retain(|_, run| {
            run.models.retain(|_, group| renew(group));
            run.tools.retain(|_, group| renew(group));
            std::mem::take(&mut run.whole).active > 0
        });
    }

    /// Counts an active agent.
    pub fn count(&mut self, run: &RunId, member: &Member<'_>) {
        if !self.runs.contains_key(run) {
            if self.runs.len() >= RUNS_MAX {
                return;
            }
            self.runs.insert(run.clone(), Run::default());
        }
        let Some(run) = self.runs.get_mut(run) else { return };
        run.whole.count(member);
        if let Some(model) = member.model {
            count_in(&mut run.models, MODELS_MAX, model, member);
        }
        for tool in member.tools {
            count_in(&mut run.tools, TOOLS_MAX, tool, member);
        }
    }

    /// The runs that have an active agent.
    pub(super) fn runs(&self) -> impl Iterator<Item = &RunId> {
        self.runs.keys()
    }

    /// The agents of a run that share something.
    pub(super) fn tally(&self, run: &RunId, shared: &Shared) -> Tally {
        let Some(run) = self.runs.get(run) else {
            return Tally::default();
        };
        match shared {
            Shared::Run => run.whole,
            Shared::Model(name) => run.models.get(name).copied().unwrap_or_default(),
            Shared::Tool(name) => run.tools.get(name).copied().unwrap_or_default(),
        }
    }

    /// What the agents of a run share that began to depart in one way lately, if they are too many: the narrowest
    /// group outside of which they are not, else the run.
    pub(super) fn shared(&self, run: &RunId, sign: Sign, settings: &Settings) -> Option<Shared> {
        let run = self.runs.get(run)?;
        let whole = &run.whole;
        if whole.lately[sign.index()] < settings.agents_min {
            return None;
        }
        let explains = |group: &Tally| {
            group.active < whole.active
                && group.is_over(sign, settings)
                && whole.outside(group, sign) < settings.share
        };
        let models = run
            .models
            .iter()
            .map(|(name, group)| (Shared::Model(name.clone()), group));
        let tools = run
            .tools
            .iter()
            .map(|(name, group)| (Shared::Tool(name.clone()), group));
        let narrowest = models
            .chain(tools)
            .filter(|(_, group)| explains(group))
            .min_by(|a, b| {
                // Whom it explains most, of those the smallest, of those a model first, and then by name.
                let most = b.1.lately[sign.index()].cmp(&a.1.lately[sign.index()]);
                most.then(a.1.active.cmp(&b.1.active)).then_with(|| a.0.cmp(&b.0))
            });
        match narrowest {
            Some((shared, _)) => Some(shared),
            None => whole.is_over(sign, settings).then_some(Shared::Run),
        }
    }
}

fn count_in(groups: &mut HashMap<Arc<str>, Tally>, max: usize, name: &Arc<str>, member: &Member<'_>) {
    if let Some(group) = groups.get_mut(name) {
        group.count(member);
    } else if groups.len() < max {
        groups.entry(name.clone()).or_default().count(member);
    }
}
