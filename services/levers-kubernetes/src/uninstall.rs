//! Undoing every quarantine: when the system is taken away, nobody would be left to release them.

use crate::names::QUARANTINED;
use crate::{Kubernetes, KubernetesError};

/// What was undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Policies deleted.
    pub policies: usize,
    /// Workloads that may act again, as `KIND NAMESPACE/NAME`.
    pub workloads: Vec<String>,
}

impl Kubernetes {
    /// Releases every agent that this lever contains in the allowed namespaces, whatever its case says. Repeatable.
    ///
    /// # Errors
    /// When the API server does not answer or refuses; what was undone until then stays undone.
    pub async fn release_everyone(&self) -> Result<Removed, KubernetesError> {
        let failed = |trouble: crate::error::Trouble| KubernetesError::Asked(trouble.to_string());
        let mut removed = Removed::default();
        for (resource, policy) in self
            .policies(&format!("{QUARANTINED}=true"))
            .await
            .map_err(failed)?
        {
            self.server.delete(&resource, &policy).await.map_err(failed)?;
            removed.policies += 1;
        }
        for workload in self.contained(None).await.map_err(failed)? {
            self.free(&workload).await.map_err(failed)?;
            removed.workloads.push(workload.to_string());
        }
        Ok(removed)
    }
}
