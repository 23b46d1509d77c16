//! What an agent carries for the fleet check: its model, its tools, and since when it departs in which way.

use crate::agent::Agent;
use immune_domain::Timestamp;
use immune_domain::baseline::Profile;
use immune_domain::fleet::{Departures, Signs};
use immune_domain::policy::Detector;
use immune_domain::vitals::Vitals;
use std::sync::Arc;
use std::time::Duration;

/// Departures that began within this time are at once: even agents that execute every half minute show by then what
/// has befallen all of them, and agents that fall ill one by one are further apart.
const AT_ONCE: Duration = Duration::from_secs(120);
/// Tools that are remembered of an agent, the latest first.
const TOOLS_MAX: usize = 8;

/// One agent's part in the fleet check.
#[derive(Debug, Default)]
pub(crate) struct Member {
    model: Option<Arc<str>>,
    tools: Vec<Arc<str>>,
    departures: Departures,
    /// When each way began, by its index; only while there is one.
    since: Option<Box<[Timestamp; 8]>>,
    /// A report has waited for the check in this alarm.
    pub(super) has_waited: bool,
    /// A report was held back in this alarm.
    pub(super) is_held: bool,
}

impl Member {
    /// The latest model.
    pub(crate) fn model(&self) -> Option<&Arc<str>> {
        self.model.as_ref()
    }

    /// The latest tools.
    pub(crate) fn tools(&self) -> &[Arc<str>] {
        &self.tools
    }

    /// How it departs.
    pub(crate) fn departures(&self) -> Departures {
        self.departures
    }

    /// In which ways it began to depart lately.
    pub(super) fn lately(&self, now: Timestamp) -> Signs {
        let Some(since) = &self.since else {
            return Signs::NONE;
        };
        let began = |sign: &immune_domain::fleet::Sign| now.since(since[sign.index()]) < AT_ONCE;
        self.departures.signs.iter().filter(began).collect()
    }

    /// Notes what an execution used. Nothing is allocated while it is the same as before.
    pub(super) fn take(&mut self, vitals: &Vitals, name: impl Fn(&str) -> Arc<str>) {
        let model = vitals.context.model.as_deref();
        if let Some(model) = model.filter(|model| self.model.as_deref() != Some(*model)) {
            self.model = Some(name(model));
        }
        for tool in vitals.context.tools.iter().take(TOOLS_MAX) {
            match self.tools.iter().position(|known| **known == **tool) {
                Some(at) => self.tools[..=at].rotate_right(1),
                None => {
                    self.tools.truncate(TOOLS_MAX - 1);
                    self.tools.insert(0, name(tool));
                }
            }
        }
    }

    /// Notes how the agent departs now; returns the ways that are new.
    pub(super) fn follow(&mut self, departures: Departures, is_infected: bool, now: Timestamp) -> Signs {
        let new = departures.signs.without(self.departures.signs);
        self.departures = departures;
        if !is_infected {
            (self.has_waited, self.is_held) = (false, false);
        }
        if departures.signs.is_empty() {
            self.since = None;
            return new;
        }
        let since = self.since.get_or_insert_with(|| Box::new([now; 8]));
        for sign in new.iter() {
            since[sign.index()] = now;
        }
        new
    }
}

impl Agent {
    /// How the agent departs now, by the detector that decides about it.
    pub(super) fn departures(&self, profile: Option<&Profile>) -> Departures {
        match self.policy.detector {
            Detector::Guarded => self
                .evidence()
                .map(|evidence| Departures::of_evidence(&evidence))
                .unwrap_or_default(),
            Detector::Specified => profile
                .filter(|_| self.judgement.is_anomalous())
                .map(|profile| Departures::of_judgement(&self.judgement, &self.window.recent(), profile))
                .unwrap_or_default(),
        }
    }

    /// Whether the detector that decides about the agent knows enough of it to say anything.
    pub(super) fn is_judged(&self, profile: Option<&Profile>) -> bool {
        match self.policy.detector {
            Detector::Guarded => self.evidence().is_some(),
            Detector::Specified => {
                profile.is_some_and(|profile| profile.is_ready(self.policy.baseline_samples_min))
            }
        }
    }
}
