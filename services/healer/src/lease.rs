//! Holds on to a case: renews its lease, and finds out when it is lost.

use crate::error::Error;
use crate::job::Job;
use immune_domain::ErrorKind;
use immune_proto::v1;
use std::sync::PoisonError;
use tokio::time::Instant;
use tonic::Status;

impl Job<'_> {
    /// Renews the lease; returns only when it is lost.
    pub(crate) async fn hold(&self) -> Error {
        let every = self.healer.config.lease() / 3;
        loop {
            tokio::time::sleep(every).await;
            let renewed = tokio::time::timeout(every, self.renew()).await;
            let status = match renewed {
                Ok(Ok(())) => continue,
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let is_final = match immune_runtime::grpc::kind(&status) {
                ErrorKind::Invalid
                | ErrorKind::Unauthenticated
                | ErrorKind::Forbidden
                | ErrorKind::NotFound
                | ErrorKind::Conflict => true,
                // A connection that breaks under a call says so, too.
                ErrorKind::Internal | ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Timeout => {
                    false
                }
            };
            if is_final || Instant::now() >= self.held_until() {
                return Error::Role {
                    doing: "renewing the lease",
                    status: Box::new(status),
                };
            }
        }
    }

    async fn renew(&self) -> Result<(), Status> {
        let request = v1::RenewHealingRequest {
            case_id: self.case.to_string(),
            fence: self.fence,
            lease_ms: self.healer.config.lease_ms,
        };
        let asked_at = Instant::now();
        self.healer.quarantine.clone().renew_healing(request).await?;
        let mut until = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(asked_at + self.healer.config.lease());
        Ok(())
    }

    fn held_until(&self) -> Instant {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that nobody has taken the case over, before something is done that quarantine does not guard: asking
    /// a lever, writing a record. A process that stood still for longer than its lease finds out here, rather than
    /// acting beside whoever went on.
    pub(crate) async fn still_held(&self) -> Result<(), Error> {
        if Instant::now() < self.held_until() {
            return Ok(());
        }
        self.renew().await.map_err(|status| Error::Role {
            doing: "making sure of the lease",
            status: Box::new(status),
        })
    }
}
