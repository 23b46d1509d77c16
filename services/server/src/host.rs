//! Starts the roles of a process, serves them, and drains them in the order of the flow.

use crate::config::{Checked, Config};
use crate::roles::{self, Channels, Connections, Role, Surroundings};
use crate::wiring::Backends;
use anyhow::Context;
use immune_bus::local::local;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::server;
use immune_store::retention;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Batches that may wait for each consumer of the bus.
const BUS_BATCHES_MAX: usize = 256;
/// Time between two sweeps of old records.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Where a process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// REST.
    pub rest: SocketAddr,
    /// Each role's gRPC, in the order of [`Role::ALL`]; empty when switched off.
    pub grpc: Vec<(Role, SocketAddr)>,
    /// Metrics, unless switched off.
    pub metrics: Option<SocketAddr>,
}

/// A started process.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// Ways to the roles, for whoever embeds the process.
    pub channels: Channels,
    intake: CancellationToken,
    work: CancellationToken,
    intake_tasks: JoinSet<anyhow::Result<()>>,
    work_tasks: JoinSet<anyhow::Result<()>>,
    backends: Backends,
}

/// Starts all roles in this process.
///
/// # Errors
/// When a store cannot be opened or an address cannot be listened on; nothing is left running then.
pub async fn start(checked: &Checked, clock: SharedClock) -> anyhow::Result<Running> {
    let config = &checked.config;
    let backends = Backends::open(config).await?;
    let (channels, connections) = Channels::in_process();
    let around = Surroundings {
        policies: &config.policy,
        keys: &checked.keys,
        clock: clock.clone(),
        channels: channels.clone(),
    };
    let mut registry = Registry::default();
    let (publisher, consumers) = local(&["baseline", "sentinel"], BUS_BATCHES_MAX);
    let [for_baseline, for_sentinel] = <[_; 2]>::try_from(consumers).ok().expect("one consumer per name");

    let stores = &backends.stores;
    let baseline = roles::baseline::build(
        &config.baseline,
        &around,
        stores,
        Box::new(for_baseline),
        &mut registry,
    );
    let sentinel = roles::sentinel::build(
        &config.sentinel,
        &around,
        stores,
        Box::new(for_sentinel),
        &mut registry,
    );
    let quarantine = roles::quarantine::build(
        &config.quarantine,
        &around,
        stores,
        &backends.levers,
        &mut registry,
    );
    let healer = roles::healer::build(&config.healer, &around, stores, &backends.levers, &mut registry);
    let dashboard = roles::dashboard::build(&config.dashboard, &around, stores, &mut registry);
    let ingestion = roles::ingestion::build(
        &config.ingestion,
        &around,
        stores,
        Arc::new(publisher),
        &mut registry,
    );
    let receivers = immune_ingestion::Receivers::bind(&config.ingestion).await?;
    let rest = server::bind(config.dashboard.listen, "REST (dashboard.listen)").await?;
    let metrics = match config.metrics.enabled {
        true => Some(server::bind(config.metrics.listen, "metrics (metrics.listen)").await?),
        false => None,
    };
    let listeners = grpc_listeners(config).await?;
    let addresses = Addresses {
        otlp_grpc: receivers.grpc_address(),
        otlp_http: receivers.http_address(),
        rest: rest.local_addr()?,
        grpc: listeners
            .iter()
            .map(|(role, l)| Ok((*role, l.local_addr()?)))
            .collect::<std::io::Result<_>>()?,
        metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()?,
    };

    let (intake, work) = (CancellationToken::new(), CancellationToken::new());
    let (mut intake_tasks, mut work_tasks) = (JoinSet::new(), JoinSet::new());
    let services = [
        Routes::new(ingestion.grpc()),
        Routes::new(baseline.grpc()),
        Routes::new(sentinel.grpc()),
        Routes::new(quarantine.grpc()),
        Routes::new(healer.grpc()),
        Routes::new(dashboard.grpc()),
    ];
    let mut listeners: Vec<Option<TcpListener>> = listeners.into_iter().map(|(_, l)| Some(l)).collect();
    listeners.resize_with(Role::ALL.len(), || None);
    for (((role, routes), connections), listener) in Role::ALL
        .into_iter()
        .zip(services)
        .zip(connections)
        .zip(listeners)
    {
        serve(role, routes, connections, listener, &work, &mut work_tasks).await?;
    }
    if let Some(listener) = metrics {
        let stop = work.clone();
        work_tasks.spawn(async move {
            immune_runtime::metrics::serve(Arc::new(registry), listener, stop)
                .await
                .context("metrics")
        });
    }
    spawn(&mut work_tasks, baseline.run(work.clone()));
    spawn(&mut work_tasks, sentinel.run(work.clone()));
    spawn(&mut work_tasks, quarantine.run(work.clone()));
    spawn(&mut work_tasks, healer.run(work.clone()));
    spawn(
        &mut work_tasks,
        sweep(
            backends.stores.clone(),
            config.retention.clone(),
            clock,
            work.clone(),
        ),
    );
    let stop = intake.clone();
    intake_tasks.spawn(async move { dashboard.serve(rest, stop).await.context("REST") });
    let stop = intake.clone();
    intake_tasks.spawn(async move { receivers.run(ingestion, stop).await.context("OTLP") });
    Ok(Running {
        addresses,
        channels,
        intake,
        work,
        intake_tasks,
        work_tasks,
        backends,
    })
}

async fn grpc_listeners(config: &Config) -> anyhow::Result<Vec<(Role, TcpListener)>> {
    let mut listeners = Vec::new();
    if config.grpc.enabled {
        for (role, offset) in Role::ALL.into_iter().zip(0u16..) {
            let port = match config.grpc.first_port {
                0 => 0,
                first => first + offset,
            };
            let what = format!("gRPC of {} (grpc.host, grpc.first_port)", role.as_str());
            listeners.push((
                role,
                server::bind(SocketAddr::from((config.grpc.host, port)), &what).await?,
            ));
        }
    }
    Ok(listeners)
}

/// Serves a role to others in this process and, if it listens, to programs on this machine.
async fn serve(
    role: Role,
    routes: Routes,
    connections: Connections,
    listener: Option<TcpListener>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (routes, health) = server::with_standard_services(routes).context("gRPC reflection")?;
    health
        .set_service_status(role.service(), tonic_health::ServingStatus::Serving)
        .await;
    if let Some(listener) = listener {
        let (routes, stop) = (routes.clone(), stop.clone());
        tasks.spawn(async move {
            server::serve_loopback(routes, listener, stop)
                .await
                .with_context(|| format!("gRPC of {}", role.as_str()))
        });
    }
    let stop = stop.clone();
    tasks.spawn(async move {
        server::serve_in_process(routes, connections, stop)
            .await
            .with_context(|| format!("calls to {}", role.as_str()))
    });
    Ok(())
}

fn spawn(tasks: &mut JoinSet<anyhow::Result<()>>, run: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        run.await;
        Ok(())
    });
}

async fn sweep(
    stores: immune_store::Stores,
    keep: retention::Retention,
    clock: SharedClock,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        for swept in retention::sweep(&stores, &keep, clock.now()).await {
            match swept.result {
                Ok(0) => {}
                Ok(removed) => tracing::info!(records = swept.records, removed, "old records removed"),
                Err(error) => {
                    tracing::warn!(records = swept.records, %error, "old records not removed; trying again later");
                }
            }
        }
    }
}

impl Running {
    /// Waits until the token is cancelled or something that should run for ever ends; then drains: doors first,
    /// so that nothing new is accepted; then what was accepted goes through every role; then the stores close.
    ///
    /// # Errors
    /// What ended a task that should have run on.
    pub async fn until(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.until_after(shutdown, async {}).await.1
    }

    /// As [`Running::until`], with something to do between the signal and the drain, while every role still answers.
    pub async fn until_after<T>(
        mut self,
        shutdown: CancellationToken,
        last: impl Future<Output = T>,
    ) -> (T, anyhow::Result<()>) {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.intake_tasks.join_next() => unexpected(ended),
            ended = self.work_tasks.join_next() => unexpected(ended),
        };
        let last = last.await;
        self.intake.cancel();
        let doors = all(&mut self.intake_tasks).await;
        self.work.cancel();
        let work = all(&mut self.work_tasks).await;
        self.backends.close().await;
        (last, ended.and(doors).and(work))
    }
}

fn unexpected(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(Ok(()))) => anyhow::bail!("a part of the process has stopped; its log says which"),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error).context("a part of the process has failed"),
        None => anyhow::bail!("nothing runs"),
    }
}

async fn all(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended
            .context("a part of the process has failed")
            .and_then(|ended| ended);
        first = first.and(ended);
    }
    first
}
