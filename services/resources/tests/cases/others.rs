//! What stands in for others: seals of a webhook, a lever that obeys, and answers that get lost.

use immune_domain::AgentKey;
use immune_levers::{Answer, Ask, Lever, Observed, Outcome};
use immune_resources::cases::seal::{DECIDED_BY, DECISION, REASON};
use immune_resources::cases::{Forged, Marked, Seal, Sealed, decision_of};
use immune_runtime::clock::{Clock, Manual};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::service::Routes;

/// Annotation of the seal.
pub const SEAL: &str = "immune.io/decision-seal";
/// Annotation of the time at which it was sealed, microseconds; now, where there is none.
pub const DECIDED_AT: &str = "immune.io/decided-at";
/// Seals that anybody who knows the word could make; what they are about is what the real one is about.
#[derive(Debug)]
pub struct Word(pub Arc<Manual>);

pub fn sealed(uid: &str, decision: &str, reason: &str, by: &str) -> String {
    format!("word|{uid}|{decision}|{reason}|{by}")
}

impl Seal for Word {
    fn open(&self, object: &Marked<'_>) -> Result<Sealed, Forged> {
        let text = |key: &str| object.annotations.get(key).cloned().unwrap_or_default();
        let (decision, reason, by) = (text(DECISION), text(REASON), text(DECIDED_BY));
        if text(SEAL) != sealed(object.uid, &decision, &reason, &by) {
            return Err(Forged("the seal does not fit".to_owned()));
        }
        let unknown = || Forged(format!("{decision:?} is no decision"));
        let decision = decision_of(&decision).ok_or_else(unknown)?;
        Ok(Sealed {
            decision,
            reason,
            by,
            at: object
                .annotations
                .get(DECIDED_AT)
                .and_then(|text| text.parse().ok())
                .map_or_else(|| self.0.now(), immune_domain::Timestamp::from_micros),
        })
    }
}

pub struct Obedient;

#[tonic::async_trait]
impl Lever for Obedient {
    fn name(&self) -> &str {
        "lifecycle"
    }

    async fn ask(&self, _: &Ask) -> Answer {
        Answer {
            outcome: Outcome::Done,
            detail: "it is so".into(),
            evidence: Value::Null,
        }
    }

    async fn observe(&self, _: &AgentKey) -> Option<Observed> {
        None
    }
}

/// A role whose answers to `Decide` can get lost on the way.
pub fn losing(routes: Routes, lost: Arc<AtomicUsize>) -> Routes {
    let lose = move |request: axum::extract::Request, next: axum::middleware::Next| {
        let lost = lost.clone();
        async move {
            let is_decide = request.uri().path().ends_with("/Decide");
            let answer = next.run(request).await;
            let is_lost = is_decide
                && lost
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok();
            match is_lost {
                true => tonic::Status::unavailable("the answer got lost").into_http(),
                false => answer,
            }
        }
    };
    Routes::from(routes.into_axum_router().layer(axum::middleware::from_fn(lose)))
}
