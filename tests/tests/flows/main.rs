//! The whole loop with the real binary: simulated agents speak OTLP to it through the official SDK, and it acts on
//! them through the Agent Lifecycle API.

mod approvals;
mod automatic;
mod backtest;
mod baseline;
mod command_line;
mod edges;
mod incidents;
mod keys;
mod kubernetes;
mod notifications;
mod page;
mod running;
mod world;
