//! The harness of the flow and fault tests: the real binary as a child process, agents of the simulator beside it,
//! and a client for REST.
//!
//! Tests wait for conditions with a deadline ([`wait_for`]), never for a while; every listener is on loopback.

pub mod api;
pub mod certificates;
pub mod cluster;
pub mod fleet;
pub mod measure;
pub mod node;
pub mod process;
pub mod proxy;
pub mod wiring;

use std::future::Future;
use std::time::{Duration, Instant};

/// Polls until `probe` gives a value, at most `deadline`.
///
/// # Panics
/// When the deadline passes; the message says what was awaited.
pub async fn wait_for<T, F, R>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
