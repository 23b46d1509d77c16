//! One agent's learner, and the form in which it is stored.

use crate::recent::Recent;
use immune_domain::baseline::{Lasting, Learned, Learner, Lineage, Origin, Profile, State};
use immune_domain::detection::guarded::Known;
use immune_domain::{AgentKey, Timestamp};
use immune_store::baselines::StoredProfile;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

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
    #[serde(default)]
    lasting: Lasting,
}

const FORM: u32 = 1;

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
    pub(crate) lasting: Lasting,
    /// What a guarded detector begins from that meets the agent anew.
    pub(crate) known: Known,
    /// Whether a person has stopped it from learning.
    pub(crate) is_frozen: bool,
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
            lasting: Lasting::default(),
            known: Known::default(),
            is_frozen: false,
            life,
        }
    }

    /// Continues from what is stored. A learner's state that cannot be read is begun from the profile's numbers: nothing
    /// that a person has set is lost with it.
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
            State::Active | State::Stale | State::Suspect => u32::try_from(sample_count).unwrap_or(u32::MAX),
        };
        let saved = saved.unwrap_or_else(|| {
            warn!(agent = %stored.profile.key, "the learner's state cannot be read; it goes on from the profile's numbers");
            Saved {
            form: FORM,
            learner: Learner::of(&stored.profile),
            samples_min,
            recent: Recent::default(),
            lineage: Lineage::of(stored.profile.of),
            lasting: Lasting::default(),
        }});
        Agent {
            learner: saved.learner,
            version,
            samples_min: saved.samples_min,
            updated_at,
            state,
            recent: saved.recent,
            lineage: saved.lineage,
            lasting: saved.lasting,
            known: stored.profile.known.as_deref().cloned().unwrap_or_default(),
            is_frozen: stored.profile.is_frozen,
            life: 0,
        }
    }

    /// Another version of the agent begins: its baseline borrows from the old one's, and nothing of that is taken back.
    pub(crate) fn begin_version(&mut self, life: u64) {
        self.learner = self.learner.borrowed(self.samples_min);
        self.known.begin_version();
        self.life = life;
    }

    /// A person has set it. Pinned is frozen, too: a baseline that went on learning would not stay where it was pinned.
    pub(crate) fn set(&mut self, learned: Learned, origin: Origin, life: u64, now: Timestamp) {
        let Learned { learner, known } = learned;
        (self.learner, self.known, self.life) = (learner, known, life);
        self.lineage.begin(origin, now);
        self.lasting = Lasting::default();
        self.is_frozen = origin == Origin::Pinned;
        self.updated_at = now;
    }

    /// Whether an execution that began then says something about the agent as its baseline is set.
    pub(crate) fn counts(&self, began: Timestamp) -> bool {
        let version = self.lineage.current();
        !(version.origin.is_set() && began < version.since)
    }

    /// Whether its profile judges, so that its executions teach late.
    pub(crate) fn is_judged(&self) -> bool {
        self.learner.is_judging(self.samples_min)
    }

    /// Whether the stored state is no longer the true one.
    pub(crate) fn is_outdated(&self, now: Timestamp, stale_after: Duration) -> bool {
        let (samples, since) = (self.learner.samples(), self.updated_at);
        let state = State::of(samples, self.samples_min, since, now, stale_after);
        state.or_suspect(self.lasting.is_suspect()) != self.state
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
            lasting: self.lasting,
        };
        profile.of = self.lineage.current();
        profile.state = profile.state.or_suspect(self.lasting.is_suspect());
        profile.is_frozen = self.is_frozen;
        profile.known = (self.known.weight() > 0).then(|| Arc::new(self.known.clone()));
        let learner = serde_json::to_value(&saved).expect("numbers and names serialise");
        StoredProfile { profile, learner }
    }
}
