//! Kubernetes Events on the workload, so that `kubectl describe` tells what was done to it.

use crate::Kubernetes;
use crate::find::Workload;
use kube::runtime::events::{Event, EventType};
use std::time::Duration;

/// How long an event may take; it is told for people's convenience, and holds nothing up.
const TELL_MAX: Duration = Duration::from_secs(2);
/// The longest note that the API takes.
const NOTE_MAX: usize = 1_000;

impl Kubernetes {
    /// Writes an event on a workload. Its failure is no failure of the order.
    pub(crate) async fn tell(&self, workload: &Workload, reason: &str, note: &str) {
        let (resource, metadata) = (workload.kind.resource(), &workload.object.metadata);
        let about = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            ..Default::default()
        };
        let event = Event {
            type_: match reason {
                "Quarantined" => EventType::Warning,
                _ => EventType::Normal,
            },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE_MAX).collect()),
            action: reason.to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(TELL_MAX, self.recorder.publish(&event, &about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, reason, "an event could not be written"),
            Err(_) => tracing::debug!(reason, "an event was not written in time"),
        }
    }
}
