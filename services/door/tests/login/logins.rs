//! Who gets in, as whom, and who does not.

use crate::browser::Browser;
use crate::provider::{self, Provider};
use crate::world::World;
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;
use url::Url;

/// A callback with one parameter changed, or removed.
fn changed(callback: &Url, name: &str, value: Option<&str>) -> Url {
    let kept: Vec<(String, String)> = callback
        .query_pairs()
        .filter(|(given, _)| given != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut url = callback.clone();
    url.query_pairs_mut().clear().extend_pairs(kept);
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
    url
}

fn parameter(url: &Url, name: &str) -> String {
    let (_, value) = url.query_pairs().find(|(given, _)| given == name).unwrap();
    value.into_owned()
}

/// Scenario: an operator logs in at the provider, with a session cookie planted beforehand.
/// Guarantees: it is the person whom the provider has verified, with the role of its groups, back on the page that was
/// asked for, in a session of its own; the login is in the action log.
#[tokio::test]
async fn a_whole_login() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    assert_eq!(replica.me(&mut browser).await.0, StatusCode::UNAUTHORIZED);
    browser
        .jar
        .insert("immune".to_owned(), "planted.cookie".to_owned());
    assert_eq!(replica.log_in(&mut browser, "alice").await, "/fleet");
    let (status, me) = replica.me(&mut browser).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(me["subject"], "alice@example.com");
    assert_eq!(me["via"], format!("oidc:{}", provider.issuer));
    assert_eq!(me["role"], "operator");
    assert_eq!(me["runs"], json!(["blue", "red"]));
    assert_ne!(browser.jar["immune"], "planted.cookie");
    assert!(!browser.jar.contains_key("immune-login"));
    let first = browser.jar["immune"].clone();
    replica.log_in(&mut browser, "alice").await;
    assert_ne!(browser.jar["immune"], first, "every login has a token of its own");
    let mut old = Browser::new();
    old.jar.insert("immune".to_owned(), first);
    assert!(!replica.is_in(&mut old).await, "the session before it has ended");
    let log = world.log().await;
    let row = ("logged_in".to_owned(), "alice@example.com".to_owned());
    assert_eq!(log, [row.clone(), row]);
}

/// Scenario: people of several groups, with claims in the ID token and in userinfo, and with tokens of other algorithms.
/// Guarantees: the highest role of the groups; an unverified email names nobody; without a mapped group nobody comes in,
/// and the action log has it.
#[tokio::test]
async fn groups_give_roles() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    for settings in [
        json!({ "claims_in_id_token": true, "alg": "PS256" }),
        json!({ "claims_in_id_token": false, "alg": "ES256" }),
    ] {
        provider.set(settings.clone()).await;
        for (person, subject, name, role) in [
            ("bob", "bob@example.com", "bob", "viewer"),
            ("root", "root@example.com", "The Admin", "admin"),
            ("dave", "dave", "dave", "operator"),
        ] {
            let mut browser = Browser::new();
            assert_eq!(
                replica.log_in(&mut browser, person).await,
                "/fleet",
                "{person} {settings}"
            );
            let (_, me) = replica.me(&mut browser).await;
            let found = [&me["subject"], &me["name"], &me["role"]];
            assert_eq!(found, [subject, name, role], "{settings}");
        }
        let mut browser = Browser::new();
        assert_eq!(
            replica.log_in(&mut browser, "carol").await,
            "/login?error=no_role"
        );
        assert!(!replica.is_in(&mut browser).await);
    }
    let log = world.log().await;
    assert_eq!(
        log.iter().filter(|(kind, _)| kind == "login_refused").count(),
        2,
        "{log:?}"
    );
}

/// Scenario: a callback in another browser, with another state, without one, of another provider, after the login took
/// too long, and with an error of the provider.
/// Guarantees: only the browser that began a login can finish it, in time, with its own provider; it can still do so
/// after all the others have tried.
#[tokio::test]
async fn a_callback_belongs_to_its_login() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    let callback = browser.up_to_callback(&replica.at("/auth/login"), "alice").await;
    let expired = "/login?error=login_expired";

    let mut other = Browser::new();
    assert_eq!(replica.come_back(&mut other, &callback).await, expired);
    other.get(&replica.at("/auth/login")).await;
    assert_eq!(replica.come_back(&mut other, &callback).await, expired);
    for wrong in [
        changed(&callback, "state", Some("guessed")),
        changed(&callback, "state", None),
        changed(&callback, "iss", Some("https://evil.example")),
        changed(&callback, "iss", None),
    ] {
        assert_eq!(replica.come_back(&mut browser, &wrong).await, expired, "{wrong}");
    }
    let mut late = browser.clone();
    let mut refused = browser.clone();
    assert_eq!(replica.come_back(&mut browser, &callback).await, "/");
    assert!(replica.is_in(&mut browser).await);

    let error = changed(&changed(&callback, "code", None), "error", Some("access_denied"));
    assert_eq!(
        replica.come_back(&mut refused, &error).await,
        "/login?error=provider_refused"
    );
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(replica.come_back(&mut late, &callback).await, expired);
    for browser in [&mut other, &mut late, &mut refused] {
        assert!(!replica.is_in(browser).await);
    }
}

/// Scenario: a code is used twice; a code of one person is put into the login of another.
/// Guarantees: neither gives a session: a code counts once, and only together with the verifier of its own login.
#[tokio::test]
async fn a_code_counts_once_and_for_its_own_login() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    let callback = browser.up_to_callback(&replica.at("/auth/login"), "alice").await;
    let mut again = browser.clone();
    assert_eq!(replica.come_back(&mut browser, &callback).await, "/");
    assert_eq!(
        replica.come_back(&mut again, &callback).await,
        "/login?error=provider_refused"
    );
    assert!(!replica.is_in(&mut again).await);

    let (mut victim, mut thief) = (Browser::new(), Browser::new());
    let of_victim = victim.up_to_callback(&replica.at("/auth/login"), "root").await;
    let of_thief = thief.up_to_callback(&replica.at("/auth/login"), "bob").await;
    let stolen = changed(&of_thief, "code", Some(&parameter(&of_victim, "code")));
    assert_eq!(
        replica.come_back(&mut thief, &stolen).await,
        "/login?error=provider_refused"
    );
    assert!(!replica.is_in(&mut thief).await);
}

/// Scenario: the nonce is exchanged on the way to the provider, so that the ID token is of another login.
/// Guarantees: the token is not taken.
#[tokio::test]
async fn a_token_of_another_login_is_refused() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    let response = browser.get(&replica.at("/auth/login")).await;
    let to = changed(&Browser::leads(&response).unwrap(), "nonce", Some("another"));
    let callback = browser.up_to_callback(to.as_str(), "alice").await;
    assert_eq!(
        replica.come_back(&mut browser, &callback).await,
        "/login?error=login_failed"
    );
    assert!(!replica.is_in(&mut browser).await);
}

/// Scenario: the provider changes its keys between two logins, and the old ones are gone at once.
/// Guarantees: the next login works, without waiting for the keys to grow old.
#[tokio::test]
async fn keys_are_rotated() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    for _ in 0..3 {
        let mut browser = Browser::new();
        assert_eq!(replica.log_in(&mut browser, "alice").await, "/fleet");
        provider.rotate_keys().await;
        world.clock.advance(Duration::from_secs(5));
    }
}

/// Scenario: a login is asked to lead to another site afterwards.
/// Guarantees: it leads to our first page.
#[tokio::test]
async fn a_login_never_leads_elsewhere() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    for then in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
    ] {
        let mut browser = Browser::new();
        let callback = browser
            .up_to_callback(&replica.at(&format!("/auth/login?then={then}")), "alice")
            .await;
        assert_eq!(replica.come_back(&mut browser, &callback).await, "/", "{then}");
    }
}
