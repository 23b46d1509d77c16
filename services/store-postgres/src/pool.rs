//! Connections that are kept between calls.
//!
//! A pool of our own, because every call is one statement and that makes it small: the driver's pool asks the server
//! at every return of a connection whether it still lives, which doubles the round trips; it hides why connecting
//! failed; and it cannot be told that all its connections lead to a server that has become a standby.

use crate::connect;
use crate::error::Trouble;
use crate::options::Limits;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// A connection that was free for longer is asked whether it lives before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long that answer may take.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long [`Pool::close`] waits for calls under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Pool {
    options: PgConnectOptions,
    limits: Limits,
    permits: Arc<Semaphore>,
    /// The one used last is used next, so that those in excess grow old.
    free: Mutex<Vec<Free>>,
    /// Connections of an earlier generation are not used again.
    generation: AtomicU64,
}

struct Free {
    conn: PgConnection,
    since: Instant,
    born: Instant,
    generation: u64,
}

/// A connection in use. Dropping it closes it: that is what has to happen when a call is abandoned in the middle.
pub(crate) struct Lease {
    pub(crate) conn: PgConnection,
    born: Instant,
    generation: u64,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(options: PgConnectOptions, limits: Limits) -> Self {
        Pool {
            permits: Arc::new(Semaphore::new(limits.connections as usize)),
            options,
            limits,
            free: Mutex::new(Vec::new()),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A connection that lives, as far as one can know.
    pub(crate) async fn lease(&self) -> Result<Lease, Trouble> {
        let limit = self.limits.acquire_timeout();
        let permit = timeout(limit, self.permits.clone().acquire_owned()).await;
        let permit = permit
            .map_err(|_elapsed| Trouble::Busy(limit))?
            .map_err(|_closed| Trouble::Closed)?;
        while let Some(mut free) = self.take_free() {
            let is_trusted = free.since.elapsed() < TRUSTED
                || matches!(timeout(PING_TIMEOUT, free.conn.ping()).await, Ok(Ok(())));
            if is_trusted {
                return Ok(Lease {
                    conn: free.conn,
                    born: free.born,
                    generation: free.generation,
                    permit,
                });
            }
        }
        let generation = self.generation.load(Ordering::Acquire);
        let conn = connect::open_checked(&self.options, &self.limits).await?;
        Ok(Lease {
            conn,
            born: Instant::now(),
            generation,
            permit,
        })
    }

    /// Takes back a connection whose statement has ended.
    pub(crate) fn give_back(&self, lease: Lease) {
        let Lease {
            conn,
            born,
            generation,
            permit,
        } = lease;
        let free = Free {
            conn,
            since: Instant::now(),
            born,
            generation,
        };
        if !self.permits.is_closed() && self.is_usable(&free) {
            self.free().push(free);
        }
        drop(permit);
    }

    /// Uses no connection again that is open now.
    pub(crate) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.free().clear();
    }

    /// Waits for calls under way, bounded, then closes all connections; later calls fail.
    pub(crate) async fn close(&self) {
        let all = self.limits.connections;
        let rest = timeout(CLOSE_TIMEOUT, self.permits.acquire_many(all)).await;
        self.permits.close();
        drop(rest);
        let free = std::mem::take(&mut *self.free());
        for free in free {
            // A farewell that fails finds the connection closed already.
            let _ = timeout(PING_TIMEOUT, free.conn.close()).await;
        }
    }

    fn take_free(&self) -> Option<Free> {
        let mut free = self.free();
        while let Some(next) = free.pop() {
            if self.is_usable(&next) {
                return Some(next);
            }
        }
        None
    }

    fn is_usable(&self, free: &Free) -> bool {
        free.generation == self.generation.load(Ordering::Acquire)
            && free.born.elapsed() < self.limits.lifetime()
    }

    /// A panic while it was held leaves the list whole, so poisoning is not passed on.
    fn free(&self) -> MutexGuard<'_, Vec<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
