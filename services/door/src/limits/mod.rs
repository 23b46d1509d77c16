//! How often a caller may ask, and what guessing costs.
//!
//! Token buckets per identity and per address without one; a lock-out per address that has presented too many wrong
//! keys. In memory, per process, within a stated size: what was seen longest ago is forgotten first. A key that is
//! sent again and again is one guess, so that a forgotten exporter with a revoked key does not lock its neighbours
//! out. Who came in at an address before a lock-out began comes in during it.

mod bounded;
mod bucket;
mod config;
mod lockout;

pub use config::{Config, Rate};

use crate::address::Address;
use crate::identity::Refusal;
use bounded::Bounded;
use bucket::Bucket;
use immune_domain::Timestamp;
use immune_domain::case::Person;
use lockout::Guesses;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Addresses that are remembered, of each kind.
const ADDRESSES_MAX: usize = 65_536;
/// Identities that are remembered.
const IDENTITIES_MAX: usize = 16_384;
/// How long who came in at an address is remembered there.
const WELCOME: Duration = Duration::from_secs(24 * 3_600);

/// The limits of a process.
pub struct Limits {
    config: Config,
    /// Turns texts into numbers that nobody outside can foresee.
    hasher: RandomState,
    state: Mutex<State>,
}

struct State {
    reads: Bounded<u64, Bucket>,
    writes: Bounded<u64, Bucket>,
    strangers: Bounded<Address, Bucket>,
    guesses: Bounded<Address, Guesses>,
    /// When somebody came in last, by address and way. Only right keys add to it, so guessing pushes nobody out.
    welcome: Bounded<(Address, u64), Timestamp>,
}

impl Limits {
    /// Limits that nobody has used yet.
    pub fn new(config: Config) -> Self {
        Limits {
            config,
            hasher: RandomState::new(),
            state: Mutex::new(State {
                reads: Bounded::new(IDENTITIES_MAX),
                writes: Bounded::new(IDENTITIES_MAX),
                strangers: Bounded::new(ADDRESSES_MAX),
                guesses: Bounded::new(ADDRESSES_MAX),
                welcome: Bounded::new(ADDRESSES_MAX),
            }),
        }
    }

    /// Lets a verified person do one thing more.
    ///
    /// # Errors
    /// When it has asked too often of late.
    pub fn admit(&self, person: &Person, is_write: bool, now: Timestamp) -> Result<(), Refusal> {
        let who = self.hasher.hash_one((&person.via, &person.subject));
        let mut state = self.locked();
        let (buckets, rate) = match is_write {
            true => (&mut state.writes, self.config.writes),
            false => (&mut state.reads, self.config.reads),
        };
        take(buckets.entry(who, || Bucket::full(rate, now)), rate, now)
    }

    /// Lets somebody who presents nothing ask once more, from this address.
    ///
    /// # Errors
    /// When too many such requests came from there of late.
    pub fn admit_stranger(&self, address: Address, now: Timestamp) -> Result<(), Refusal> {
        let rate = self.config.strangers;
        let mut state = self.locked();
        take(
            state.strangers.entry(address, || Bucket::full(rate, now)),
            rate,
            now,
        )
    }

    /// Says that a right key (or cookie) was presented by who came in this way (`api_key:ID`, `oidc:ISSUER`, ...).
    ///
    /// # Errors
    /// When the address is locked out and this one has not come in there before: a guess that hits during a lock-out
    /// must not be told from one that misses.
    pub fn welcome(&self, address: Address, via: &str, now: Timestamp) -> Result<(), Refusal> {
        let who = (address, self.hasher.hash_one(via));
        let mut state = self.locked();
        let locked = state
            .guesses
            .get(&address)
            .and_then(|guesses| guesses.locked(now));
        if let Some(retry_after) = locked {
            let last = state.welcome.get(&who).copied();
            if last.is_none_or(|last| now.since(last) > WELCOME) {
                return Err(Refusal::LockedOut { retry_after });
            }
        }
        *state.welcome.entry(who, || now) = now;
        Ok(())
    }

    /// Says that a wrong key was presented.
    ///
    /// # Errors
    /// When the address is, or now becomes, locked out.
    pub fn guessed(&self, address: Address, secret: &str, now: Timestamp) -> Result<(), Refusal> {
        let guess = self.hasher.hash_one(secret);
        let mut state = self.locked();
        let guesses = state.guesses.entry(address, Guesses::default);
        let (was_locked, locked) = (guesses.locked(now), guesses.add(guess, &self.config, now));
        drop(state);
        match locked {
            None => Ok(()),
            Some(retry_after) => {
                if was_locked.is_none() {
                    tracing::warn!(%address, seconds = retry_after.as_secs(), "locked out for guessing keys");
                }
                Err(Refusal::LockedOut { retry_after })
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(bucket: &mut Bucket, rate: Rate, now: Timestamp) -> Result<(), Refusal> {
    bucket
        .take(rate, now)
        .map_err(|retry_after| Refusal::TooMany { retry_after })
}

#[cfg(test)]
mod tests;
