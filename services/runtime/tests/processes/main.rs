//! Roles in several processes, as far as one process can show it: real sockets on loopback, real certificates.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod calls;
mod certificates;
mod discovery;
mod door;
mod doors_tls;
mod fake;
mod health;
mod mutual_tls;
mod owner;
mod reload;
mod streams;
mod trace;
mod walk;
