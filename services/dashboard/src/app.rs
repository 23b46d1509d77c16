//! What every handler works with.

use crate::access::refusals::Refusals;
use crate::bands::Bands;
use crate::blind::Lookout;
use crate::config::Config;
use crate::deployment::Deployment;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::problems::{Answer, stored};
use crate::roles::{Channels, Roles};
use immune_domain::policy::LivePolicies;
use immune_domain::{AgentKey, Timestamp};
use immune_door::Door;
use immune_notify::Front;
use immune_runtime::clock::SharedClock;
use immune_store::client_records::{ClientRecord, RecordKind};
use immune_store::{ActionLog, ClientRecordStore, VitalsStore};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What every handler works with.
pub(crate) struct App {
    pub config: Config,
    pub vitals: Arc<dyn VitalsStore>,
    pub client_records: Arc<dyn ClientRecordStore>,
    pub action_log: Arc<dyn ActionLog>,
    pub roles: Roles,
    pub channels: Channels,
    pub policies: LivePolicies,
    pub deployment: Deployment,
    pub bands: Bands,
    /// Who looks at which fleet.
    pub live: Live,
    /// Whether the guard sees.
    pub lookout: Lookout,
    pub door: Door,
    /// Outgoing notifications, and buttons of chats.
    pub notifications: Front,
    /// Clicks in chats that may be worked on now.
    pub clicks: Arc<Semaphore>,
    pub clock: SharedClock,
    pub metrics: Metrics,
    pub refusals: Refusals,
    /// Requests that may run now.
    pub requests: Arc<Semaphore>,
    /// Event streams that may be opened now.
    pub event_streams: Arc<Semaphore>,
    pub started_at: Timestamp,
    /// Cancelled when the role stops, so that streams end and the server can drain.
    pub stopped: CancellationToken,
}

impl App {
    /// Keeps a record of a client-deployed system, as it was sent.
    pub async fn keep(&self, key: AgentKey, kind: RecordKind, body: Map<String, Value>) -> Answer<()> {
        let record = ClientRecord {
            key,
            kind,
            at: self.clock.now(),
            body: Value::Object(body),
        };
        self.client_records.append(&record).await.map_err(stored)
    }

    /// Seconds since this role was built.
    pub fn runtime_seconds(&self) -> f64 {
        self.clock.now().since(self.started_at).as_secs_f64()
    }
}
