//! How many policies count.

use super::translate::Written;
use std::collections::BTreeMap;

/// Policies that count at most; more would make every decision slow.
const POLICIES_MAX: usize = 1_000;
/// Those of one namespace that is not the plane's own: no team may use up the room of the others.
const FOREIGN_MAX: usize = 100;

/// Why one does not count.
pub(super) fn sentence(own: &str) -> String {
    format!(
        "too many policies: {POLICIES_MAX} count at most, and {FOREIGN_MAX} of one namespace other than {own}; those \
         of {own} first, then older ones"
    )
}

/// For each policy, whether it counts. Age decides, so that no new one pushes out one that holds, and every process
/// comes to the same answer; but nobody pushes out those of the plane's own namespace.
pub(super) fn counts(written: &[Written], own: &str) -> Vec<bool> {
    let mut places: Vec<usize> = (0..written.len()).collect();
    places.sort_by_key(|&place| {
        let one = &written[place];
        (one.namespace != own, one.created, &one.namespace, &one.name)
    });
    let mut counts = vec![false; written.len()];
    let mut left = POLICIES_MAX;
    let mut foreign: BTreeMap<&str, usize> = BTreeMap::new();
    for place in places {
        let namespace = written[place].namespace.as_str();
        if left == 0 {
            break;
        }
        if namespace != own {
            let so_far = foreign.entry(namespace).or_default();
            if *so_far == FOREIGN_MAX {
                continue;
            }
            *so_far += 1;
        }
        counts[place] = true;
        left -= 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn written(namespace: &str, n: usize, second: i64) -> Written {
        Written {
            namespace: namespace.to_owned(),
            name: format!("p{n:05}"),
            uid: format!("{namespace}-{n}"),
            generation: Some(1),
            created: Some(Timestamp::from_second(second).expect("a time")),
            told: None,
            spec: Err("not looked at".to_owned()),
        }
    }

    fn counted(written: &[Written], namespace: &str) -> usize {
        let counts = counts(written, "immune");
        let of = written.iter().zip(counts);
        of.filter(|(one, counts)| *counts && one.namespace == namespace)
            .count()
    }

    /// Scenario: one team writes far too many policies, then many teams do, before and after the plane's own.
    /// Guarantees: a team has its share and no more, its older ones; the plane's own always count; never more than the
    /// limit in all.
    #[test]
    fn nobody_uses_up_the_room_of_others() {
        let mut all: Vec<Written> = (0..5_000)
            .map(|n| written("a-team", n, 5_000 - n as i64))
            .collect();
        all.push(written("immune", 0, 9_999_999));
        assert_eq!(
            (counted(&all, "immune"), counted(&all, "a-team")),
            (1, FOREIGN_MAX)
        );
        let whole = counts(&all, "immune");
        assert!(!whole[0] && whole[4_999], "the oldest count");
        for team in 0..50 {
            all.extend((0..200).map(|n| written(&format!("team-{team}"), n, 10_000)));
        }
        assert_eq!(counted(&all, "immune"), 1);
        assert_eq!(counted(&all, "a-team"), FOREIGN_MAX, "newer ones push out nobody");
        let total = counts(&all, "immune")
            .into_iter()
            .filter(|counts| *counts)
            .count();
        assert_eq!(total, POLICIES_MAX);
    }
}
