//! The notifier against real HTTP receivers that check what they are sent.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod alerts;
mod appdynamics;
mod clicks;
mod dead;
mod rate;
mod receiver;
mod replicas;
mod slack;
mod slack_server;
mod teams;
mod tls;
mod trouble;
mod webhook;
mod world;
