//! A Kubernetes API server in memory, for tests: real HTTP on a loopback port, the documented semantics of the API,
//! and failures on demand.
//!
//! ```
//! use immune_test_kubernetes::{ApiServer, Failure, When};
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::Api;
//! use serde_json::json;
//!
//! # #[tokio::main] async fn main() {
//! let server = ApiServer::start().await;
//! server.put(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "prompt" } }));
//! server.fail_next(When::verb("get").on("configmaps"), Failure::Forbidden);
//!
//! let prompts: Api<ConfigMap> = Api::namespaced(server.client(), "default");
//! assert!(prompts.get("prompt").await.is_err());
//! assert!(prompts.get("prompt").await.is_ok());
//! assert_eq!(server.requests().len(), 2);
//! # }
//! ```
//!
//! What it keeps to: resource versions and conflicts, generations, uids, managed fields with server-side apply
//! (`apply.rs`), merge, strategic merge and JSON patches, subresources `status` and `scale`, label and field selectors,
//! pages, watches with bookmarks and 410, finalizers, owner references, the built-in types' schemas and those of custom
//! ones with a definition (what a type does not know is dropped, what it cannot read is refused), and small controllers
//! (`controllers.rs`) that make pods.
//!
//! What it leaves out: authentication, quotas, conversion between versions, admission webhooks, rules in CEL and
//! patterns in the schemas of custom resources, their merge rules for lists (how lists merge is told by their names, in
//! custom resources too), grace periods (a deleted pod is gone at once), and lists as of an earlier version.
//!
//! To add a type: name it in `kinds.rs`; its schema in `schema.rs`, what validation refuses in `validate.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test peer fails loudly, at the line that was wrong"
)]

mod access;
mod answer;
mod applied;
mod apply;
mod call;
mod cluster;
mod commit;
mod controllers;
mod delete;
mod discovery;
mod faults;
mod fields;
mod handle;
mod kinds;
mod patch;
mod path;
mod read;
mod refusal;
mod request;
mod schema;
mod selector;
mod server;
mod structure;
mod validate;
mod watch;
mod world;
mod write;

pub use access::{Permission, rule};
pub use faults::{Failure, When};
pub use k8s_openapi::api::rbac::v1::PolicyRule;
pub use kinds::Kind;
pub use request::Request;
pub use server::ApiServer;
