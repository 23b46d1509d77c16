//! What people do to a baseline, and what is on record of it.

use crate::sentinel::Scripted;
use crate::world::{Replica, alice, eventually, execution, key, now, quick};
use immune_bus::local::{LocalPublisher, local};
use immune_bus::{Publisher, Record};
use immune_domain::baseline::{Learned, Profile};
use immune_domain::detection::guarded::Known;
use immune_domain::vitals::Vitals;
use immune_proto::convert::profile::moments_to_wire;
use immune_proto::v1;
use immune_runtime::access::with_person;
use immune_runtime::grpc::Peers;
use immune_store::Stores;
use immune_store::action_log::LogFilter;
use serde_json::Value;
use std::sync::Arc;
use tonic::{Code, Status};

/// One replica whose action log can be read.
struct Office {
    stores: Stores,
    sentinel: Scripted,
    bus: LocalPublisher,
    replica: Replica,
}

impl Office {
    async fn open(stores: Stores) -> Self {
        let sentinel = Scripted::new();
        let (bus, consumers) = local(&["baseline"], 1_024);
        let consumer = Box::new(consumers.into_iter().next().expect("one"));
        let peers = Peers::one(sentinel.serve());
        let replica = Replica::start(stores.baselines.clone(), consumer, peers, quick());
        replica.holds(1).await;
        Office {
            stores,
            sentinel,
            bus,
            replica,
        }
    }

    /// Stops it and opens another on the same stores.
    async fn move_out(self) -> Self {
        let Office { stores, replica, .. } = self;
        replica.stop().await;
        Office::open(stores).await
    }

    async fn judge(&self, vitals: &Vitals, reason: &str) {
        let records = Arc::from([Record::Vitals(vitals.clone())]);
        self.bus.publish(records).await.expect("room");
        self.sentinel.judge_because(vitals, reason);
    }

    async fn profile(&self) -> Option<Profile> {
        let profile = self.replica.profile_of(&key()).await.expect("an answer");
        profile.map(|profile| profile.try_into().expect("a profile"))
    }

    async fn profile_when(&self, what: &str, is_so: impl Fn(&Profile) -> bool) -> Profile {
        eventually(what, async || self.profile().await.filter(&is_so)).await
    }

    async fn reset(&self, reason: &str) -> bool {
        let request = v1::ResetProfileRequest {
            key: Some(key().into()),
            reason: reason.to_owned(),
        };
        let request = with_person(request, &alice());
        let answer = self.replica.client.clone().reset_profile(request).await;
        answer.expect("reset").into_inner().existed
    }

    async fn freeze(&self, is_frozen: bool) -> Result<v1::Profile, Status> {
        let request = v1::FreezeProfileRequest {
            key: Some(key().into()),
            is_frozen,
            reason: "a release is under way".to_owned(),
        };
        let request = with_person(request, &alice());
        let answer = self.replica.client.clone().freeze_profile(request).await?;
        Ok(answer.into_inner().profile.expect("a profile"))
    }

    async fn set(&self, origin: &str, learned: &Learned) -> Result<v1::Profile, Status> {
        let request = v1::SetProfileRequest {
            key: Some(key().into()),
            origin: origin.to_owned(),
            sample_count: learned.learner.samples(),
            moments: moments_to_wire(learned.learner.moments()),
            known: learned.known.to_bytes(),
            reason: "last week was good".to_owned(),
        };
        let request = with_person(request, &alice());
        let answer = self.replica.client.clone().set_profile(request).await?;
        Ok(answer.into_inner().profile.expect("a profile"))
    }

    /// Kind, actor and details of what is on record, oldest first.
    async fn on_record(&self) -> Vec<(String, String, Value)> {
        let filter = LogFilter {
            limit: 100,
            ..LogFilter::default()
        };
        let rows = self
            .stores
            .action_log
            .list(&key().run, &filter)
            .await
            .expect("rows");
        let rows = rows.into_iter().rev().map(|stored| stored.row);
        rows.map(|row| (row.kind, row.actor, row.payload)).collect()
    }
}

/// Scenario: an agent of twenty executions is frozen, runs on, is let go again and reset; the role restarts in between.
/// Guarantees: frozen nothing is learned, also by the next replica; after the reset what began before teaches nothing and
/// the version tells the sentinel; each act has its row with person and reason, and none where nothing was reset.
#[tokio::test]
async fn people_freeze_and_reset() {
    let office = Office::open(immune_store::memory::stores()).await;
    assert!(!office.reset("nobody is there").await);
    assert_eq!(
        office.freeze(true).await.expect_err("unknown").code(),
        Code::NotFound
    );
    for i in 0..20 {
        office.judge(&now(i), "").await;
    }
    let before = office
        .profile_when("20", |profile| profile.sample_count == 20)
        .await;
    assert_eq!(before.known.as_ref().map(|known| known.weight()), Some(20));
    assert!(office.freeze(true).await.expect("frozen").is_frozen);
    office.judge(&now(20), "").await;
    let office = office.move_out().await;
    office.judge(&now(21), "").await;
    let still = eventually("withheld", async || {
        let withheld = office.replica.metrics.withheld.get();
        (withheld >= 1).then_some(office.profile().await)
    });
    let still = still.await.expect("a profile");
    assert!(still.is_frozen && still.sample_count == 20 && still.known == before.known);
    assert!(!office.freeze(false).await.expect("learns again").is_frozen);
    let early = now(22);
    assert!(office.reset("another owner").await);
    let empty = office.profile().await.expect("it is there");
    assert_eq!((empty.sample_count, empty.of.epoch, empty.known), (0, 1, None));
    office.judge(&early, "").await;
    office.judge(&now(23), "").await;
    let anew = office
        .profile_when("one", |profile| profile.sample_count > 0)
        .await;
    assert_eq!((anew.sample_count, anew.of.origin.as_str()), (1, "reset"));
    let refused = office.freeze(true).await.expect_err("it only learns");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let rows = office.on_record().await;
    let kinds: Vec<&str> = rows.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["baseline_frozen", "baseline_unfrozen", "baseline_reset"]);
    assert!(
        rows.iter()
            .all(|(_, actor, payload)| actor == "alice" && payload["via"] == "api_key")
    );
    assert_eq!(rows[2].2["reason"], "another owner");
    assert_eq!(rows[2].2["forgotten"], 20);
}

/// Scenario: numbers are given to an agent that nobody has seen, then pinned; then too few, an origin that nobody gives, and
/// no person behind the call.
/// Guarantees: they are in force at once and to the last bit, pinned ones frozen; what is refused says why and changes and
/// records nothing.
#[tokio::test]
async fn people_give_numbers() {
    let office = Office::open(immune_store::memory::stores()).await;
    let executions: Vec<Vitals> = (0..30).map(execution).collect();
    let learned = Learned::of(&executions);
    let imported: Profile = office
        .set("imported", &learned)
        .await
        .expect("set")
        .try_into()
        .expect("a profile");
    assert_eq!(imported.moments, learned.learner.moments());
    assert_eq!(imported.known.as_deref(), Some(&learned.known));
    assert!(imported.state.is_ready() && !imported.is_frozen);
    assert!(office.set("pinned", &learned).await.expect("set").is_frozen);
    let refused = office
        .set("accepted", &Learned::of(&executions[..9]))
        .await
        .expect_err("too few");
    assert_eq!(
        refused.message(),
        "9 executions teach, and 15 are needed to judge by"
    );
    assert_eq!(
        office.set("seen", &learned).await.expect_err("no").code(),
        Code::InvalidArgument
    );
    let nobody = v1::ResetProfileRequest {
        key: Some(key().into()),
        reason: String::new(),
    };
    let refused = office
        .replica
        .client
        .clone()
        .reset_profile(nobody)
        .await
        .expect_err("who?");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let kinds: Vec<String> = office
        .on_record()
        .await
        .into_iter()
        .map(|(kind, ..)| kind)
        .collect();
    assert_eq!(kinds, ["baseline_imported", "baseline_pinned"]);
}

/// Scenario: a learned agent fails now and then, then is sick for long, and well again.
/// Guarantees: failures teach how often it fails and nothing else; after 25 sick executions of 33 the profile is suspect,
/// also after a restart, and still judges; eight well ones end that; none of the sick ones taught.
#[tokio::test]
async fn a_lasting_sickness_makes_suspect() {
    let office = Office::open(immune_store::memory::stores()).await;
    for i in 0..20 {
        let mut vitals = now(i);
        vitals.success = i % 4 != 0 || i < 4;
        let reason = if vitals.success { "" } else { "failed" };
        office.judge(&vitals, reason).await;
    }
    let is_learned = |profile: &Profile| profile.known.as_ref().is_some_and(|known| known.weight() == 20);
    let learned = office.profile_when("20", is_learned).await;
    assert_eq!(learned.sample_count, 16);
    for i in 20..50 {
        office
            .judge(&now(i), if i % 2 == 0 { "infected" } else { "other_level" })
            .await;
    }
    let state = |name: &'static str| move |profile: &Profile| profile.state.as_str() == name;
    let suspect = office.profile_when("suspect", state("suspect")).await;
    assert!(suspect.state.is_ready());
    assert_eq!(suspect.known.as_deref().map(Known::weight), Some(20));
    let office = office.move_out().await;
    assert_eq!(
        office.profile().await.map(|profile| profile.state),
        Some(suspect.state)
    );
    for i in 50..58 {
        office.judge(&now(i), "").await;
    }
    office.profile_when("active", state("active")).await;
}
