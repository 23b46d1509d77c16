//! Start and drain: the first signal drains, the second or a deadline ends the process.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long draining may take before the process ends anyway.
pub const DRAIN_MAX: Duration = Duration::from_secs(20);

/// A token that SIGTERM or SIGINT cancels. A second signal, or [`DRAIN_MAX`] after the first, ends the process at
/// once with status 1.
///
/// # Errors
/// When the signals cannot be watched.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let drain = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("draining; signal again to stop at once");
        drain.cancel();
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
            () = tokio::time::sleep(DRAIN_MAX) => tracing::error!("draining took too long"),
        }
        std::process::exit(1);
    });
    Ok(token)
}
