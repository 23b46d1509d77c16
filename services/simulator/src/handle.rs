//! Starting a simulation, and what one can do with it while it runs.

use crate::agent::{Agent, Snapshot};
use crate::chaos;
use crate::config::Config;
use crate::event::SimEvent;
use crate::infection::{Infection, Strength};
use crate::platform::{Faults, Platform, grpc, http};
use crate::telemetry::Telemetry;
use immune_domain::ErrorKind;
use immune_proto::v1::agent_lifecycle_server::AgentLifecycleServer;
use immune_runtime::clock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long agents and servers have to end.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Starts simulations.
pub struct Simulator;

/// A simulation that runs. Dropping it ends it; [`Handle::stop`] also sends the telemetry that waits.
pub struct Handle {
    platform: Arc<Platform>,
    telemetry: Telemetry,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
    _guard: DropGuard,
    http: SocketAddr,
    grpc: SocketAddr,
    seed: u64,
}

/// Why a simulation could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be.
    #[error("{0}")]
    Config(String),
    /// An address is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The exporter could not be made.
    #[error("telemetry for {endpoint} cannot be sent")]
    Telemetry {
        /// Where to.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StartError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StartError::Config(_) | StartError::Telemetry { .. } => ErrorKind::Invalid,
            StartError::Listen { .. } => ErrorKind::Conflict,
        }
    }
}

/// The simulation in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Agents.
    pub agents: usize,
    /// Executions begun.
    pub executions: u64,
    /// Infections so far.
    pub infections: u64,
    /// Infections cured so far.
    pub cured: u64,
    /// Agents that are ill now.
    pub ill: usize,
    /// Agents that are kept from executing now.
    pub contained: usize,
}

/// Counters over the whole simulation.
#[derive(Default)]
pub(crate) struct Tally {
    infections: AtomicU64,
    cured: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self, event: &SimEvent) {
        match event {
            SimEvent::Infected { .. } => self.infections.fetch_add(1, Ordering::Relaxed),
            SimEvent::Cured { .. } => self.cured.fetch_add(1, Ordering::Relaxed),
            SimEvent::Contained { .. }
            | SimEvent::Probation { .. }
            | SimEvent::Released { .. }
            | SimEvent::Acted { .. } => 0,
        };
    }
}

impl Simulator {
    /// Starts the agents and their platform's API.
    ///
    /// # Errors
    /// When a setting cannot be, an address is taken, or the exporter cannot be made.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        if let Some(mistake) = config.mistake() {
            return Err(StartError::Config(mistake));
        }
        let telemetry = Telemetry::new(&config).map_err(|source| StartError::Telemetry {
            endpoint: config.otlp_endpoint.clone(),
            source,
        })?;
        let (http_listener, http) = listen(config.listen).await?;
        let (grpc_listener, grpc) = listen(config.listen_grpc).await?;
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();

        let agents = (0..config.agents).map(|n| {
            let kind = config.types[n % config.types.len()];
            Agent::new(format!("{kind}-{}", n / config.types.len() + 1), kind)
        });
        let platform = Arc::new(Platform::new(agents.collect(), config.token.clone()));
        tracing::info!(seed = config.seed, agents = config.agents, "simulation starts");

        serve(
            &mut tasks,
            Arc::clone(&platform),
            http_listener,
            grpc_listener,
            &shutdown,
        );
        for (n, agent) in platform.agents.values().enumerate() {
            let Some(tracer) = telemetry.tracer(agent.kind) else {
                continue;
            };
            // Each agent has its own chance: when one executes more often, the others stay as they were.
            let rng = StdRng::seed_from_u64(config.seed.wrapping_add(1 + n as u64));
            let agent = Arc::clone(agent);
            tasks.spawn(agent.run(tracer, rng, config.pace, clock::system(), shutdown.clone()));
        }
        if let Some(every) = config.infect_every {
            let rng = StdRng::seed_from_u64(config.seed);
            tasks.spawn(chaos::run(Arc::clone(&platform), rng, every, shutdown.clone()));
        }
        let guard = shutdown.clone().drop_guard();
        Ok(Handle {
            platform,
            telemetry,
            tasks,
            shutdown,
            _guard: guard,
            http,
            grpc,
            seed: config.seed,
        })
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves both forms of the API until the end; calls under way are dropped, since a hanging one never ends.
fn serve(
    tasks: &mut JoinSet<()>,
    platform: Arc<Platform>,
    http_listener: TcpListener,
    grpc_listener: TcpListener,
    shutdown: &CancellationToken,
) {
    let router = http::router(Arc::clone(&platform));
    let (http_end, grpc_end) = (shutdown.clone(), shutdown.clone());
    tasks.spawn(async move {
        tokio::select! {
            ended = async { axum::serve(http_listener, router).await } => if let Err(e) = ended {
                tracing::error!(error = %e, "the simulated platform's HTTP API ended");
            },
            () = http_end.cancelled() => {}
        }
    });
    let service = AgentLifecycleServer::new(grpc::Grpc(platform));
    let server = tonic::transport::Server::builder().add_service(service);
    tasks.spawn(async move {
        tokio::select! {
            ended = server.serve_with_incoming(TcpListenerStream::new(grpc_listener)) => if let Err(e) = ended {
                tracing::error!(error = %e, "the simulated platform's gRPC API ended");
            },
            () = grpc_end.cancelled() => {}
        }
    });
}

impl Handle {
    /// Base of the Agent Lifecycle API over HTTP.
    pub fn lifecycle_base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The same over gRPC.
    pub fn lifecycle_grpc_url(&self) -> String {
        format!("grpc://{}", self.grpc)
    }

    /// The seed that repeats this simulation.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<SimEvent> {
        self.platform.events()
    }

    /// Makes an agent fall ill. `false` when there is no such agent.
    pub fn infect(&self, agent: &str, infection: Infection, strength: Strength) -> bool {
        let Some(ill) = self.platform.agents.get(agent) else {
            return false;
        };
        ill.fall_ill(infection, strength);
        self.platform.tell(SimEvent::Infected {
            agent: agent.to_owned(),
            infection,
            strength,
        });
        true
    }

    /// One agent as it is, whatever the platform claims of it.
    pub fn agent(&self, id: &str) -> Option<Snapshot> {
        self.platform.agents.get(id).map(|agent| agent.snapshot())
    }

    /// All agents as they are, ordered by id.
    pub fn snapshot(&self) -> Vec<Snapshot> {
        self.platform
            .agents
            .values()
            .map(|agent| agent.snapshot())
            .collect()
    }

    /// How the platform behaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.platform.set_faults(faults);
    }

    /// The simulation in numbers.
    pub fn summary(&self) -> Summary {
        let agents = self.snapshot();
        Summary {
            agents: agents.len(),
            executions: agents.iter().map(|agent| agent.executions_started).sum(),
            infections: self.platform.tally.infections.load(Ordering::Relaxed),
            cured: self.platform.tally.cured.load(Ordering::Relaxed),
            ill: agents.iter().filter(|agent| !agent.ailments.is_empty()).count(),
            contained: agents.iter().filter(|agent| agent.is_contained()).count(),
        }
    }

    /// Ends the simulation and sends the telemetry that waits. Returns the last numbers.
    pub async fn stop(mut self) -> Summary {
        self.shutdown.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            self.tasks.abort_all();
        }
        let summary = self.summary();
        self.telemetry.shutdown().await;
        summary
    }
}
