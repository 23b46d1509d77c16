//! What the server says when it does not do as asked: `Status` objects, as the API documents them.

use serde_json::{Value, json};

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) causes: Vec<Value>,
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Refusal {
            code,
            reason,
            message: message.into(),
            causes: Vec::new(),
            retry_after_seconds: None,
        }
    }

    pub(crate) fn not_found(resource: &str, group: &str, name: &str) -> Self {
        Refusal::new(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", qualified(resource, group)),
        )
    }

    pub(crate) fn exists(resource: &str, group: &str, name: &str) -> Self {
        Refusal::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", qualified(resource, group)),
        )
    }

    pub(crate) fn conflict(resource: &str, group: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(resource, group)
        );
        Refusal::new(409, "Conflict", message)
    }

    pub(crate) fn modified(resource: &str, group: &str, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(resource, group, name, why)
    }

    pub(crate) fn invalid(kind: &str, group: &str, name: &str, field: &str, why: &str) -> Self {
        let what = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut refusal = Refusal::new(
            422,
            "Invalid",
            format!("{what} \"{name}\" is invalid: {field}: {why}"),
        );
        refusal.causes = vec![json!({ "reason": "FieldValueInvalid", "message": why, "field": field })];
        refusal
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Refusal::new(400, "BadRequest", message)
    }

    pub(crate) fn no_such_path() -> Self {
        Refusal::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(crate) fn not_allowed() -> Self {
        Refusal::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn gone() -> Self {
        Refusal::new(410, "Expired", "too old resource version")
    }

    pub(crate) fn status(&self) -> Value {
        let mut details = json!({});
        if !self.causes.is_empty() {
            details["causes"] = json!(self.causes);
        }
        if let Some(seconds) = self.retry_after_seconds {
            details["retryAfterSeconds"] = json!(seconds);
        }
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": details, "code": self.code,
        })
    }
}

/// A resource with its group, as messages name it: `deployments.apps`, `pods`.
fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}
