//! Executions of agents that should not be able to execute.

use crate::admission::Known;
use crate::desk::Desk;
use crate::error::Error;
use immune_domain::case::{Command, QuarantinePhase};
use immune_domain::{AgentKey, ExecutionId, Timestamp};

impl Desk {
    /// Takes note of an execution; whether it breaches a quarantine that was confirmed.
    ///
    /// # Errors
    /// [`Error::Unknown`] where nobody can say whether the agent is quarantined now.
    pub(crate) async fn executed(
        &self,
        key: &AgentKey,
        execution: ExecutionId,
        started_at: Timestamp,
    ) -> Result<bool, Error> {
        let entry = match self.known(key).await? {
            Known::Now(entry) => entry,
            Known::Once(..) => return Err(Error::Unknown),
        };
        let contained = entry.filter(|entry| match entry.phase {
            QuarantinePhase::Confirmed | QuarantinePhase::Breached => true,
            QuarantinePhase::NotWanted
            | QuarantinePhase::Requested
            | QuarantinePhase::Partial
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => false,
        });
        let Some(entry) = contained else {
            return Ok(false);
        };
        let command = Command::ExecutionSeen {
            execution,
            started_at,
        };
        let applied = self.apply(&entry.case, command).await?;
        if applied.changed {
            self.metrics.breaches.inc();
            tracing::warn!(agent = %key, case = %entry.case, "a quarantined agent executed");
        }
        Ok(applied.changed)
    }
}
