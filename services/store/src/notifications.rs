//! Outgoing notifications: what each target has still to be told. Owner: the notifier.
//!
//! A target takes events in from the order of all events, one row per event that it wants, together with the place
//! up to which it has looked; from then on each row has a life of its own: it is delivered and gone, comes again
//! later, or ends as a dead letter. Everything that changes a target's rows names the fence under which its caller
//! holds the target, so that of several replicas one delivers, and one that was overtaken changes nothing any more.

use crate::cases::NewEvent;
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{CaseId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rows of one target that wait at the same time. Beyond it a target takes nothing in; events wait in their own order.
pub const WAITING_MAX: u64 = 10_000;

/// Dead letters that are kept per target; beyond it the oldest goes.
pub const DEAD_MAX: u64 = 1_000;

/// One thing to tell one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Identity within the deployment: `{target}.{sequence}` for events.
    pub id: String,
    /// Name of the target.
    pub target: String,
    /// Place of the event in the order of all events; 0 for what is no event (a test).
    pub sequence: u64,
    /// What happened.
    pub event: NewEvent,
    /// When it was taken in.
    pub taken_at: Timestamp,
    /// Deliveries begun; one that a crash cut off counts, too.
    pub attempts: u32,
    /// When it may be tried next.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Since when it is a dead letter; `None` while it waits.
    pub died_at: Option<Timestamp>,
}

impl Notification {
    /// A fresh one, due at once.
    pub fn new(id: impl Into<String>, target: &str, sequence: u64, event: NewEvent, now: Timestamp) -> Self {
        Notification {
            id: id.into(),
            target: target.to_owned(),
            sequence,
            event,
            taken_at: now,
            attempts: 0,
            due_at: now,
            last_error: None,
            died_at: None,
        }
    }
}

/// A hold on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Names the hold; grows whenever the target changes hands.
    pub fence: u64,
    /// Place of the last event that the target has looked at.
    pub cursor: u64,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Which notification.
    pub id: String,
    /// How it went.
    pub outcome: Outcome,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver has it; the row goes.
    Delivered {
        /// What later notifications of the same case to this target must know (the id of a message to change).
        receipt: Option<Value>,
    },
    /// It failed and is tried again.
    Again {
        /// Not before this time.
        due_at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It was not tried after all; the attempt does not count.
    Held {
        /// Not before this time.
        due_at: Timestamp,
    },
    /// It is not tried again unless a person says so.
    Dead {
        /// Why.
        error: String,
    },
}

/// How a target stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// Its name.
    pub name: String,
    /// Place of the last event that it has looked at.
    pub cursor: u64,
    /// Who holds it, and until when.
    pub holder: Option<(String, Timestamp)>,
    /// Ever delivered.
    pub delivered: u64,
    /// When something was delivered last.
    pub last_delivered_at: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<(Timestamp, String)>,
    /// Since when every attempt has failed; `None` when the last one did not.
    pub failing_since: Option<Timestamp>,
    /// Notifications that wait.
    pub waiting: u64,
    /// When the oldest of those was taken in.
    pub oldest_waiting_at: Option<Timestamp>,
    /// Dead letters.
    pub dead: u64,
}

/// The store of notifications.
#[async_trait]
pub trait NotificationStore: Send + Sync {
    /// Holds a target for `worker` until `until`, for the first time or once more. A target that was never held
    /// begins after the event `begin_after`. `None`: someone else holds it at `now`.
    async fn hold(
        &self,
        target: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        begin_after: u64,
    ) -> Result<Option<Hold>>;

    /// Lets go of every target of a worker, because it stops.
    async fn let_go(&self, worker: &str) -> Result<()>;

    /// Adds notifications and moves the target's place to `cursor`, both or neither; the place never moves back, and
    /// a notification that is there already stays as it is. `false`: overtaken, nothing was stored.
    async fn take_in(&self, target: &str, fence: u64, cursor: u64, new: &[Notification]) -> Result<bool>;

    /// Adds one notification whatever the fence, for a target that was held at some time; `false` when there is no
    /// such target.
    async fn add(&self, notification: &Notification) -> Result<bool>;

    /// Begins an attempt of what is due, in order, at most `limit`: counts it, and makes it due again at `until`, so
    /// that whoever takes over from a process that died does not begin the same while it may be under way. What
    /// waits behind an earlier notification of its case that is not due is left. `None`: overtaken.
    async fn begin(
        &self,
        target: &str,
        fence: u64,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Option<Vec<Notification>>>;

    /// Notes what became of attempts. `false`: overtaken, nothing was noted.
    async fn settle(&self, target: &str, fence: u64, now: Timestamp, settled: &[Settled]) -> Result<bool>;

    /// What deliveries to a target have left about these cases.
    async fn receipts(&self, target: &str, cases: &[CaseId]) -> Result<Vec<(CaseId, Value)>>;

    /// Every target that was ever held, by name.
    async fn targets(&self) -> Result<Vec<TargetState>>;

    /// Dead letters, of one target or all, the latest first, at most `limit`.
    async fn dead(&self, target: Option<&str>, limit: u32) -> Result<Vec<Notification>>;

    /// One notification, waiting or dead.
    async fn get(&self, id: &str) -> Result<Option<Notification>>;

    /// Makes a dead letter wait again, due at `now`, with no attempts counted; `false` when there is no such one.
    async fn retry(&self, id: &str, now: Timestamp) -> Result<bool>;

    /// Removes a dead letter; `false` when there is no such one.
    async fn discard(&self, id: &str) -> Result<bool>;

    /// Removes dead letters that died, and receipts that were last changed, before `before`; returns how many dead
    /// letters went.
    async fn purge(&self, before: Timestamp) -> Result<u64>;
}
