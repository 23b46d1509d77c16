//! Events in order, for those who listen: open cases first, then everything that happens, nothing missed.

use crate::desk::Desk;
use immune_proto::convert::time;
use immune_proto::v1;
use immune_proto::v1::watch_cases_response::{Change, Snapshot};
use immune_store::cases::{CaseFilter, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Changes that may wait for a slow listener; then the watch waits, and catches up from the store.
const WAITING_MAX: usize = 64;
/// Rows read from the store at a time.
const PAGE: u32 = 200;
/// How long a watch sleeps when no save wakes it: events that another process wrote are seen after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a watch sends.
pub(crate) type Sent = Result<v1::WatchCasesResponse, Status>;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// With the open cases, and then only new events.
    Now,
    /// After an event.
    Event(u64),
}

/// The listener has gone, or the role stops.
struct Over;

/// Starts a watch; it ends when the listener goes or the role stops.
pub(crate) fn watch(desk: Arc<Desk>, from: From, stopped: CancellationToken) -> mpsc::Receiver<Sent> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {
                // Whoever listens hears that this is not the end of events, and watches again elsewhere or later.
                let _ = sender.try_send(Err(Status::unavailable("quarantine stops")));
            }
            Over = follow(&desk, from, &sender) => {}
        }
    });
    receiver
}

async fn follow(desk: &Desk, from: From, sender: &mpsc::Sender<Sent>) -> Over {
    let mut saves = desk.saves.subscribe();
    let mut after = match from {
        From::Event(sequence) => sequence,
        From::Now => match snapshot(desk, sender).await {
            Ok(sequence) => sequence,
            Err(over) => return over,
        },
    };
    loop {
        saves.mark_unchanged();
        match desk.store.events_after(after, PAGE).await {
            Ok(events) => {
                let is_last = events.len() < PAGE as usize;
                for event in events {
                    after = event.sequence;
                    if send_event(desk, event, sender).await.is_err() {
                        return Over;
                    }
                }
                if !is_last {
                    continue;
                }
            }
            Err(error) => return fail(sender, error).await,
        }
        tokio::select! {
            // An error means that the desk is gone, and this future with it.
            _ = saves.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = sender.closed() => return Over,
        }
    }
}

/// Sends the open cases. Returns the event after which the watch goes on, taken before the cases were read: what
/// happens while they are being read is sent once more as an event, rather than never.
async fn snapshot(desk: &Desk, sender: &mpsc::Sender<Sent>) -> Result<u64, Over> {
    let last_sequence = match desk.store.last_event().await {
        Ok(sequence) => sequence,
        Err(error) => return Err(fail(sender, error).await),
    };
    let mut before = None;
    loop {
        let filter = CaseFilter {
            open: Some(true),
            before,
            limit: PAGE,
            ..CaseFilter::default()
        };
        let page = match desk.store.list(&filter).await {
            Ok(page) => page,
            Err(error) => return Err(fail(sender, error).await),
        };
        let is_last = page.len() < PAGE as usize;
        before = page.last().map(|case| (case.opened_at, case.id.clone()));
        for case in page {
            send(sender, Change::Existing(case.into())).await?;
        }
        if is_last {
            break;
        }
    }
    send(sender, Change::SnapshotDone(Snapshot { last_sequence })).await?;
    Ok(last_sequence)
}

async fn send_event(desk: &Desk, event: Event, sender: &mpsc::Sender<Sent>) -> Result<(), Over> {
    let case = match desk.store.get(&event.event.case).await {
        Ok(case) => case.map(Into::into),
        Err(error) => return Err(fail(sender, error).await),
    };
    let Event { sequence, event } = event;
    let event = v1::CaseEvent {
        sequence,
        kind: event.kind,
        at: Some(time::to_wire(event.at)),
        text: event.text,
        payload: event.payload.to_string(),
        case,
    };
    send(sender, Change::Event(event)).await
}

async fn send(sender: &mpsc::Sender<Sent>, change: Change) -> Result<(), Over> {
    sender
        .send(Ok(v1::WatchCasesResponse { change: Some(change) }))
        .await
        .map_err(|_| Over)
}

async fn fail(sender: &mpsc::Sender<Sent>, error: immune_store::StorageError) -> Over {
    // The listener watches again, after the last event that it has seen.
    let _ = sender.send(Err(crate::Error::from(error).into())).await;
    Over
}
