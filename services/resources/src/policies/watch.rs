//! Follows the policies of the cluster, so that a change holds everywhere without a restart.

use super::metrics::Metrics;
use super::scope::{self, Known};
use super::translate::{Order, Placed, Verdict, Written, combine};
use crate::{GROUP, VERSION};
use futures::{StreamExt, stream};
use immune_domain::policy::{LivePolicies, Policies};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What changes within this time holds together: merging all rules for each of a thousand changes takes a while.
const COALESCE: Duration = Duration::from_millis(100);

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
            scope::events(api).map(move |said| (scope, said)).boxed()
        });
        let mut events = stream::select_all(streams);
        let mut known: Vec<Known> = self.scopes.iter().map(|_| Known::default()).collect();
        let mut accepted = BTreeMap::new();
        let mut replace_at = None;
        loop {
            let next = tokio::select! {
                () = shutdown.cancelled() => return,
                () = at(replace_at) => {
                    replace_at = None;
                    self.replace(&known, &mut accepted);
                    continue;
                }
                next = events.next() => next,
            };
            // A watch never ends by itself.
            let Some((scope, said)) = next else { return };
            let is_change = known[scope].take(said);
            if is_change && replace_at.is_none() && known.iter().all(Known::is_listed) {
                let is_first = !self.state.borrow().is_loaded;
                replace_at = Some(Instant::now() + if is_first { Duration::ZERO } else { COALESCE });
            }
            self.report(&known);
        }
    }

    /// The rules of the cluster and of the file hold from now on.
    fn replace(&self, known: &[Known], accepted: &mut BTreeMap<String, Placed>) {
        let written: Vec<Written> = known.iter().flat_map(|one| one.written().cloned()).collect();
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

    /// Says whether the cluster can be followed; in the log when that changes.
    fn report(&self, known: &[Known]) {
        let error = known.iter().find_map(Known::trouble);
        self.metrics.is_away.set(error.is_some().into());
        self.state.send_if_modified(|state| {
            match (&state.error, error) {
                (None, Some(error)) => tracing::warn!(
                    error,
                    "policies of the cluster cannot be followed; what was known holds on, trying again"
                ),
                (Some(_), None) => tracing::info!("policies of the cluster can be followed again"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            let is_news = state.error.as_deref() != error;
            if is_news {
                state.error = error.map(str::to_owned);
            }
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

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
