//! Fleet incidents: how they open, grow and close.

use super::look::{Look, share};
use super::{Sign, Signs};
use crate::diagnosis::Diagnosis;
use crate::{RunId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Incidents that may be open at once, of all runs.
pub const OPEN_MAX: usize = 256;

/// When many are too many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Share of the active agents of a run, a model or a tool, 0 to 1.
    pub share: f64,
    /// Agents below which it is never an incident.
    pub agents_min: u32,
    /// An incident closes when its share was below half of the above for so long.
    pub close_after: Duration,
}

/// What the agents of an incident have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shared {
    /// No more than the run.
    Run,
    /// A model.
    Model(Arc<str>),
    /// A tool.
    Tool(Arc<str>),
}

impl Shared {
    /// Name of the kind on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Shared::Run => "run",
            Shared::Model(_) => "model",
            Shared::Tool(_) => "tool",
        }
    }

    /// Name of the model or the tool.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Shared::Run => None,
            Shared::Model(name) | Shared::Tool(name) => Some(name),
        }
    }

    /// Whether an agent is one of them.
    pub fn has(&self, model: Option<&Arc<str>>, tools: &[Arc<str>]) -> bool {
        match self {
            Shared::Run => true,
            Shared::Model(name) => model == Some(name),
            Shared::Tool(name) => tools.contains(name),
        }
    }
}

/// Many agents that depart at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Identity.
    pub id: String,
    /// Of which run.
    pub run: RunId,
    /// In which ways they depart; grows and shrinks while it is open, and is what was left last once it is closed.
    pub what: Signs,
    /// What they share.
    pub shared: Shared,
    /// Agents that depart; where in several ways, in the most common one.
    pub departing: u32,
    /// Active agents that share it.
    pub active: u32,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// Reports of single agents that were held back for it.
    pub held_back: u64,
}

impl Incident {
    /// Departing of active ones, 0 to 1.
    pub fn share(&self) -> f64 {
        share(self.departing, self.active)
    }

    /// What it is a sign of: not of the agents.
    pub const fn diagnosis(&self) -> Diagnosis {
        Diagnosis::ExternalCause
    }

    /// One sentence with the numbers.
    pub fn told(&self) -> String {
        let of = match &self.shared {
            Shared::Run => format!("of run {}", self.run),
            Shared::Model(name) => format!("of model {name}"),
            Shared::Tool(name) => format!("with tool {name}"),
        };
        let (departing, active, what) = (self.departing, self.active, self.what);
        let percent = 100.0 * self.share();
        format!("{departing} of {active} agents {of} depart in {what}: {percent:.0} %")
    }

    fn covers(&self, run: &RunId, shared: &Shared) -> bool {
        self.run == *run && (self.shared == *shared || self.shared == Shared::Run)
    }

    fn concerns(&self, run: &RunId, model: Option<&Arc<str>>, tools: &[Arc<str>]) -> bool {
        self.run == *run && self.shared.has(model, tools)
    }
}

/// An incident that is open.
#[derive(Debug)]
struct Open {
    incident: Incident,
    /// Since when each way has been rare again.
    rare_since: [Option<Timestamp>; 8],
}

impl Open {
    /// Counts anew; lets go of ways that have been rare for long enough.
    fn follow(&mut self, look: &Look, settings: &Settings, now: Timestamp) {
        let Open { incident, rare_since } = self;
        let tally = look.tally(&incident.run, &incident.shared);
        for sign in incident.what.iter() {
            let rare_since = &mut rare_since[sign.index()];
            if share(tally.departing[sign.index()], tally.active) >= settings.share / 2.0 {
                *rare_since = None;
                continue;
            }
            let since = *rare_since.get_or_insert(now);
            if now.since(since) < settings.close_after {
                continue;
            }
            *rare_since = None;
            let mut left = incident.what;
            left.remove(sign);
            if left.is_empty() {
                incident.closed_at = Some(now);
            } else {
                incident.what = left;
            }
        }
        incident.active = tally.active;
        let most = incident
            .what
            .iter()
            .map(|sign| tally.departing[sign.index()])
            .max();
        incident.departing = most.unwrap_or(0);
    }
}

/// What a look changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An incident was opened.
    Opened(Incident),
    /// One was closed.
    Closed(Incident),
}

/// The open incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    open: Vec<Open>,
}

impl Incidents {
    /// Those that are open.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.open.iter().map(|open| &open.incident)
    }

    /// In which ways the departures of an agent are those of open incidents.
    pub fn covered(&self, run: &RunId, model: Option<&Arc<str>>, tools: &[Arc<str>]) -> Signs {
        let of = self
            .open()
            .filter(|incident| incident.concerns(run, model, tools));
        of.fold(Signs::NONE, |signs, incident| signs.or(incident.what))
    }

    /// A report of an agent was held back for the incidents that concern it.
    pub fn hold_back(&mut self, run: &RunId, model: Option<&Arc<str>>, tools: &[Arc<str>], signs: Signs) {
        for Open { incident, .. } in &mut self.open {
            if incident.concerns(run, model, tools) && !incident.what.both_ways().and(signs).is_empty() {
                incident.held_back += 1;
            }
        }
    }

    /// What follows from a look at all active agents.
    pub fn follow(
        &mut self,
        look: &Look,
        settings: &Settings,
        now: Timestamp,
        mut new_id: impl FnMut() -> String,
    ) -> Vec<Change> {
        for open in &mut self.open {
            open.follow(look, settings, now);
        }
        let known = self.open.len();
        for run in look.runs() {
            for sign in Sign::ALL {
                if let Some(shared) = look.shared(run, sign, settings) {
                    self.note(run, sign, shared, now, &mut new_id);
                }
            }
        }
        let mut changes = Vec::new();
        for open in &mut self.open[known..] {
            open.follow(look, settings, now);
            changes.push(Change::Opened(open.incident.clone()));
        }
        let closed = self.open.extract_if(.., |open| open.incident.closed_at.is_some());
        changes.extend(closed.map(|open| Change::Closed(open.incident)));
        changes
    }

    /// Too many depart in one way: it is part of an open incident, or opens one.
    fn note(
        &mut self,
        run: &RunId,
        sign: Sign,
        shared: Shared,
        now: Timestamp,
        new_id: &mut impl FnMut() -> String,
    ) {
        let mut known = self.open.iter_mut().map(|open| &mut open.incident);
        let covering = known.find(|known| known.closed_at.is_none() && known.covers(run, &shared));
        if let Some(incident) = covering {
            incident.what.add(sign);
            return;
        }
        if shared == Shared::Run {
            // The narrower ones have grown into it.
            for Open { incident, .. } in self.open.iter_mut().filter(|open| open.incident.run == *run) {
                incident.closed_at = incident.closed_at.or(Some(now));
            }
        }
        if self.open.len() >= OPEN_MAX {
            return;
        }
        let mut what = Signs::NONE;
        what.add(sign);
        let incident = Incident {
            id: new_id(),
            run: run.clone(),
            what,
            shared,
            departing: 0,
            active: 0,
            opened_at: now,
            closed_at: None,
            held_back: 0,
        };
        self.open.push(Open {
            incident,
            rare_since: [None; 8],
        });
    }
}
