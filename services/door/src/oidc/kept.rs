//! Documents of the provider that are read once and kept for a while.

use super::error::OidcError;
use immune_domain::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

struct Copy<T> {
    document: Arc<T>,
    read_at: Timestamp,
}

struct State<T> {
    copy: Option<Copy<T>>,
    tried_at: Option<Timestamp>,
    problem: Option<(&'static str, String)>,
}

/// A document and how old it may be. One reading is under way at a time; whoever comes meanwhile waits for it.
pub(crate) struct Kept<T> {
    state: Mutex<State<T>>,
    turn: Semaphore,
    /// Age from which it is read again.
    fresh: Duration,
    /// Age up to which the copy serves while the provider is away.
    usable: Duration,
    /// Time after a failure, or after a reading out of turn, without another one.
    pause: Duration,
}

impl<T> Kept<T> {
    pub fn new(fresh: Duration, usable: Duration, pause: Duration) -> Self {
        Kept {
            state: Mutex::new(State {
                copy: None,
                tried_at: None,
                problem: None,
            }),
            turn: Semaphore::new(1),
            fresh,
            usable,
            pause,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy, if it is younger than `age`.
    fn younger(&self, age: Duration, now: Timestamp) -> Option<Arc<T>> {
        let state = self.state();
        let copy = state.copy.as_ref()?;
        (now.since(copy.read_at) < age).then(|| copy.document.clone())
    }

    fn rests(&self, now: Timestamp) -> bool {
        let state = self.state();
        state
            .tried_at
            .is_some_and(|at| now >= at && now.since(at) < self.pause)
    }

    /// The document: the copy while it is fresh, else read again.
    ///
    /// # Errors
    /// When it cannot be read and there is no usable copy.
    pub async fn get<F>(&self, now: Timestamp, read: impl FnOnce() -> F) -> Result<Arc<T>, OidcError>
    where
        F: Future<Output = Result<T, OidcError>>,
    {
        if let Some(document) = self.younger(self.fresh, now) {
            return Ok(document);
        }
        let _turn = self.turn.acquire().await;
        if let Some(document) = self.younger(self.fresh, now) {
            return Ok(document);
        }
        match self.read(now, read, false).await {
            Ok(document) => Ok(document),
            Err(error) => self.younger(self.usable, now).ok_or(error),
        }
    }

    /// A document that was read after `seen`, which lacks something; `None` when it was read too short a time ago to
    /// ask again, so that made-up tokens cannot send us to the provider for each.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn newer<F>(
        &self,
        seen: &Arc<T>,
        now: Timestamp,
        read: impl FnOnce() -> F,
    ) -> Result<Option<Arc<T>>, OidcError>
    where
        F: Future<Output = Result<T, OidcError>>,
    {
        let _turn = self.turn.acquire().await;
        if let Some(document) = self.younger(self.fresh, now)
            && !Arc::ptr_eq(&document, seen)
        {
            return Ok(Some(document));
        }
        if self.rests(now) {
            return Ok(None);
        }
        self.read(now, read, true).await.map(Some)
    }

    async fn read<F>(
        &self,
        now: Timestamp,
        read: impl FnOnce() -> F,
        is_extra: bool,
    ) -> Result<Arc<T>, OidcError>
    where
        F: Future<Output = Result<T, OidcError>>,
    {
        if self.rests(now)
            && let Some((what, problem)) = self.state().problem.clone()
        {
            return Err(OidcError::Away { what, problem });
        }
        let result = read().await;
        let mut state = self.state();
        if is_extra || result.is_err() {
            state.tried_at = Some(now);
        }
        match result {
            Ok(document) => {
                let document = Arc::new(document);
                state.problem = None;
                state.copy = Some(Copy {
                    document: document.clone(),
                    read_at: now,
                });
                Ok(document)
            }
            Err(error) => {
                state.problem = Some(match &error {
                    OidcError::Away { what, problem } => (*what, problem.clone()),
                    OidcError::Described(_)
                    | OidcError::State
                    | OidcError::Refused { .. }
                    | OidcError::Token { .. }
                    | OidcError::NoRole { .. }
                    | OidcError::Store(_) => ("answer", error.to_string()),
                });
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const FRESH: Duration = Duration::from_secs(100);
    const USABLE: Duration = Duration::from_secs(1_000);
    const PAUSE: Duration = Duration::from_secs(10);

    struct World {
        kept: Kept<u32>,
        reads: AtomicU32,
        start: Timestamp,
    }

    impl World {
        fn new() -> Self {
            World {
                kept: Kept::new(FRESH, USABLE, PAUSE),
                reads: AtomicU32::new(0),
                start: Timestamp::from_micros(1_000_000_000_000),
            }
        }

        fn at(&self, seconds: u64) -> Timestamp {
            self.start.plus(Duration::from_secs(seconds))
        }

        async fn read(&self) -> Result<u32, OidcError> {
            Ok(self.reads.fetch_add(1, Ordering::SeqCst) + 1)
        }

        async fn fail(&self) -> Result<u32, OidcError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Err(OidcError::Away {
                what: "description",
                problem: "away".into(),
            })
        }

        fn reads(&self) -> u32 {
            self.reads.load(Ordering::SeqCst)
        }
    }

    /// Guarantees: a fresh copy is not read again, a stale one is, and serves while the provider is away, for a time.
    #[tokio::test]
    async fn a_copy_is_kept() {
        let w = World::new();
        assert_eq!(*w.kept.get(w.at(0), || w.read()).await.unwrap(), 1);
        assert_eq!(*w.kept.get(w.at(99), || w.read()).await.unwrap(), 1);
        assert_eq!(*w.kept.get(w.at(100), || w.fail()).await.unwrap(), 1);
        assert_eq!(*w.kept.get(w.at(105), || w.fail()).await.unwrap(), 1);
        assert_eq!(w.reads(), 2, "it was asked again within the pause");
        assert!(w.kept.get(w.at(1_000), || w.fail()).await.is_err());
        assert_eq!(*w.kept.get(w.at(1_010), || w.read()).await.unwrap(), 4);
    }

    /// Scenario: many come at once, with and without an answer.
    /// Guarantees: one asks for all; a failure is told to the others for a moment, and then it is tried again.
    #[tokio::test]
    async fn one_asks_for_all() {
        let w = World::new();
        let all = futures::future::join_all((0..20).map(|_| w.kept.get(w.at(0), || w.fail()))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(w.reads(), 1);
        let all = futures::future::join_all((0..20).map(|_| w.kept.get(w.at(10), || w.read()))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(w.reads(), 2);
    }

    /// Scenario: a copy lacks something, again and again.
    /// Guarantees: a newer one is read, no more often than once per pause, and what another has read is taken.
    #[tokio::test]
    async fn a_newer_one_is_read_now_and_then() {
        let w = World::new();
        let first = w.kept.get(w.at(0), || w.read()).await.unwrap();
        let second = w.kept.newer(&first, w.at(1), || w.read()).await.unwrap().unwrap();
        assert_eq!(*second, 2);
        let again = w.kept.newer(&first, w.at(2), || w.read()).await.unwrap().unwrap();
        assert_eq!(*again, 2);
        assert!(
            w.kept
                .newer(&second, w.at(10), || w.read())
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(w.reads(), 2);
        assert!(
            w.kept
                .newer(&second, w.at(11), || w.read())
                .await
                .unwrap()
                .is_some()
        );
    }
}
