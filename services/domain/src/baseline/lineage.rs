//! Versions of an agent: another model, prompt or set of tools makes another agent of it, whose normal is its own.

use super::Origin;
use crate::Timestamp;
use crate::vitals::Vitals;
use serde::{Deserialize, Serialize};

/// Healthy executions in a row with one unknown make that begin a version. One alone may be a trial or a fallback to
/// another model; five are a deployment.
const CONFIRMED_BY: u32 = 5;
/// Makes that are remembered; the one that was new longest ago leaves. An agent that switches between a few models is no
/// new version each time.
const KNOWN_MAX: usize = 4;

/// What an execution was made with: fingerprints, 0 where telemetry does not tell. Never a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Make {
    /// Of the model's name.
    pub model: u64,
    /// Of the prompt's hash.
    pub prompt: u64,
    /// Of the set of tools on offer.
    pub tools: u64,
}

/// What is other than in the version before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changed {
    /// The model.
    pub model: bool,
    /// The prompt.
    pub prompt: bool,
    /// The set of tools.
    pub tools: bool,
}

/// Which version of an agent a baseline is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// 0 for the first that was seen; grows by one with each.
    pub epoch: u32,
    /// When its first execution began; the epoch of time for the first version. Where a person has set the baseline, when
    /// that was.
    pub since: Timestamp,
    /// What made it another.
    pub changed: Changed,
    /// Where its baseline comes from.
    #[serde(default)]
    pub origin: Origin,
}

impl Default for Version {
    fn default() -> Self {
        Version {
            epoch: 0,
            since: Timestamp::EPOCH,
            changed: Changed::default(),
            origin: Origin::Seen,
        }
    }
}

/// Tells the versions of one agent apart, by its healthy executions alone: what a sick one was made with must not begin
/// a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lineage {
    current: Version,
    /// Makes of this version and of those before, the latest last.
    known: Vec<Make>,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    make: Make,
    count: u32,
    since: Timestamp,
}

impl Make {
    /// What an execution says of itself.
    pub fn of(vitals: &Vitals) -> Self {
        let context = &vitals.context;
        Make {
            model: fingerprint(context.model.as_deref()),
            prompt: fingerprint(context.prompt_hash.as_deref()),
            tools: fingerprint(context.tools_offered.as_deref()),
        }
    }

    /// Whether nothing that both tell differs.
    fn fits(self, other: Make) -> bool {
        self.changes(other) == Changed::default()
    }

    fn changes(self, before: Make) -> Changed {
        let differs = |now: u64, before: u64| now != 0 && before != 0 && now != before;
        Changed {
            model: differs(self.model, before.model),
            prompt: differs(self.prompt, before.prompt),
            tools: differs(self.tools, before.tools),
        }
    }

    /// What both tell together.
    fn with(self, other: Make) -> Make {
        let either = |one: u64, other: u64| if one == 0 { other } else { one };
        Make {
            model: either(self.model, other.model),
            prompt: either(self.prompt, other.prompt),
            tools: either(self.tools, other.tools),
        }
    }
}

impl Lineage {
    /// Goes on from a version whose makes are not known.
    pub fn of(current: Version) -> Self {
        Lineage {
            current,
            ..Lineage::default()
        }
    }

    /// The present version.
    pub fn current(&self) -> Version {
        self.current
    }

    /// A person sets the baseline: what the agent is made with from now on is the version that it is of.
    pub fn begin(&mut self, origin: Origin, now: Timestamp) {
        *self = Lineage {
            current: Version {
                epoch: self.current.epoch.saturating_add(1),
                since: now,
                changed: Changed::default(),
                origin,
            },
            ..Lineage::default()
        };
    }

    /// Takes a healthy execution in; whether a new version begins with it.
    pub fn take(&mut self, make: Make, began: Timestamp) -> bool {
        if make == Make::default() {
            return false;
        }
        // The latest first: where telemetry tells less, it is the present version that it fits.
        if let Some(known) = self.known.iter_mut().rev().find(|known| make.fits(**known)) {
            *known = known.with(make);
            self.candidate = None;
            return false;
        }
        let Some(latest) = self.known.last().copied() else {
            self.known.push(make);
            return false;
        };
        let candidate = self.candidate.filter(|candidate| candidate.make.fits(make));
        let candidate = Candidate {
            make: candidate.map_or(make, |candidate| candidate.make.with(make)),
            count: candidate.map_or(0, |candidate| candidate.count) + 1,
            since: candidate.map_or(began, |candidate| candidate.since),
        };
        if candidate.count < CONFIRMED_BY {
            self.candidate = Some(candidate);
            return false;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(candidate.make);
        self.candidate = None;
        self.current = Version {
            epoch: self.current.epoch.saturating_add(1),
            since: candidate.since,
            changed: candidate.make.changes(latest),
            origin: Origin::Seen,
        };
        true
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo), since it is stored: the standard library's hash may be another in its next version,
/// and every agent would begin a new one with it. 0 is for nothing told.
fn fingerprint(text: Option<&str>) -> u64 {
    let Some(text) = text else { return 0 };
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    fn make(model: u64, prompt: u64) -> Make {
        Make {
            model,
            prompt,
            tools: 0,
        }
    }

    /// Scenario: an agent gets another prompt, and runs with it from then on.
    /// Guarantees: a version begins with the fifth execution in a row, dated from the first of them, and says what changed;
    /// it begins once.
    #[test]
    fn another_prompt_for_good_is_another_version() {
        let mut lineage = Lineage::default();
        for i in 0..20 {
            assert!(!lineage.take(make(1, 1), at(i)));
        }
        let begins: Vec<bool> = (20..40).map(|i| lineage.take(make(1, 2), at(i))).collect();
        assert_eq!(begins.iter().position(|begins| *begins), Some(4));
        assert_eq!(begins.iter().filter(|begins| **begins).count(), 1);
        let version = lineage.current();
        assert_eq!((version.epoch, version.since), (1, at(20)));
        assert_eq!(
            version.changed,
            Changed {
                prompt: true,
                ..Changed::default()
            }
        );
    }

    /// Scenario: an agent tries another model four times in a row, again and again; another one uses two models in turns of
    /// ten; telemetry of a third tells the model now and then only.
    /// Guarantees: the first and the third never begin a version, the second only once.
    #[test]
    fn trials_fallbacks_and_gaps_are_no_versions() {
        let mut trying = Lineage::default();
        let mut switching = Lineage::default();
        let mut silent = Lineage::default();
        let mut begun = 0;
        for i in 0..200 {
            assert!(
                !trying.take(make(if i % 5 == 0 { 1 } else { 2 }, 1), at(i)) || i < 5,
                "{i}"
            );
            begun += u32::from(switching.take(make(1 + i / 10 % 2, 1), at(i)));
            assert!(!silent.take(make(if i % 3 == 0 { 1 } else { 0 }, 7), at(i)));
        }
        assert_eq!(begun, 1);
    }

    /// Guarantees: a stored fingerprint is the published FNV-1a of the text, in whatever version of the toolchain.
    #[test]
    fn fingerprints_are_for_good() {
        assert_eq!(fingerprint(Some("foobar")), 0x8594_4171_f739_67e8);
        assert_eq!(fingerprint(None), 0);
    }

    /// Guarantees: it survives being stored, and what was stored before it existed is the first version.
    #[test]
    fn survives_being_stored() {
        let mut lineage = Lineage::default();
        for i in 0..30 {
            lineage.take(make(1 + i / 15, 1), at(i));
        }
        let text = serde_json::to_string(&lineage).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Lineage>(&text).expect("what was written"),
            lineage
        );
        assert_eq!(
            serde_json::from_str::<Lineage>("{}").expect("defaults"),
            Lineage::default()
        );
    }
}
