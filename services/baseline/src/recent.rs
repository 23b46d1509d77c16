//! The last executions that taught an agent, kept with its profile.
//!
//! A bus may carry a record twice: because its publisher did not hear the first answer, or because a bus without
//! places delivers again what was not acknowledged. Whoever loads the profile in between knows from here that the
//! record has taught already.

use immune_domain::AgentKey;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Executions remembered per agent. A bus repeats what is seconds old, in which an agent executes a few times.
const RECENT_MAX: usize = 64;
/// Hexadecimal digits of one execution as stored.
const DIGITS: usize = 8;

/// 64 bits for an execution of an agent: two of a hundred thousand are taken for one once in 10^9 times. FNV-1a, the
/// same in every process and version, because parts of it are stored.
pub fn identity(key: &AgentKey, execution: &str) -> u64 {
    let bytes = key.run.as_str().bytes().chain([0xff]);
    let bytes = bytes.chain(key.agent.as_str().bytes()).chain([0xff]);
    let hash = bytes
        .chain(execution.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3_u64)
        });
    // Spreads the last bytes over all bits (the finalizer of MurmurHash3).
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// The last executions that taught an agent, 32 bits of each: a new one is taken for a repetition once in 10^7 times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Recent(VecDeque<u32>);

impl Recent {
    /// Whether an execution is among them.
    pub fn contains(&self, identity: u64) -> bool {
        self.0.contains(&short(identity))
    }

    /// An execution taught.
    pub fn push(&mut self, identity: u64) {
        if self.contains(identity) {
            return;
        }
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(short(identity));
    }

    /// An execution was taken back.
    pub fn remove(&mut self, identity: u64) {
        self.0.retain(|kept| *kept != short(identity));
    }
}

const fn short(identity: u64) -> u32 {
    (identity >> 32) as u32
}

impl From<Recent> for String {
    fn from(recent: Recent) -> String {
        recent.0.iter().map(|kept| format!("{kept:0DIGITS$x}")).collect()
    }
}

impl From<String> for Recent {
    /// What cannot be read is left out: forgetting one costs less than losing the profile.
    fn from(text: String) -> Recent {
        let chunks = text.as_bytes().chunks(DIGITS);
        let read = |chunk| u32::from_str_radix(std::str::from_utf8(chunk).ok()?, 16).ok();
        Recent(chunks.filter_map(read).take(RECENT_MAX).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(i: u32) -> u64 {
        identity(&AgentKey::new("default", "a"), &format!("e{i}"))
    }

    /// Guarantees: the last ones are known, also after being stored and read; older ones are forgotten; one that was
    /// taken back is unknown.
    #[test]
    fn the_last_are_known() {
        let mut recent = Recent::default();
        (0..100).for_each(|i| recent.push(numbered(i)));
        recent.remove(numbered(98));
        let text = serde_json::to_string(&recent).unwrap();
        let read: Recent = serde_json::from_str(&text).unwrap();
        assert_eq!(read, recent);
        let known: Vec<u32> = (0..200).filter(|i| read.contains(numbered(*i))).collect();
        assert_eq!(known, (36..100).filter(|i| *i != 98).collect::<Vec<_>>());
    }

    /// Guarantees: the numbers never change, because they are stored; damaged text is read as far as it goes.
    #[test]
    fn identities_are_for_ever() {
        assert_eq!(numbered(1), 0x59bd_f5b2_96cd_628b);
        assert_eq!(Recent::from("zzzzzzzz0000002a00".to_owned()).0, [42, 0]);
    }

    /// Guarantees: the parts of an identity cannot be shifted into each other.
    #[test]
    fn agents_do_not_share_executions() {
        let of = |agent: &str, execution: &str| identity(&AgentKey::new("r", agent), execution);
        assert_ne!(of("a", "bc"), of("ab", "c"));
        assert_ne!(of("a", "x"), of("b", "x"));
    }
}
