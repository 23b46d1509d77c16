//! The policies of one namespace, or of all, as the API server has them.

use super::translate::Written;
use futures::stream::{self, BoxStream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use std::collections::{BTreeMap, BTreeSet};

/// Namespace and name.
type Key = (String, String);

/// What a watch says. It never ends: one that fails is begun anew after a while, with a complete list. Going on where
/// it was would tell nothing while nothing changes, and nobody could say that the server is back.
pub(super) fn events(api: Api<DynamicObject>) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    let begin = move || watcher(api.clone(), watcher::Config::default()).boxed();
    let first = (begin(), DefaultBackoff::default(), false);
    stream::unfold(first, move |(mut events, mut backoff, has_failed)| {
        let begin = begin.clone();
        async move {
            if has_failed {
                // The backoff has no end; it begins anew after two minutes without a failure.
                tokio::time::sleep(backoff.next().unwrap_or_default()).await;
                events = begin();
            }
            let event = events.next().await?;
            let has_failed = event.is_err();
            Some((event, (events, backoff, has_failed)))
        }
    })
    .boxed()
}

/// What is known of one scope.
#[derive(Default)]
pub(super) struct Known {
    objects: BTreeMap<Key, Written>,
    /// Those that a listing under way has named.
    listing: BTreeSet<Key>,
    is_listed: bool,
    trouble: Option<String>,
}

impl Known {
    /// Takes in what was said; whether there is something to do now.
    pub fn take(&mut self, said: watcher::Result<Event<DynamicObject>>) -> bool {
        match said {
            // Said before anything was asked of the server: no sign that it is back.
            Ok(Event::Init) => {
                self.listing.clear();
                false
            }
            Ok(Event::InitApply(object)) => {
                let key = self.put(&object);
                self.listing.insert(key);
                false
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listing);
                self.objects.retain(|key, _| listed.contains(key));
                self.is_listed = true;
                self.trouble = None;
                true
            }
            Ok(Event::Apply(object)) => {
                self.put(&object);
                true
            }
            Ok(Event::Delete(object)) => {
                self.objects.remove(&key(&object));
                true
            }
            // A history that has been forgotten is listed anew, which is nothing unusual.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => false,
            Err(error) => {
                self.trouble = Some(error.to_string());
                false
            }
        }
    }

    /// Whether every policy has been read once.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Why it cannot be followed.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The policies.
    pub fn written(&self) -> impl Iterator<Item = &Written> {
        self.objects.values()
    }

    fn put(&mut self, object: &DynamicObject) -> Key {
        let key = key(object);
        self.objects.insert(key.clone(), Written::of(object));
        key
    }
}

fn key(object: &DynamicObject) -> Key {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}
