//! The provider is away.

use crate::browser::{Browser, client, json};
use crate::provider::{self, Provider};
use crate::world::{KEY, World};
use immune_door::sessions::HOLDS;
use immune_store::faults::{Faults, with_faults};
use reqwest::StatusCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const AWAY: &str = "/login?error=provider_away";

/// Scenario: our process starts while the provider is away; it comes, goes away again, and comes back with other keys.
/// Guarantees: keys and sessions work all the while; logins say what is wrong, and work again without a restart of ours.
#[tokio::test]
async fn the_provider_comes_and_goes() {
    if !provider::is_installed() {
        return;
    }
    let port = Provider::start().await.stop().await;
    let mut world = World::of(&format!("http://127.0.0.1:{port}"), |_| {}).await;
    let replica = world.replica().await;
    let mut browser = Browser::new();
    let response = browser.get(&replica.at("/auth/login?then=/cases")).await;
    let to = Browser::leads(&response).unwrap();
    assert_eq!(
        (to.path(), to.query()),
        ("/login", Some("error=provider_away&then=%2Fcases"))
    );
    let program = client().get(replica.at("/auth/login")).send().await.unwrap();
    let (status, problem) = json(program).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["type"], "urn:immune:problem:access.provider_away");
    let with_key = client()
        .get(replica.at("/me"))
        .header("x-api-key", KEY)
        .send()
        .await
        .unwrap();
    assert_eq!(with_key.status(), StatusCode::OK);

    let provider = Provider::on(port).await;
    world.introduce(&provider).await;
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(replica.log_in(&mut browser, "alice").await, "/fleet");

    let mut halfway = Browser::new();
    let callback = halfway.up_to_callback(&replica.at("/auth/login"), "bob").await;
    provider.stop().await;
    assert_eq!(replica.come_back(&mut halfway, &callback).await, AWAY);
    assert!(replica.is_in(&mut browser).await);

    let provider = Provider::on(port).await;
    world.introduce(&provider).await;
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(replica.log_in(&mut Browser::new(), "root").await, "/fleet");
}

/// Scenario: something else answers at the provider's address: redirects, errors, endless bodies, no JSON, another
/// issuer's description.
/// Guarantees: it is not followed, not read without end, and not believed; a login says that the provider is away.
#[tokio::test]
async fn something_else_answers() {
    let json = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let other = r#"{"issuer":"https://evil.example","authorization_endpoint":"https://evil.example/a",
        "token_endpoint":"https://evil.example/t","jwks_uri":"https://evil.example/k",
        "id_token_signing_alg_values_supported":["RS256"]}"#;
    for answer in [
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
        json("<html>"),
        json(other),
        format!("HTTP/1.1 200 OK\r\n\r\n[{}", "1,".repeat(1 << 20)),
        "nonsense".to_owned(),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let shown: String = answer.chars().take(60).collect();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let mut world = World::of(&issuer, |_| {}).await;
        let replica = world.replica().await;
        let response = Browser::new().get(&replica.at("/auth/login")).await;
        let to = Browser::leads(&response).unwrap();
        assert_eq!(format!("{}?{}", to.path(), to.query().unwrap()), AWAY, "{shown}");
        serving.abort();
    }
}

/// Scenario: our own store is away before the first login, comes, and goes away again while somebody is logged in.
/// Guarantees: nobody is told that their session has ended when nobody knows; keys that are known go on; afterwards the
/// session is as it was.
#[tokio::test]
async fn the_store_comes_and_goes() {
    if !provider::is_installed() {
        return;
    }
    let provider = Provider::start().await;
    let mut world = World::with(&provider).await;
    let faults = Faults::new(1, 0);
    world.stores = with_faults(world.stores.clone(), &faults);
    let replica = world.replica().await;
    faults.set_per_thousand(1_000);
    let mut browser = Browser::new();
    let response = browser.get(&replica.at("/auth/login")).await;
    let to = Browser::leads(&response).unwrap();
    assert_eq!((to.path(), to.query()), ("/login", Some("error=not_ready")));
    faults.set_per_thousand(0);
    assert_eq!(replica.log_in(&mut browser, "alice").await, "/fleet");

    let mut halfway = Browser::new();
    let callback = halfway.up_to_callback(&replica.at("/auth/login"), "bob").await;
    faults.set_per_thousand(1_000);
    world.clock.advance(HOLDS);
    let (status, problem) = replica.me(&mut browser).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["type"], "urn:immune:problem:access.not_ready");
    let with_key = client()
        .get(replica.at("/me"))
        .header("x-api-key", KEY)
        .send()
        .await
        .unwrap();
    assert_eq!(with_key.status(), StatusCode::OK);
    assert_eq!(
        replica.come_back(&mut halfway, &callback).await,
        "/login?error=not_ready"
    );
    faults.set_per_thousand(0);
    assert!(replica.is_in(&mut browser).await);
    assert!(!replica.is_in(&mut halfway).await);
}
