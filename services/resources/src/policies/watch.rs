//! Follows the policies of the cluster, so that a change holds everywhere without a restart.

use super::metrics::Metrics;
use super::translate::{Order, Placed, Verdict, Written, combine};
use crate::{GROUP, VERSION};
use futures::{StreamExt, stream};
use immune_domain::policy::{LivePolicies, Policies};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Policies that are followed at most; more would make every decision slow.
const POLICIES_MAX: usize = 1_000;

/// How following is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Whether every policy has been read once. Until then the file's rules alone hold.
    pub is_loaded: bool,
    /// Why the API server cannot be followed; `None` while it can. The last known rules hold meanwhile.
    pub error: Option<String>,
    /// What came of each policy.
    pub verdicts: Arc<Vec<Verdict>>,
    /// The rules that hold, the verdicts' places in them.
    pub policies: Arc<Policies>,
}

/// Whoever follows policies.
pub struct Watch {
    client: kube::Client,
    scopes: Vec<Option<String>>,
    order: Order,
    file: Policies,
    live: LivePolicies,
    metrics: Metrics,
    state: watch::Sender<State>,
}

/// Builds the follower; nothing is asked before it runs. `scopes` are the namespaces whose policies count, `None` for
/// all of them; `live` gets the rules of `file` and of the cluster together.
pub fn build(
    client: kube::Client,
    scopes: Vec<Option<String>>,
    order: Order,
    live: LivePolicies,
    metrics: Metrics,
) -> Watch {
    let file = (*live.listed()).clone();
    Watch {
        client,
        scopes,
        order,
        file,
        live,
        metrics,
        state: watch::Sender::default(),
    }
}

/// The resource, for a client that reads it without its type: one object that cannot be read must not hide the others.
pub(crate) fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(GROUP, VERSION, "ImmunePolicy"),
        "immunepolicies",
    )
}

/// What is known of one scope.
#[derive(Default)]
struct Known {
    objects: BTreeMap<(String, String), Written>,
    /// Those that a listing under way has named.
    listed: Option<BTreeSet<(String, String)>>,
    is_listed: bool,
}

impl Watch {
    /// How following is, and how that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Follows until the token is cancelled.
    pub async fn run(self, shutdown: CancellationToken) {
        let resource = resource();
        let streams = self.scopes.iter().enumerate().map(|(scope, namespace)| {
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            let events = watcher(api, watcher::Config::default()).default_backoff();
            events.map(move |event| (scope, event)).boxed()
        });
        let mut events = stream::select_all(streams);
        let mut known: Vec<Known> = self.scopes.iter().map(|_| Known::default()).collect();
        let mut accepted = BTreeMap::new();
        loop {
            let next = tokio::select! {
                () = shutdown.cancelled() => return,
                next = events.next() => next,
            };
            match next {
                Some((scope, Ok(event))) => {
                    self.heard();
                    if known[scope].take(event) && known.iter().all(|one| one.is_listed) {
                        self.replace(&known, &mut accepted);
                    }
                }
                Some((_, Err(error))) => self.failed(&error),
                // A watch never ends by itself.
                None => return,
            }
        }
    }

    /// The rules of the cluster and of the file hold from now on.
    fn replace(&self, known: &[Known], accepted: &mut BTreeMap<String, Placed>) {
        let written: Vec<Written> = known
            .iter()
            .flat_map(|one| one.objects.values().cloned())
            .take(POLICIES_MAX)
            .collect();
        let (policies, verdicts) = combine(&written, &self.file, &self.order, accepted);
        let wrong = verdicts.iter().filter(|verdict| verdict.error.is_some()).count();
        self.metrics.followed.set(gauge(verdicts.len()));
        self.metrics.refused.set(gauge(wrong));
        let before = self.live.generation();
        self.live.replace(policies.clone());
        if self.live.generation() != before {
            self.metrics.changes.inc();
            tracing::info!(policies = verdicts.len(), wrong, "other policies hold");
        }
        self.state.send_if_modified(|state| {
            let is_news = !state.is_loaded || *state.verdicts != verdicts || *state.policies != policies;
            state.is_loaded = true;
            state.verdicts = Arc::new(verdicts);
            state.policies = Arc::new(policies);
            is_news
        });
    }

    fn heard(&self) {
        self.metrics.is_away.set(0);
        self.state.send_if_modified(|state| {
            let was_away = state.error.take().is_some();
            if was_away {
                tracing::info!("policies of the cluster can be followed again");
            }
            was_away
        });
    }

    fn failed(&self, error: &watcher::Error) {
        self.metrics.is_away.set(1);
        let why = error.to_string();
        self.state.send_if_modified(|state| {
            if state.error.is_none() {
                tracing::warn!(
                    error = why,
                    "policies of the cluster cannot be followed; what was known holds on, trying again"
                );
            }
            let is_news = state.error.as_deref() != Some(&why);
            state.error = Some(why);
            is_news
        });
    }
}

impl Known {
    /// Takes an event in; whether there is something to do now.
    fn take(&mut self, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                false
            }
            Event::InitApply(object) => {
                let key = self.put(&object);
                if let Some(listed) = &mut self.listed {
                    listed.insert(key);
                }
                false
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.objects.retain(|key, _| listed.contains(key));
                }
                self.is_listed = true;
                true
            }
            Event::Apply(object) => {
                self.put(&object);
                true
            }
            Event::Delete(object) => {
                self.objects.remove(&key(&object));
                true
            }
        }
    }

    fn put(&mut self, object: &DynamicObject) -> (String, String) {
        let key = key(object);
        self.objects.insert(key.clone(), Written::of(object));
        key
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
