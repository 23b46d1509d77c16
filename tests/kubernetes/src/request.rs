//! Requests, as a Role and a test see them.

use crate::path::Target;
use hyper::Method;
use serde_json::Value;
use std::collections::HashMap;

/// A request, as a Role would have to allow it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// Plural of the resource; empty for discovery.
    pub resource: String,
    /// `status`, `scale`, ...
    pub subresource: Option<String>,
    /// Namespace; none for requests over all, and for what lives in none.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// The path as it was asked.
    pub path: String,
    /// The parameters after its question mark: `labelSelector`, `fieldManager`, `force`, ...
    pub query: HashMap<String, String>,
    /// The kind of body, which tells one kind of patch from another.
    pub content_type: String,
    /// What was sent; null where nothing was, or no JSON.
    pub body: Value,
}

impl Request {
    pub(crate) fn new(
        method: &Method,
        path: &str,
        target: Option<&Target>,
        query: &Query,
        content_type: &str,
        body: Value,
    ) -> Self {
        let has_name = target.is_some_and(|target| target.name.is_some());
        let is_watch = matches!(query.get("watch"), Some("true" | "1"));
        let verb = match (method.as_str(), has_name) {
            ("GET" | "HEAD", _) if is_watch => "watch",
            ("GET" | "HEAD", false) if target.is_some() => "list",
            ("GET" | "HEAD", _) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "unknown",
        };
        Request {
            verb: verb.to_owned(),
            group: target.map(|t| t.group.clone()).unwrap_or_default(),
            resource: target.map(|t| t.plural.clone()).unwrap_or_default(),
            subresource: target.and_then(|t| t.subresource.clone()),
            namespace: target.and_then(|t| t.namespace.clone()),
            name: target.and_then(|t| t.name.clone()),
            path: path.to_owned(),
            query: query.0.clone(),
            content_type: content_type.to_owned(),
            body,
        }
    }

    /// Whether it changes something. A SubjectAccessReview is created, and changes nothing.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && self.group != "authorization.k8s.io"
    }

    /// The resource, its subresource after a slash, as rules name it: `deployments/status`.
    pub fn resource_path(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        }
    }
}

/// The parameters after the question mark.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Query(
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
