//! The policies as they are at the moment.

use super::{Compiled, Detector, Policies, Policy};
use crate::{AgentId, RunId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The rules that hold now, shared by everyone who asks: a clone sees what is replaced later, so that a change of
/// policy needs no restart. Nobody keeps what it answers longer than one decision, or looks at
/// [`LivePolicies::generation`] to learn that it changed.
#[derive(Debug, Clone)]
pub struct LivePolicies(Arc<Live>);

#[derive(Debug)]
struct Live {
    now: RwLock<Now>,
    generation: AtomicU64,
}

#[derive(Debug)]
struct Now {
    listed: Arc<Policies>,
    compiled: Arc<Compiled>,
}

impl Now {
    fn of(policies: Policies) -> Self {
        Now {
            compiled: Arc::new(policies.compile()),
            listed: Arc::new(policies),
        }
    }
}

impl LivePolicies {
    /// These, until they are replaced.
    pub fn new(policies: Policies) -> Self {
        LivePolicies(Arc::new(Live {
            now: RwLock::new(Now::of(policies)),
            generation: AtomicU64::new(0),
        }))
    }

    /// The rules, merged with the defaults.
    pub fn now(&self) -> Arc<Compiled> {
        self.read(|now| now.compiled.clone())
    }

    /// The rules as they were written.
    pub fn listed(&self) -> Arc<Policies> {
        self.read(|now| now.listed.clone())
    }

    /// What holds for an agent now, see [`Policies::resolve`].
    pub fn resolve(
        &self,
        run: &RunId,
        agent: &AgentId,
        agent_type: Option<&str>,
        namespace: Option<&str>,
    ) -> Arc<Policy> {
        self.read(|now| now.compiled.resolve(run, agent, agent_type, namespace).clone())
    }

    /// Whether there is an agent that this detector could decide about.
    pub fn has_detector(&self, detector: Detector) -> bool {
        self.read(|now| now.compiled.has_detector(detector))
    }

    /// Other rules hold from now on. The same ones change nothing, also not the generation.
    pub fn replace(&self, policies: Policies) {
        // Merged before the lock is taken: whoever judges must not wait for it.
        let next = Now::of(policies);
        let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.listed != next.listed {
            *now = next;
            self.0.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// How often the rules were replaced.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn read<T>(&self, what: impl FnOnce(&Now) -> T) -> T {
        what(&self.0.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for LivePolicies {
    fn default() -> Self {
        LivePolicies::new(Policies::default())
    }
}

impl From<Policies> for LivePolicies {
    fn from(policies: Policies) -> Self {
        LivePolicies::new(policies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: policies are replaced by others, and then by the same.
    /// Guarantees: a clone made before sees the others, and only a real change is a new generation.
    #[test]
    fn everyone_sees_what_was_replaced() {
        let live = LivePolicies::default();
        let earlier = live.clone();
        let mut other = Policies::default();
        other.defaults.threshold_stddev = 4.0;
        live.replace(other.clone());
        let (run, agent) = (RunId::default(), AgentId::new("a"));
        assert_eq!(earlier.resolve(&run, &agent, None, None).threshold_stddev, 4.0);
        assert_eq!(*earlier.listed(), other);
        live.replace(other);
        assert_eq!(earlier.generation(), 1);
    }
}
