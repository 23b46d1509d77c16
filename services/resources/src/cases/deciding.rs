//! Which objects hold a decision, and who looks at it when: several at a time, each object once at a time.

use super::api::causes;
use super::decisions::{Clerk, Unhandled};
use super::known::Place;
use super::table::Table;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// Decisions handed over at the same time.
const AT_ONCE_MAX: usize = 8;
/// How long a decision waits that could not be handed over, or of which the case is not known.
const RETRY: Duration = Duration::from_secs(2);

/// How a decision went.
pub(crate) type Done = Result<(Place, Result<(), Unhandled>), JoinError>;

#[derive(Default)]
pub(crate) struct Deciding {
    /// Objects with a decision, and when to look at it.
    asked: HashMap<Place, Instant>,
    under_way: HashSet<Place>,
    /// Objects whose decision could not be handled the last time.
    troubled: HashSet<Place>,
    tasks: JoinSet<(Place, Result<(), Unhandled>)>,
}

impl Deciding {
    /// The object holds a decision, or no longer.
    pub fn note(&mut self, place: &Place, is_asked: bool) {
        if !is_asked {
            self.asked.remove(place);
        } else if !self.asked.contains_key(place) {
            self.asked.insert(place.clone(), Instant::now());
        }
    }

    /// When the next decision is to be looked at.
    pub fn due_at(&self) -> Option<Instant> {
        if self.tasks.len() >= AT_ONCE_MAX {
            return None;
        }
        let free = self
            .asked
            .iter()
            .filter(|(place, _)| !self.under_way.contains(*place));
        free.map(|(_, at)| *at).min()
    }

    /// Lets the clerk look at what is due.
    pub fn begin_due(&mut self, table: &Table, clerk: &Arc<Clerk>) {
        let now = Instant::now();
        let is_due = |(place, at): &(&Place, &Instant)| **at <= now && !self.under_way.contains(*place);
        let due: Vec<Place> = self
            .asked
            .iter()
            .filter(is_due)
            .map(|(place, _)| place.clone())
            .collect();
        for place in due {
            if self.tasks.len() >= AT_ONCE_MAX {
                return;
            }
            let Some(case) = table.case_at(&place) else {
                self.asked.insert(place, now + RETRY);
                continue;
            };
            // Whatever is seen from now on may be another decision.
            self.asked.remove(&place);
            self.under_way.insert(place.clone());
            let clerk = clerk.clone();
            self.tasks.spawn(async move {
                let handled = clerk.handle(&place, &case).await;
                (place, handled)
            });
        }
    }

    /// The next one that is done with; never, where none is under way.
    pub async fn next(&mut self) -> Done {
        match self.tasks.join_next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Notes how one went. `false`: it is not known which one it was, so that objects are to be listed anew.
    pub fn done(&mut self, done: Done) -> bool {
        let (place, handled) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a decision could not be handled");
                self.under_way.clear();
                return false;
            }
        };
        self.under_way.remove(&place);
        let Err(error) = handled else {
            self.troubled.remove(&place);
            return true;
        };
        let error = causes(&error);
        match self.troubled.insert(place.clone()) {
            true => tracing::warn!(%place, error, "a decision on an AgentCase waits"),
            false => tracing::debug!(%place, error, "a decision on an AgentCase waits"),
        }
        self.asked.insert(place, Instant::now() + RETRY);
        true
    }
}
