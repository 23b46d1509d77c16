//! One agent's learner, and the form in which it is stored.

use crate::recent::Recent;
use immune_domain::baseline::{Learner, Lineage, Profile, State};
use immune_domain::{AgentKey, Timestamp};
use immune_store::baselines::StoredProfile;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The learner's state as stored beside its profile.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// Version of this form.
    form: u32,
    learner: Learner,
    samples_min: u32,
    #[serde(default)]
    recent: Recent,
    #[serde(default)]
    lineage: Lineage,
}

const FORM: u32 = 1;

/// A profile as it was stored, with the version of the agent, which only the learner's state has.
pub(crate) fn shown(stored: StoredProfile) -> Profile {
    let lineage = stored.learner.get("lineage").cloned();
    let lineage: Option<Lineage> = lineage.and_then(|lineage| serde_json::from_value(lineage).ok());
    Profile {
        of: lineage.unwrap_or_default().current(),
        ..stored.profile
    }
}

/// What is known of an agent whose partition is held.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) learner: Learner,
    /// Of the profile that was written last, whether or not the write came to pass.
    pub(crate) version: u64,
    pub(crate) samples_min: u32,
    pub(crate) updated_at: Timestamp,
    /// As last stored.
    pub(crate) state: State,
    pub(crate) recent: Recent,
    pub(crate) lineage: Lineage,
    /// Tells the agent from one of its name that was reset.
    pub(crate) life: u64,
}

impl Agent {
    pub(crate) fn new(now: Timestamp, life: u64) -> Self {
        Agent {
            learner: Learner::default(),
            version: 0,
            samples_min: 0,
            updated_at: now,
            state: State::Learning,
            recent: Recent::default(),
            lineage: Lineage::default(),
            life,
        }
    }

    /// Continues from what is stored. A learner's state that cannot be read is begun from the profile's numbers.
    pub(crate) fn of(stored: &StoredProfile) -> Self {
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
            recent: Recent::default(),
            lineage: Lineage::default(),
        });
        Agent {
            learner: saved.learner,
            version,
            samples_min: saved.samples_min,
            updated_at,
            state,
            recent: saved.recent,
            lineage: saved.lineage,
            life: 0,
        }
    }

    /// Another version of the agent begins: its baseline borrows from the old one's, and nothing of that is taken back.
    pub(crate) fn begin_version(&mut self, life: u64) {
        self.learner = self.learner.borrowed(self.samples_min);
        self.life = life;
    }

    /// Whether its profile judges, so that its executions teach late.
    pub(crate) fn is_judged(&self) -> bool {
        self.learner.is_judging(self.samples_min)
    }

    /// Whether the stored state is no longer the true one.
    pub(crate) fn is_outdated(&self, now: Timestamp, stale_after: Duration) -> bool {
        let (samples, since) = (self.learner.samples(), self.updated_at);
        State::of(samples, self.samples_min, since, now, stale_after) != self.state
    }

    /// The agent as it is to be stored now. Every call has a version of its own: a write whose answer was lost may
    /// have come to pass, and what is written after it must win.
    pub(crate) fn next_version(
        &mut self,
        key: &AgentKey,
        now: Timestamp,
        stale_after: Duration,
    ) -> StoredProfile {
        self.version += 1;
        let mut profile = self.learner.profile(
            key.clone(),
            self.version,
            self.samples_min,
            self.updated_at,
            now,
            stale_after,
        );
        let saved = Saved {
            form: FORM,
            learner: self.learner,
            samples_min: self.samples_min,
            recent: self.recent.clone(),
            lineage: self.lineage.clone(),
        };
        profile.of = self.lineage.current();
        let learner = serde_json::to_value(&saved).expect("numbers and names serialise");
        StoredProfile { profile, learner }
    }
}
