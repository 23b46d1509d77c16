//! Whether the guard sees: telemetry comes, somebody judges it in time, and the stores answer. A guard that sees nothing
//! finds nothing, and must say so.

use crate::app::App;
use crate::rest::store::health;
use crate::roles::status;
use immune_proto::v1;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use utoipa::ToSchema;

/// Time between two looks while somebody waits for changes.
const PAUSE: Duration = Duration::from_secs(1);
/// An execution that waited longer than this to be judged was judged late; seconds.
const LAG_MAX: f64 = 10.0;

/// Whether the guard sees.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Blind {
    /// It does not, or too late.
    pub is_blind: bool,
    /// Seconds since the last telemetry; null when there was none since ingestion started, or nobody knows.
    pub silent_seconds: Option<f64>,
    /// `store_away`, `ingestion_away`, `sentinel_away`, `sentinel_not_ready`, `sentinel_behind`, `telemetry_stopped`;
    /// null when it sees.
    pub cause: Option<&'static str>,
    /// The cause in a sentence; null when it sees.
    pub why: Option<String>,
}

/// What is known of those who see.
pub(crate) struct Senses<'a> {
    /// The store that does not answer.
    pub store_away: Option<&'a str>,
    /// Replicas of ingestion that answer.
    pub ingestion: &'a [v1::GetIngestionStatusResponse],
    /// Replicas of the sentinel that answer.
    pub sentinels: &'a [v1::GetSentinelStatusResponse],
    /// Silence that is not believed; seconds.
    pub silence_max: f64,
}

/// Looks now.
pub(crate) async fn look(app: &App) -> Blind {
    let (stores, ingestion, sentinels) = tokio::join!(
        health::stores(app),
        status::ingestion(&app.channels),
        status::sentinels(&app.channels),
    );
    let sentinels: Vec<_> = sentinels.into_iter().map(|(_, status)| status).collect();
    judge(&Senses {
        store_away: stores.err(),
        ingestion: &ingestion,
        sentinels: &sentinels,
        silence_max: app.config.blind_after_seconds as f64,
    })
}

/// What follows from what is known; the gravest cause is named.
pub(crate) fn judge(senses: &Senses<'_>) -> Blind {
    let silences = senses.ingestion.iter().filter_map(|status| status.silent_seconds);
    let silent_seconds = silences.reduce(f64::min);
    let cause = cause(senses, silent_seconds);
    Blind {
        is_blind: cause.is_some(),
        silent_seconds,
        cause: cause.as_ref().map(|(cause, _)| *cause),
        why: cause.map(|(_, why)| why),
    }
}

fn cause(senses: &Senses<'_>, silent_seconds: Option<f64>) -> Option<(&'static str, String)> {
    if let Some(store) = senses.store_away {
        return Some(("store_away", format!("{store} does not answer")));
    }
    if senses.ingestion.is_empty() {
        let why = "ingestion does not answer: telemetry is not taken in".to_owned();
        return Some(("ingestion_away", why));
    }
    if senses.sentinels.is_empty() {
        return Some((
            "sentinel_away",
            "the sentinel does not answer: nobody is judged".to_owned(),
        ));
    }
    let is_ready = |s: &v1::GetSentinelStatusResponse| s.profiles_known && s.cases_known;
    let holds_any = senses.sentinels.iter().any(|sentinel| sentinel.partitions > 0);
    if !holds_any || senses.sentinels.iter().any(|sentinel| !is_ready(sentinel)) {
        let why = "the sentinel waits for its partitions, the profiles or the open cases: agents are not judged yet";
        return Some(("sentinel_not_ready", why.to_owned()));
    }
    // How late it was says something for as long as it has judged since.
    let behind = senses.sentinels.iter().filter_map(|sentinel| {
        let is_now = sentinel
            .idle_seconds
            .is_some_and(|idle| idle < senses.silence_max);
        sentinel.lag_seconds.filter(|_| is_now)
    });
    if let Some(lag) = behind.reduce(f64::max).filter(|lag| *lag > LAG_MAX) {
        let why = format!("the sentinel is {lag:.0} s behind: what happens now is judged late");
        return Some(("sentinel_behind", why));
    }
    match silent_seconds {
        None => Some((
            "telemetry_stopped",
            "no telemetry has arrived since ingestion started".to_owned(),
        )),
        Some(silent) if silent > senses.silence_max => {
            let why = format!("no telemetry has arrived for {silent:.0} s");
            Some(("telemetry_stopped", why))
        }
        Some(_) => None,
    }
}

/// Looks every second while somebody waits for changes; once for everybody.
#[derive(Default)]
pub(crate) struct Lookout {
    shared: Mutex<Weak<Shared>>,
}

struct Shared {
    seen: watch::Receiver<Option<Blind>>,
    _work: AbortOnDropHandle<()>,
}

/// One who waits for changes.
pub(crate) struct Waiting {
    _shared: Arc<Shared>,
    seen: watch::Receiver<Option<Blind>>,
}

impl Lookout {
    /// Joins those who wait. Needs a tokio runtime.
    pub fn join(&self, app: &Arc<App>) -> Waiting {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let running = shared.upgrade();
        let running = running.unwrap_or_else(|| {
            let (sender, seen) = watch::channel(None);
            let begun = Arc::new(Shared {
                seen,
                _work: AbortOnDropHandle::new(tokio::spawn(look_out(app.clone(), sender))),
            });
            *shared = Arc::downgrade(&begun);
            begun
        });
        let mut seen = running.seen.clone();
        // What is known already is the first change.
        seen.mark_changed();
        Waiting {
            seen,
            _shared: running,
        }
    }
}

impl Waiting {
    /// The next change, the first being how it is. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Blind {
        loop {
            if self.seen.changed().await.is_err() {
                // The lookout lives as long as those who wait.
                std::future::pending::<()>().await;
            }
            if let Some(blind) = self.seen.borrow_and_update().clone() {
                return blind;
            }
        }
    }
}

async fn look_out(app: Arc<App>, seen: watch::Sender<Option<Blind>>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = look(&app).await;
        seen.send_if_modified(|before| {
            // Seconds go by all the time; only another cause is news.
            let is_news = before.as_ref().is_none_or(|before| before.cause != now.cause);
            *before = Some(now);
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinel(lag: f64) -> v1::GetSentinelStatusResponse {
        v1::GetSentinelStatusResponse {
            partitions: 1,
            profiles_known: true,
            cases_known: true,
            idle_seconds: Some(1.0),
            lag_seconds: Some(lag),
        }
    }

    fn ingestion(silent: Option<f64>) -> v1::GetIngestionStatusResponse {
        v1::GetIngestionStatusResponse {
            silent_seconds: silent,
            ..Default::default()
        }
    }

    /// Guarantees: each way to be blind is named, the gravest first; telemetry at one of several replicas is enough;
    /// a lag of long ago says nothing.
    #[test]
    fn each_way_to_be_blind_is_named() {
        let cause = |store, ingestion: &[_], sentinels: &[_]| {
            let senses = Senses {
                store_away: store,
                ingestion,
                sentinels,
                silence_max: 60.0,
            };
            let blind = judge(&senses);
            assert_eq!(blind.is_blind, blind.why.is_some());
            blind.cause.unwrap_or("sees")
        };
        let hears = [ingestion(Some(100.0)), ingestion(None), ingestion(Some(2.0))];
        let judges = [sentinel(0.1)];
        assert_eq!(cause(None, &hears, &judges), "sees");
        assert_eq!(cause(Some("the store of vitals"), &[], &[]), "store_away");
        assert_eq!(cause(None, &[], &judges), "ingestion_away");
        assert_eq!(cause(None, &hears, &[]), "sentinel_away");
        let mut waits = sentinel(0.1);
        waits.profiles_known = false;
        assert_eq!(cause(None, &hears, &[waits]), "sentinel_not_ready");
        assert_eq!(cause(None, &hears, &[sentinel(11.0)]), "sentinel_behind");
        let mut long_ago = sentinel(11.0);
        long_ago.idle_seconds = Some(600.0);
        assert_eq!(cause(None, &hears, &[long_ago]), "sees");
        assert_eq!(
            cause(None, &[ingestion(Some(61.0))], &judges),
            "telemetry_stopped"
        );
        assert_eq!(cause(None, &[ingestion(None)], &judges), "telemetry_stopped");
    }
}
