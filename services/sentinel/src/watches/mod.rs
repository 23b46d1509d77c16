//! The watches on profiles (every replica of baseline) and cases (quarantine), begun again whenever they end.

pub mod cases;
pub mod profiles;

use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The pause between two watches: short after one that brought something, longer after each that did not.
struct Pause {
    what: &'static str,
    address: std::sync::Arc<str>,
    next: Duration,
}

impl Pause {
    fn new(what: &'static str, address: impl Into<std::sync::Arc<str>>) -> Self {
        Pause {
            what,
            address: address.into(),
            next: BACKOFF_MIN,
        }
    }

    fn had_some(&mut self) {
        self.next = BACKOFF_MIN;
    }

    fn note(&self, ended: Result<(), Status>) {
        if let Err(status) = ended {
            let (what, address, message) = (self.what, &*self.address, status.message());
            warn!(what, address, code = ?status.code(), message, "a watch broke; beginning anew");
        }
    }

    async fn wait(&mut self, shutdown: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(self.next) => {}
            () = shutdown.cancelled() => {}
        }
        self.next = (self.next * 2).min(BACKOFF_MAX);
    }
}
