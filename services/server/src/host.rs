//! Starts the roles of a process and serves them; [`crate::running`] drains them.

use crate::audit;
use crate::bus::Bus;
use crate::channels::{Channels, Connections};
use crate::config::{Checked, Config};
use crate::door;
use crate::gate;
use crate::notifier;
use crate::resources;
use crate::roles::{self, Role, Surroundings};
use crate::running::Running;
use crate::security::Security;
use crate::tasks::{spawn, stand, sweep};
use crate::wiring::Backends;
use anyhow::Context;
use immune_domain::policy::LivePolicies;
use immune_door::Door;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::server;
use immune_runtime::health::{self, Readiness};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Where a process listens; what belongs to a role that runs elsewhere is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP.
    pub otlp_http: Option<SocketAddr>,
    /// REST.
    pub rest: Option<SocketAddr>,
    /// gRPC of each role of this process; empty when switched off.
    pub grpc: Vec<(Role, SocketAddr)>,
    /// The gateway check, where it is switched on.
    pub gate: Option<SocketAddr>,
    /// The admission webhook, where it is switched on.
    pub webhook: Option<SocketAddr>,
    /// Metrics and health, unless switched off.
    pub metrics: Option<SocketAddr>,
}

/// A role on its way up.
struct Served {
    role: Role,
    routes: Routes,
    listener: Option<TcpListener>,
}

/// Starts the roles of this process.
///
/// # Errors
/// When a store cannot be opened, certificates cannot be read, or an address cannot be listened on; nothing is left
/// running then.
pub async fn start(checked: &Checked, clock: SharedClock) -> anyhow::Result<Running> {
    let config = &checked.config;
    let mut registry = Registry::default();
    let metrics = immune_runtime::metrics::Metrics::register(&mut registry);
    let (intake, work) = (CancellationToken::new(), CancellationToken::new());
    let watching = CancellationToken::new();
    // Whatever was begun ends when this function fails.
    let guards = [intake.clone(), work.clone(), watching.clone()].map(CancellationToken::drop_guard);

    let readiness = Readiness::new();
    readiness.register(config.roles.0.iter().map(|role| role.name()), &mut registry);
    // Programs on this machine may call over gRPC as long as they may over REST.
    let known_door: Arc<OnceLock<Door>> = Arc::default();
    let security = {
        let door = known_door.clone();
        Security::read(config, &metrics, move || door.get().is_some_and(Door::is_open))?
    };
    let backends = Backends::open(config, &mut registry).await?;
    let calls = |role: Role| {
        Role::ALL
            .iter()
            .any(|of| config.has(*of) && of.calls().contains(&role))
    };
    let (channels, mut connections) = Channels::new(|role| {
        if !calls(role) {
            return None;
        }
        let target = checked
            .targets
            .iter()
            .find(|target| target.role() == role.name())?;
        Some(security.peers(target, &config.calls, &metrics, watching.clone()))
    });
    let mut bus = Bus::open(config, &channels, &mut registry, &work).await?;
    let (mut intake_tasks, mut work_tasks) = (JoinSet::new(), JoinSet::new());
    let door = door::build(checked, &backends.stores, &mut registry)?;
    door::keep(&door, checked, &clock, &work, &mut work_tasks).await;
    // Set here and nowhere else, so it was empty.
    let _ = known_door.set(door.clone());
    let policies = LivePolicies::new(config.policy.clone());
    // Before any role acts: what policies of the cluster forbid must not be done.
    let followed = resources::follow(
        config,
        &policies,
        &readiness,
        &mut registry,
        &work,
        &mut work_tasks,
    )
    .await?;
    let around = Surroundings {
        policies: &policies,
        door: &door,
        clock: clock.clone(),
        channels: channels.clone(),
        deployment: crate::wiring::deployment(config),
    };

    let mut addresses = Addresses::default();
    // Before any door opens: who finds the process up finds its metrics, too.
    let metrics_listener = match config.metrics.enabled {
        true => Some(server::bind(config.metrics.listen, "metrics (metrics.listen)").await?),
        false => None,
    };
    if let Some(listener) = &metrics_listener {
        addresses.metrics = Some(listener.local_addr()?);
    }
    let mut served = Vec::new();
    let stores = &backends.stores;
    if config.roles.0.iter().any(|role| role.needs_workflow()) {
        let (log, ended) = (stores.action_log.clone(), work.clone());
        let gauges = audit::Metrics::register(&mut registry);
        spawn(&mut work_tasks, audit::anchor(log.clone(), gauges, ended.clone()));
        let refused = audit::record_refused(metrics.refused_calls(), log, clock.clone(), ended);
        spawn(&mut work_tasks, refused);
    }
    for role in Role::ALL.into_iter().filter(|role| config.has(*role)) {
        let routes = match role {
            Role::Baseline => {
                let bus = bus
                    .baseline
                    .take()
                    .expect("the bus has an end for each role of the process");
                let service = roles::baseline::build(&config.baseline, &around, stores, bus, &mut registry);
                let routes = Routes::new(service.grpc());
                stand(
                    &readiness,
                    "profiles",
                    service.state(),
                    &watching,
                    |state| match &state.store_error {
                        Some(error) => Some(format!("the store of profiles does not answer: {error}")),
                        None if !state.is_loaded => Some("profiles are being loaded".to_owned()),
                        None => None,
                    },
                );
                spawn(&mut work_tasks, service.run(work.clone()));
                routes
            }
            Role::Sentinel => {
                let bus = bus
                    .sentinel
                    .take()
                    .expect("the bus has an end for each role of the process");
                let service = roles::sentinel::build(config, &around, stores, bus, &mut registry);
                let routes = Routes::new(service.grpc());
                stand(
                    &readiness,
                    "profiles and cases",
                    service.state(),
                    &watching,
                    |state| match (state.cases_known, state.profiles_known) {
                        (true, true) => None,
                        (false, _) => Some("quarantine has not told the open cases yet".to_owned()),
                        (true, false) => Some("baseline has not told the profiles yet".to_owned()),
                    },
                );
                spawn(&mut work_tasks, service.run(work.clone()));
                routes
            }
            Role::Quarantine => {
                let levers = &backends.levers;
                let service = roles::quarantine::build(
                    &config.quarantine,
                    &around,
                    stores,
                    levers,
                    config.store.is_shared(),
                    &mut registry,
                );
                let routes = Routes::new(service.grpc());
                // Not unready while the store is away: the admission check answers on.
                stand(&readiness, "open cases", service.state(), &watching, |state| {
                    (!state.is_loaded).then(|| match &state.store_error {
                        Some(error) => format!("cannot be loaded: {error}"),
                        None => "are being loaded".to_owned(),
                    })
                });
                spawn(&mut work_tasks, service.run(work.clone()));
                let notifier = notifier::build(config, &policies, stores, &clock, &mut registry)?;
                spawn(&mut work_tasks, notifier.run(work.clone()));
                if let Some(followed) = &followed {
                    let beside = resources::Beside {
                        config,
                        stores,
                        quarantine: channels.peers(Role::Quarantine),
                        clock: &clock,
                    };
                    let started = beside.start(followed, &mut registry, &work, &mut work_tasks);
                    addresses.webhook = started.await?;
                }
                // With the work and not with the doors: gateways ask until the end.
                if let Some(gate) = gate::bind(config, &policies, stores, &mut registry).await? {
                    addresses.gate = Some(gate.address());
                    gate::stand(&readiness, &gate, config.gate.when_blind, &watching);
                    spawn(&mut work_tasks, gate.run(work.clone()));
                }
                let (stores, keep) = (stores.clone(), config.retention.clone());
                spawn(&mut work_tasks, sweep(stores, keep, clock.clone(), work.clone()));
                routes
            }
            Role::Healer => {
                let levers = &backends.levers;
                let service = roles::healer::build(&config.healer, &around, stores, levers, &mut registry);
                let routes = Routes::new(service.grpc());
                spawn(&mut work_tasks, service.run(work.clone()));
                routes
            }
            Role::Dashboard => {
                let front = notifier::front(config, stores)?;
                let service =
                    roles::dashboard::build(&config.dashboard, &around, stores, front, &mut registry);
                let routes = Routes::new(service.grpc());
                let rest = server::bind(config.dashboard.listen, "REST (dashboard.listen)").await?;
                addresses.rest = Some(rest.local_addr()?);
                let stop = intake.clone();
                intake_tasks.spawn(async move { service.serve(rest, stop).await.context("REST") });
                routes
            }
            Role::Ingestion => {
                let bus = bus
                    .publisher
                    .take()
                    .expect("the bus has an end for each role of the process");
                let service = roles::ingestion::build(&config.ingestion, &around, stores, bus, &mut registry);
                let routes = Routes::new(service.grpc());
                let receivers = immune_ingestion::Receivers::bind(&config.ingestion).await?;
                addresses.otlp_grpc = Some(receivers.grpc_address());
                addresses.otlp_http = Some(receivers.http_address());
                let stop = intake.clone();
                intake_tasks.spawn(async move { receivers.run(service, stop).await.context("OTLP") });
                routes
            }
        };
        let routes = match bus.receivers.iter().position(|(of, _)| *of == role) {
            Some(place) => routes.add_service(bus.receivers.swap_remove(place).1),
            None => routes,
        };
        let listener = match config.grpc.enabled {
            true => Some(listen(config, role, &mut addresses).await?),
            false => None,
        };
        for called in role.waits_for(config.redis.is_some()) {
            channels.peers(*called).report(&readiness, watching.clone());
        }
        served.push(Served {
            role,
            routes,
            listener,
        });
    }
    backends.report(&readiness, &watching);
    bus.closing.report(&readiness, &watching);
    for one in served {
        let connections = connections[one.role.index()].take();
        serve(
            one,
            connections,
            &security,
            &metrics,
            &readiness,
            &work,
            &mut work_tasks,
        )
        .await?;
    }
    if let Some(listener) = metrics_listener {
        let (stop, readiness) = (work.clone(), readiness.clone());
        work_tasks.spawn(async move {
            health::serve(Arc::new(registry), readiness, listener, stop)
                .await
                .context("metrics")
        });
    }
    for guard in guards {
        guard.disarm();
    }
    Ok(Running {
        addresses,
        channels,
        intake,
        work,
        intake_tasks,
        work_tasks,
        backends,
        bus: bus.closing,
        readiness,
        watching,
    })
}

async fn listen(config: &Config, role: Role, addresses: &mut Addresses) -> anyhow::Result<TcpListener> {
    let what = format!("gRPC of {} (grpc.host, grpc.first_port)", role.as_str());
    let listener = server::bind(config.grpc.address(role), &what).await?;
    addresses.grpc.push((role, listener.local_addr()?));
    Ok(listener)
}

/// Serves a role to others in this process and, if it listens, to other processes.
async fn serve(
    served: Served,
    connections: Option<Connections>,
    security: &Security,
    metrics: &immune_runtime::metrics::Metrics,
    readiness: &Readiness,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let Served {
        role,
        routes,
        listener,
    } = served;
    let (routes, health) = server::with_standard_services(routes).context("gRPC reflection")?;
    let (readiness, ended) = (readiness.clone(), stop.clone());
    spawn(tasks, async move {
        readiness.keep_health(health, &[role.service()], ended).await;
    });
    if let Some(listener) = listener {
        let (routes, stop, security, metrics) =
            (routes.clone(), stop.clone(), security.server(), metrics.clone());
        tasks.spawn(async move {
            server::serve(routes, listener, security, &metrics, stop)
                .await
                .with_context(|| format!("gRPC of {}", role.as_str()))
        });
    }
    // A role that is called over the network even from here has no pipe.
    if let Some(connections) = connections {
        let stop = stop.clone();
        tasks.spawn(async move {
            server::serve_in_process(routes, connections, stop)
                .await
                .with_context(|| format!("calls to {}", role.as_str()))
        });
    }
    Ok(())
}
