//! Secrets of stored keys.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use immune_runtime::config::Secret;
use immune_store::access::SecretHash;
use sha2::{Digest, Sha256};

/// What every secret begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "imk_";

/// The secret of 256 random bits.
pub(super) fn of(random: [u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random)))
}

/// What is kept of a secret.
pub(super) fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the form that is documented, whatever the bits.
    #[test]
    fn the_form_of_a_secret() {
        for random in [[0; 32], [255; 32], [0xA5; 32]] {
            let secret = of(random);
            let rest = secret.expose().strip_prefix("imk_").unwrap();
            assert_eq!(rest.len(), 43);
            assert!(
                rest.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            );
            assert_eq!(format!("{secret:?}"), "***");
        }
    }
}
