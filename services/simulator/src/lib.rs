//! Agents that fall ill: a small platform of its own, for the demo and for tests.
//!
//! Each agent is a task that executes without end, tells of it in OTLP through the official OpenTelemetry SDK, and
//! has a state (prompt, memory, tools, autonomy, process) that decides how it behaves. An infection changes that
//! state; an action of the Agent Lifecycle API, which the platform serves over HTTP and gRPC, heals an agent only by
//! mending what is broken in it. A contained agent really stops.
//!
//! What it is not: it knows nothing of baselines, detection or cases, and is told of them only through the API.
//!
//! To add an infection: name it in [`Infection`], let [`agent::State::fall_ill`] break something, let
//! `agent/plan.rs` show how an agent with that something broken behaves, and say in [`Infection::cures`] which
//! actions mend it; the tests hold the three against each other.

pub mod agent;
mod chaos;
mod config;
mod event;
mod handle;
mod infection;
pub mod platform;
mod telemetry;

pub use agent::{AgentType, Snapshot};
pub use config::Config;
pub use event::SimEvent;
pub use handle::{Handle, Simulator, StartError, Summary};
pub use infection::{Infection, Strength};
pub use platform::{Faults, Honesty};
