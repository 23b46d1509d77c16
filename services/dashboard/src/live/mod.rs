//! What changes in the fleet of a run, told to everybody who looks at it: one watch per run, however many readers.
//!
//! The first reader begins it and the last one's going ends it. Readers get the same bytes. One that falls behind, or
//! comes while the watch runs, is told to ask for the whole fleet (`/api/fleet`) and goes on from there; nothing waits
//! for a slow one.

mod following;
mod work;

use crate::app::App;
use immune_domain::RunId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;
use work::Work;

/// Updates that a reader may be behind.
const BEHIND_MAX: usize = 32;

/// What a reader is told.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// Agents in brief, as the JSON of an `agents` event.
    Agents(Arc<str>),
    /// Changes may have been missed: ask for the whole fleet.
    Reset,
}

/// The watches that run, by run.
#[derive(Default)]
pub(crate) struct Live {
    runs: Mutex<HashMap<RunId, Weak<Shared>>>,
}

struct Shared {
    updates: broadcast::Sender<Update>,
    /// Whether changes are seen, so that whoever asks for the fleet from now on misses none.
    is_begun: Arc<AtomicBool>,
    _work: AbortOnDropHandle<()>,
}

/// A reader of a run's changes.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    updates: broadcast::Receiver<Update>,
    is_told: bool,
}

impl Live {
    /// Joins the readers of a run. Needs a tokio runtime.
    pub fn join(&self, app: &Arc<App>, run: &RunId) -> Reader {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|_, shared| shared.strong_count() > 0);
        let running = runs.get(run).and_then(Weak::upgrade);
        let shared = running.unwrap_or_else(|| {
            let updates = broadcast::Sender::new(BEHIND_MAX);
            let is_begun = Arc::new(AtomicBool::new(false));
            let work = Work::new(app.clone(), run.clone(), updates.clone(), is_begun.clone());
            let shared = Arc::new(Shared {
                updates,
                is_begun,
                _work: AbortOnDropHandle::new(tokio::spawn(work.run())),
            });
            runs.insert(run.clone(), Arc::downgrade(&shared));
            shared
        });
        Reader {
            updates: shared.updates.subscribe(),
            shared,
            is_told: false,
        }
    }
}

impl Reader {
    /// The next update. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Update {
        if !self.is_told && self.shared.is_begun.load(Ordering::SeqCst) {
            self.is_told = true;
            return Update::Reset;
        }
        let update = match self.updates.recv().await {
            Ok(update) => update,
            Err(RecvError::Lagged(_)) => Update::Reset,
            // The watch lives as long as its readers.
            Err(RecvError::Closed) => std::future::pending().await,
        };
        self.is_told |= matches!(update, Update::Reset);
        update
    }
}
