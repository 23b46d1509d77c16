//! Replicas of a server that has the door, on one store, at an external URL that leads to the first of them.

use crate::browser::{Browser, json};
use crate::provider::Provider;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use immune_door::keys::Keys;
use immune_door::oidc::{self, Grant};
use immune_door::{Config, Door, Logins, Metrics, Refusal, Setup, routes, sessions};
use immune_runtime::access::{ApiKey, KeyRing, Role};
use immune_runtime::clock::{Manual, SharedClock, system};
use immune_runtime::config::Secret;
use immune_store::Stores;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const SECRET: &str = "a secret: with +signs% and spaces";
pub const KEY: &str = "a key that is long enough";

pub struct World {
    pub stores: Stores,
    pub clock: Arc<Manual>,
    pub external: String,
    /// Secret of the configured key `kim` in replicas to come.
    pub key: String,
    oidc: Option<oidc::Config>,
    first: Option<TcpListener>,
}

pub struct Replica {
    pub url: String,
    pub door: Door,
    _stops: DropGuard,
}

fn grant(group: &str, role: Role, runs: &[&str]) -> Grant {
    Grant {
        group: group.to_owned(),
        role,
        runs: runs.iter().map(|run| (*run).to_owned()).collect(),
    }
}

impl World {
    /// A world whose provider knows where we are.
    pub async fn with(provider: &Provider) -> Self {
        let world = World::of(&provider.issuer, |_| {}).await;
        world.introduce(provider).await;
        world
    }

    pub async fn introduce(&self, provider: &Provider) {
        provider
            .set(serde_json::json!({ "external_url": self.external }))
            .await;
    }

    pub async fn of(issuer: &str, change: impl FnOnce(&mut oidc::Config)) -> Self {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let external = format!("http://{}", first.local_addr().unwrap());
        let mut oidc = oidc::Config {
            issuer: issuer.to_owned(),
            client_id: "immune".to_owned(),
            client_secret: Some(Secret::new(SECRET)),
            external_url: external.clone(),
            scopes: ["openid", "profile", "email", "groups"]
                .map(str::to_owned)
                .to_vec(),
            roles: vec![
                grant("staff", Role::Viewer, &[]),
                grant("sre", Role::Operator, &["blue", "red"]),
                grant("admins", Role::Admin, &[]),
            ],
            ..oidc::Config::default()
        };
        change(&mut oidc);
        let mut mistakes = Vec::new();
        oidc.check("access.oidc", &mut mistakes);
        assert_eq!(mistakes, Vec::<String>::new());
        World {
            stores: immune_store::memory::stores(),
            clock: Manual::at(system().now()),
            external,
            key: KEY.to_owned(),
            oidc: Some(oidc),
            first: Some(first),
        }
    }

    /// One more process; the first is at the external URL.
    pub async fn replica(&mut self) -> Replica {
        let listener = match self.first.take() {
            Some(first) => first,
            None => TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let key = ApiKey {
            name: "kim".to_owned(),
            key: Some(Secret::new(self.key.as_str())),
            key_file: None,
            role: Role::Operator,
            runs: vec!["blue".to_owned()],
        };
        let ring = KeyRing::load(&[key], "keys", &mut Vec::new());
        let keys = Keys::new(ring, Some(self.stores.access.clone()), Metrics::default());
        keys.refresh().await.unwrap();
        let logins = Logins::new(
            sessions::Config::default(),
            self.oidc.clone(),
            false,
            self.stores.access.clone(),
            self.stores.action_log.clone(),
        )
        .unwrap();
        let setup = Setup {
            rest_is_loopback: true,
            otlp_is_loopback: true,
            has_login: self.oidc.is_some(),
        };
        let door = Door::new(&Config::default(), keys, setup, Metrics::default()).with_logins(logins);
        let clock: SharedClock = self.clock.clone();
        let router = Router::new()
            .route("/me", get(me).post(me))
            .with_state((door.clone(), clock.clone()))
            .merge(routes::router(&door, clock));
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stopped = CancellationToken::new();
        let stop = stopped.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stop).await });
        Replica {
            url,
            door,
            _stops: stopped.drop_guard(),
        }
    }

    /// Kinds and actors of the action log, oldest first.
    pub async fn log(&self) -> Vec<(String, String)> {
        let runs = ["default", "blue"].map(immune_domain::RunId::new);
        let mut rows = Vec::new();
        for run in &runs {
            rows.extend(self.stores.action_log.recent(run, None, 100).await.unwrap());
        }
        rows.sort_by_key(|row| row.sequence);
        rows.into_iter()
            .map(|row| (row.row.kind, row.row.actor))
            .collect()
    }
}

/// Says who is asking; writes need the token.
async fn me(State((door, clock)): State<(Door, SharedClock)>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let identity = match door.identify(&parts.headers, None, clock.now()).await {
        Ok(identity) => identity,
        Err(refusal) => return refusal.into_response(),
    };
    let session = identity.session;
    if let Some(session) = &session
        && parts.method == Method::POST
        && !sessions::is_csrf_right(session, &parts.headers)
    {
        return Refusal::Csrf.into_response();
    }
    let caller = identity.caller;
    let runs: Vec<String> = caller.runs.iter().map(ToString::to_string).collect();
    let me = serde_json::json!({
        "subject": caller.person.subject,
        "via": caller.person.via,
        "role": caller.role.to_string(),
        "runs": runs,
        "name": session.as_ref().map(|session| session.name.clone()),
        "csrf": session.map(|session| session.csrf),
    });
    Json(me).into_response()
}

impl Replica {
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Who the browser is to this replica.
    pub async fn me(&self, browser: &mut Browser) -> (StatusCode, Value) {
        json(browser.get(&self.at("/me")).await).await
    }

    pub async fn is_in(&self, browser: &mut Browser) -> bool {
        self.me(browser).await.0 == StatusCode::OK
    }

    /// Logs in as somebody whom the provider knows, and returns where that leads.
    pub async fn log_in(&self, browser: &mut Browser, person: &str) -> String {
        let callback = browser
            .up_to_callback(&self.at("/auth/login?then=/fleet"), person)
            .await;
        self.come_back(browser, &callback).await
    }

    /// Goes to the callback at this replica, and returns where it leads.
    pub async fn come_back(&self, browser: &mut Browser, callback: &url::Url) -> String {
        let response = browser
            .get(&self.at(&format!("/auth/callback?{}", callback.query().unwrap())))
            .await;
        let to = Browser::leads(&response).expect("a redirect");
        let query = to.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", to.path())
    }

    /// Logs out here; returns where to go next.
    pub async fn log_out(&self, browser: &mut Browser) -> String {
        let (_, me) = self.me(browser).await;
        let csrf = me["csrf"].as_str().unwrap().to_owned();
        let response = browser
            .send(Method::POST, &self.at("/auth/logout"), |request| {
                request.header("x-csrf-token", csrf)
            })
            .await;
        Browser::leads(&response).map_or_else(String::new, |to| to.to_string())
    }
}
