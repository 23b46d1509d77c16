//! Two mirrors, one lead.

use crate::world::World;

/// Scenario: two processes; the one that leads stops in order; later its successor is killed.
/// Guarantees: one writes at a time, the other takes over where the first was, and nothing is told twice.
#[tokio::test]
async fn one_leads_at_a_time() {
    let world = World::new().await;
    let first = world.leading("one").await;
    let mut second = world.mirror("two");
    let a = world.contained("a", 8.0).await;
    world
        .until("three events", async || world.events(&a).len() == 3)
        .await;
    assert!(!second.state.borrow().is_leading);
    first.end().await;
    second.synced().await;
    let b = world.contained("b", 8.0).await;
    world
        .until("three events", async || world.events(&b).len() == 3)
        .await;
    assert_eq!(world.events(&a).len(), 3);
    drop(second);
    let c = world.report("c", 8.0).await;
    let third = world.leading("three").await;
    world
        .until_shown(&c, "c is shown", |object| {
            object["status"]["state"] == "awaiting_approval"
        })
        .await;
    world
        .until("c is told", async || world.events(&c).len() == 3)
        .await;
    assert_eq!((world.events(&a).len(), world.events(&b).len()), (3, 3));
    assert!(third.state.borrow().is_leading);
}

/// Scenario: nothing happens for a while, with an open case.
/// Guarantees: nothing is written.
#[tokio::test]
async fn quiet_when_nothing_happens() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = world.contained("a", 8.0).await;
    world.until("told", async || world.events(&id).len() == 3).await;
    world
        .until_shown(&id, "contained", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    world.server.forget_requests();
    // Long enough for several looks; there is no condition for nothing.
    let begun = tokio::time::Instant::now();
    world
        .until("two looks", async || begun.elapsed().as_millis() > 2_500)
        .await;
    let writes: Vec<_> = world
        .server
        .requests()
        .into_iter()
        .filter(|request| request.is_write())
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}
