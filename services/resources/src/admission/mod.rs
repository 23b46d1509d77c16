//! The admission webhook for `AgentCase`: who decided.
//!
//! People decide on a case by annotating its object. The API server knows who they are, and asks here before it stores
//! the change: whether they may decide is asked of RBAC (verb `decide`), and the decision is stamped with their name
//! under a seal that nobody else can make. What anybody writes into those annotations by themselves counts for nothing.
//!
//! - `review`: what may be changed, by whom; pure. [`seal`]: the stamp, and opening it.
//! - [`server`]: the listener, and the question to RBAC.
//! - [`rules`]: the rights that it needs.

pub mod config;
mod metrics;
mod review;
pub mod rules;
pub mod seal;
pub mod server;

pub use config::Config;
pub use metrics::Metrics;
pub use review::REASON_MAX;
pub use seal::{Key, KeyError};
pub use server::{PATH, VERB, Webhook};
