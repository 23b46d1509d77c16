//! An agent and its baseline: which version of the agent it is of, and what follows when a person has set it.

use super::Agent;
use crate::guarding::Guarding;
use immune_domain::Timestamp;
use immune_domain::baseline::{Origin, Profile};
use immune_domain::vitals::Vitals;

/// What an agent knows of its baseline beside the numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Followed {
    /// Which version it is of, once that is known.
    epoch: Option<u32>,
    /// When a person has set it; what came before says nothing. `None` where nobody has.
    set_at: Option<Timestamp>,
}

impl Followed {
    /// Whether an execution says something about the agent as its baseline is set.
    pub(crate) fn counts(&self, vitals: &Vitals) -> bool {
        self.set_at.is_none_or(|set_at| vitals.began_at() >= set_at)
    }
}

impl Agent {
    /// Its baseline was stored, or is met for the first time. Another version of the agent borrows from what the
    /// guarded detector knows; where a person has set the baseline, the agent begins anew from what is set.
    pub fn follow(&mut self, profile: &Profile) {
        let version = profile.of;
        let before = self.followed.epoch.replace(version.epoch);
        if before != Some(version.epoch) {
            match version.origin {
                Origin::Seen => {
                    let is_another = before.is_some_and(|before| before < version.epoch);
                    if let Some(guarding) = self.guarding.as_mut().filter(|_| is_another) {
                        guarding.begin_version();
                    }
                }
                Origin::Reset | Origin::Pinned | Origin::Imported | Origin::Accepted => {
                    self.followed.set_at = Some(version.since);
                    self.begin_anew(version.since);
                    if let Some(guarding) = &mut self.guarding {
                        guarding.begin(profile.known.as_deref());
                    }
                }
            }
        }
        if let Some(guarding) = &mut self.guarding {
            guarding.freeze(profile.is_frozen);
        }
    }

    /// The guarded detector; one that is not there yet begins from what the baseline knows.
    pub(crate) fn guarding(&mut self, profile: Option<&Profile>) -> &mut Guarding {
        self.guarding
            .get_or_insert_with(|| Box::new(profile.map(Guarding::of).unwrap_or_default()))
    }
}
