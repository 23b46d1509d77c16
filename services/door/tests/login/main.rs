//! Logins with a real OpenID provider, sessions, and the ways out.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod browser;
mod keys;
mod logins;
mod logouts;
mod outages;
mod provider;
mod staying;
mod world;
