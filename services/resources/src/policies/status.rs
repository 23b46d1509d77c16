//! Writes what came of each policy into its status.

use super::kind::ImmunePolicyStatus;
use super::translate::Verdict;
use super::watch::{State, resource};
use crate::FIELD_MANAGER;
use async_trait::async_trait;
use immune_domain::policy::Policies;
use immune_runtime::clock::SharedClock;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Least time between two rounds; the agents are counted anew that often.
const ROUND: Duration = Duration::from_secs(10);
/// The longest that one request may take.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Writes in one round, at most: ten a second.
const WRITES_MAX: usize = 100;

/// Whoever can count agents.
#[async_trait]
pub trait Agents: Send + Sync {
    /// For each rule of the policies, how many known agents it is that holds for them; `None` when that cannot be said
    /// now.
    async fn per_rule(&self, policies: &Policies) -> Option<Vec<u32>>;
}

/// Writes status, while this process leads.
pub struct Writer<A> {
    /// Where to write.
    pub client: kube::Client,
    /// What came of the policies.
    pub state: watch::Receiver<State>,
    /// Whether this process is the one of its role that writes.
    pub is_leading: Box<dyn Fn() -> bool + Send + Sync>,
    /// Counts agents.
    pub agents: A,
    /// Tells the time.
    pub clock: SharedClock,
    /// Time between two rounds; [`Writer::ROUND`] outside of tests.
    pub round: Duration,
}

/// What this process has written since it leads.
#[derive(Default)]
struct Written {
    /// By the object that it was written to: another one of the same name has no status yet.
    by_uid: BTreeMap<String, ImmunePolicyStatus>,
    /// Where the next round begins.
    next: usize,
    is_in_trouble: bool,
}

impl Written {
    /// Says in the log whether writing works, when that changes.
    fn say(&mut self, verdict: &Verdict, trouble: Option<&str>) {
        match (self.is_in_trouble, trouble) {
            (false, Some(error)) => {
                tracing::warn!(
                    error,
                    policy = verdict.name,
                    "the status of a policy cannot be written"
                );
            }
            (true, None) => tracing::info!("the status of policies can be written again"),
            (true, Some(_)) | (false, None) => {}
        }
        self.is_in_trouble = trouble.is_some();
    }
}

impl<A: Agents> Writer<A> {
    /// Time between two rounds.
    pub const ROUND: Duration = ROUND;

    /// Writes until the token is cancelled. What could not be written is written in the next round.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut written = Written::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.round) => {}
            }
            if !(self.is_leading)() {
                // Others write now; what we know of it grows old.
                written = Written::default();
                continue;
            }
            let state = self.state.borrow_and_update().clone();
            if !state.is_loaded {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.write(&state, &mut written) => {}
            }
        }
    }

    async fn write(&self, state: &State, written: &mut Written) {
        let counts = self.agents.per_rule(&state.policies).await;
        let there: BTreeSet<&str> = state.verdicts.iter().map(|one| one.uid.as_str()).collect();
        written.by_uid.retain(|uid, _| there.contains(uid.as_str()));
        // From where the last round ended, so that everyone's turn comes.
        let (places, first) = (state.verdicts.len(), written.next);
        let mut left = WRITES_MAX;
        for place in (0..places).map(|n| (first + n) % places) {
            let verdict = &state.verdicts[place];
            // What we wrote may not have come back yet; before we wrote, it is as the cluster has it.
            let before = written.by_uid.get(&verdict.uid).or(verdict.told.as_ref());
            let status = self.status(verdict, counts.as_deref(), before);
            if before == Some(&status) {
                continue;
            }
            if left == 0 || !(self.is_leading)() {
                written.next = place;
                return;
            }
            left -= 1;
            let trouble = match tokio::time::timeout(WRITE_MAX, self.apply(verdict, &status)).await {
                Ok(Ok(())) => {
                    written.by_uid.insert(verdict.uid.clone(), status);
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", WRITE_MAX.as_secs())),
            };
            written.say(verdict, trouble.as_deref());
            if trouble.is_some() {
                // The others would likely wait in vain; the next round begins with another one.
                written.next = place + 1;
                return;
            }
        }
    }

    fn status(
        &self,
        verdict: &Verdict,
        counts: Option<&[u32]>,
        before: Option<&ImmunePolicyStatus>,
    ) -> ImmunePolicyStatus {
        let (status, reason) = match &verdict.error {
            None => ("True", "Holds"),
            Some(_) => ("False", "Invalid"),
        };
        let message = match (&verdict.error, verdict.rule) {
            (None, _) => "it holds".to_owned(),
            (Some(error), Some(_)) => format!("{error}; the last accepted generation holds on"),
            (Some(error), None) => format!("{error}; it holds for nobody"),
        };
        let same = before
            .and_then(|before| before.conditions.first())
            .filter(|condition| condition.status == status);
        let now = || {
            let seconds = self.clock.now().as_micros().div_euclid(1_000_000);
            Time(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
        };
        let matched = match verdict.rule {
            Some(rule) => counts.and_then(|counts| counts.get(rule).copied()),
            None => Some(0),
        };
        ImmunePolicyStatus {
            observed_generation: verdict.generation,
            matched_agents: matched.or(before.and_then(|before| before.matched_agents)),
            last_error: verdict.error.clone(),
            conditions: vec![Condition {
                type_: "Accepted".to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message,
                observed_generation: verdict.generation,
                last_transition_time: same
                    .map_or_else(now, |condition| condition.last_transition_time.clone()),
            }],
        }
    }

    async fn apply(&self, verdict: &Verdict, status: &ImmunePolicyStatus) -> Result<(), kube::Error> {
        let resource = resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &verdict.namespace, &resource);
        let body = json!({ "apiVersion": resource.api_version, "kind": resource.kind, "status": status });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api
            .patch_status(&verdict.name, &params, &Patch::Apply(&body))
            .await;
        match applied {
            Ok(_) => Ok(()),
            // It was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }
}
