//! Looking at the files again, and telling who uses them.

use super::certificate::Facts;
use super::files::{Files, Material, Pem};
use super::{LOOK_EVERY, TlsError};
use crate::metrics::TlsMetrics;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// What is built from the files at every change; the last good one.
pub(super) type Current<T> = watch::Receiver<Arc<T>>;

/// Builds from the files now, and again whenever what they hold has changed, until nobody uses it any more. Files
/// that are broken or half replaced change nothing: the last good ones stay in use.
///
/// # Errors
/// When they cannot be used at the start.
pub(super) fn follow<T: Send + Sync + 'static>(
    files: Files,
    metrics: TlsMetrics,
    build: impl Fn(&Material) -> Result<T, TlsError> + Send + Sync + 'static,
) -> Result<Current<T>, TlsError> {
    let pem = files.read()?;
    let material = Material::parse(&files, &pem)?;
    let (sender, current) = watch::channel(Arc::new(build(&material)?));
    let mut follower = Follower {
        files,
        metrics,
        seen: Ok(pem.hash()),
        expires_at: 0,
        is_expiry_said: false,
    };
    follower.note(&material);
    tokio::spawn(async move {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = every.tick() => {}
            }
            if let Some(built) = follower.look(&build).await {
                sender.send_replace(Arc::new(built));
            }
        }
    });
    Ok(current)
}

struct Follower {
    files: Files,
    metrics: TlsMetrics,
    /// What was looked at last, good or not, so that a broken file is told once.
    seen: Result<[u8; 32], String>,
    expires_at: i64,
    is_expiry_said: bool,
}

impl Follower {
    async fn look<T>(&mut self, build: &impl Fn(&Material) -> Result<T, TlsError>) -> Option<T> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await.ok()?;
        let seen = read.as_ref().map(Pem::hash).map_err(TlsError::to_string);
        if seen == self.seen {
            self.warn_of_expiry();
            return None;
        }
        self.seen = seen;
        let built = read.and_then(|pem| {
            let material = Material::parse(&self.files, &pem)?;
            Ok((build(&material)?, material))
        });
        match built {
            Ok((built, material)) => {
                self.metrics.reloads.inc();
                self.note(&material);
                tracing::info!(certificate = %self.files.cert.display(), "certificates have changed and are in use");
                Some(built)
            }
            Err(error) => {
                self.metrics.reload_failures.inc();
                tracing::error!(%error, "changed certificates cannot be used; those before stay in use");
                None
            }
        }
    }

    /// Remembers until when the certificate in use is valid.
    fn note(&mut self, material: &Material) {
        self.expires_at = material
            .own
            .cert
            .first()
            .and_then(Facts::of)
            .map_or(0, |facts| facts.expires_at);
        self.is_expiry_said = false;
        self.metrics.certificate_expires.set(self.expires_at);
        self.warn_of_expiry();
    }

    fn warn_of_expiry(&mut self) {
        let facts = Facts {
            roles: crate::access::Roles::NONE,
            expires_at: self.expires_at,
        };
        if facts.remaining().is_zero() && !self.is_expiry_said {
            self.is_expiry_said = true;
            tracing::error!(
                certificate = %self.files.cert.display(),
                expired_at = self.expires_at,
                "our certificate has expired: others refuse it until the file is replaced"
            );
        }
    }
}
