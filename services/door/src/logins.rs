//! What people need to stay: sessions, and the provider that they log in with.

use crate::oidc::{self, BuildError, Provider};
use crate::sessions::cookies::Cookies;
use crate::sessions::{self, Sessions};
use immune_store::{AccessStore, ActionLog};
use std::sync::Arc;

/// Sessions and the OpenID provider of a process. Every process with the same store has the same sessions.
pub struct Logins {
    pub(crate) sessions: Sessions,
    pub(crate) provider: Option<Provider>,
    /// Where logins and logouts are written down.
    pub(crate) action_log: Arc<dyn ActionLog>,
    pub(crate) refused: crate::routes::record::Refused,
}

impl Logins {
    /// Sessions, and a provider if one is configured. `is_tls`: REST itself comes over TLS; a proxy in front that ends
    /// TLS shows in `external_url`.
    ///
    /// # Errors
    /// When the client secret or a certificate cannot be read. The provider itself is not asked for anything.
    pub fn new(
        sessions: sessions::Config,
        oidc: Option<oidc::Config>,
        is_tls: bool,
        store: Arc<dyn AccessStore>,
        action_log: Arc<dyn ActionLog>,
    ) -> Result<Self, BuildError> {
        let is_secure = is_tls || oidc.as_ref().is_some_and(oidc::Config::is_external_tls);
        Ok(Logins {
            sessions: Sessions::new(store, sessions, Cookies { is_secure }),
            provider: oidc.map(Provider::new).transpose()?,
            action_log,
            refused: Default::default(),
        })
    }
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins")
            .field("provider", &self.provider.as_ref().map(Provider::via))
            .finish_non_exhaustive()
    }
}
