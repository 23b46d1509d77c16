//! Requests to the API server, at a limited rate, and what their failures mean.

use super::kind::{AgentCase, DecisionStatus};
use super::known::{Place, Work, place_of};
use super::metrics::Metrics;
use crate::FIELD_MANAGER;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, Resource,
};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long one request may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Requests that may be made at once after a pause, as a share of a second.
const BURST: Duration = Duration::from_secs(1);
/// Who owns `status.decision`, so that the mirror, which knows nothing of decisions, does not take it away.
const DECISION_MANAGER: &str = "immune-decisions";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody is answered at the moment: try again later.
    #[error("{0}")]
    Away(String),
    /// There is no such object (or type).
    #[error("{0}")]
    Missing(String),
    /// The namespace is gone or going.
    #[error("{0}")]
    NoNamespace(String),
    /// Somebody else has changed it.
    #[error("{0}")]
    Conflict(String),
    /// This request is not answered however often it is made.
    #[error("{0}")]
    Refused(String),
}

/// So many requests per second, and no more; whoever asks waits for its turn.
#[derive(Debug)]
struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let at = (*next).max(earliest);
            *next = at + self.gap;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

/// The API server, for objects that show cases.
pub(crate) struct Cluster {
    client: Client,
    resource: ApiResource,
    pace: Pace,
    metrics: Metrics,
}

impl Cluster {
    pub fn new(client: Client, requests_per_second: u32, metrics: Metrics) -> Self {
        Cluster {
            client,
            resource: ApiResource::erase::<AgentCase>(&()),
            pace: Pace {
                gap: Duration::from_secs(1) / requests_per_second.max(1),
                next: Mutex::new(Instant::now()),
            },
            metrics,
        }
    }

    /// Objects of a namespace; of all, where none is named. Read as they are, so that one that cannot be understood
    /// keeps none of the others from being seen.
    pub fn objects(&self, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &self.resource),
            None => Api::all_with(self.client.clone(), &self.resource),
        }
    }

    /// Makes one object what it should be. `None`: it is gone.
    pub async fn write(&self, place: &Place, work: &Work) -> Result<Option<DynamicObject>, Trouble> {
        match work {
            Work::Apply(object) => self.apply(object).await.map(Some),
            Work::Status(object) => self.apply_status(object).await.map(Some),
            Work::Delete { uid } => self.delete(place, uid).await.map(|()| None),
        }
    }

    async fn apply(&self, object: &AgentCase) -> Result<DynamicObject, Trouble> {
        let place = place_of(object);
        let body = self.body(
            &place,
            json!({ "labels": object.metadata.labels }),
            json!({ "spec": object.spec }),
        );
        let api = self.objects(Some(&place.namespace));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        self.ask("apply", api.patch(&place.name, &params, &patch)).await
    }

    async fn apply_status(&self, object: &AgentCase) -> Result<DynamicObject, Trouble> {
        let place = place_of(object);
        let body = self.body(&place, json!({}), json!({ "status": object.status }));
        let api = self.objects(Some(&place.namespace));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        let answer = self
            .ask("status", api.patch_status(&place.name, &params, &patch))
            .await?;
        // What somebody else has added does not go away by being left out.
        let is_ours = |field: &String| field == "decision" || body["status"].get(field).is_some();
        let status = answer.data["status"].as_object();
        let added: serde_json::Map<String, Value> = status
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .filter(|field| !is_ours(field))
            .map(|field| (field.clone(), Value::Null))
            .collect();
        if added.is_empty() {
            return Ok(answer);
        }
        let body = json!({ "status": added });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&body);
        self.ask("status", api.patch_status(&place.name, &params, &patch))
            .await
    }

    /// Says what became of a decision.
    pub async fn apply_decision(
        &self,
        place: &Place,
        decision: &DecisionStatus,
    ) -> Result<DynamicObject, Trouble> {
        let body = self.body(place, json!({}), json!({ "status": { "decision": decision } }));
        let api = self.objects(Some(&place.namespace));
        let params = PatchParams::apply(DECISION_MANAGER).force();
        let patch = Patch::Apply(&body);
        self.ask("decision", api.patch_status(&place.name, &params, &patch))
            .await
    }

    /// Removes annotations, if the object is still that of `version`.
    pub async fn remove_annotations<'a>(
        &self,
        place: &Place,
        version: &str,
        keys: impl Iterator<Item = &'a String>,
    ) -> Result<DynamicObject, Trouble> {
        let nothing: serde_json::Map<String, Value> = keys.map(|key| (key.clone(), Value::Null)).collect();
        let body = json!({ "metadata": { "resourceVersion": version, "annotations": nothing } });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&body);
        let api = self.objects(Some(&place.namespace));
        self.ask("decision", api.patch(&place.name, &params, &patch))
            .await
    }

    async fn delete(&self, place: &Place, uid: &str) -> Result<(), Trouble> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api = self.objects(Some(&place.namespace));
        match self.ask("delete", api.delete(&place.name, &params)).await {
            Ok(_) | Err(Trouble::Missing(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// One object as it is now.
    pub async fn get(&self, place: &Place) -> Result<Option<DynamicObject>, Trouble> {
        let api = self.objects(Some(&place.namespace));
        self.ask("get", api.get_opt(&place.name)).await
    }

    /// Writes a Kubernetes Event; one of the same name is the same event.
    pub async fn tell(&self, event: &Event) -> Result<(), Trouble> {
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.ask("event", api.create(&params, event)).await {
            Ok(_) | Err(Trouble::Conflict(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    fn body(&self, place: &Place, metadata: Value, rest: Value) -> Value {
        let mut body = rest;
        body["apiVersion"] = json!(self.resource.api_version);
        body["kind"] = json!(self.resource.kind);
        body["metadata"] = metadata;
        body["metadata"]["name"] = json!(place.name);
        body["metadata"]["namespace"] = json!(place.namespace);
        body
    }

    async fn ask<T>(
        &self,
        request: &'static str,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Trouble> {
        self.pace.turn().await;
        let answer = match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(answer) => answer.map_err(|error| trouble(&error)),
            Err(_) => Err(Trouble::Away(format!(
                "no answer within {} s",
                ANSWER_MAX.as_secs()
            ))),
        };
        self.metrics.asked(request, answer.is_ok());
        answer
    }
}

fn trouble(error: &kube::Error) -> Trouble {
    let kube::Error::Api(status) = error else {
        return Trouble::Away(causes(error));
    };
    let message = status.message.clone();
    let is_namespace = status
        .details
        .as_ref()
        .is_some_and(|details| details.kind == "namespaces");
    match status.code {
        404 if is_namespace || message.starts_with("namespaces \"") => Trouble::NoNamespace(message),
        404 | 410 => Trouble::Missing(message),
        403 if message.contains("is being terminated") => Trouble::NoNamespace(message),
        409 => Trouble::Conflict(message),
        408 | 429 | 500.. => Trouble::Away(message),
        _ => Trouble::Refused(message),
    }
}

/// An error with what caused it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The type, for references to its objects.
pub(crate) fn api_version() -> String {
    AgentCase::api_version(&()).into_owned()
}
