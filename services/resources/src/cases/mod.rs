//! Cases as `AgentCase` objects: what `kubectl get acase` shows, and decisions made there.
//!
//! Of all processes with the quarantine role one writes, the one that holds the mirror's name at the store of
//! notifications (`kubernetes/agentcases`), as the couriers of notifications hold their targets. That rather than a
//! `coordination.k8s.io` Lease: what is shown comes from the store, so without it there is nothing to lead for; the hold
//! keeps the place up to which Kubernetes Events were written, too; and it needs no right in the cluster.
//!
//! The mirror only shows. It reads the store as a listener does, never writes a case, and is asked by nobody: when the
//! API server is away, everything else goes on, and what was missed is shown when it is back.
//!
//! - [`kind`]: the type. [`translate`]: a case as an object of it; [`conditions`], `summary`: parts of that.
//! - [`mirror`]: who leads. `lead`: the loop of who does; `view`, `look`: what it knows of the store, `watches` of the
//!   cluster; `table`, `known`: what there should be and what there is; `api`: requests, their rate and their failures.
//! - `events`: Kubernetes Events. `decisions`: decisions on objects, handed over to quarantine, `deciding`: which and when,
//!   `outcome`: how they end;
//!   [`seal`]: whom to believe.
//! - [`rules`]: the rights that all this needs.
//!
//! Left out: a case that was opened and closed while nobody led and of which no object exists is not shown afterwards.

mod api;
pub mod conditions;
pub mod config;
mod deciding;
mod decisions;
mod events;
pub mod kind;
mod known;
mod lead;
mod look;
pub mod metrics;
pub mod mirror;
mod outcome;
pub mod rules;
pub mod seal;
mod summary;
mod table;
pub mod translate;
mod view;
mod watches;

pub use config::{Config, Scope};
pub use decisions::VIA;
pub use kind::{AgentCase, AgentCaseSpec, AgentCaseStatus, crd};
pub use metrics::Metrics;
pub use mirror::{Dependencies, Mirror, State, build};
pub use seal::{DECIDED_BY, DECISION, Forged, Marked, NoSeal, REASON, Seal, Sealed, decision_of};
