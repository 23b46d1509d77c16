//! Hands decisions made on objects over to quarantine, and says on the object what became of them.
//!
//! Exactly once in effect: a decision is asked for at the version that the case has, so it cannot be applied twice; and
//! before it is asked for, the case is looked at whether it holds the decision already, because an answer may have been
//! lost or another process may have asked. An object whose `status.decision` names the decision is done with.

use super::api::{Cluster, Trouble};
use super::events::News;
use super::kind::{AgentCase, DecisionStatus};
use super::known::Place;
use super::metrics::Metrics;
use super::outcome::{DONE, EXPIRED, FIRST_OF_TWO, Meaning, Outcome, REFUSED, meaning, refused, taken, told};
use super::seal::{self, DECISION, Forged, Marked, Seal, Sealed};
use super::translate::{hex, shortened, time};
use immune_domain::CaseId;
use immune_domain::case::{Case, Person};
use immune_proto::convert;
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::access::with_person;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::RoleChannel;
use immune_store::{CaseStore, StorageError};
use kube::api::DynamicObject;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// How people are known who decide on objects.
pub const VIA: &str = "kubernetes";
/// How long quarantine may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often a case may change while a decision on it is handed over, before it waits.
const TRIES: usize = 5;
/// A decision that could not be handed over for so long is no longer what its author wants.
const AGE_MAX: Duration = Duration::from_secs(600);
/// The longest explanation, bytes.
const DETAIL_MAX: usize = 400;

/// Why a decision is still on its object; it is looked at again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unhandled {
    #[error(transparent)]
    Cluster(#[from] Trouble),
    #[error("cases could not be read")]
    Store(#[from] StorageError),
    #[error("quarantine does not answer: {0}")]
    Quarantine(String),
    #[error("the case changes too fast")]
    Contended,
}

/// Whoever hands decisions over.
pub(crate) struct Clerk {
    pub cluster: Arc<Cluster>,
    pub cases: Arc<dyn CaseStore>,
    pub quarantine: QuarantineServiceClient<RoleChannel>,
    pub seal: Arc<dyn Seal>,
    pub clock: SharedClock,
    pub metrics: Metrics,
    pub instance: String,
}

impl Clerk {
    /// Handles the decision on the object of a case, if there is one.
    pub async fn handle(&self, place: &Place, case: &CaseId) -> Result<(), Unhandled> {
        let Some(object) = self.cluster.get(place).await? else {
            return Ok(());
        };
        let asked = asked(&object);
        if asked.is_empty() {
            return Ok(());
        }
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let id = identity(&uid, &asked);
        let marked = Marked {
            uid: &uid,
            name: &place.name,
            namespace: &place.namespace,
            case: case.as_str(),
            annotations: &asked,
        };
        let object = match self.seal.open(&marked) {
            Ok(_) if is_told(&object, &id) => object,
            Ok(sealed) => {
                let outcome = self.hand_over(case, &sealed).await?;
                self.settle(place, &uid, case, &id, &sealed, &outcome).await?
            }
            Err(forged) => {
                self.refuse(place, &uid, case, &id, &asked, &forged).await?;
                object
            }
        };
        self.remove(place, object, &asked).await
    }

    /// Says on the object what became of a decision.
    async fn settle(
        &self,
        place: &Place,
        uid: &str,
        case: &CaseId,
        id: &str,
        sealed: &Sealed,
        outcome: &Outcome,
    ) -> Result<DynamicObject, Unhandled> {
        let what = seal::word(sealed.decision);
        let status = DecisionStatus {
            what: what.to_owned(),
            by: sealed.by.clone(),
            at: Some(time(sealed.at)),
            outcome: outcome.word.to_owned(),
            detail: shortened(&outcome.detail, DETAIL_MAX),
            id: id.to_owned(),
            case_version: outcome.case_version,
        };
        let object = self.cluster.apply_decision(place, &status).await?;
        self.metrics.decided(outcome.word);
        tracing::info!(%case, decision = what, by = %sealed.by, outcome = outcome.word, detail = %outcome.detail,
            "decision on an AgentCase");
        if matches!(outcome.word, REFUSED | EXPIRED) {
            let note = format!("{what} by {} was not carried out: {}", sealed.by, outcome.detail);
            self.warn(place, uid, case, id, "DecisionRefused", note).await;
        }
        Ok(object)
    }

    /// Says that somebody wrote a decision without having been let in by the webhook.
    async fn refuse(
        &self,
        place: &Place,
        uid: &str,
        case: &CaseId,
        id: &str,
        asked: &BTreeMap<String, String>,
        forged: &Forged,
    ) -> Result<(), Unhandled> {
        let what = asked.get(DECISION).map_or("no word", |word| word.as_str());
        let what = shortened(what, 40);
        tracing::warn!(%case, %place, decision = ?what, reason = %forged, "a decision without a valid seal is not carried out");
        self.metrics.decided("forged");
        let note = format!("decision {what:?} is not carried out: {forged}");
        self.warn(place, uid, case, id, "DecisionNotSealed", note).await;
        Ok(())
    }

    async fn warn(
        &self,
        place: &Place,
        uid: &str,
        case: &CaseId,
        id: &str,
        reason: &'static str,
        note: String,
    ) {
        let news = News {
            id: id.to_owned(),
            sequence: 0,
            case: case.clone(),
            at: self.clock.now(),
            reason,
            action: "Decide",
            is_warning: true,
            note,
            read_at: Instant::now(),
        };
        // An addition: what matters is in the status and in the action log.
        match self.cluster.tell(&news.event(place, uid, &self.instance)).await {
            Ok(()) => self.metrics.told("written", 1),
            Err(trouble) => {
                tracing::debug!(%trouble, "a Kubernetes Event could not be written");
                self.metrics.told("dropped", 1);
            }
        }
    }

    /// Asks quarantine for a decision, at the version that the case has.
    async fn hand_over(&self, case: &CaseId, sealed: &Sealed) -> Result<Outcome, Unhandled> {
        let by = Person {
            subject: sealed.by.clone(),
            via: VIA.to_owned(),
        };
        let mut refusal = None;
        for _ in 0..TRIES {
            let Some(now) = self.cases.get(case).await? else {
                return Ok(refused(format!("there is no case {case}")));
            };
            // Also when it was refused: it may be its own predecessor that was faster.
            if let Some(word) = taken(&now, sealed, &by) {
                return Ok(Outcome {
                    word,
                    detail: told(word, &now),
                    case_version: Some(now.version),
                });
            }
            if let Some(detail) = refusal {
                return Ok(refused(detail));
            }
            if self.clock.now().since(sealed.at) > AGE_MAX {
                return Ok(Outcome {
                    word: EXPIRED,
                    detail: format!(
                        "it could not be handed over within {} minutes",
                        AGE_MAX.as_secs() / 60
                    ),
                    case_version: None,
                });
            }
            match self.decide(&now, sealed, &by).await {
                Ok(decided) => {
                    let is_first = decided
                        .first_approval
                        .as_ref()
                        .is_some_and(|first| first.by == by);
                    let word = if is_first { FIRST_OF_TWO } else { DONE };
                    return Ok(Outcome {
                        word,
                        detail: told(word, &decided),
                        case_version: Some(decided.version),
                    });
                }
                Err(status) => match meaning(&status) {
                    Meaning::Changed => {}
                    Meaning::Refused => refusal = Some(status.message().to_owned()),
                    Meaning::Away => return Err(Unhandled::Quarantine(status.message().to_owned())),
                },
            }
        }
        Err(Unhandled::Contended)
    }

    async fn decide(&self, case: &Case, sealed: &Sealed, by: &Person) -> Result<Case, Status> {
        let message = v1::DecideRequest {
            case_id: case.id.to_string(),
            decision: v1::Decision::from(sealed.decision).into(),
            reason: sealed.reason.clone(),
            expected_version: case.version,
            only_runs: Vec::new(),
        };
        let mut quarantine = self.quarantine.clone();
        let answer = quarantine.decide(with_person(message, by));
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(answer) => convert::nested("case", answer?.into_inner().case)
                .map_err(|error| Status::unavailable(error.to_string())),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {} s",
                ANSWER_MAX.as_secs()
            ))),
        }
    }

    /// Removes the annotations of a decision, unless they are those of another one by now.
    async fn remove(
        &self,
        place: &Place,
        object: DynamicObject,
        handled: &BTreeMap<String, String>,
    ) -> Result<(), Unhandled> {
        let mut object = object;
        for _ in 0..TRIES {
            if asked(&object) != *handled {
                return Ok(());
            }
            let version = object.metadata.resource_version.clone().unwrap_or_default();
            match self
                .cluster
                .remove_annotations(place, &version, handled.keys())
                .await
            {
                Ok(_) | Err(Trouble::Missing(_)) => return Ok(()),
                Err(Trouble::Conflict(_)) => {}
                Err(trouble) => return Err(trouble.into()),
            }
            match self.cluster.get(place).await? {
                Some(newer) => object = newer,
                None => return Ok(()),
            }
        }
        Err(Unhandled::Contended)
    }
}

/// The decision on an object, as it stands there.
pub(crate) fn asked(object: &DynamicObject) -> BTreeMap<String, String> {
    object
        .metadata
        .annotations
        .as_ref()
        .map(seal::asked)
        .unwrap_or_default()
}

/// Names a decision on an object.
fn identity(uid: &str, asked: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(uid).chain(
        asked
            .iter()
            .flat_map(|(key, value)| [key.as_str(), value.as_str()]),
    ) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize(), 24)
}

/// Whether the object says already what became of a decision.
fn is_told(object: &DynamicObject, id: &str) -> bool {
    let status = object
        .clone()
        .try_parse::<AgentCase>()
        .ok()
        .and_then(|object| object.status);
    let decision = status.and_then(|status| status.decision);
    decision.is_some_and(|decision| decision.id == id && !decision.outcome.is_empty())
}
