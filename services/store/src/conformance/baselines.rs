//! What a store of profiles must do.

use super::at_once;
use super::samples::{agent, odd_ids, profile};
use crate::Stores;
use crate::action_log::{LogFilter, LogRow};
use crate::baselines::{Put, StoredProfile, Tenure};
use immune_domain::baseline::State;
use immune_domain::{AgentKey, Timestamp};
use serde_json::json;

/// Scenario: a profile whose numbers have no short decimal form, with a large learner.
/// Guarantees: it comes back to the last bit, or judgements would differ after a restart.
pub async fn a_profile_comes_back_to_the_last_bit(stores: &Stores) {
    for id in odd_ids() {
        let mut stored = profile(&AgentKey::new(id.as_str(), id.as_str()), 1);
        stored.profile.moments[0].mean = std::f64::consts::PI * 1e-7;
        stored.profile.moments[1].stddev = f64::MAX;
        stored.profile.moments[2].count = u64::MAX;
        stored.learner = json!({ "m2": 123_456_789.123_456_79_f64, "text": id.repeat(1_000) });
        stores
            .baselines
            .put(std::slice::from_ref(&stored), &[])
            .await
            .unwrap();
        assert_eq!(
            stores.baselines.get(&stored.profile.key).await.unwrap(),
            Some(stored)
        );
    }
    assert_eq!(stores.baselines.get(&agent("nobody")).await.unwrap(), None);
}

/// Scenario: versions arrive out of order, also within one batch.
/// Guarantees: a profile replaces one of lower version; an equal or lower one is ignored.
pub async fn only_a_higher_version_replaces(stores: &Stores) {
    let key = agent("versions");
    let mut twin = profile(&key, 5);
    twin.learner = json!({ "twin": true });
    stores
        .baselines
        .put(&[profile(&key, 4), profile(&key, 5), profile(&key, 3)], &[])
        .await
        .unwrap();
    stores
        .baselines
        .put(&[twin, profile(&key, 2)], &[])
        .await
        .unwrap();
    assert_eq!(stores.baselines.get(&key).await.unwrap(), Some(profile(&key, 5)));
    stores.baselines.put(&[profile(&key, 6)], &[]).await.unwrap();
    assert_eq!(
        stores.baselines.get(&key).await.unwrap().unwrap().profile.version,
        6
    );
}

/// Scenario: profiles of several runs, listed seven at a time.
/// Guarantees: every profile once, in the order of run and agent.
pub async fn pages_follow_the_keys(stores: &Stores) {
    let keys =
        || (0..3).flat_map(|run| (0..10).map(move |n| AgentKey::new(format!("r{run}"), format!("a{n}"))));
    let mut batch: Vec<StoredProfile> = keys().map(|key| profile(&key, 1)).collect();
    batch.reverse();
    stores.baselines.put(&batch, &[]).await.unwrap();
    let mut seen: Vec<AgentKey> = Vec::new();
    loop {
        let page = stores.baselines.page(seen.last(), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|stored| stored.profile.key));
    }
    assert_eq!(seen, keys().collect::<Vec<_>>());
    assert_eq!(stores.baselines.page(None, 0).await.unwrap(), vec![]);
}

/// Scenario: learning, active, stale and suspect profiles in two runs; one of them changes its state.
/// Guarantees: those that may judge are counted, per run.
pub async fn ready_profiles_are_counted(stores: &Stores) {
    let with = |key: AgentKey, version: u64, state: State| {
        let mut stored = profile(&key, version);
        stored.profile.state = state;
        stored
    };
    let batch = [
        with(agent("learning"), 1, State::Learning),
        with(agent("active"), 1, State::Active),
        with(agent("stale"), 1, State::Stale),
        with(agent("suspect"), 1, State::Suspect),
        with(AgentKey::new("other", "active"), 1, State::Active),
    ];
    stores.baselines.put(&batch, &[]).await.unwrap();
    let run = agent("any").run;
    assert_eq!(stores.baselines.count_ready(&run).await.unwrap(), 3);
    stores
        .baselines
        .put(&[with(agent("learning"), 2, State::Active)], &[])
        .await
        .unwrap();
    assert_eq!(stores.baselines.count_ready(&run).await.unwrap(), 4);
}

/// Scenario: a person changes a profile; the same by a replica that was overtaken.
/// Guarantees: the row that says so is written with the profile, and not without it.
pub async fn a_change_and_its_row_are_written_together(stores: &Stores) {
    let key = agent("recorded");
    let row = |payload: &str| LogRow {
        run: key.run.clone(),
        at: Timestamp::from_micros(1_700_000_000_000_000),
        kind: "baseline_reset".to_owned(),
        agent: Some(key.agent.clone()),
        actor: "alice".to_owned(),
        outcome: "done".to_owned(),
        payload: serde_json::json!({ "reason": payload }),
    };
    let late = stores.baselines.take_over(31).await.unwrap();
    let ours = stores.baselines.take_over(31).await.unwrap();
    let put = |version: u64, tenure: Tenure, row: LogRow| {
        let (store, stored) = (stores.baselines.clone(), profile(&key, version));
        async move { store.put_with(&[stored], &[tenure], &[row]).await.unwrap() }
    };
    assert_eq!(put(1, ours, row("first")).await, Put::Done);
    assert_eq!(
        put(2, late, row("second")).await,
        Put::Overtaken { partition: 31 }
    );
    assert_eq!(stores.baselines.get(&key).await.unwrap(), Some(profile(&key, 1)));
    let filter = LogFilter {
        agent: Some(key.agent.clone()),
        limit: 10,
        ..LogFilter::default()
    };
    let rows = stores.action_log.list(&key.run, &filter).await.unwrap();
    let rows: Vec<LogRow> = rows.into_iter().map(|stored| stored.row).collect();
    assert_eq!(rows, [row("first")]);
}

/// Scenario: sixteen writers store versions of one profile at the same time.
/// Guarantees: the highest stays.
pub async fn the_highest_of_many_versions_stays(stores: &Stores) {
    let key = agent("raced");
    let results = at_once(16, |n| {
        let (store, stored) = (stores.baselines.clone(), profile(&key, n as u64 + 1));
        async move { store.put(&[stored], &[]).await }
    })
    .await;
    for result in results {
        assert_eq!(result.unwrap(), Put::Done);
    }
    assert_eq!(stores.baselines.get(&key).await.unwrap(), Some(profile(&key, 16)));
}

/// Scenario: a replica stores profiles with how far its partition is, and another one takes over.
/// Guarantees: the place comes back as it was stored; a tenure without a place leaves it; partitions are apart.
pub async fn a_place_is_stored_with_its_profiles(stores: &Stores) {
    let tenure = stores.baselines.take_over(7).await.unwrap();
    assert_eq!((tenure.partition, &tenure.place), (7, &None));
    for place in odd_ids() {
        let place = Some(place).filter(|place| !place.contains('\0'));
        let at = Tenure {
            place: place.clone(),
            ..tenure.clone()
        };
        assert_eq!(stores.baselines.put(&[], &[at]).await.unwrap(), Put::Done);
    }
    let last = Tenure {
        place: Some("1767225600000-3".to_owned()),
        ..tenure.clone()
    };
    let batch = [profile(&agent("placed"), 1)];
    assert_eq!(stores.baselines.put(&batch, &[last]).await.unwrap(), Put::Done);
    assert_eq!(
        stores
            .baselines
            .put(&[], std::slice::from_ref(&tenure))
            .await
            .unwrap(),
        Put::Done
    );
    let next = stores.baselines.take_over(7).await.unwrap();
    assert!(next.fence > tenure.fence, "{next:?}");
    assert_eq!(next.place.as_deref(), Some("1767225600000-3"));
    assert_eq!(stores.baselines.take_over(8).await.unwrap().place, None);
}

/// Scenario: two partitions in one write, one of which another replica has taken over; and a tenure that was never
/// given.
/// Guarantees: nothing of the write is stored, neither profiles nor places, and the answer names the partition.
pub async fn who_was_overtaken_stores_nothing(stores: &Stores) {
    let kept = stores.baselines.take_over(1).await.unwrap();
    let old = stores.baselines.take_over(2).await.unwrap();
    let new = stores.baselines.take_over(2).await.unwrap();
    let key = agent("overtaken");
    let at = |tenure: &Tenure, place: &str| Tenure {
        place: Some(place.to_owned()),
        ..tenure.clone()
    };
    let batch = [profile(&key, 1)];
    let tenures = [at(&kept, "10-0"), at(&old, "20-0")];
    let put = stores.baselines.put(&batch, &tenures).await.unwrap();
    assert_eq!(put, Put::Overtaken { partition: 2 });
    assert_eq!(stores.baselines.get(&key).await.unwrap(), None);
    assert_eq!(stores.baselines.take_over(1).await.unwrap().place, None);
    let put = stores.baselines.put(&batch, &[at(&new, "21-0")]).await.unwrap();
    assert_eq!(put, Put::Done);
    let unknown = Tenure {
        partition: 40,
        fence: 1,
        place: None,
    };
    let put = stores.baselines.put(&[], &[unknown]).await.unwrap();
    assert_eq!(put, Put::Overtaken { partition: 40 });
}

/// Guarantees: of many who take a partition over at once each has a fence of its own, so that one is the latest.
pub async fn many_takers_have_different_fences(stores: &Stores) {
    let mut fences: Vec<u64> = at_once(16, |_| {
        let store = stores.baselines.clone();
        async move { store.take_over(3).await }
    })
    .await
    .into_iter()
    .map(|taken| taken.unwrap().fence)
    .collect();
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 16);
}
