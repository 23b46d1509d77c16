//! The replicas of a role, and the choice between them.

use super::budget::Budget;
use super::replica::{Chosen, Replica};
use crate::access::{RoleName, RoleToken, Roles};
use crate::config::Secret;
use crate::grpc::options::Options;
use crate::metrics::Metrics;
use crate::tls::ClientTls;
use http::HeaderMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Status;

/// How this process shows who it is.
#[derive(Debug, Clone)]
pub enum ClientSecurity {
    /// Not at all: the other side takes it for whoever is on its machine.
    Stranger,
    /// By a token that the processes on this machine share.
    Token {
        /// The token, printable ASCII.
        token: Secret,
        /// The roles of this process.
        me: Roles,
    },
    /// By its certificate.
    MutualTls(ClientTls),
}

impl ClientSecurity {
    pub(super) fn tls(&self) -> Option<&ClientTls> {
        match self {
            ClientSecurity::MutualTls(tls) => Some(tls),
            ClientSecurity::Stranger | ClientSecurity::Token { .. } => None,
        }
    }

    fn headers(&self) -> HeaderMap {
        match self {
            ClientSecurity::Token { token, me } => RoleToken::headers(token, *me).unwrap_or_else(|| {
                tracing::error!(
                    "the token of the roles has characters that cannot be sent; calls go without it"
                );
                HeaderMap::new()
            }),
            ClientSecurity::Stranger | ClientSecurity::MutualTls(_) => HeaderMap::new(),
        }
    }
}

/// The replicas as they are now.
pub(crate) type Replicas = Arc<[Arc<Replica>]>;

/// What all channels to a role share.
pub(crate) struct Shared {
    pub(crate) role: RoleName,
    /// Where its replicas are said to be, for messages.
    pub(crate) target: String,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    /// Told when a replica is lost, so that its name is looked up at once.
    pub(crate) look_again: Notify,
    pub(super) security: ClientSecurity,
    pub(super) credentials: HeaderMap,
    pub(super) budget: Budget,
    changes: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(
        role: RoleName,
        target: String,
        security: ClientSecurity,
        options: Options,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Shared {
            role,
            target,
            credentials: security.headers(),
            security,
            budget: Budget::new(options.retry_percent),
            options,
            metrics,
            look_again: Notify::new(),
            changes: watch::channel(0).0,
        })
    }

    /// Tells that a replica came, went, or was connected.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells of every such change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Some replicas of a role: all of them, or one.
#[derive(Clone)]
pub(crate) struct Pool {
    pub(super) shared: Arc<Shared>,
    replicas: watch::Receiver<Replicas>,
    is_waiting: bool,
}

impl Pool {
    pub(crate) fn new(shared: Arc<Shared>, replicas: watch::Receiver<Replicas>) -> Self {
        Pool {
            shared,
            replicas,
            is_waiting: true,
        }
    }

    /// One replica alone.
    pub(crate) fn of_one(shared: Arc<Shared>, replica: Arc<Replica>) -> Self {
        Pool::new(shared, watch::channel(Arc::from([replica])).1)
    }

    pub(super) fn unwaiting(&self) -> Self {
        Pool {
            is_waiting: false,
            ..self.clone()
        }
    }

    /// The replica for a call; waits for one that is connected.
    pub(super) async fn choose(&self, tried: &[u32], until: Instant) -> Result<Chosen, Status> {
        let mut changes = self.shared.changes();
        loop {
            if let Some(chosen) = self.choose_now(tried) {
                return Ok(chosen);
            }
            let in_time = self.is_waiting && tokio::time::timeout_at(until, changes.changed()).await.is_ok();
            if !in_time {
                return Err(super::repeatable(Status::unavailable(self.why_none())));
            }
        }
    }

    /// Whether a replica is connected that was not tried.
    pub(super) fn has_other(&self, tried: &[u32]) -> bool {
        let replicas = self.replicas.borrow();
        replicas
            .iter()
            .any(|r| r.is_connected() && !tried.contains(&r.id))
    }

    fn choose_now(&self, tried: &[u32]) -> Option<Chosen> {
        let connected: Vec<Arc<Replica>> = {
            let replicas = self.replicas.borrow();
            replicas.iter().filter(|r| r.is_connected()).cloned().collect()
        };
        let now = Instant::now();
        // From the best to the worst that will do. When every replica is left alone, none is: then the failures are
        // not of one replica, and leaving all alone would make an outage of a hiccup.
        let is_fresh = |r: &Replica| !tried.contains(&r.id);
        let choices: [&dyn Fn(&Replica) -> bool; 4] = [
            &|r| is_fresh(r) && r.is_admitted(now),
            &|r| r.is_admitted(now),
            &is_fresh,
            &|_| true,
        ];
        choices.into_iter().find_map(|fits| {
            let fitting: Vec<&Arc<Replica>> = connected.iter().filter(|r| fits(r)).collect();
            less_busy(&fitting)?.take(&self.shared)
        })
    }

    fn why_none(&self) -> String {
        let (role, target) = (self.shared.role, &self.shared.target);
        let replicas = self.replicas.borrow();
        let problems: Vec<String> = replicas
            .iter()
            .filter_map(|r| Some(format!("{}: {}", r.address, r.problem()?)))
            .take(3)
            .collect();
        if problems.is_empty() {
            return format!("no replica of {role} is known at {target}");
        }
        format!("no replica of {role} is connected: {}", problems.join("; "))
    }
}

/// Of two drawn by chance the one with less under way: nearly as even as the least busy of all, and callers that
/// decide at the same time do not all choose the same.
fn less_busy<'a>(replicas: &[&'a Arc<Replica>]) -> Option<&'a Arc<Replica>> {
    let count = replicas.len();
    if count == 0 {
        return None;
    }
    let first = rand::random_range(0..count);
    let second = match count {
        1 => first,
        _ => (first + rand::random_range(1..count)) % count,
    };
    let (first, second) = (replicas[first], replicas[second]);
    Some(if second.under_way() < first.under_way() {
        second
    } else {
        first
    })
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replicas = self.replicas.borrow();
        let addresses: Vec<&str> = replicas.iter().map(|r| &*r.address).collect();
        write!(f, "{} at {addresses:?}", self.shared.role)
    }
}
