//! Which partitions a replica wants.

use std::collections::BTreeSet;

/// How many of `count` partitions are one member's fair share. All members see the same set, up to moments, and the
/// shares of all of them add up to `count`.
pub(crate) fn share(members: &BTreeSet<String>, me: &str, count: u16) -> u16 {
    let Some(rank) = members.iter().position(|member| member == me) else {
        return 0;
    };
    let (rank, size) = (rank as u64, members.len() as u64);
    let extra = u64::from(rank < u64::from(count) % size);
    u16::try_from(u64::from(count) / size + extra).expect("a share is not above the whole")
}

/// All partitions, in the order in which a member wants them. Members want them in different orders, so that they
/// rarely reach for the same one.
pub(crate) fn order(me: &str, count: u16) -> Vec<u16> {
    let weight = |index: u16| {
        let bytes = me.bytes().chain(index.to_be_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash ^ (hash >> 32), index)
    };
    let mut all: Vec<u16> = (0..count).collect();
    all.sort_by_key(|index| weight(*index));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every number of members from one to beyond the partitions.
    /// Guarantees: shares add up to the whole and differ by one at most; who is no member has none.
    #[test]
    fn shares_are_fair() {
        for size in 1..80 {
            let members: BTreeSet<String> = (0..size).map(|i| format!("m{i}")).collect();
            let shares: Vec<u16> = members.iter().map(|me| share(&members, me, 64)).collect();
            assert_eq!(shares.iter().sum::<u16>(), 64);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            assert_eq!(share(&members, "stranger", 64), 0);
        }
    }

    /// Guarantees: an order has every partition once, and two members have two orders.
    #[test]
    fn orders_differ() {
        let one = order("one", 64);
        assert_ne!(one, order("two", 64));
        assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 64);
    }
}
