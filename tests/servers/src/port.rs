//! Ports that are chosen before their servers start.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where the system's own choice starts when it does not say.
const OWN_CHOICE_DEFAULT: u16 = 32_768;
const FIRST: u16 = 10_000;
const TRIES_MAX: u32 = 1_000;

/// Handed out by this process, which may not have bound them yet.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of loopback that nobody listens on, handed out once.
///
/// It lies below those that the system gives to outgoing connections: between the choice and the server's start,
/// any client of a database could get one of those.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` such ports that follow each other.
///
/// # Panics
/// When a thousand places are taken.
pub fn free_ports(count: u16) -> u16 {
    let range = below_own_choice();
    let random = RandomState::new();
    for n in 0..TRIES_MAX {
        let place = random.hash_one((std::process::id(), n)) % u64::from(range.end - range.start - count);
        let first = range.start + u16::try_from(place).expect("it is below the size of the range");
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let all = first..first + count;
        if all.clone().all(|port| !taken.contains(&port) && is_free(port)) {
            taken.extend(all);
            return first;
        }
    }
    panic!("no {count} free ports in a row in {range:?}");
}

fn is_free(port: u16) -> bool {
    // A server may listen on one of the two families only, or on all addresses.
    ["127.0.0.1", "0.0.0.0"]
        .iter()
        .all(|host| TcpListener::bind((*host, port)).is_ok())
}

fn below_own_choice() -> Range<u16> {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = said
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    match first.unwrap_or(OWN_CHOICE_DEFAULT) {
        low @ 12_000.. => FIRST..low,
        // A system that gives away nearly all: the range it has by default is as good as any.
        0..12_000 => FIRST..OWN_CHOICE_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Scenario: eight threads choose fifty ports each, none of which is bound yet.
    /// Guarantees: no port is handed out twice, and none is the system's to give to an outgoing connection.
    #[test]
    fn a_port_is_handed_out_once() {
        let chosen: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..50).map(|_| free_port()).collect::<Vec<_>>()))
                .collect();
            let chosen = threads.into_iter().map(|thread| thread.join().expect("it ends"));
            chosen.flatten().collect()
        });
        let different: BTreeSet<_> = chosen.iter().collect();
        assert_eq!(different.len(), chosen.len());
        let range = below_own_choice();
        assert!(chosen.iter().all(|port| range.contains(port)), "{chosen:?}");
    }
}
