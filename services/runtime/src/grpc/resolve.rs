//! Keeping the list of replicas: names are looked up again and again, replicas come and go.

use super::channel::RoleChannel;
use super::channel::pool::{Pool, Replicas, Shared};
use super::channel::replica::{Replica, keep_connected};
use super::peers::Peer;
use super::target::{Place, Target};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a look-up may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);
/// Pause between two look-ups however often replicas are lost.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Addresses behind all names of a role.
const REPLICAS_MAX: usize = 256;

/// Ids of replicas, never used twice.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// Where names are looked up.
#[async_trait::async_trait]
pub trait Names: Send + Sync {
    /// The addresses behind a name; the error is for a log.
    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String>;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

#[async_trait::async_trait]
impl Names for SystemNames {
    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((host, port)).await;
        found.map(Iterator::collect).map_err(|error| error.to_string())
    }
}

/// One replica that is kept connected.
struct Kept {
    replica: Arc<Replica>,
    peer: Peer,
    stop: CancellationToken,
}

/// Looks the names up until the token is cancelled.
pub(super) struct Resolver {
    target: Target,
    names: Arc<dyn Names>,
    shared: Arc<Shared>,
    kept: BTreeMap<SocketAddr, Kept>,
    /// What each name stood for when it was last known: a name server that is away removes nobody.
    known: Vec<Vec<SocketAddr>>,
    replicas: watch::Sender<Replicas>,
    peers: watch::Sender<Arc<[Peer]>>,
    stop: CancellationToken,
}

impl Resolver {
    pub(super) fn new(
        target: Target,
        names: Arc<dyn Names>,
        shared: Arc<Shared>,
        replicas: watch::Sender<Replicas>,
        peers: watch::Sender<Arc<[Peer]>>,
        stop: CancellationToken,
    ) -> Self {
        let known = vec![Vec::new(); target.places.len()];
        Resolver {
            target,
            names,
            shared,
            kept: BTreeMap::new(),
            known,
            replicas,
            peers,
            stop,
        }
    }

    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let every = self.shared.options.resolve_every();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
            let again = async {
                tokio::time::sleep(PAUSE_MIN.min(every)).await;
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = self.shared.look_again.notified() => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = again => {}
            }
        }
    }

    async fn look(&mut self) {
        let names = &*self.names;
        let found = self.target.places.iter().map(|place| look_up(names, place));
        let found = futures::future::join_all(found).await;
        for ((place, found), known) in self.target.places.iter().zip(found).zip(&mut self.known) {
            match found {
                Ok(addresses) => *known = addresses,
                Err(problem) => {
                    tracing::warn!(role = %self.shared.role, %place, %problem, "a name was not found; trying on");
                }
            }
        }
        let mut wanted: BTreeMap<SocketAddr, Arc<str>> = BTreeMap::new();
        for (place, addresses) in self.target.places.iter().zip(&self.known) {
            for address in addresses {
                wanted.entry(*address).or_insert_with(|| name(place, *address));
            }
        }
        if wanted.len() > REPLICAS_MAX {
            tracing::error!(role = %self.shared.role, addresses = wanted.len(), "more than {REPLICAS_MAX} replicas; the rest gets no calls");
        }
        let wanted: BTreeMap<_, _> = wanted.into_iter().take(REPLICAS_MAX).collect();
        if wanted.keys().eq(self.kept.keys()) {
            return;
        }
        self.kept.retain(|address, kept| {
            let stays = wanted.contains_key(address);
            if !stays {
                tracing::info!(role = %self.shared.role, address = %kept.peer.address, "a replica is gone");
                kept.stop.cancel();
            }
            stays
        });
        for (address, name) in wanted {
            if !self.kept.contains_key(&address) {
                let kept = self.keep(address, name);
                self.kept.insert(address, kept);
            }
        }
        let replicas = self.kept.values().map(|kept| kept.replica.clone()).collect();
        self.replicas.send_replace(replicas);
        self.peers
            .send_replace(self.kept.values().map(|kept| kept.peer.clone()).collect());
        self.shared.changed();
    }

    fn keep(&self, address: SocketAddr, name: Arc<str>) -> Kept {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let replica = Replica::new(id, name.clone(), address, &self.shared);
        let stop = self.stop.child_token();
        tokio::spawn(keep_connected(replica.clone(), self.shared.clone(), stop.clone()));
        let channel = RoleChannel::of(Pool::of_one(self.shared.clone(), replica.clone()));
        let peer = Peer {
            address: name,
            channel,
        };
        Kept { replica, peer, stop }
    }
}

async fn look_up(names: &dyn Names, place: &Place) -> Result<Vec<SocketAddr>, String> {
    let found = names.look_up(&place.host, place.port);
    match tokio::time::timeout(LOOK_UP_MAX, found).await {
        Ok(found) => found,
        Err(_) => Err(format!("no answer in {LOOK_UP_MAX:?}")),
    }
}

/// The name of a replica in logs: its address, and the name that led to it.
fn name(place: &Place, address: SocketAddr) -> Arc<str> {
    match place.host.parse::<std::net::IpAddr>() {
        Ok(_) => Arc::from(address.to_string()),
        Err(_) => Arc::from(format!("{address} ({})", place.host)),
    }
}
