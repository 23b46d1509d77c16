//! Watches: the changes after a resource version, as lines of JSON.

use crate::cluster::{Change, Cluster};
use crate::kinds::Kind;
use crate::path::Target;
use crate::read;
use crate::refusal::Refusal;
use crate::request::Query;
use crate::selector::Wanted;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Time between two bookmarks; the real server's is about a minute.
const BOOKMARK_EVERY: Duration = Duration::from_millis(500);
/// Longest watch where the client names none.
const WATCH_MAX: Duration = Duration::from_secs(300);

/// One watch under way.
pub(crate) struct Watch {
    cluster: Arc<Mutex<Cluster>>,
    changed: watch::Receiver<(u64, u64)>,
    kind: Kind,
    target: Target,
    wanted: Wanted,
    is_partial: bool,
    has_bookmarks: bool,
    seen: u64,
    epoch: u64,
    told: u64,
    waiting: VecDeque<Value>,
    ends_at: Instant,
    is_over: bool,
}

impl Watch {
    pub(crate) fn begin(
        shared: Arc<Mutex<Cluster>>,
        cluster: &Cluster,
        mut changed: watch::Receiver<(u64, u64)>,
        kind: Kind,
        target: Target,
        query: &Query,
        is_partial: bool,
    ) -> Result<Self, Refusal> {
        let wanted = Wanted::parse(query.get("labelSelector"), query.get("fieldSelector"))?;
        let seconds = query.get("timeoutSeconds").and_then(|text| text.parse().ok());
        let epoch = changed.borrow_and_update().1;
        let mut watch = Watch {
            cluster: shared,
            changed,
            kind,
            target,
            wanted,
            is_partial,
            has_bookmarks: query.get("allowWatchBookmarks") == Some("true"),
            seen: 0,
            epoch,
            told: 0,
            waiting: VecDeque::new(),
            ends_at: Instant::now() + seconds.map_or(WATCH_MAX, Duration::from_secs),
            is_over: false,
        };
        let from = query.get("resourceVersion").filter(|version| !version.is_empty());
        let wants_state = query.get("sendInitialEvents") == Some("true");
        match from.map(str::parse::<u64>) {
            Some(Err(_)) => return Err(Refusal::bad_request("invalid resource version")),
            // Without a version, and from 0: the state first.
            None | Some(Ok(0)) => watch.send_state(cluster),
            Some(Ok(_)) if wants_state => watch.send_state(cluster),
            Some(Ok(version)) if version < cluster.compacted => {
                watch
                    .waiting
                    .push_back(json!({ "type": "ERROR", "object": Refusal::gone().status() }));
                watch.is_over = true;
            }
            Some(Ok(version)) => watch.seen = version,
        }
        if wants_state {
            let mut mark = watch.bookmark();
            mark["object"]["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
            watch.waiting.push_back(mark);
        }
        // What came after the version that the client has seen, and before this.
        if !watch.is_over {
            watch.take_from(cluster);
        }
        Ok(watch)
    }

    fn send_state(&mut self, cluster: &Cluster) {
        for object in cluster.listed(
            &self.kind.group,
            &self.kind.plural,
            self.target.namespace.as_deref(),
        ) {
            if self.wanted.matches(&object) {
                let event = self.event("ADDED", object);
                self.waiting.push_back(event);
            }
        }
        self.seen = cluster.revision;
    }

    fn event(&self, kind: &str, object: Value) -> Value {
        let object = read::as_version(&self.kind, &self.target.version, object);
        let object = if self.is_partial {
            read::partial(&object)
        } else {
            object
        };
        json!({ "type": kind, "object": object })
    }

    fn bookmark(&self) -> Value {
        let kind = if self.is_partial {
            "PartialObjectMetadata"
        } else {
            &self.kind.kind
        };
        json!({ "type": "BOOKMARK", "object": {
            "apiVersion": self.kind.api_version(&self.target.version), "kind": kind,
            "metadata": { "resourceVersion": self.seen.to_string(), "creationTimestamp": null },
        } })
    }

    /// The next line; `None` when the watch is over.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                let version = &event["object"]["metadata"]["resourceVersion"];
                if let Some(version) = version.as_str().and_then(|text| text.parse().ok()) {
                    self.told = version;
                }
                return Some(Bytes::from(format!("{event}\n")));
            }
            if self.is_over {
                return None;
            }
            let next_mark = Instant::now() + BOOKMARK_EVERY;
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = tokio::time::sleep_until(next_mark) => {
                    if self.has_bookmarks && self.seen > self.told {
                        let mark = self.bookmark();
                        self.waiting.push_back(mark);
                    }
                }
            }
            self.take();
        }
    }

    fn take(&mut self) {
        if self.changed.borrow_and_update().1 != self.epoch {
            self.waiting
                .push_back(json!({ "type": "ERROR", "object": Refusal::gone().status() }));
            self.is_over = true;
            return;
        }
        let shared = self.cluster.clone();
        let cluster = shared.lock().unwrap();
        self.take_from(&cluster);
    }

    fn take_from(&mut self, cluster: &Cluster) {
        if self.seen < cluster.compacted {
            self.waiting
                .push_back(json!({ "type": "ERROR", "object": Refusal::gone().status() }));
            self.is_over = true;
            return;
        }
        for change in cluster
            .history
            .iter()
            .filter(|change| change.revision > self.seen)
        {
            if let Some(event) = self.told_as(change) {
                self.waiting.push_back(event);
            }
        }
        self.seen = cluster.revision;
    }

    /// What a change is to this watch: an object that begins to fit is added, one that no longer fits is deleted.
    fn told_as(&self, change: &Change) -> Option<Value> {
        let key = &change.key;
        let is_here = key.group == self.kind.group
            && key.plural == self.kind.plural
            && self
                .target
                .namespace
                .as_ref()
                .is_none_or(|ns| *ns == key.namespace);
        if !is_here {
            return None;
        }
        let before = change
            .before
            .as_ref()
            .filter(|object| self.wanted.matches(object));
        let after = change.after.as_ref().filter(|object| self.wanted.matches(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(object)) => Some(self.event("ADDED", object.clone())),
            (Some(_), Some(object)) => Some(self.event("MODIFIED", object.clone())),
            (Some(object), None) => {
                let mut last = object.clone();
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Some(self.event("DELETED", last))
            }
        }
    }
}
