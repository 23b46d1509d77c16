//! Events in order, for those who listen: open cases first, then everything that happens, nothing missed.

use crate::desk::Desk;
use immune_domain::case::Case;
use immune_domain::{CaseId, RunId};
use immune_proto::convert::time;
use immune_proto::v1;
use immune_proto::v1::watch_cases_response::{Change, Missed, Snapshot};
use immune_store::cases::{CaseFilter, Event};
use immune_store::follow::changed;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Changes that may wait for a slow listener; then the watch waits, and catches up from the store.
const WAITING_MAX: usize = 64;
/// Rows read from the store at a time.
const PAGE: u32 = 200;
/// How long a watch sleeps when nothing wakes it; a wake-up may have been missed.
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

/// Starts a watch on the cases of one run, or of all; it ends when the listener goes or the role stops.
pub(crate) fn watch(
    desk: Arc<Desk>,
    from: From,
    only_run: Option<RunId>,
    stopped: CancellationToken,
) -> mpsc::Receiver<Sent> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {
                // Whoever listens hears that this is not the end of events, and watches again elsewhere or later.
                let _ = sender.try_send(Err(Status::unavailable("quarantine stops")));
            }
            Over = follow(&desk, from, only_run.as_ref(), &sender) => {}
        }
    });
    receiver
}

async fn follow(desk: &Desk, from: From, only_run: Option<&RunId>, sender: &mpsc::Sender<Sent>) -> Over {
    let mut changes = desk.store.changes();
    let begun = match from {
        From::Event(sequence) => resume(desk, sequence, only_run, sender).await,
        From::Now => snapshot(desk, only_run, sender).await,
    };
    let mut after = match begun {
        Ok(sequence) => sequence,
        Err(over) => return over,
    };
    loop {
        changes.mark_unchanged();
        match desk.store.events_after(after, PAGE).await {
            Ok(mut events) => {
                let is_last = events.len() < PAGE as usize;
                if let Some(last) = events.last() {
                    after = last.sequence;
                }
                events.retain(|event| only_run.is_none_or(|run| event.event.key.run == *run));
                if let Err(over) = send_events(desk, events, sender).await {
                    return over;
                }
                if !is_last {
                    continue;
                }
            }
            Err(error) => return fail(sender, error).await,
        }
        tokio::select! {
            () = changed(&mut changes) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = sender.closed() => return Over,
        }
    }
}

/// Goes on after an event. When events after it are removed already, or it is an event of another store, the listener
/// hears so and gets the open cases; a listener that went on as if nothing had happened would miss them for ever. One
/// that begins after 0 wants what is kept.
async fn resume(
    desk: &Desk,
    sequence: u64,
    only_run: Option<&RunId>,
    sender: &mpsc::Sender<Sent>,
) -> Result<u64, Over> {
    if sequence == 0 {
        return Ok(0);
    }
    // In this order: what comes in between is found by the second look.
    let last = match desk.store.last_event().await {
        Ok(last) => last,
        Err(error) => return Err(fail(sender, error).await),
    };
    let next = match desk.store.events_after(sequence, 1).await {
        Ok(events) => events.first().map(|event| event.sequence),
        Err(error) => return Err(fail(sender, error).await),
    };
    let is_whole = match next {
        Some(next) => next == sequence + 1,
        None => sequence == last,
    };
    if is_whole {
        return Ok(sequence);
    }
    send(sender, Change::Missed(Missed {})).await?;
    snapshot(desk, only_run, sender).await
}

/// Sends the open cases. Returns the event after which the watch goes on, taken before the cases were read: what
/// happens while they are being read is sent once more as an event, rather than never.
async fn snapshot(desk: &Desk, only_run: Option<&RunId>, sender: &mpsc::Sender<Sent>) -> Result<u64, Over> {
    let last_sequence = match desk.store.last_event().await {
        Ok(sequence) => sequence,
        Err(error) => return Err(fail(sender, error).await),
    };
    let mut before = None;
    loop {
        let filter = CaseFilter {
            run: only_run.cloned(),
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

/// Sends events, each with its case as it is now.
async fn send_events(desk: &Desk, events: Vec<Event>, sender: &mpsc::Sender<Sent>) -> Result<(), Over> {
    let ids: BTreeSet<&CaseId> = events.iter().map(|event| &event.event.case).collect();
    let ids: Vec<CaseId> = ids.into_iter().cloned().collect();
    let cases = match ids.as_slice() {
        [] => Vec::new(),
        ids => match desk.store.cases(ids).await {
            Ok(cases) => cases,
            Err(error) => return Err(fail(sender, error).await),
        },
    };
    let cases: HashMap<CaseId, Case> = cases.into_iter().map(|case| (case.id.clone(), case)).collect();
    for Event { sequence, event } in events {
        let case = cases.get(&event.case).map(|case| case.clone().into());
        let event = v1::CaseEvent {
            sequence,
            kind: event.kind,
            at: Some(time::to_wire(event.at)),
            text: event.text,
            payload: event.payload.to_string(),
            case,
        };
        send(sender, Change::Event(event)).await?;
    }
    Ok(())
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
