//! How long a session lasts, for whom, and where.

use crate::browser::Browser;
use crate::provider::{self, Provider};
use crate::world::World;
use immune_door::sessions::HOLDS;
use reqwest::{Method, StatusCode};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Scenario: one session is used every half hour, another is left alone for an hour.
/// Guarantees: idle time ends the one, and twelve hours end the other, used or not.
#[tokio::test]
async fn sessions_end_by_time() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let (mut used, mut left) = (Browser::new(), Browser::new());
    replica.log_in(&mut used, "alice").await;
    replica.log_in(&mut left, "bob").await;
    world.clock.advance(59 * MINUTE);
    assert!(replica.is_in(&mut left).await && replica.is_in(&mut used).await);
    world.clock.advance(30 * MINUTE);
    assert!(replica.is_in(&mut used).await);
    world.clock.advance(30 * MINUTE);
    assert!(!replica.is_in(&mut left).await, "an hour without a request");
    for _ in 0..20 {
        assert!(replica.is_in(&mut used).await);
        world.clock.advance(30 * MINUTE);
    }
    // 59 + 60 + 600 minutes so far.
    assert!(replica.is_in(&mut used).await);
    world.clock.advance(MINUTE);
    let (status, problem) = replica.me(&mut used).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "twelve hours");
    assert_eq!(problem["type"], "urn:immune:problem:access.session_ended");
}

/// Scenario: a login begins at one process, which ends; another one on the same store goes on, and then a third.
/// Guarantees: a restart in the middle of a login costs nothing, and neither does one in the middle of a session.
#[tokio::test]
async fn a_restart_in_the_middle() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let before = world.replica().await;
    let mut browser = Browser::new();
    let callback = browser
        .up_to_callback(&before.at("/auth/login?then=/log"), "alice")
        .await;
    drop(before);
    let after = world.replica().await;
    assert_eq!(after.come_back(&mut browser, &callback).await, "/log");
    assert!(after.is_in(&mut browser).await);
    drop(after);
    let third = world.replica().await;
    assert!(third.is_in(&mut browser).await);
}

/// Scenario: two processes; a login begins at one and ends at the other; then a logout at one.
/// Guarantees: both know the session; both have forgotten it within the stated time, and the one at once.
#[tokio::test]
async fn two_replicas_share_sessions() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let (one, other) = (world.replica().await, world.replica().await);
    let mut browser = Browser::new();
    let callback = browser.up_to_callback(&one.at("/auth/login"), "alice").await;
    assert_eq!(other.come_back(&mut browser, &callback).await, "/");
    assert!(one.is_in(&mut browser).await && other.is_in(&mut browser).await);
    let (mut at_one, mut at_other) = (browser.clone(), browser.clone());
    let (_, at) = (
        one.log_out(&mut browser).await,
        "the cookie is gone with the answer",
    );
    assert!(!browser.jar.contains_key("immune"), "{at}");
    assert!(!one.is_in(&mut at_one).await);
    world.clock.advance(HOLDS);
    assert!(!other.is_in(&mut at_other).await);
}

/// Scenario: writes with a session: without a token, with another session's, with a wrong one, with two, with the right
/// one; and a logout without one.
/// Guarantees: only our own page, which has read the token, writes or logs out.
#[tokio::test]
async fn writes_need_the_token() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let (mut alice, mut bob) = (Browser::new(), Browser::new());
    replica.log_in(&mut alice, "alice").await;
    replica.log_in(&mut bob, "bob").await;
    let token = async |browser: &mut Browser| {
        let (_, me) = replica.me(browser).await;
        me["csrf"].as_str().unwrap().to_owned()
    };
    let (right, of_bob) = (token(&mut alice).await, token(&mut bob).await);
    let cookie = alice.jar["immune"].clone();
    for (sent, wanted) in [
        (vec![], 403),
        (vec![of_bob.as_str()], 403),
        (vec![""], 403),
        (vec![&right[1..]], 403),
        (vec![cookie.as_str()], 403),
        (vec![right.as_str(), right.as_str()], 403),
        (vec![right.as_str()], 200),
    ] {
        for path in ["/me", "/auth/logout"] {
            if path == "/auth/logout" && wanted == 200 {
                continue;
            }
            let response = alice
                .send(Method::POST, &replica.at(path), |mut request| {
                    for token in &sent {
                        request = request.header("x-csrf-token", *token);
                    }
                    request
                })
                .await;
            assert_eq!(response.status().as_u16(), wanted, "{path} {sent:?}");
        }
    }
    assert!(replica.is_in(&mut alice).await);
}
