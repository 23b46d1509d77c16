//! A file per role: from the wiring to a running service.

pub mod baseline;
pub mod dashboard;
pub mod healer;
pub mod ingestion;
pub mod quarantine;
pub mod sentinel;

use crate::channels::Channels;
use immune_domain::policy::LivePolicies;
use immune_door::Door;
use immune_runtime::access::RoleName;
use immune_runtime::clock::SharedClock;
use serde::{Deserialize, Serialize};

/// The six roles, in the order of their ports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
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

    /// Its identity between processes.
    pub const fn name(self) -> RoleName {
        match self {
            Role::Ingestion => RoleName::Ingestion,
            Role::Baseline => RoleName::Baseline,
            Role::Sentinel => RoleName::Sentinel,
            Role::Quarantine => RoleName::Quarantine,
            Role::Healer => RoleName::Healer,
            Role::Dashboard => RoleName::Dashboard,
        }
    }

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

    /// The roles that it calls.
    pub const fn calls(self) -> &'static [Role] {
        match self {
            Role::Ingestion => &[Role::Baseline, Role::Sentinel],
            Role::Baseline => &[Role::Sentinel],
            Role::Sentinel => &[Role::Baseline, Role::Quarantine],
            Role::Quarantine => &[],
            Role::Healer => &[Role::Quarantine, Role::Sentinel],
            Role::Dashboard => &[
                Role::Ingestion,
                Role::Baseline,
                Role::Sentinel,
                Role::Quarantine,
                Role::Healer,
            ],
        }
    }

    /// The roles without which it cannot do its part, so that its readiness says when one is away. Ingestion needs
    /// none where Redis takes its records; the door for people opens while anybody can be shown at all.
    pub const fn waits_for(self, has_redis: bool) -> &'static [Role] {
        match self {
            Role::Ingestion if has_redis => &[],
            Role::Dashboard => &[Role::Quarantine],
            Role::Ingestion | Role::Baseline | Role::Sentinel | Role::Quarantine | Role::Healer => {
                self.calls()
            }
        }
    }

    /// Whether it keeps workflow state, which several processes share only in a database server.
    pub const fn needs_workflow(self) -> bool {
        match self {
            Role::Baseline | Role::Quarantine | Role::Healer | Role::Dashboard => true,
            Role::Ingestion | Role::Sentinel => false,
        }
    }

    /// Whether it reads or writes vitals.
    pub const fn needs_vitals(self) -> bool {
        match self {
            Role::Ingestion | Role::Sentinel | Role::Quarantine | Role::Dashboard => true,
            Role::Baseline | Role::Healer => false,
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

/// What every role is built from, beside its own options.
pub struct Surroundings<'a> {
    /// Which rules hold for which agent.
    pub policies: &'a LivePolicies,
    /// Who may call REST and OTLP.
    pub door: &'a Door,
    /// Tells the time.
    pub clock: SharedClock,
    /// Ways to the other roles.
    pub channels: Channels,
    /// What the process is put together from, for people to see.
    pub deployment: immune_dashboard::Deployment,
}
