//! Which case a healer gets.

use crate::desk::Desk;
use crate::error::Error;
use immune_domain::case::{Case, Command, Refusal};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Cases offered to a healer in one call; those refused (contained too recently) are passed over.
const CANDIDATES: u32 = 64;
/// Among how many of the oldest a healer begins to try.
const SPREAD: usize = 8;

impl Desk {
    /// Gives a healer a case that is due, if there is one. Of several healers that ask at once, through several
    /// replicas, one gets it: the save of the claim is guarded by the case's version.
    pub(crate) async fn claim_healing(&self, worker: String, lease: Duration) -> Result<Option<Case>, Error> {
        let now = self.clock.now();
        let mut candidates = self.store.claimable(now, CANDIDATES).await?;
        // Healers that ask at the same moment begin at different cases; another place each time, so that the oldest
        // case is not passed over again and again while healers are busy.
        let spread = candidates.len().min(SPREAD);
        if spread > 1 {
            let mut hasher = DefaultHasher::new();
            (&worker, now.as_micros()).hash(&mut hasher);
            let first = (hasher.finish() % spread as u64) as usize;
            candidates[..spread].rotate_left(first);
        }
        for case in candidates {
            let id = case.id.clone();
            let command = Command::Claim {
                worker: worker.clone(),
                lease,
            };
            match self.apply_to(case, command).await {
                Ok(applied) => return Ok(Some(applied.case)),
                Err(Error::Refused { refusal, .. }) => match refusal {
                    // Policy has become stricter since the case was queued; time makes it wait for a person.
                    Refusal::NeedsApproval { .. } => {
                        self.apply(&id, Command::Tick).await?;
                    }
                    // Another healer was faster, or it is not due yet.
                    Refusal::AlreadyDecided { .. }
                    | Refusal::Closed { .. }
                    | Refusal::WrongState { .. }
                    | Refusal::StaleFence { .. }
                    | Refusal::LeaseHeld { .. }
                    | Refusal::NotDue { .. }
                    | Refusal::WrongStep { .. }
                    | Refusal::StepUnderWay { .. }
                    | Refusal::AlreadyTried { .. }
                    | Refusal::ReasonMissing { .. }
                    | Refusal::NotPermitted { .. }
                    | Refusal::SecondPersonNeeded { .. }
                    | Refusal::UnknownLever { .. } => {}
                },
                Err(Error::Contended(_) | Error::CaseNotFound(_)) => {}
                Err(
                    error @ (Error::Wire(_)
                    | Error::VersionChanged { .. }
                    | Error::Starting
                    | Error::Unknown
                    | Error::OutOfRange { .. }
                    | Error::Store(_)),
                ) => return Err(error),
            }
        }
        Ok(None)
    }
}
