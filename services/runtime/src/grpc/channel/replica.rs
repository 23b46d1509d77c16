//! One replica of a role: whether it is connected, how much is under way to it, and whether it is left alone.

use super::breaker::{Breaker, Rules};
use super::connect::{Connection, connect};
use super::pool::Shared;
use crate::metrics::RoleLabels;
use hyper::client::conn::http2::SendRequest;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

/// Waits before a connection is tried again: the first, and the longest.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(3);
/// A connection that lived this long was a good one: the next is tried at once.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// A replica. Dropped from the list of its role, it finishes what is under way.
pub(crate) struct Replica {
    /// Never used twice in a process.
    pub(crate) id: u32,
    /// Where it is, for logs.
    pub(crate) address: Arc<str>,
    socket: SocketAddr,
    link: Mutex<Link>,
    breaker: Mutex<Breaker>,
    under_way: AtomicUsize,
}

enum Link {
    Connected(SendRequest<Body>),
    Away { because: Arc<str> },
}

/// A replica that is there for a call.
pub(super) struct Chosen {
    pub(super) replica: Arc<Replica>,
    pub(super) sender: SendRequest<Body>,
    pub(super) ticket: Ticket,
}

/// A call under way to a replica; tells the breaker how it ends.
pub(super) struct Ticket {
    replica: Arc<Replica>,
    shared: Arc<Shared>,
    is_told: bool,
}

impl Replica {
    pub(crate) fn new(id: u32, address: Arc<str>, socket: SocketAddr, shared: &Shared) -> Arc<Self> {
        let options = &shared.options;
        let rules = Rules {
            after: options.eject_after,
            first: Duration::from_millis(options.eject_ms),
            max: Duration::from_millis(options.eject_ms_max),
        };
        Arc::new(Replica {
            id,
            address,
            socket,
            link: Mutex::new(Link::Away {
                because: Arc::from("not connected yet"),
            }),
            breaker: Mutex::new(Breaker::new(rules)),
            under_way: AtomicUsize::new(0),
        })
    }

    /// Whether calls can be sent to it.
    pub(crate) fn is_connected(&self) -> bool {
        match &*self.link() {
            Link::Connected(sender) => !sender.is_closed(),
            Link::Away { .. } => false,
        }
    }

    /// Why it is not connected; `None` when it is.
    pub(crate) fn problem(&self) -> Option<Arc<str>> {
        match &*self.link() {
            Link::Connected(_) => None,
            Link::Away { because } => Some(because.clone()),
        }
    }

    /// Whether its breaker lets a call through.
    pub(super) fn is_admitted(&self, now: Instant) -> bool {
        self.breaker().admits(now)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Takes it for a call; `None` when it is not connected any more.
    pub(super) fn take(self: &Arc<Self>, shared: &Arc<Shared>) -> Option<Chosen> {
        let sender = match &*self.link() {
            Link::Connected(sender) if !sender.is_closed() => sender.clone(),
            Link::Connected(_) | Link::Away { .. } => return None,
        };
        self.breaker().begin(Instant::now());
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Chosen {
            replica: self.clone(),
            sender,
            ticket: Ticket {
                replica: self.clone(),
                shared: shared.clone(),
                is_told: false,
            },
        })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, link: Link, shared: &Shared) {
        let is_now = matches!(link, Link::Connected(_));
        let before = std::mem::replace(&mut *self.link(), link);
        let was = matches!(before, Link::Connected(_));
        if is_now != was {
            let gauge = shared
                .metrics
                .replicas_connected
                .get_or_create(&RoleLabels::from(shared.role))
                .clone();
            if is_now {
                gauge.inc()
            } else {
                gauge.dec()
            };
        }
        shared.changed();
    }
}

impl Ticket {
    /// The replica answered, whatever its answer is.
    pub(super) fn answered(&mut self) {
        self.is_told = true;
        self.replica.breaker().succeeded();
    }

    /// The replica did not do its part.
    pub(super) fn failed(&mut self) {
        self.is_told = true;
        if self.replica.breaker().failed(Instant::now(), rand::random()) {
            let shared = &self.shared;
            shared
                .metrics
                .ejections
                .get_or_create(&RoleLabels::from(shared.role))
                .inc();
            tracing::warn!(role = %shared.role, address = %self.replica.address, "a replica fails and is left alone for a while");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.replica.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.is_told {
            self.replica.breaker().abandoned(Instant::now());
        }
    }
}

/// Keeps a replica connected until the token is cancelled. A connection whose certificates have changed, or are about
/// to expire, is replaced by a new one; calls under way end on the old.
pub(crate) async fn keep_connected(replica: Arc<Replica>, shared: Arc<Shared>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = connect_for_ever(&replica, &shared) => {}
    }
    let because = Arc::from("no replica any more");
    replica.set(Link::Away { because }, &shared);
}

async fn connect_for_ever(replica: &Replica, shared: &Shared) {
    let mut again = AGAIN_FIRST;
    let mut current: Option<Connection> = None;
    let mut certificates = shared.security.tls().map(|tls| tls.changes());
    loop {
        if let Some(certificates) = &mut certificates {
            certificates.mark_unchanged();
        }
        match connect(
            shared.role,
            replica.socket,
            shared.security.tls(),
            &shared.options,
        )
        .await
        {
            Ok(connection) => {
                tracing::info!(role = %shared.role, address = %replica.address, "connected");
                replica.set(Link::Connected(connection.sender.clone()), shared);
                let since = Instant::now();
                let live = current.insert(connection);
                let renewal = async {
                    match live.renew_after {
                        Some(after) => tokio::time::sleep(after).await,
                        None => std::future::pending().await,
                    }
                };
                let changed = async {
                    let has_changed = match &mut certificates {
                        Some(changes) => changes.changed().await.is_ok(),
                        None => false,
                    };
                    // Nothing changes any more where there are none, or when their sender is gone.
                    if !has_changed {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    because = &mut live.ended => {
                        let because = because.unwrap_or_else(|error| error.to_string());
                        tracing::warn!(role = %shared.role, address = %replica.address, %because, "disconnected");
                        current = None;
                        replica.set(Link::Away { because: because.into() }, shared);
                        shared.look_again.notify_one();
                        if since.elapsed() >= GOOD_AFTER {
                            again = AGAIN_FIRST;
                            continue;
                        }
                    }
                    () = renewal => continue,
                    () = changed => continue,
                }
            }
            Err(because) => {
                let is_alive = current.as_ref().is_some_and(|live| !live.ended.is_finished());
                if !is_alive {
                    current = None;
                    let is_news = replica.problem().is_none_or(|before| *before != *because);
                    if is_news {
                        tracing::warn!(role = %shared.role, address = %replica.address, %because, "not connected; trying on");
                    }
                    replica.set(
                        Link::Away {
                            because: because.into(),
                        },
                        shared,
                    );
                }
                shared.look_again.notify_one();
            }
        }
        // Between three quarters and all of the wait, so that callers do not come back together.
        tokio::time::sleep(again.mul_f64(0.75 + 0.25 * rand::random::<f64>())).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}
