//! The loop of who leads: it hears of cases and of objects, and writes one object after the other.

use super::api::Trouble;
use super::deciding::Deciding;
use super::decisions::asked;
use super::events::Waiting;
use super::known::{Place, Shown, Work};
use super::look;
use super::mirror::Office;
use super::view::View;
use super::watches::{Heard, Watches};
use immune_store::follow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long nothing is looked at while nothing is heard.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What happens within this time is written together.
const COALESCE: Duration = Duration::from_millis(100);
/// First and longest wait after the API server could not answer.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long news wait for the object that they are about, at a time.
const NEWS_PAUSE: Duration = Duration::from_millis(200);
/// What the follower is for.
const DOING: &str = "showing cases in Kubernetes";

pub(crate) struct Lead {
    office: Arc<Office>,
    view: Arc<View>,
    watches: Watches,
    deciding: Deciding,
    waiting: Waiting,
    /// The last event read.
    seen: u64,
    /// The last event up to which everything was told.
    told: Arc<AtomicU64>,
    trouble: Option<String>,
    retry: Duration,
    paused_until: Instant,
    /// No object is written before: what changes at the same time is written together.
    write_from: Instant,
    news_from: Instant,
    is_news_turn: bool,
}

impl Lead {
    pub fn new(office: Arc<Office>, seen: u64, told: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        Lead {
            view: Arc::new(View::new(office.clone())),
            watches: Watches::new(office.cluster.clone(), office.scope.watched()),
            deciding: Deciding::default(),
            waiting: Waiting::default(),
            seen,
            told,
            trouble: None,
            retry: RETRY_FIRST,
            paused_until: now,
            write_from: now,
            news_from: now,
            is_news_turn: false,
            office,
        }
    }

    /// Leads until dropped.
    pub async fn run(self) {
        let (office, view) = (self.office.clone(), self.view.clone());
        tokio::select! {
            () = follow::run(&*office.cases, &*view, DOING, CancellationToken::new()) => {}
            () = self.write_on() => {}
        }
    }

    async fn write_on(mut self) {
        let view = self.view.clone();
        let mut look_at = Instant::now();
        let mut list_at = Instant::now();
        loop {
            self.deciding.begin_due(&view.table(), &self.office.clerk);
            let (write_at, watch_at, decide_at) =
                (self.write_at(), self.watches.due_at(), self.deciding.due_at());
            tokio::select! {
                heard = self.watches.next() => self.take(heard),
                done = self.deciding.next() => {
                    if !self.deciding.done(done) {
                        list_at = Instant::now();
                    }
                }
                () = view.heard.notified() => {
                    let now = Instant::now();
                    look_at = look_at.min(now + COALESCE);
                    // Never twice in a row, or writing would wait as long as something happens.
                    if self.write_from + COALESCE < now {
                        self.write_from = now + COALESCE;
                    }
                }
                () = tokio::time::sleep_until(look_at) => {
                    let has_more = self.look().await;
                    look_at = Instant::now() + if has_more { Duration::ZERO } else { LOOK_AGAIN };
                }
                () = at(write_at) => self.write().await,
                () = at(watch_at) => self.watches.begin_due(),
                () = at(decide_at) => {}
                () = tokio::time::sleep_until(list_at) => {
                    self.watches.begin_all();
                    list_at = Instant::now() + follow::READ_AGAIN;
                }
            }
        }
    }

    /// Looks at the store; returns whether there may be more at once.
    async fn look(&mut self) -> bool {
        self.view.table().expire(self.office.timestamp());
        let looked = async {
            look::strays(&self.office, &self.view).await?;
            look::news(&self.office, &self.view, self.seen, &mut self.waiting).await
        };
        let has_more = match looked.await {
            Ok((seen, has_more)) => {
                self.seen = seen;
                self.note_told();
                has_more
            }
            Err(error) => {
                // The follower has said so.
                tracing::debug!(%error, "events and cases of objects cannot be read");
                false
            }
        };
        self.report();
        has_more
    }

    fn note_told(&self) {
        self.told
            .store(self.waiting.told_up_to(self.seen), Ordering::Relaxed);
    }

    /// Takes in what is heard of objects.
    fn take(&mut self, heard: Heard) {
        let mut table = self.view.table();
        match heard {
            Heard::Seen(object) => {
                let place = table.see(&object);
                self.deciding.note(&place, !asked(&object).is_empty());
                return;
            }
            Heard::Gone(place) => {
                table.lose(&place);
                self.deciding.note(&place, false);
                return;
            }
            Heard::Listed { namespace, listed } => {
                for gone in table.lose_all_but(namespace.as_deref(), &listed) {
                    self.deciding.note(&gone, false);
                }
                table.mark_all();
            }
            Heard::Failed => {}
        }
        drop(table);
        self.report();
    }

    /// When there is something to write; `None` when there is nothing.
    fn write_at(&self) -> Option<Instant> {
        let objects = {
            let table = self.view.table();
            if table.has_work() {
                Some(self.write_from)
            } else {
                table.due_at()
            }
        };
        let news = (self.waiting.len() > 0).then_some(self.news_from);
        objects
            .into_iter()
            .chain(news)
            .min()
            .map(|at| at.max(self.paused_until))
    }

    /// Writes one object, or one piece of news; in turn, so that neither waits for all of the other.
    async fn write(&mut self) {
        let now = Instant::now();
        let is_news_turn = self.is_news_turn && self.waiting.len() > 0 && self.news_from <= now;
        self.is_news_turn = !is_news_turn;
        let work = match is_news_turn {
            true => None,
            false => self.view.table().next(now),
        };
        match work {
            // What is not known to be there is looked at once it is.
            Some((place, _)) if !self.is_synced_at(&place) => return,
            Some((place, work)) => self.write_object(place, work).await,
            None => self.tell().await,
        }
        self.report();
    }

    async fn write_object(&mut self, place: Place, work: Work) {
        let written = self.office.cluster.write(&place, &work).await;
        let now = Instant::now();
        let view = self.view.clone();
        let mut table = view.table();
        match written {
            Ok(object) => {
                self.answered();
                match object {
                    Some(object) if !table.written(&work, &object, now) => {
                        tracing::warn!(%place, "an AgentCase was not taken as it was written; is its definition older than this program?");
                    }
                    Some(_) => {}
                    None => table.lose(&place),
                }
            }
            Err(Trouble::Missing(_)) if matches!(work, Work::Status(_)) => table.lose(&place),
            Err(trouble @ (Trouble::Away(_) | Trouble::Missing(_))) => {
                table.mark(place);
                self.unanswered(&trouble);
            }
            Err(Trouble::NoNamespace(words)) if table.displace(&place) => {
                tracing::info!(%place, reason = %words, "a case is shown in the plane's own namespace");
            }
            Err(trouble @ (Trouble::NoNamespace(_) | Trouble::Conflict(_) | Trouble::Refused(_))) => {
                let is_first = table.refused() == 0;
                match table.put_off(place.clone(), now) && is_first {
                    true => tracing::warn!(%place, error = %trouble, "an AgentCase cannot be written"),
                    false => tracing::debug!(%place, error = %trouble, "an AgentCase cannot be written"),
                }
            }
        }
    }

    /// Writes the first piece of news whose object is there.
    async fn tell(&mut self) {
        let mut n = 0;
        let (news, place, uid) = loop {
            let Some(news) = self.waiting.get(n) else {
                self.news_from = Instant::now() + NEWS_PAUSE;
                return;
            };
            match self.view.table().shown(&news.case) {
                Shown::As { place, uid } => break (news, place, uid),
                Shown::NotYet => n += 1,
                // Its case may be on its way.
                Shown::Never if !self.view.knows(news.read_at) => n += 1,
                Shown::Never => {
                    self.waiting.remove(n);
                    self.office.metrics.told("dropped", 1);
                }
            }
        };
        let event = news.event(&place, &uid, &self.office.clerk.instance);
        let outcome = match self.office.cluster.tell(&event).await {
            Ok(()) => {
                self.answered();
                "written"
            }
            Err(trouble @ Trouble::Away(_)) => return self.unanswered(&trouble),
            Err(
                trouble @ (Trouble::Missing(_)
                | Trouble::NoNamespace(_)
                | Trouble::Conflict(_)
                | Trouble::Refused(_)),
            ) => {
                tracing::debug!(%place, error = %trouble, "a Kubernetes Event could not be written");
                "dropped"
            }
        };
        self.waiting.remove(n);
        self.office.metrics.told(outcome, 1);
        self.note_told();
    }

    fn is_synced_at(&self, place: &Place) -> bool {
        self.view.was_whole() && self.watches.is_synced_at(place)
    }

    fn answered(&mut self) {
        self.trouble = None;
        self.retry = RETRY_FIRST;
    }

    fn unanswered(&mut self, trouble: &Trouble) {
        self.trouble = Some(trouble.to_string());
        self.paused_until = Instant::now() + self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// Says how things are; once when they change.
    fn report(&self) {
        let metrics = &self.office.metrics;
        let (shown, waiting) = {
            let table = self.view.table();
            (table.len(), table.waiting())
        };
        metrics.mirrored.set(shown as i64);
        metrics.waiting.set(waiting as i64);
        let api_error = self.trouble.clone().or_else(|| self.watches.trouble());
        let is_synced = self.view.was_whole() && self.watches.is_synced();
        metrics.api_down.set(api_error.is_some().into());
        self.office.state.send_if_modified(|state| {
            match (&state.api_error, &api_error) {
                (None, Some(error)) => {
                    tracing::warn!(%error, "the Kubernetes API does not let AgentCases be read or written");
                }
                (Some(_), None) => tracing::info!("AgentCases can be read and written again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            let is_news = (state.is_synced, &state.api_error) != (is_synced, &api_error);
            state.is_synced = is_synced;
            state.api_error = api_error;
            is_news
        });
    }
}

/// Waits for a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
