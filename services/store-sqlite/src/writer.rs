//! The one writer: a bounded queue in front of one connection. Writes that wait together are committed together, so
//! that many small ones share one sync to disk; each has a savepoint of its own and fails alone.

use crate::error::storage;
use crate::file::Lock;
use immune_store::StorageError;
use immune_store::error::Result;
use sqlx::{Connection, SqliteConnection};
use std::pin::Pin;
use tokio::sync::{mpsc, oneshot};

/// A future that borrows the connection.
pub(crate) type Boxed<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Ran> + Send>;

/// Tells the caller how it went, once the group is committed or lost.
type Settle = Box<dyn FnOnce(Committed) + Send>;

struct Ran {
    settle: Settle,
    /// Whether the transaction can still be committed.
    is_intact: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Committed {
    Yes,
    No,
}

enum Job {
    Write(Work),
    Close(oneshot::Sender<()>),
}

/// The sending end of the queue.
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the writer. It ends, and lets go of the lock, when it is closed or every sender is gone.
    pub(crate) fn start(conn: SqliteConnection, lock: Lock, queue: usize, group_max: usize) -> Self {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        tokio::spawn(serve(conn, lock, receiver, group_max.max(1)));
        Writer { queue: sender }
    }

    /// Runs `work` on the connection and returns when it is safe on disk. An error of `work` undoes it alone.
    /// Waits while the queue is full; goes on when the caller stops waiting for the answer.
    pub(crate) async fn write<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Work = Box::new(move |conn| Box::pin(run(conn, doing, work, reply)));
        let unavailable = |why: &str| StorageError::Unavailable {
            doing,
            source: why.into(),
        };
        self.queue
            .send(Job::Write(job))
            .await
            .map_err(|_| unavailable("the database is closed"))?;
        answer
            .await
            .map_err(|_| unavailable("the write was not carried out"))?
    }

    /// Finishes what is queued, closes the file and lets go of it.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Job::Close(done)).await.is_ok() {
            // An error means that the writer has ended, which is what was asked for.
            let _ = closed.await;
        }
    }
}

/// Runs one piece of work within a savepoint.
async fn run<T, F>(
    conn: &mut SqliteConnection,
    doing: &'static str,
    work: F,
    reply: oneshot::Sender<Result<T>>,
) -> Ran
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Result<T>>,
{
    let (result, is_intact) = match sqlx::query("SAVEPOINT job").execute(&mut *conn).await {
        Err(error) => (Err(storage(doing)(error)), false),
        Ok(_) => {
            let result = work(&mut *conn).await;
            if result.is_err() {
                let undone = sqlx::query("ROLLBACK TO job").execute(&mut *conn).await.is_ok();
                (result, undone && release(conn).await)
            } else {
                let released = release(conn).await;
                (result, released)
            }
        }
    };
    let settle: Settle = Box::new(move |committed| {
        let answer = match (committed, result) {
            // What failed on its own account has failed, whatever became of the group.
            (_, Err(error)) => Err(error),
            (Committed::Yes, Ok(value)) => Ok(value),
            (Committed::No, Ok(_)) => Err(StorageError::Unavailable {
                doing,
                source: "the transaction could not be committed".into(),
            }),
        };
        // A caller that has stopped waiting needs no answer.
        let _ = reply.send(answer);
    });
    Ran { settle, is_intact }
}

async fn release(conn: &mut SqliteConnection) -> bool {
    sqlx::query("RELEASE job").execute(conn).await.is_ok()
}

async fn serve(mut conn: SqliteConnection, lock: Lock, mut queue: mpsc::Receiver<Job>, group_max: usize) {
    let mut closing = None;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Write(first) => closing = group(&mut conn, first, &mut queue, group_max).await,
            Job::Close(done) => closing = Some(done),
        }
        if closing.is_some() {
            break;
        }
    }
    // Whoever is still queued, or comes later, is told that the database is closed.
    drop(queue);
    if let Err(error) = conn.close().await {
        tracing::warn!(%error, "database did not close cleanly");
    }
    drop(lock);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Runs the first job and those that wait behind it in one transaction. Returns who asked to close, if anyone did.
async fn group(
    conn: &mut SqliteConnection,
    first: Work,
    queue: &mut mpsc::Receiver<Job>,
    group_max: usize,
) -> Option<oneshot::Sender<()>> {
    let mut closing = None;
    // Without a transaction a savepoint would commit on its own, so nothing runs.
    let mut is_intact = begin(conn).await;
    let mut settles = Vec::new();
    let mut next = Some(first);
    while let Some(work) = next.take() {
        if is_intact {
            let ran = work(conn).await;
            is_intact = ran.is_intact;
            settles.push(ran.settle);
        } // Otherwise the job is dropped, and its caller learns that it was not carried out.
        if settles.len() < group_max && is_intact {
            match queue.try_recv() {
                Ok(Job::Write(work)) => next = Some(work),
                Ok(Job::Close(done)) => closing = Some(done),
                Err(_) => {}
            }
        }
    }
    let committed = if is_intact && commit(conn).await {
        Committed::Yes
    } else {
        Committed::No
    };
    if committed == Committed::No {
        // SQLite may have rolled back already; then this is refused, and rightly so.
        let _ = sqlx::query("ROLLBACK").execute(conn).await;
    }
    for settle in settles {
        settle(committed);
    }
    closing
}

async fn begin(conn: &mut SqliteConnection) -> bool {
    logged("beginning", sqlx::query("BEGIN IMMEDIATE").execute(conn).await)
}

async fn commit(conn: &mut SqliteConnection) -> bool {
    logged("committing", sqlx::query("COMMIT").execute(conn).await)
}

/// The callers are told that the database is unavailable; why is told here, once.
fn logged<T>(doing: &'static str, result: std::result::Result<T, sqlx::Error>) -> bool {
    if let Err(error) = &result {
        tracing::error!(%error, doing, "database refused a transaction");
    }
    result.is_ok()
}
