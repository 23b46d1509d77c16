//! Calls between processes that were refused, for whoever writes them down.

use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Refused calls that may wait to be written down; more are only counted and logged.
const WAITING_MAX: usize = 256;
/// The longest name of a method that is told, characters.
const METHOD_CHARS_MAX: usize = 200;

/// A call that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefusedCall {
    /// Who called, as far as it was proven: `role ingestion`, or `unknown`.
    pub caller: String,
    /// What was called: `immune.v1.QuarantineService/Decide`.
    pub method: String,
    /// `role` (it may not call this), `token` (a wrong one).
    pub because: &'static str,
}

/// Tells refused calls to one listener, without ever waiting for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teller(Arc<OnceLock<mpsc::Sender<RefusedCall>>>);

impl Teller {
    pub(crate) fn listen(&self) -> mpsc::Receiver<RefusedCall> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        // Whoever comes second hears nothing, and its channel ends at once.
        let _ = self.0.set(sender);
        receiver
    }

    pub(crate) fn tell(&self, caller: String, path: &str, because: &'static str) {
        let Some(listener) = self.0.get() else { return };
        let method = path.strip_prefix('/').unwrap_or(path);
        let call = RefusedCall {
            caller,
            method: method.chars().take(METHOD_CHARS_MAX).collect(),
            because,
        };
        // Without room the call is counted and logged all the same.
        let _ = listener.try_send(call);
    }
}
