//! One stream of one publisher: entries in, acknowledgements out.
//!
//! The stream of answers drives itself: it reads the next entry only when the transport takes answers, so a
//! publisher that does not read is not read either, and nothing is left running when the stream is dropped.

use super::Queued;
use super::origin::{Progress, Taken};
use super::service::{Attached, Shared};
use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use immune_bus::Batch;
use immune_domain::ErrorKind;
use immune_domain::id::is_well_formed;
use immune_proto::convert::bus::decode;
use immune_proto::convert::{WireError, required};
use immune_proto::v1::publish_request::{Entry, Request};
use immune_proto::v1::{PublishRequest, PublishResponse};
use immune_runtime::grpc::status;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tonic::{Status, Streaming};

/// How long a publisher may take to say who it is.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// Time between two answers when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What an entry costs in the queue beside its bytes.
const ENTRY_BYTES: usize = 256;

/// A stream that was not opened yet, is open, or has ended.
pub(super) enum Conversation {
    New(Arc<Shared>, Box<Streaming<PublishRequest>>),
    Open(Box<Opened>),
    Ended,
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>, requests: Streaming<PublishRequest>) -> Self {
        Conversation::New(shared, Box::new(requests))
    }

    /// The answers, until the stream ends.
    pub(super) fn answers(self) -> impl Stream<Item = Result<PublishResponse, Status>> + Send + 'static {
        stream::unfold(self, |conversation| async {
            let mut opened = match conversation {
                Conversation::New(shared, requests) => match open(shared, requests).await {
                    Ok(opened) => opened,
                    Err(status) => return Some((Err(status), Conversation::Ended)),
                },
                Conversation::Open(opened) => opened,
                Conversation::Ended => return None,
            };
            match opened.next_answer().await {
                Ok(Some(answer)) => Some((Ok(answer), Conversation::Open(opened))),
                Ok(None) => None,
                Err(status) => Some((Err(status), Conversation::Ended)),
            }
        })
    }
}

/// Reads who speaks.
async fn open(
    shared: Arc<Shared>,
    mut requests: Box<Streaming<PublishRequest>>,
) -> Result<Box<Opened>, Status> {
    let first = timeout(OPEN_WAIT, requests.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the publisher did not say who it is"))??;
    let Some(PublishRequest {
        request: Some(Request::Open(open)),
    }) = first
    else {
        return Err(malformed(&WireError::new("open", "must be the first request")));
    };
    if !is_well_formed(&open.publisher_id) {
        return Err(malformed(&WireError::new("open.publisher_id", "is not an id")));
    }
    if shared.shutdown.is_cancelled() {
        return Err(stopping());
    }
    let attached = shared.attach(open.publisher_id)?;
    let progress = attached.origin.changes();
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(Box::new(Opened {
        requests,
        attached,
        progress,
        heartbeat,
        carried: 0,
        last_sequence: 0,
        told: None,
        pending: None,
        shared,
    }))
}

/// An entry that waits for memory.
struct Pending {
    sequence: u64,
    batch: Batch,
    room: BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>,
}

pub(super) struct Opened {
    requests: Box<Streaming<PublishRequest>>,
    attached: Attached,
    progress: watch::Receiver<Progress>,
    heartbeat: Interval,
    /// Entries that this stream has brought.
    carried: u64,
    last_sequence: u64,
    told: Option<PublishResponse>,
    pending: Option<Pending>,
    shared: Arc<Shared>,
}

impl Opened {
    /// The next answer; `None` when the publisher has ended its requests.
    async fn next_answer(&mut self) -> Result<Option<PublishResponse>, Status> {
        loop {
            let progress = *self.progress.borrow_and_update();
            if progress.is_superseded(self.attached.stream) {
                return Err(Status::aborted("the publisher has opened another stream"));
            }
            let answer = progress.answer(self.carried, self.shared.room);
            if self.told.as_ref() != Some(&answer) {
                self.told = Some(answer);
                return Ok(Some(answer));
            }
            let is_draining = self.shared.shutdown.is_cancelled();
            if is_draining && progress.unsettled == 0 {
                return Err(stopping());
            }
            tokio::select! {
                _ = self.progress.changed() => {}
                _ = self.heartbeat.tick() => return Ok(Some(answer)),
                () = self.shared.gone.cancelled() => return Err(stopping()),
                () = self.shared.shutdown.cancelled(), if !is_draining => {}
                room = permit(&mut self.pending), if !is_draining && self.pending.is_some() => {
                    self.queue(room)?;
                }
                request = self.requests.message(), if !is_draining && self.pending.is_none() => match request? {
                    Some(request) => self.take(request, answer.allowed)?,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Checks an entry and begins to wait for memory.
    fn take(&mut self, request: PublishRequest, allowed: u64) -> Result<(), Status> {
        let Entry { sequence, batch } = match request.request {
            Some(Request::Entry(entry)) => entry,
            Some(Request::Open(_)) => return Err(malformed(&WireError::new("open", "came a second time"))),
            None => return Err(malformed(&WireError::new("request", "is missing"))),
        };
        if self.carried >= allowed {
            return Err(Status::resource_exhausted(format!(
                "entry {sequence} is one more than the {allowed} that were allowed"
            )));
        }
        if sequence <= self.last_sequence {
            let problem = format!("{sequence} is not above {}, the one before", self.last_sequence);
            return Err(malformed(&WireError::new("entry.sequence", problem)));
        }
        self.last_sequence = sequence;
        self.carried += 1;
        if self.attached.origin.has(sequence) {
            self.shared.repeated.inc();
            return Ok(());
        }
        let batch = required("batch", batch).map_err(|e| malformed(&e.under("entry")))?;
        let bytes = (batch.encoded_len() + ENTRY_BYTES).min(self.shared.queue_bytes_max);
        let records = decode(batch).map_err(|e| malformed(&e.under("entry.batch")))?;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.pending = Some(Pending {
            sequence,
            batch: records.into(),
            room: Box::pin(self.shared.queue_bytes.clone().acquire_many_owned(permits)),
        });
        Ok(())
    }

    /// Puts the entry that has its memory into the queue.
    fn queue(&mut self, room: Result<OwnedSemaphorePermit, AcquireError>) -> Result<(), Status> {
        let (Some(Pending { sequence, batch, .. }), Ok(room)) = (self.pending.take(), room) else {
            return Err(stopping());
        };
        let Attached { origin, stream, .. } = &self.attached;
        let entry = Queued {
            origin: origin.clone(),
            sequence,
            batch,
            room,
        };
        let queued = self.shared.queued.clone();
        let taken = origin.take(*stream, sequence, || {
            queued.inc();
            let is_open = self.shared.queue.send(entry).is_ok();
            if !is_open {
                queued.dec();
            }
            is_open
        });
        match taken {
            Taken::Queued => {
                self.shared.received.inc();
                Ok(())
            }
            Taken::Repeated => {
                self.shared.repeated.inc();
                Ok(())
            }
            Taken::Superseded => Err(Status::aborted("the publisher has opened another stream")),
            Taken::Closed => Err(stopping()),
        }
    }
}

/// The memory of the entry that waits for it.
async fn permit(pending: &mut Option<Pending>) -> Result<OwnedSemaphorePermit, AcquireError> {
    match pending {
        Some(pending) => pending.room.as_mut().await,
        None => std::future::pending().await,
    }
}

fn malformed(error: &WireError) -> Status {
    status(error.kind(), "bus.malformed", error.to_string())
}

fn stopping() -> Status {
    status(ErrorKind::Unavailable, "bus.stopping", "this consumer stops")
}
