//! The replicas of a role: all of them balanced, each of them, or the one that holds an agent.

use super::channel::pool::{ClientSecurity, Pool, Replicas, Shared};
use super::channel::{RoleChannel, may_repeat};
use super::not_owner;
use super::options::Options;
use super::owner::Owners;
use super::resolve::{Names, Resolver, SystemNames};
use super::target::Target;
use crate::health::{Condition, Readiness};
use crate::metrics::{Metrics, RoleLabels};
use immune_domain::AgentKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long an owner is looked for while a partition moves.
const MOVE_MAX: Duration = Duration::from_secs(2);
/// Pause before the second round of asking; twice as long before the next.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// One replica.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is, for logs.
    pub address: Arc<str>,
    /// Calls to it alone.
    pub channel: RoleChannel,
}

/// Every replica of one role. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Peers {
    any: RoleChannel,
    each: watch::Receiver<Arc<[Peer]>>,
    remote: Option<Remote>,
}

/// What is known of replicas in other processes.
#[derive(Clone)]
struct Remote {
    shared: Arc<Shared>,
    replicas: watch::Receiver<Replicas>,
    owners: Owners,
}

/// How a round of asking for the owner went.
enum Round<T> {
    Answered(Result<T, Status>),
    NotFound { refused: usize, last: Option<Status> },
}

impl Peers {
    /// A role with one replica, reached over a channel that exists already: in this process, or in a test.
    pub fn one(channel: impl Into<RoleChannel>) -> Self {
        let any: RoleChannel = channel.into();
        let peer = Peer {
            address: Arc::from("in-process"),
            channel: any.clone(),
        };
        let (_, each) = watch::channel(Arc::from([peer]));
        Peers {
            any,
            each,
            remote: None,
        }
    }

    /// The replicas behind the names of a target, found and kept connected until the token is cancelled. Returns at
    /// once; calls wait for a replica no longer than their deadline. Needs a tokio runtime.
    pub fn resolve(
        target: &Target,
        security: ClientSecurity,
        options: &Options,
        metrics: &Metrics,
        shutdown: CancellationToken,
    ) -> Self {
        let names = Arc::new(SystemNames);
        Self::resolve_by(names, target, security, options, metrics, shutdown)
    }

    /// As [`Peers::resolve`], with names looked up elsewhere than in the machine's resolver.
    pub fn resolve_by(
        names: Arc<dyn Names>,
        target: &Target,
        security: ClientSecurity,
        options: &Options,
        metrics: &Metrics,
        shutdown: CancellationToken,
    ) -> Self {
        let shared = Shared::new(
            target.role(),
            target.to_string(),
            security,
            options.clone(),
            metrics.clone(),
        );
        let (replicas_sender, replicas) = watch::channel(Arc::from([]));
        let (each_sender, each) = watch::channel(Arc::from([]));
        let resolver = Resolver::new(
            target.clone(),
            names,
            shared.clone(),
            replicas_sender,
            each_sender,
            shutdown,
        );
        tokio::spawn(resolver.run());
        Peers {
            any: RoleChannel::of(Pool::new(shared.clone(), replicas.clone())),
            each,
            remote: Some(Remote {
                shared,
                replicas,
                owners: Owners::new(),
            }),
        }
    }

    /// Calls that any replica can answer.
    pub fn any(&self) -> RoleChannel {
        self.any.clone()
    }

    /// The replicas as they are now and as they change. The sender may be gone: then they change no more.
    pub fn each(&self) -> watch::Receiver<Arc<[Peer]>> {
        self.each.clone()
    }

    /// Whether a replica is connected. A role in this process always is.
    pub fn is_reachable(&self) -> bool {
        self.problem().is_none()
    }

    /// Why no replica is connected; `None` when one is.
    pub fn problem(&self) -> Option<String> {
        let remote = self.remote.as_ref()?;
        let replicas = remote.replicas.borrow();
        if replicas.iter().any(|replica| replica.is_connected()) {
            return None;
        }
        let Some((first, problem)) = replicas.iter().find_map(|r| Some((r, r.problem()?))) else {
            return Some(format!("no replica is known at {}", remote.shared.target));
        };
        Some(format!(
            "none of {} replicas is connected; {}: {problem}",
            replicas.len(),
            first.address
        ))
    }

    /// Keeps a condition of the process's readiness: ok while a replica is connected. Needs a tokio runtime; ends
    /// with the token.
    pub fn keep_condition(&self, condition: Condition, shutdown: CancellationToken) {
        let peers = self.clone();
        let Some(remote) = self.remote.clone() else {
            condition.ok();
            return;
        };
        let mut changes = remote.shared.changes();
        tokio::spawn(async move {
            loop {
                match peers.problem() {
                    None => condition.ok(),
                    Some(problem) => condition.not(problem),
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        });
    }

    /// As [`Peers::keep_condition`] with the condition named `<role> role`.
    pub fn report(&self, readiness: &Readiness, shutdown: CancellationToken) {
        if let Some(remote) = &self.remote {
            let condition = readiness.condition(format!("{} role", remote.shared.role));
            self.keep_condition(condition, shutdown);
        }
    }

    /// Asks the replica that holds an agent's partition; the others refuse with [`not_owner`]. The one that answered
    /// last is asked first, then the others; while a partition moves, all of them again for about two seconds.
    ///
    /// # Errors
    /// The owner's word; `UNAVAILABLE` when no replica holds the partition now, for a moment while it moves.
    pub async fn owner<T, F>(&self, key: &AgentKey, call: impl Fn(RoleChannel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let mut pause = ROUND_PAUSE;
        loop {
            let round = match &self.remote {
                Some(remote) => remote.round(key, &call).await,
                None => match call(self.any()).await {
                    Err(status) if not_owner::is(&status) => Round::NotFound {
                        refused: 1,
                        last: None,
                    },
                    answer => Round::Answered(answer),
                },
            };
            let (refused, last) = match round {
                Round::Answered(answer) => return answer,
                Round::NotFound { refused, last } => (refused, last),
            };
            if begun.elapsed() + pause > MOVE_MAX {
                return Err(homeless(self.remote.as_ref(), refused, last));
            }
            tokio::time::sleep(pause.mul_f64(0.75 + 0.25 * rand::random::<f64>())).await;
            pause *= 2;
        }
    }
}

impl Remote {
    /// Asks each replica that is connected, once.
    async fn round<T, F>(&self, key: &AgentKey, call: &impl Fn(RoleChannel) -> F) -> Round<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut replicas: Vec<_> = self.replicas.borrow().iter().cloned().collect();
        let last_owner = self.owners.last(key);
        // Stable: the others keep their order.
        replicas.sort_by_key(|replica| Some(replica.id) != last_owner);
        let (mut refused, mut last) = (0, None);
        for replica in replicas {
            let channel = RoleChannel::of(Pool::of_one(self.shared.clone(), replica.clone())).unwaiting();
            match call(channel).await {
                Err(status) if not_owner::is(&status) => {
                    refused += 1;
                    let labels = RoleLabels::from(self.shared.role);
                    self.shared.metrics.owner_misses.get_or_create(&labels).inc();
                }
                Err(status) if may_repeat(&status) => last = Some(status),
                answer => {
                    if last_owner != Some(replica.id) {
                        self.owners.remember(key, replica.id);
                    }
                    return Round::Answered(answer);
                }
            }
        }
        Round::NotFound { refused, last }
    }
}

fn homeless(remote: Option<&Remote>, refused: usize, last: Option<Status>) -> Status {
    let role = remote.map_or("the role", |remote| remote.shared.role.as_str());
    let away = last
        .map(|status| format!("; {}", status.message()))
        .unwrap_or_default();
    Status::unavailable(format!(
        "no replica of {role} holds the agent's partition at this moment: {refused} refused{away}"
    ))
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.shared.role)
    }
}
