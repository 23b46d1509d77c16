//! Objects as the API server has them: a watch per namespace, begun anew when it fails.

use super::api::{Cluster, causes};
use super::known::{Place, place_of};
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use kube::api::DynamicObject;
use kube::runtime::watcher;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest wait after a watch has failed.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What a watch says; the number tells which.
type Said = (usize, watcher::Result<watcher::Event<DynamicObject>>);

/// What has become of an object, or of many.
pub(crate) enum Heard {
    /// It is there like this.
    Seen(Box<DynamicObject>),
    /// It is gone.
    Gone(Place),
    /// Of this namespace (of all, where none is named) these are there, and no others.
    Listed {
        namespace: Option<String>,
        listed: HashSet<Place>,
    },
    /// Nothing can be heard for a while.
    Failed,
}

/// Objects of one namespace, or of all.
struct Watched {
    namespace: Option<String>,
    /// What has been listed so far, while a listing is under way.
    listing: HashSet<Place>,
    is_synced: bool,
    trouble: Option<String>,
    retry: Duration,
    retry_at: Option<Instant>,
}

/// Every watch.
pub(crate) struct Watches {
    cluster: Arc<Cluster>,
    watched: Vec<Watched>,
    streams: SelectAll<BoxStream<'static, Said>>,
}

impl Watches {
    /// None has begun yet.
    pub fn new(cluster: Arc<Cluster>, namespaces: Vec<Option<String>>) -> Self {
        let watched = namespaces.into_iter().map(|namespace| Watched {
            namespace,
            listing: HashSet::new(),
            is_synced: false,
            trouble: None,
            retry: RETRY_FIRST,
            retry_at: None,
        });
        Watches {
            cluster,
            watched: watched.collect(),
            streams: SelectAll::new(),
        }
    }

    /// Begins all anew, which lists everything anew; those that have failed wait until they are due.
    pub fn begin_all(&mut self) {
        self.streams.clear();
        for n in 0..self.watched.len() {
            if self.watched[n].retry_at.is_none() {
                self.begin(n);
            }
        }
    }

    /// Begins again what has failed and is due.
    pub fn begin_due(&mut self) {
        let now = Instant::now();
        for n in 0..self.watched.len() {
            if self.watched[n].retry_at.is_some_and(|at| at <= now) {
                self.begin(n);
            }
        }
    }

    /// When the next one is due.
    pub fn due_at(&self) -> Option<Instant> {
        self.watched.iter().filter_map(|watched| watched.retry_at).min()
    }

    fn begin(&mut self, n: usize) {
        let watched = &mut self.watched[n];
        watched.retry_at = None;
        watched.listing.clear();
        let objects = self.cluster.objects(watched.namespace.as_deref());
        let events = watcher(objects, watcher::Config::default()).boxed();
        // Ends with the first failure; when to try again is decided here.
        let events = stream::unfold(Some(events), move |events| async move {
            let mut events = events?;
            let event = events.next().await?;
            let rest = event.is_ok().then_some(events);
            Some(((n, event), rest))
        });
        self.streams.push(events.boxed());
    }

    /// The next thing that is heard; never, where nothing is watched.
    pub async fn next(&mut self) -> Heard {
        loop {
            let Some((n, said)) = self.streams.next().await else {
                return std::future::pending().await;
            };
            if let Some(heard) = self.watched[n].take(said) {
                return heard;
            }
        }
    }

    /// Whether it is known which objects are where this one is.
    pub fn is_synced_at(&self, place: &Place) -> bool {
        let is_there = |watched: &&Watched| {
            let namespace = watched.namespace.as_ref();
            namespace.is_none_or(|namespace| *namespace == place.namespace)
        };
        self.watched
            .iter()
            .filter(is_there)
            .any(|watched| watched.is_synced)
    }

    /// Whether every object is known.
    pub fn is_synced(&self) -> bool {
        self.watched.iter().all(|watched| watched.is_synced)
    }

    /// Why something cannot be heard.
    pub fn trouble(&self) -> Option<String> {
        self.watched.iter().find_map(|watched| watched.trouble.clone())
    }
}

impl Watched {
    fn take(&mut self, said: watcher::Result<watcher::Event<DynamicObject>>) -> Option<Heard> {
        match said {
            Ok(watcher::Event::Init) => {
                self.listing.clear();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                self.listing.insert(place_of(&object));
                Some(Heard::Seen(Box::new(object)))
            }
            Ok(watcher::Event::InitDone) => {
                self.is_synced = true;
                self.trouble = None;
                self.retry = RETRY_FIRST;
                Some(Heard::Listed {
                    namespace: self.namespace.clone(),
                    listed: std::mem::take(&mut self.listing),
                })
            }
            Ok(watcher::Event::Apply(object)) => Some(Heard::Seen(Box::new(object))),
            Ok(watcher::Event::Delete(object)) => Some(Heard::Gone(place_of(&object))),
            Err(error) => {
                // One that has expired is listed anew, which is nothing unusual.
                let is_expired = matches!(&error, watcher::Error::WatchError(status) if status.code == 410);
                if !is_expired {
                    self.trouble = Some(causes(&error));
                }
                self.retry_at = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY_MAX);
                Some(Heard::Failed)
            }
        }
    }
}
