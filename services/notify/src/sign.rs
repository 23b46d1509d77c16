//! Signatures: ours over what goes out (Standard Webhooks), Slack's over what comes in (version `v0`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use sha2::Sha256;
use std::time::Duration;

/// How old, or how far in the future, a signed request may be.
pub const WINDOW: Duration = Duration::from_secs(300);

/// The shortest key, bytes.
const KEY_BYTES_MIN: usize = 24;

/// A key that signs webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
#[derive(Clone)]
pub struct WebhookKey(Vec<u8>);

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl WebhookKey {
    /// Reads `whsec_` and base64, or takes the bytes of any other text. The error repeats nothing of the secret.
    pub fn read(secret: &Secret) -> Result<Self, String> {
        let text = secret.expose();
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| "is not base64 after whsec_".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        if key.len() < KEY_BYTES_MIN {
            return Err(format!(
                "has {} bytes: at least {KEY_BYTES_MIN} are needed",
                key.len()
            ));
        }
        Ok(WebhookKey(key))
    }

    /// `v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; the timestamp in seconds since the epoch.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = keyed(&self.0);
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// A header is missing or cannot be read.
    #[error("the signature headers are missing or malformed")]
    Malformed,
    /// The timestamp is too far from now.
    #[error("the request is older than {} s, or from the future", WINDOW.as_secs())]
    Stale,
    /// No secret gives this signature.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks Slack's signature: hex of HMAC-SHA256 over `v0:{timestamp}:{body}` after `v0=`, compared in constant time.
/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
///
/// # Errors
/// Why it is not believed.
pub fn check_slack(
    secret: &Secret,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Forged> {
    let seconds: i64 = timestamp.parse().map_err(|_| Forged::Malformed)?;
    let sent = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    if now.since(sent).max(sent.since(now)) > WINDOW {
        return Err(Forged::Stale);
    }
    let given = signature
        .strip_prefix("v0=")
        .and_then(|given| hex::decode(given).ok())
        .ok_or(Forged::Malformed)?;
    let mut mac = keyed(secret.expose().as_bytes());
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.verify_slice(&given).map_err(|_| Forged::Mismatch)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the example of the Standard Webhooks specification's reference libraries comes out.
    #[test]
    fn signs_as_specified() {
        let key = WebhookKey::read(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// Guarantees: the example of Slack's documentation is believed within five minutes; a changed body, another
    /// secret, an old or future time and malformed headers are not.
    #[test]
    fn believes_slack() {
        let secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
            &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
            &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let sent = 1_531_420_618;
        let check = |secret: &Secret, signature: &str, body: &[u8], now| {
            check_slack(secret, "1531420618", signature, body, at(now))
        };
        assert_eq!(check(&secret, signature, body, sent), Ok(()));
        assert_eq!(check(&secret, signature, body, sent + 300), Ok(()));
        assert_eq!(check(&secret, signature, body, sent + 301), Err(Forged::Stale));
        assert_eq!(check(&secret, signature, body, sent - 301), Err(Forged::Stale));
        assert_eq!(check(&secret, signature, b"other", sent), Err(Forged::Mismatch));
        assert_eq!(
            check(&Secret::new("x"), signature, body, sent),
            Err(Forged::Mismatch)
        );
        for bad in ["", "v0=", "v0=zz", &signature[3..]] {
            assert_ne!(check(&secret, bad, body, sent), Ok(()), "{bad}");
        }
        assert_eq!(
            check_slack(&secret, "x", signature, body, at(sent)),
            Err(Forged::Malformed)
        );
    }

    /// Guarantees: short and unreadable keys are refused, and none is printed.
    #[test]
    fn weak_keys_are_refused() {
        for bad in ["", "short", "whsec_c2hvcnQ=", "whsec_%%%"] {
            assert!(WebhookKey::read(&Secret::new(bad)).is_err(), "{bad}");
        }
        let key = WebhookKey::read(&Secret::new("a-secret-of-more-than-24-bytes")).unwrap();
        assert_eq!(format!("{key:?}"), "***");
    }
}
