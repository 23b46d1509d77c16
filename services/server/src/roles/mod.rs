//! A file per role: from the wiring to a running service.

pub mod baseline;
pub mod dashboard;
pub mod healer;
pub mod ingestion;
pub mod quarantine;
pub mod sentinel;

use immune_domain::policy::Policies;
use immune_runtime::access::KeyRing;
use immune_runtime::clock::SharedClock;
use std::io;
use std::pin::Pin;
use tokio::io::DuplexStream;
use tonic::transport::Channel;

/// The six roles, in the order of their ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// OTLP in, vitals out.
    Ingestion,
    /// Learns.
    Baseline,
    /// Judges.
    Sentinel,
    /// Contains and decides.
    Quarantine,
    /// Heals.
    Healer,
    /// The door for people.
    Dashboard,
}

impl Role {
    /// All roles, in the order of their ports.
    pub const ALL: [Role; 6] = [
        Role::Ingestion,
        Role::Baseline,
        Role::Sentinel,
        Role::Quarantine,
        Role::Healer,
        Role::Dashboard,
    ];

    /// Name in logs and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Ingestion => "ingestion",
            Role::Baseline => "baseline",
            Role::Sentinel => "sentinel",
            Role::Quarantine => "quarantine",
            Role::Healer => "healer",
            Role::Dashboard => "dashboard",
        }
    }

    /// Full name of its gRPC service.
    pub const fn service(self) -> &'static str {
        match self {
            Role::Ingestion => "immune.v1.IngestionService",
            Role::Baseline => "immune.v1.BaselineService",
            Role::Sentinel => "immune.v1.SentinelService",
            Role::Quarantine => "immune.v1.QuarantineService",
            Role::Healer => "immune.v1.HealerService",
            Role::Dashboard => "immune.v1.DashboardService",
        }
    }

    /// Place in the order of ports.
    pub const fn index(self) -> usize {
        match self {
            Role::Ingestion => 0,
            Role::Baseline => 1,
            Role::Sentinel => 2,
            Role::Quarantine => 3,
            Role::Healer => 4,
            Role::Dashboard => 5,
        }
    }
}

/// Connections that a role accepts from others in this process.
pub type Connections = Pin<Box<dyn futures::Stream<Item = io::Result<DuplexStream>> + Send>>;

/// A channel to each role, by [`Role::index`].
#[derive(Clone)]
pub struct Channels([Channel; 6]);

impl Channels {
    /// Channels to roles in this process, and what their servers accept.
    pub fn in_process() -> (Self, [Connections; 6]) {
        let pairs: [_; 6] = std::array::from_fn(|_| immune_runtime::grpc::inproc::pair());
        let mut connections = Vec::with_capacity(6);
        let channels = pairs.map(|(channel, accepted)| {
            connections.push(Box::pin(accepted) as Connections);
            channel
        });
        let connections = connections.try_into().ok().expect("six pairs give six streams");
        (Channels(channels), connections)
    }

    /// The channel to a role.
    pub fn to(&self, role: Role) -> Channel {
        self.0[role.index()].clone()
    }
}

/// What every role is built from, beside its own options.
pub struct Surroundings<'a> {
    /// Which rules hold for which agent.
    pub policies: &'a Policies,
    /// Who may call.
    pub keys: &'a KeyRing,
    /// Tells the time.
    pub clock: SharedClock,
    /// Ways to the other roles.
    pub channels: Channels,
}
