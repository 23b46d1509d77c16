//! Telling those who wait that there may be new events, in this process and in others.
//!
//! Saying so within the transaction that writes an event would make all such transactions wait for each other:
//! PostgreSQL commits one transaction with a NOTIFY at a time, its write to disk included. So it is said afterwards,
//! once for many. A process that dies in between says nothing, which a hint may.

use crate::database::{Database, Repeat};
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const CHANNEL: &str = "immune_events";

/// A connection that has been silent for so long is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(30);

/// How long connecting, and that answer, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between tries to connect grow from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

const IDLE: u8 = 0;
const ANNOUNCING: u8 = 1;
const ONCE_MORE: u8 = 2;

/// Knows who waits here, and who tells the others.
pub(crate) struct Announcer {
    changes: watch::Sender<u64>,
    closed: watch::Sender<bool>,
    is_listening: AtomicBool,
    announcing: AtomicU8,
}

impl Default for Announcer {
    fn default() -> Self {
        Announcer {
            changes: watch::Sender::new(0),
            closed: watch::Sender::new(false),
            is_listening: AtomicBool::new(false),
            announcing: AtomicU8::new(IDLE),
        }
    }
}

impl Announcer {
    /// Stops listening.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl Database {
    /// Grows at every hint. The first call starts listening to other processes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let announcer = &self.announcer;
        if !announcer.is_listening.swap(true, Ordering::AcqRel) {
            let options = self.pool.options().clone();
            let (changes, closed) = (announcer.changes.clone(), announcer.closed.subscribe());
            tokio::spawn(listen(options, changes, closed));
        }
        announcer.changes.subscribe()
    }

    /// Tells everyone, in the background.
    pub(crate) fn announce(self: &Arc<Self>) {
        grow(&self.announcer.changes);
        // Whoever announces now may have looked before our event was there, so it announces once more.
        let next = |state| Some(if state == IDLE { ANNOUNCING } else { ONCE_MORE });
        let before = self
            .announcer
            .announcing
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(IDLE) {
            tokio::spawn(announce(self.clone()));
        }
    }
}

fn grow(changes: &watch::Sender<u64>) {
    changes.send_modify(|changes| *changes = changes.wrapping_add(1));
}

/// Gives the events their places, so that readers find them in order, and wakes the other processes.
async fn announce(database: Arc<Database>) {
    let announcing = &database.announcer.announcing;
    loop {
        announcing.store(ANNOUNCING, Ordering::Release);
        let query = || sqlx::query("SELECT immune.number_events(), pg_notify($1, '')").bind(CHANNEL);
        if let Err(trouble) = database.run_raw(Repeat::Always, query).await {
            tracing::debug!(error = %trouble, "events could not be announced");
        }
        let stopped = announcing.compare_exchange(ANNOUNCING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if stopped.is_ok() {
            return;
        }
    }
}

/// Listens until the store is closed or dropped, and connects anew whenever the connection is lost.
async fn listen(options: PgConnectOptions, changes: watch::Sender<u64>, mut closed: watch::Receiver<bool>) {
    let listening = async {
        let mut pause = PAUSE_FIRST;
        loop {
            match subscribe(&options).await {
                Ok(mut listener) => {
                    pause = PAUSE_FIRST;
                    // What was announced while nobody listened is not announced again.
                    grow(&changes);
                    hear(&mut listener, &changes).await;
                }
                Err(error) => {
                    tracing::debug!(error = %error, "cannot listen for events");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    };
    tokio::select! {
        () = listening => {}
        _ = closed.wait_for(|is_closed| *is_closed) => {}
    }
}

async fn subscribe(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ANSWER_TIMEOUT)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Passes hints on until the connection is lost.
async fn hear(listener: &mut PgListener, changes: &watch::Sender<u64>) {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_hint))) => {
                while listener.next_buffered().is_some() {}
                grow(changes);
            }
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "no longer listening for events");
                return;
            }
            Err(_elapsed) => {
                let answer = timeout(ANSWER_TIMEOUT, listener.execute("SELECT 1")).await;
                if !matches!(answer, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}
