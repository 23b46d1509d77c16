//! What a consumer knows of one publisher: plain state, behind a lock that also tells of its changes.

use immune_proto::v1::PublishResponse;
use tokio::sync::watch;

/// How far one publisher's entries have come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The stream that speaks for the publisher: the newest. An older one that is still there is cut off.
    stream: u64,
    is_connected: bool,
    received: u64,
    settled: u64,
    /// Entries in the queue.
    queued: usize,
    /// Entries that were received and are not settled, the queued ones among them.
    pub(super) unsettled: usize,
}

/// One publisher.
#[derive(Debug)]
pub(super) struct Origin {
    progress: watch::Sender<Progress>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in the queue.
    Queued,
    /// It was received before.
    Repeated,
    /// The publisher has opened another stream since.
    Superseded,
    /// Nobody reads the queue any more.
    Closed,
}

/// How many entries of one publisher may be where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) queued_max: usize,
    pub(super) unsettled_max: usize,
}

impl Origin {
    pub(super) fn new() -> Self {
        Origin {
            progress: watch::Sender::default(),
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// A new stream speaks for the publisher.
    pub(super) fn connect(&self, stream: u64) {
        self.progress.send_modify(|progress| {
            progress.stream = stream;
            progress.is_connected = true;
        });
    }

    /// A stream ended.
    pub(super) fn disconnect(&self, stream: u64) {
        self.progress
            .send_modify(|progress| progress.is_connected &= progress.stream != stream);
    }

    /// The stream that spoke last, if none does now.
    pub(super) fn gone_since(&self) -> Option<u64> {
        let progress = self.progress.borrow();
        (!progress.is_connected).then_some(progress.stream)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.progress.borrow().is_connected
    }

    /// Whether an entry was received already.
    pub(super) fn has(&self, sequence: u64) -> bool {
        sequence <= self.progress.borrow().received
    }

    /// Takes an entry: `queue` puts it into the queue and says whether that is open. Under the lock, so that the
    /// queue has the entries in the order in which they are counted as received.
    pub(super) fn take(&self, stream: u64, sequence: u64, queue: impl FnOnce() -> bool) -> Taken {
        let mut taken = Taken::Queued;
        self.progress.send_modify(|progress| {
            if progress.stream != stream {
                taken = Taken::Superseded;
            } else if sequence <= progress.received {
                taken = Taken::Repeated;
            } else if queue() {
                progress.received = sequence;
                progress.queued += 1;
                progress.unsettled += 1;
            } else {
                taken = Taken::Closed;
            }
        });
        taken
    }

    /// An entry left the queue for the role.
    pub(super) fn handed_out(&self) {
        self.progress.send_modify(|progress| progress.queued -= 1);
    }

    /// The role is done with so many entries, up to this one.
    pub(super) fn settle(&self, sequence: u64, count: usize) {
        self.progress.send_modify(|progress| {
            progress.settled = sequence;
            progress.unsettled -= count;
        });
    }
}

impl Progress {
    pub(super) fn is_superseded(&self, stream: u64) -> bool {
        self.stream != stream
    }

    /// What a stream that has carried so many entries is told.
    pub(super) fn answer(&self, carried: u64, room: Room) -> PublishResponse {
        let queue = room.queued_max.saturating_sub(self.queued);
        let free = queue.min(room.unsettled_max.saturating_sub(self.unsettled));
        PublishResponse {
            received: self.received,
            settled: self.settled,
            allowed: carried + free as u64,
        }
    }
}
