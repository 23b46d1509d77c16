//! Custom resources of the cluster: policies in every role, cases and decisions where quarantine runs.

use crate::config::Config;
use crate::tasks::spawn;
use anyhow::Context;
use async_trait::async_trait;
use immune_domain::RunId;
use immune_domain::policy::{LivePolicies, Policies};
use immune_resources::policies::status::{Agents, Writer};
use immune_resources::{admission, cases, policies};
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::Peers;
use immune_runtime::health::Readiness;
use immune_store::{ClientRecordStore, PAGE_MAX, Stores, VitalsStore};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a start waits for the policies of the cluster. What they forbid must not be done before they are known;
/// but a guard that never starts, because the API server is away, guards nobody.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);
/// Agents that are counted for the status of policies, at most.
const AGENTS_MAX: usize = 10_000;
/// Runs whose agents are counted, at most.
const RUNS_MAX: u32 = 100;

/// What follows the cluster in this process.
pub struct Followed {
    client: kube::Client,
    policies: Option<watch::Receiver<policies::State>>,
}

/// Connects to the cluster and lets its policies hold from now on; `None` where custom resources are off.
///
/// # Errors
/// When no cluster is known.
pub async fn follow(
    config: &Config,
    live: &LivePolicies,
    readiness: &Readiness,
    registry: &mut Registry,
    work: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Option<Followed>> {
    let resources = &config.resources;
    if !resources.enabled {
        return Ok(None);
    }
    let client = connect(config).await.context("resources are enabled")?;
    if !resources.policies {
        return Ok(Some(Followed {
            client,
            policies: None,
        }));
    }
    let metrics = policies::Metrics::register(registry);
    let watch = policies::build(
        client.clone(),
        resources.followed(),
        resources.order(),
        live.clone(),
        metrics,
    );
    let mut state = watch.state();
    stand(readiness, state.clone(), work.clone());
    spawn(tasks, watch.run(work.clone()));
    let known = tokio::time::timeout(KNOWN_WITHIN, state.wait_for(|state| state.is_loaded))
        .await
        .is_ok();
    if !known {
        tracing::warn!(
            error = state.borrow().error,
            "the policies of the cluster are not known; starting with the file's alone"
        );
    }
    Ok(Some(Followed {
        client,
        policies: Some(state),
    }))
}

async fn connect(config: &Config) -> anyhow::Result<kube::Client> {
    let cluster = immune_levers_kubernetes::cluster(config.resources.kubeconfig.as_deref()).await?;
    Ok(kube::Client::try_from(cluster)?)
}

/// A role that does not know the policies is not ready; one that knew them and cannot follow them now is.
fn stand(readiness: &Readiness, mut state: watch::Receiver<policies::State>, shutdown: CancellationToken) {
    let condition = readiness.condition("policies of the cluster");
    tokio::spawn(async move {
        loop {
            let now = state.borrow_and_update().clone();
            match (now.is_loaded, now.error) {
                (true, None) => condition.ok(),
                (true, Some(error)) => condition.ok_but(format!("cannot be followed: {error}")),
                (false, error) => {
                    condition.not(error.unwrap_or_else(|| "are being read".to_owned()));
                }
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    });
}

/// What runs where quarantine does, beside it.
pub struct Beside<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where cases and vitals are.
    pub stores: &'a Stores,
    /// The role of this process, which believes whom the webhook has verified.
    pub quarantine: Peers,
    /// Tells the time.
    pub clock: &'a SharedClock,
}

impl Beside<'_> {
    /// Shows cases, says what came of policies, and answers the API server. Where the webhook listens, if it does.
    ///
    /// # Errors
    /// When the webhook's address is taken, or its certificate or the key of the seals cannot be used.
    pub async fn start(
        self,
        followed: &Followed,
        registry: &mut Registry,
        work: &CancellationToken,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Option<SocketAddr>> {
        let resources = &self.config.resources;
        let mut address = None;
        let mut seal: Arc<dyn cases::Seal> = Arc::new(cases::NoSeal);
        if !resources.webhook.listen.is_empty() {
            let metrics = admission::Metrics::register(registry);
            let (client, clock) = (followed.client.clone(), self.clock.clone());
            let bound = admission::Webhook::bind(&resources.webhook, client, clock, metrics).await;
            if let Some(webhook) = bound.context("the admission webhook (resources.webhook)")? {
                address = Some(webhook.address());
                seal = Arc::new(admission::Key::read(&resources.webhook.seal_key_file)?);
                spawn(tasks, webhook.run(work.clone()));
            }
        }
        let mut leads: Option<watch::Receiver<cases::State>> = None;
        if resources.cases.enabled {
            let dependencies = cases::Dependencies {
                cases: self.stores.cases.clone(),
                notifications: self.stores.notifications.clone(),
                quarantine: self.quarantine,
                seal,
                clock: self.clock.clone(),
                replica: replica(self.config),
            };
            let metrics = cases::Metrics::register(registry);
            let client = followed.client.clone();
            let mirror = cases::build(&resources.cases, resources.scope(), client, dependencies, metrics);
            leads = Some(mirror.state());
            spawn(tasks, mirror.run(work.clone()));
        }
        if let Some(state) = &followed.policies {
            let writer = Writer {
                client: followed.client.clone(),
                state: state.clone(),
                // Where nobody leads, everybody writes the same.
                is_leading: Box::new(move || leads.as_ref().is_none_or(|leads| leads.borrow().is_leading)),
                agents: Known {
                    vitals: self.stores.vitals.clone(),
                    runs: self.stores.client_records.clone(),
                },
                clock: self.clock.clone(),
                round: Writer::<Known>::ROUND,
            };
            spawn(tasks, writer.run(work.clone()));
        }
        Ok(address)
    }
}

/// The name under which this process leads. One process at a time has an embedded store: after a crash the next one
/// may go on at once.
fn replica(config: &Config) -> String {
    match config.store.is_shared() {
        true => uuid::Uuid::new_v4().simple().to_string(),
        false => "the-only-one".to_owned(),
    }
}

/// The agents on record.
struct Known {
    vitals: Arc<dyn VitalsStore>,
    runs: Arc<dyn ClientRecordStore>,
}

#[async_trait]
impl Agents for Known {
    async fn per_rule(&self, policies: &Policies) -> Option<Vec<u32>> {
        let mut counts = vec![0_u32; policies.rules.len()];
        let mut runs: Vec<RunId> = self
            .runs
            .runs(RUNS_MAX)
            .await
            .ok()?
            .into_iter()
            .map(|(run, _)| run)
            .collect();
        if !runs.contains(&RunId::default()) {
            runs.push(RunId::default());
        }
        let mut left = AGENTS_MAX;
        for run in runs {
            let mut after: Option<String> = None;
            while left > 0 {
                let limit = PAGE_MAX.min(u32::try_from(left).unwrap_or(PAGE_MAX));
                let page = self.vitals.agents(&run, after.as_deref(), limit).await.ok()?;
                for agent in &page {
                    let context = &agent.latest.context;
                    let (kind, namespace) = (context.agent_type.as_deref(), context.namespace());
                    if let Some(rule) = policies.rule_of(&agent.key.run, &agent.key.agent, kind, namespace) {
                        counts[rule] = counts[rule].saturating_add(1);
                    }
                }
                left = left.saturating_sub(page.len());
                after = page.last().map(|last| last.key.agent.to_string());
                if page.len() < limit as usize {
                    break;
                }
            }
        }
        Some(counts)
    }
}
