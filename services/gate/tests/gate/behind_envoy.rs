//! A real Envoy asks the check before every request to an upstream that says what reached it.

use crate::certificates::Authority;
use crate::world::{World, until};
use axum::http::{HeaderMap, HeaderValue};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use immune_proto::v1::Decision;
use immune_test_servers::{Envoy, free_ports};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;

const SECRET: &[u8] = b"a secret of the token issuer only";

/// A gateway in front of an upstream.
struct Gateway {
    envoy: Envoy,
    /// Its listeners: by header, by certificate, by token, over HTTP, by connection.
    ports: [u16; 5],
    authority: Authority,
    folder: TempDir,
}

/// Says which headers reached it.
async fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(async |headers: HeaderMap| {
        let shown = |value: &HeaderValue| value.to_str().unwrap_or("?").to_owned();
        let headers: BTreeMap<String, String> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), shown(value)))
            .collect();
        Json(headers)
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

impl Gateway {
    async fn before(world: &World) -> Option<Self> {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        let (certificate, key) = authority.sign("localhost");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let first = free_ports(5);
        let ports: [u16; 5] = std::array::from_fn(|n| first + n as u16);
        let jwk = json!({ "kty": "oct", "kid": "1", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
        let values = [
            ("BY_HEADER", ports[0].to_string()),
            ("BY_CERTIFICATE", ports[1].to_string()),
            ("BY_TOKEN", ports[2].to_string()),
            ("OVER_HTTP", ports[3].to_string()),
            ("BY_CONNECTION", ports[4].to_string()),
            ("IMMUNE", world.door.address.port().to_string()),
            ("UPSTREAM", upstream().await.to_string()),
            ("CERTIFICATE", file("tls.crt", &certificate)),
            ("KEY", file("tls.key", &key)),
            ("CA", file("ca.crt", &authority.pem())),
            (
                "ACCESS_LOG",
                folder.path().join("access.log").display().to_string(),
            ),
            ("JWKS", json!({ "keys": [jwk] }).to_string()),
        ];
        let mut configuration = include_str!("envoy.yaml").to_owned();
        for (name, value) in values {
            configuration = configuration.replace(&format!("@{name}@"), &value);
        }
        let envoy = Envoy::start(&configuration, ports[4]).await?;
        let gateway = Gateway {
            envoy,
            ports,
            authority,
            folder,
        };
        // Before its first health check Envoy believes in the check.
        until("Envoy lets healthy agents pass", async || {
            gateway.by_header(0, "well").await.status() == 200
        })
        .await;
        Some(gateway)
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([ca])
    }

    /// Over a listener, with the agent in the header and forged ones beside it.
    async fn by_header(&self, listener: usize, agent: &str) -> reqwest::Response {
        let request = self.client().build().unwrap().post(format!(
            "http://127.0.0.1:{}/v1/chat/completions",
            self.ports[listener]
        ));
        let request = request
            .header("x-agent-id", agent)
            .header("x-immune-case", "forged")
            .header("X-Immune-Trust", "forged")
            .body("{}");
        request.send().await.unwrap()
    }

    async fn by_certificate(&self, listener: usize, agent: &str) -> reqwest::Result<reqwest::Response> {
        let id = format!("spiffe://example.org/ns/shop/sa/{agent}");
        let (certificate, key) = self.authority.sign(&id);
        let identity = reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        let client = self.client().identity(identity).build().unwrap();
        let url = format!("https://localhost:{}/", self.ports[listener]);
        client.get(url).send().await
    }

    async fn by_token(&self, agent: &str) -> reqwest::Response {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "HS256", "typ": "JWT", "kid": "1" }));
        let claims = part(json!({ "iss": "https://agents.example", "sub": agent, "exp": 4_000_000_000_u64 }));
        let signed = format!("{header}.{claims}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        let url = format!("http://127.0.0.1:{}/", self.ports[2]);
        let request = self.client().build().unwrap().get(url);
        request.bearer_auth(token).send().await.unwrap()
    }

    fn access_log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }
}

fn sources() -> Value {
    json!({ "identity": [
        { "jwt_claim": { "agent": "sub" } },
        { "spiffe": { "pattern": "spiffe://example.org/ns/{namespace}/sa/{account}", "agent": "{namespace}/{account}" } },
        { "header": { "name": "x-agent-id" } },
    ]})
}

/// Scenario: agents that Envoy knows by a header, by a certificate, by a token, and by their connection; one of each falls
/// ill and is released.
/// Guarantees: the ill one is denied with the case, by that name only, and passes once it is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_envoy_denies_contained_agents() {
    let world = World::start(sources()).await;
    let Some(gateway) = Gateway::before(&world).await else {
        return;
    };
    let [named, certified] = [
        world.ward.falls_ill("ill").await,
        world.ward.falls_ill("shop/ill").await,
    ];
    for agent in ["ill", "shop/ill"] {
        world.door.until(agent, false).await;
    }
    for (listener, response) in [
        ("header", gateway.by_header(0, "ill").await),
        ("plain HTTP", gateway.by_header(3, "ill").await),
        ("token", gateway.by_token("ill").await),
        ("certificate", gateway.by_certificate(1, "ill").await.unwrap()),
    ] {
        let case = match listener {
            "certificate" => &certified,
            _ => &named,
        };
        assert_eq!(response.status(), 403, "{listener}: {}", gateway.envoy.log());
        assert_eq!(response.headers()["x-immune-case"], case.as_str(), "{listener}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{listener}"
        );
        assert!(response.headers().contains_key("x-immune-reason"), "{listener}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (&body["case_id"], &body["severity"]),
            (&json!(case), &json!(8.5)),
            "{listener}"
        );
    }
    assert!(
        gateway.by_certificate(4, "ill").await.is_err(),
        "the connection is cut"
    );

    assert_eq!(gateway.by_token("well").await.status(), 200);
    for listener in [1, 4] {
        assert_eq!(
            gateway.by_certificate(listener, "well").await.unwrap().status(),
            200
        );
    }
    world.ward.decide(&certified, Decision::Release).await;
    world.door.until("shop/ill", true).await;
    assert_eq!(gateway.by_certificate(1, "ill").await.unwrap().status(), 200);
    assert_eq!(gateway.by_header(0, "ill").await.status(), 403);
}

/// Scenario: a healthy agent forges headers of ours; an ill one leaves its name out.
/// Guarantees: forged headers do not reach the upstream; who says no name does not pass; Envoy's log says whose request
/// was denied, and for which case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_envoy_removes_what_is_forged() {
    let world = World::start(sources()).await;
    let Some(gateway) = Gateway::before(&world).await else {
        return;
    };
    for listener in [0, 3] {
        let reached: Value = gateway.by_header(listener, "well").await.json().await.unwrap();
        let ours = reached
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.starts_with("x-immune"));
        assert_eq!(ours.count(), 0, "{reached}");
        assert_eq!(reached["x-agent-id"], "well");
        let url = format!("http://127.0.0.1:{}/", gateway.ports[listener]);
        let nobody = gateway.client().build().unwrap().get(url).send().await.unwrap();
        assert_eq!(nobody.status(), 403);
    }
    let case = world.ward.falls_ill("ill").await;
    world.door.until("ill", false).await;
    assert_eq!(gateway.by_header(0, "ill").await.status(), 403);
    let expected = json!({
        "status": 403,
        "answer": "denied_contained",
        "agent": "ill",
        "case": case,
        "severity": 8.5,
        "diagnosis": "prompt_drift",
    });
    until("the denial is in Envoy's log", async || {
        let log = std::fs::read_to_string(gateway.access_log()).unwrap_or_default();
        log.lines()
            .any(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line == expected))
    })
    .await;
}
