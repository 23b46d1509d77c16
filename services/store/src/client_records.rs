//! What client-deployed immune systems post for themselves. Stored and shown under their run; drives nothing here.
//! The shapes are those of the original store API and are kept whole as JSON, so that fields we do not know come
//! back as they were sent.

use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kinds of posted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// `POST /api/v1/baselines`
    Baseline,
    /// `POST /api/v1/events/infection`
    Infection,
    /// `POST /api/v1/events/quarantine`
    Quarantine,
    /// `POST /api/v1/approvals`
    Approval,
    /// `POST /api/v1/healing/events`
    Healing,
    /// `POST /api/feedback`
    Feedback,
    /// `POST /api/v1/agents/register`
    Registration,
}

impl RecordKind {
    /// Name in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordKind::Baseline => "baseline",
            RecordKind::Infection => "infection",
            RecordKind::Quarantine => "quarantine",
            RecordKind::Approval => "approval",
            RecordKind::Healing => "healing",
            RecordKind::Feedback => "feedback",
            RecordKind::Registration => "registration",
        }
    }
}

/// One posted record.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRecord {
    /// Whose.
    pub key: AgentKey,
    /// Which kind.
    pub kind: RecordKind,
    /// When it was received.
    pub at: Timestamp,
    /// The body as sent, checked where the contract names a field.
    pub body: Value,
}

/// The store of posted records. The latest record is the one appended last.
#[async_trait]
pub trait ClientRecordStore: Send + Sync {
    /// Appends one record.
    async fn append(&self, record: &ClientRecord) -> Result<()>;

    /// Appends `record` only when the agent's latest record of its kind satisfies: body field `field` equals one of
    /// `allowed`. Returns whether it did. Makes one winner among concurrent decisions.
    async fn append_if_latest(&self, record: &ClientRecord, field: &str, allowed: &[&str]) -> Result<bool>;

    /// The latest record of a kind for an agent.
    async fn latest(&self, key: &AgentKey, kind: RecordKind) -> Result<Option<ClientRecord>>;

    /// The latest record of a kind for every agent of a run, in the order of agents, at most `limit`.
    async fn latest_per_agent(&self, run: &RunId, kind: RecordKind, limit: u32) -> Result<Vec<ClientRecord>>;

    /// Records of a kind, newest first, of a run or one of its agents, at most `limit`.
    async fn list(
        &self,
        run: &RunId,
        agent: Option<&AgentId>,
        kind: RecordKind,
        limit: u32,
    ) -> Result<Vec<ClientRecord>>;

    /// How many records of a kind a run has.
    async fn count(&self, run: &RunId, kind: RecordKind) -> Result<u64>;

    /// How many different agents have a record of a kind in a run.
    async fn count_agents(&self, run: &RunId, kind: RecordKind) -> Result<u64>;

    /// Registers a run; registering it again changes nothing.
    async fn register_run(&self, run: &RunId, at: Timestamp) -> Result<()>;

    /// Runs known from registration or records, with the time when each was first known, newest first, at most
    /// `limit`.
    async fn runs(&self, limit: u32) -> Result<Vec<(RunId, Timestamp)>>;

    /// Removes records received before `before`, and runs of that age that have none left; returns how many records.
    async fn purge(&self, before: Timestamp) -> Result<u64>;
}

/// Whether a record's body field `field` is one of the texts `allowed`; the condition of
/// [`ClientRecordStore::append_if_latest`].
pub fn latest_allows(latest: &ClientRecord, field: &str, allowed: &[&str]) -> bool {
    latest
        .body
        .get(field)
        .and_then(Value::as_str)
        .is_some_and(|value| allowed.contains(&value))
}
