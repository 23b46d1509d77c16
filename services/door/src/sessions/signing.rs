//! What we give to browsers and want back unchanged carries an HMAC-SHA256 under a secret that all replicas share.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use immune_store::access::AccessStore;
use immune_store::error::Result;
use ring::hmac;
use std::sync::{Arc, OnceLock};

/// Name of the secret in the store.
const SECRET: &str = "session_signing";

/// What a signature is for; one made for one purpose says nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The token of a session, in its cookie.
    Session,
    /// What shows that a write comes from our page.
    Csrf,
    /// What a browser keeps while its login is under way at the provider.
    Login,
}

impl Purpose {
    /// Never a prefix of another one: each ends with a zero byte.
    const fn label(self) -> &'static [u8] {
        match self {
            Purpose::Session => b"session\0",
            Purpose::Csrf => b"csrf\0",
            Purpose::Login => b"login\0",
        }
    }
}

/// Signs, and checks signatures in a time that tells nothing about where they differ.
pub(crate) struct Signer(hmac::Key);

impl Signer {
    pub fn new(secret: &[u8; 32]) -> Self {
        Signer(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub fn sign(&self, purpose: Purpose, content: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.label());
        context.update(content);
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    pub fn is_signed(&self, purpose: Purpose, content: &[u8], signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        let signed = [purpose.label(), content].concat();
        hmac::verify(&self.0, &signed, &signature).is_ok()
    }

    /// Content with its signature, as text that a cookie can carry.
    pub fn seal(&self, purpose: Purpose, content: &[u8]) -> String {
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(content),
            self.sign(purpose, content)
        )
    }

    /// The content of [`Signer::seal`]; `None` when we did not seal it for this.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let (content, signature) = sealed.split_once('.')?;
        let content = URL_SAFE_NO_PAD.decode(content).ok()?;
        self.is_signed(purpose, &content, signature).then_some(content)
    }
}

/// The signer of this deployment, read from the store when it is first needed.
pub(crate) struct SharedSigner {
    store: Arc<dyn AccessStore>,
    signer: OnceLock<Signer>,
}

impl SharedSigner {
    pub fn new(store: Arc<dyn AccessStore>) -> Self {
        SharedSigner {
            store,
            signer: OnceLock::new(),
        }
    }

    /// The signer.
    ///
    /// # Errors
    /// When the store has not answered yet.
    pub async fn get(&self) -> Result<&Signer> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer);
        }
        let secret = self.store.shared_secret(SECRET, &rand::random()).await?;
        Ok(self.signer.get_or_init(|| Signer::new(&secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a sealed text is opened as it is, for another purpose, changed, cut short, and under another secret.
    /// Guarantees: only the first one opens.
    #[test]
    fn only_what_we_sealed_opens() {
        let signer = Signer::new(&[7; 32]);
        let sealed = signer.seal(Purpose::Session, b"token");
        assert_eq!(signer.open(Purpose::Session, &sealed).unwrap(), b"token");
        assert!(signer.open(Purpose::Login, &sealed).is_none());
        assert!(Signer::new(&[8; 32]).open(Purpose::Session, &sealed).is_none());
        let other = signer.seal(Purpose::Session, b"other");
        let (content, _) = sealed.split_once('.').unwrap();
        let (_, signature) = other.split_once('.').unwrap();
        let cut = &sealed[..sealed.len() - 1];
        for wrong in [&format!("{content}.{signature}"), cut, content, "", ".", "a.b.c"] {
            assert!(signer.open(Purpose::Session, wrong).is_none(), "{wrong}");
        }
    }
}
