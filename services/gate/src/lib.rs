//! The gateway check: may this agent act? Asked by gateways in front of what agents use (models, tools, other agents),
//! for every request, over Envoy's external authorization protocol or over plain HTTP.
//!
//! Runs where quarantine does. Answers come from memory: a [`table`] of the agents that are contained, filled from the
//! store of cases at start and kept current by its events, so that every replica knows what any other has contained,
//! and a store that is away stops nobody. What counts as contained is `immune_domain::case::Case::denies_admission`,
//! as for `GET /api/v1/agents/{agent_id}/admission`.
//!
//! Not here: judging agents and containing them. Who an agent is, this crate believes of the gateway: a header that the
//! gateway does not overwrite is a header that an agent can write.
//!
//! - `config`: what can be set. `identity`: from a request to an agent, source by source.
//! - `table`: contained agents in memory. `follow`: keeps it current. `check`: the decision.
//! - `envoy`: `envoy.service.auth.v3.Authorization`. `plain`: `/check`. `words`: what a denial says, the same for both.
//! - `serve`: the listener, which speaks HTTP/1.1 and HTTP/2.
//!
//! To add a source of identity: a variant of [`config::Source`], a file in `identity`, and rows in its table of tests.

mod check;
pub mod config;
mod envoy;
mod follow;
mod identity;
pub mod metrics;
mod plain;
mod serve;
mod table;
mod words;

pub use config::Config;
pub use metrics::Metrics;

use check::Checker;
use immune_domain::case::Case;
use immune_domain::policy::LivePolicies;
use immune_runtime::grpc::server::bind;
use immune_runtime::tls::{Listener, Protocols};
use immune_store::CaseStore;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the check is built from.
pub struct Dependencies {
    /// Where cases live.
    pub cases: Arc<dyn CaseStore>,
    /// Which agents are only observed.
    pub policies: LivePolicies,
    /// Where the check counts.
    pub metrics: Metrics,
}

/// How the check is, for whoever reports readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether every open case has been read once.
    pub is_loaded: bool,
    /// Why the store of cases could not be read the last time; `None` while it can.
    pub store_error: Option<String>,
    /// Whether what is known is older than `blind_after_seconds`, or not all of it had room.
    pub is_blind: bool,
}

/// The gateway check, bound and not served yet.
pub struct Gate {
    listener: Listener,
    address: SocketAddr,
    checker: Arc<Checker>,
    cases: Arc<dyn CaseStore>,
    state: watch::Sender<State>,
}

impl Gate {
    /// Binds the listener; `None` when none is configured.
    ///
    /// # Errors
    /// When the configuration is not one that [`Config::check`] accepts, the address is taken, or the certificate
    /// cannot be used.
    pub async fn bind(config: Config, dependencies: Dependencies) -> io::Result<Option<Self>> {
        let mut mistakes = Vec::new();
        config.check("gate", &mut mistakes);
        if let Some(mistake) = mistakes.into_iter().next() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, mistake));
        }
        let Some(address) = config.address() else {
            return Ok(None);
        };
        let Dependencies {
            cases,
            policies,
            metrics,
        } = dependencies;
        let tcp = bind(address, "the gateway check (gate.listen)").await?;
        let address = tcp.local_addr()?;
        let listener = Listener::for_door(tcp, config.tls.as_ref(), Protocols::Either, &metrics.tls)
            .map_err(io::Error::other)?;
        Ok(Some(Gate {
            listener,
            address,
            checker: Arc::new(Checker::new(config, policies, metrics)),
            cases,
            state: watch::Sender::default(),
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the check is, and how that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Follows the cases and answers until the token is cancelled; checks under way are answered. Before every open
    /// case has been read once, a check is answered with `UNAVAILABLE` or 503, so that the gateway's own setting for a
    /// check that fails decides.
    pub async fn run(self, shutdown: CancellationToken) {
        let Gate {
            listener,
            checker,
            cases,
            state,
            ..
        } = self;
        let follower = follow::Follower {
            cases,
            checker: checker.clone(),
            state: Arc::new(state),
        };
        let health = follower.state.subscribe();
        tokio::join!(
            follower.run(shutdown.clone()),
            serve::run(listener, checker, health, shutdown),
        );
    }

    /// The decision without the listener, and a table that can be filled without a store; for measuring.
    #[doc(hidden)]
    pub fn probe(&self) -> Probe {
        Probe(self.checker.clone())
    }
}

/// See [`Gate::probe`].
#[doc(hidden)]
#[derive(Clone)]
pub struct Probe(Arc<Checker>);

impl Probe {
    /// Keeps the agents of these cases out, until all cases are read again.
    pub fn hold<'a>(&self, cases: impl IntoIterator<Item = &'a Case>) {
        cases.into_iter().for_each(|case| self.0.table.put(case));
    }

    /// Whether an agent may act; `None` before the cases are loaded.
    pub fn may_act(&self, run: &str, agent: &str) -> Option<bool> {
        let who = identity::Identified::Agent {
            run: run.into(),
            agent: agent.into(),
        };
        match self.0.check(&who) {
            check::Answer::Allowed(_) => Some(true),
            check::Answer::Denied(_) => Some(false),
            check::Answer::Starting => None,
        }
    }
}
