//! OpenID Connect: login with a provider, by the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 9700).
//!
//! What a login needs until its callback (state, nonce, verifier) is in a signed cookie of the browser that began it:
//! any replica can finish it, and no other browser. The provider may be away when we start; logins say so, and keys
//! and sessions go on. Its description is kept for an hour, its keys for ten minutes or until a token names one that
//! we do not know.
//!
//! - `config`, `description`, `fetch`, `kept`: the provider. `jws`, `id_token`: what a token must be and say.
//! - `login`: the flow. `person`: who it is, with which role. `logout`: from there, and at the provider.

mod config;
mod description;
mod error;
mod fetch;
mod id_token;
mod jws;
mod kept;
mod login;
mod logout;
mod person;

pub use config::{Config, Grant};
pub use error::OidcError;
pub use fetch::BuildError;
pub(crate) use login::{Callback, LOGIN_LASTS};

use description::Description;
use fetch::Fetch;
use id_token::{Claims, Parties};
use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use jws::{KeySet, Unfit, Unverified};
use kept::Kept;
use logout::Replays;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const HOUR: Duration = Duration::from_secs(3_600);
/// Age from which the provider's keys are read again: within it, a key that the provider withdrew still verifies.
const KEYS_FRESH: Duration = Duration::from_secs(600);
/// Time between two tries while the provider is away, and between two looks for a key that we do not know.
const PAUSE: Duration = Duration::from_secs(5);

/// One provider.
pub(crate) struct Provider {
    config: Config,
    secret: Secret,
    external: Url,
    origin: String,
    fetch: Fetch,
    description: Kept<Description>,
    keys: Kept<KeySet>,
    replays: Replays,
}

impl Provider {
    /// A provider as configured; it is not asked for anything yet.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let mut mistakes = Vec::new();
        let secret = config.secret("access.oidc", &mut mistakes);
        let secret = secret.ok_or_else(|| mistakes.join("; "))?;
        let external = config.external()?;
        Ok(Provider {
            origin: external.origin().ascii_serialization(),
            external,
            fetch: Fetch::new(&config)?,
            secret,
            config,
            description: Kept::new(HOUR, 24 * HOUR, PAUSE),
            keys: Kept::new(KEYS_FRESH, HOUR, PAUSE),
            replays: Replays::default(),
        })
    }

    /// Name on the login page.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The origin of our own pages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How sessions from here say how their subject was verified.
    pub fn via(&self) -> String {
        format!("oidc:{}", self.config.issuer)
    }

    /// The provider's name for one of its sessions or subjects, unique among providers.
    fn theirs(&self, id: &str) -> String {
        format!("{} {id}", self.config.issuer)
    }

    fn parties(&self) -> Parties<'_> {
        Parties {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
        }
    }

    /// Our own URL of a path.
    fn ours(&self, path: &str) -> String {
        let mut url = self.external.clone();
        url.set_path(path);
        url.into()
    }

    async fn description(&self, now: Timestamp) -> Result<Arc<Description>, OidcError> {
        let read = || async {
            let address = description::address(&self.config)?;
            description::read(&self.config, self.fetch.get("description", address).await?)
        };
        self.description.get(now, read).await
    }

    /// The claims of a token that the provider signed, and the header's type.
    async fn verified(
        &self,
        what: &'static str,
        token: &str,
        now: Timestamp,
    ) -> Result<(Claims, Option<String>), OidcError> {
        let invalid = |problem: &str| OidcError::Token {
            what,
            problem: problem.to_owned(),
        };
        let unverified = Unverified::parse(token).map_err(invalid)?;
        let description = self.description(now).await?;
        let read = || self.fetch.get::<KeySet>("keys", description.keys.clone());
        let keys = self.keys.get(now, read).await?;
        let claims = match unverified.verify(&keys) {
            Ok(claims) => claims,
            Err(Unfit::Forged(problem)) => return Err(invalid(problem)),
            Err(Unfit::NoKey) => {
                let newer = self.keys.newer(&keys, now, read).await?;
                let keys = newer.ok_or_else(|| invalid("is signed with a key that is not known"))?;
                match unverified.verify(&keys) {
                    Ok(claims) => claims,
                    Err(Unfit::Forged(problem)) => return Err(invalid(problem)),
                    Err(Unfit::NoKey) => {
                        return Err(invalid("is signed with a key that the provider does not have"));
                    }
                }
            }
        };
        Ok((claims, unverified.header.typ))
    }
}
