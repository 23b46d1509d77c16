//! The client of the Agent Lifecycle API: contains and heals agents through their own platform, over HTTP or gRPC.
//!
//! The contract is `proto/lifecycle.openapi.yaml` and `proto/immune/v1/lifecycle.proto`; both forms mean the same.
//! Which platform has an agent, and with which credentials, is configuration ([`Config`]), never telemetry: an
//! infected agent must not choose who is asked about it.
//!
//! What it is not: it keeps no state between two asks. Whoever asks again with the same idempotency key is answered
//! by the platform.
//!
//! To change how an answer is understood: `http.rs` and `grpc.rs` translate one answer into a [`reply::Reply`],
//! `conversation.rs` decides what follows from it, for both forms alike.

mod backoff;
mod config;
mod conversation;
mod credential;
mod grpc;
mod http;
mod reply;
mod secret;
mod verb;

pub use config::{Base, Config};
pub use secret::Secret;

use async_trait::async_trait;
use conversation::Pace;
use immune_domain::id::is_well_formed;
use immune_domain::policy::matches_pattern;
use immune_domain::{AgentKey, ErrorKind};
use immune_levers::{Answer, Ask, Lever, Observed, Outcome};
use reply::{Order, Wire};
use serde_json::json;

/// The lever's name in policy and in receipts.
pub const NAME: &str = "lifecycle";

/// The lever that acts through the Agent Lifecycle API.
pub struct Lifecycle {
    routes: Vec<Route>,
    pace: Pace,
}

/// One platform and whose agents it has.
struct Route {
    run: String,
    agent: String,
    url: String,
    wire: Box<dyn Wire>,
}

/// Why the lever could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is wrong; each mistake with its path.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    /// TLS could not be set up.
    #[error("the client for {url} could not be made")]
    Client {
        /// The platform.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BuildError {
    /// Both kinds are the operator's to mend.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BuildError::Config(_) | BuildError::Client { .. } => ErrorKind::Invalid,
        }
    }
}

impl Lifecycle {
    /// A lever for the configured platforms. Connects to nobody yet.
    ///
    /// # Errors
    /// When the configuration is wrong or TLS cannot be set up. Must be called within a tokio runtime.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let mut mistakes = Vec::new();
        config.check("lifecycle", &mut mistakes);
        if !mistakes.is_empty() {
            return Err(BuildError::Config(mistakes));
        }
        // Both TLS stacks need a process-wide provider; a second one is refused, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pace = config.pace();
        let mut routes = Vec::new();
        for base in &config.platforms() {
            let failed = |source| BuildError::Client {
                url: base.url.clone(),
                source,
            };
            let wire: Box<dyn Wire> = if base.is_grpc() {
                Box::new(grpc::Grpc::new(base, config).map_err(failed)?)
            } else {
                Box::new(http::Http::new(base, config).map_err(failed)?)
            };
            let (run, agent, url) = (base.run.clone(), base.agent.clone(), base.url.clone());
            routes.push(Route {
                run,
                agent,
                url,
                wire,
            });
        }
        Ok(Lifecycle { routes, pace })
    }

    fn route(&self, key: &AgentKey) -> Option<&Route> {
        self.routes.iter().find(|route| {
            matches_pattern(&route.run, key.run.as_str()) && matches_pattern(&route.agent, key.agent.as_str())
        })
    }
}

#[async_trait]
impl Lever for Lifecycle {
    fn name(&self) -> &str {
        NAME
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        let unsupported = |detail| Answer {
            outcome: Outcome::Unsupported,
            detail,
            evidence: json!({ "platform": null }),
        };
        // The doors refuse such ids already; a path made of `..` would name another resource.
        if !is_well_formed(ask.key.agent.as_str()) {
            return unsupported("no url can name this agent".to_owned());
        }
        let Some(route) = self.route(&ask.key) else {
            return unsupported(format!("no platform is configured for {}", ask.key));
        };
        let order = Order::of(ask);
        let mut answer = conversation::hold(route.wire.as_ref(), &order, &self.pace).await;
        if let Some(evidence) = answer.evidence.as_object_mut() {
            evidence.insert("platform".to_owned(), json!(route.url));
            evidence.insert("action".to_owned(), json!(order.verb.as_str()));
        }
        answer
    }

    async fn observe(&self, key: &AgentKey) -> Option<Observed> {
        let route = self.route(key).filter(|_| is_well_formed(key.agent.as_str()))?;
        conversation::look(route.wire.as_ref(), key, &self.pace).await
    }
}
