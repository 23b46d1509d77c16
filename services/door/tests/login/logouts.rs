//! Out: by the person here, at the provider, and by the provider.

use crate::browser::{Browser, attribute};
use crate::provider::{self, Provider};
use crate::world::World;
use immune_door::sessions::HOLDS;
use reqwest::{Method, StatusCode};
use serde_json::json;
use url::Url;

/// Ends the provider's session of this browser, as its pages want it; returns where that leads.
async fn end_at_provider(browser: &mut Browser, url: &str, home: &str) -> Url {
    let page = browser.get(url).await;
    let page = browser
        .follow(page, |_| false)
        .await
        .expect_err("a page that asks");
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let xsrf = attribute(&page.body, "name=\"xsrf\" value=\"").expect("a token");
    let response = browser.submit(&page, &[("xsrf", &xsrf), ("logout", "yes")]).await;
    let home = home.to_owned();
    match browser
        .follow(response, |to| to.as_str().starts_with(&home))
        .await
    {
        Ok(to) => to,
        Err(page) => panic!("{} {}: {}", page.status, page.url, page.body),
    }
}

/// Scenario: a person logs out here and goes on to where the answer leads.
/// Guarantees: the session ends here and at the provider, which leads back to our login page; the next login asks for
/// the person again.
#[tokio::test]
async fn logging_out_here_and_there() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    replica.log_in(&mut browser, "alice").await;
    let to = replica.log_out(&mut browser).await;
    assert!(
        to.starts_with(&format!("{}/session/end?", provider.issuer)),
        "{to}"
    );
    assert!(!replica.is_in(&mut browser).await);
    let back = end_at_provider(&mut browser, &to, &world.external).await;
    assert_eq!(back.path(), "/login");
    let response = browser.get(&replica.at("/auth/login")).await;
    let asked = browser.follow(response, |to| to.path() == "/auth/callback").await;
    assert!(asked.is_err(), "the provider has a page to show");
    let kinds: Vec<String> = world.log().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["logged_in", "logged_out"]);
}

/// Scenario: a person is logged in with two browsers at two of our processes, and ends the provider's session in one;
/// first with tokens that name that session, then with tokens that name the person.
/// Guarantees: the provider's word ends the session at every process within the stated time; the other browser's stays
/// unless the person as a whole is meant; others stay.
#[tokio::test]
async fn the_provider_logs_people_out() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let (one, other) = (world.replica().await, world.replica().await);
    for by_session in [true, false] {
        provider.set(json!({ "logout_by_session": by_session })).await;
        let (mut here, mut there, mut bob) = (Browser::new(), Browser::new(), Browser::new());
        one.log_in(&mut here, "alice").await;
        one.log_in(&mut there, "alice").await;
        one.log_in(&mut bob, "bob").await;
        assert!(other.is_in(&mut here).await && other.is_in(&mut there).await);
        let end = format!(
            "{}/session/end?client_id=immune&post_logout_redirect_uri={}/login",
            provider.issuer, world.external
        );
        end_at_provider(&mut here, &end, &world.external).await;
        assert!(!one.is_in(&mut here).await, "by session: {by_session}");
        world.clock.advance(HOLDS);
        for replica in [&one, &other] {
            assert!(!replica.is_in(&mut here).await, "by session: {by_session}");
            assert_eq!(replica.is_in(&mut there).await, by_session);
            assert!(replica.is_in(&mut bob).await);
        }
    }
}

/// Scenario: logout tokens that are none, and an ID token sent as one.
/// Guarantees: 400 without caching, and nobody is logged out.
#[tokio::test]
async fn made_up_logouts() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    replica.log_in(&mut browser, "alice").await;
    let to = Url::parse(&replica.log_out(&mut browser).await).unwrap();
    let (_, id_token) = to
        .query_pairs()
        .find(|(name, _)| name == "id_token_hint")
        .unwrap();
    replica.log_in(&mut browser, "alice").await;
    let none = "eyJhbGciOiJub25lIn0.e30.";
    for body in [
        String::new(),
        "logout_token=".to_owned(),
        "logout_token=a.b.c".to_owned(),
        format!("logout_token={none}"),
        format!("logout_token={id_token}"),
    ] {
        let response = Browser::new()
            .send(Method::POST, &replica.at("/auth/backchannel-logout"), |request| {
                request
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body.clone())
            })
            .await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    assert!(replica.is_in(&mut browser).await);
}
