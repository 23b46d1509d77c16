//! TLS from PEM files that may change while the process runs: between roles both sides show a certificate
//! ([`ServerTls`], [`ClientTls`]); doors for others show ours and may ask for theirs ([`Listener`]).
//!
//! - `files`: what is configured, and reading it. `reload`: looking again. [`certificate`]: whose one is.
//! - `server`, `client`: what rustls needs. `listener`: accepting, handshakes included.
//!
//! Which role a certificate is for: a URI name `spiffe://<trust domain>/<anything>/immune-<role>`, or a DNS name whose
//! first label is `immune-<role>`. The common name and anything else say nothing. Not here: revocation lists; give
//! certificates short lives instead.

pub mod certificate;
mod client;
mod files;
mod listener;
mod reload;
mod server;

pub use client::ClientTls;
pub use files::{DoorFiles, RoleFiles};
pub use listener::{Accepted, Listener, Stream};
pub use server::{Protocols, ServerTls};

use immune_domain::ErrorKind;
use rustls::crypto::CryptoProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or not ours to read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key do not go together, or rustls cannot use them.
    #[error("certificate {} with key {}: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The certificates of the authority cannot be used.
    #[error("{}: {problem}", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

impl TlsError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TlsError::Read { .. }
            | TlsError::Content { .. }
            | TlsError::Pair { .. }
            | TlsError::Authority { .. } => ErrorKind::Invalid,
        }
    }
}

/// The one implementation of the primitives.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
