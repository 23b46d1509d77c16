//! The seal under which a decision counts: a keyed hash over what was decided, on which object, by whom and when.
//!
//! The key is known to the webhook and the mirror alone. Everything else about a decision stands in annotations, which
//! anybody with the right to change the object could write.

use crate::cases::seal::{DECIDED_BY, DECISION, REASON, decision_of};
use crate::cases::{Forged, Marked, Seal, Sealed};
use hmac::{Hmac, KeyInit, Mac};
use immune_domain::Timestamp;
use k8s_openapi::jiff;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::Path;

/// Annotation: when it was decided, RFC 3339; written by the webhook.
pub const DECIDED_AT: &str = "immune.io/decided-at";
/// Annotation: the seal, 64 hex digits; written by the webhook.
pub const SEAL: &str = "immune.io/decision-seal";

/// The shortest key, bytes.
const KEY_MIN: usize = 32;
/// What the hash is for; a key used for something else as well would not make seals.
const PURPOSE: &str = "immune.io/decision v1";

/// The key of the seals.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the seal key {path} cannot be read")]
    Read {
        /// Where it should be.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too short to keep anybody from guessing it.
    #[error("the seal key has {0} bytes; it takes at least {KEY_MIN}")]
    Short(usize),
}

impl KeyError {
    /// Both are the operator's to mend.
    pub fn kind(&self) -> immune_domain::ErrorKind {
        match self {
            KeyError::Read { .. } | KeyError::Short(_) => immune_domain::ErrorKind::Invalid,
        }
    }
}

/// What is sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents<'a> {
    pub uid: &'a str,
    pub case: &'a str,
    pub decision: &'a str,
    pub reason: &'a str,
    pub by: &'a str,
    pub at: &'a str,
}

impl Key {
    /// The key of these bytes; surrounding white space of a file is none of it.
    ///
    /// # Errors
    /// When there are fewer than 32.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.trim_ascii();
        match Hmac::new_from_slice(bytes) {
            Ok(mac) if bytes.len() >= KEY_MIN => Ok(Key(mac)),
            Ok(_) | Err(_) => Err(KeyError::Short(bytes.len())),
        }
    }

    /// The key in a file.
    ///
    /// # Errors
    /// When it cannot be read or is too short.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = std::fs::read(path).map_err(|source| KeyError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Key::new(&bytes)
    }

    fn mac(&self, contents: &Contents<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        let Contents {
            uid,
            case,
            decision,
            reason,
            by,
            at,
        } = contents;
        // Each with its length, so that no two contents read the same.
        for field in [PURPOSE, uid, case, decision, reason, by, at] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }

    pub(super) fn seal(&self, contents: &Contents<'_>) -> String {
        hex::encode(self.mac(contents).finalize().into_bytes())
    }
}

impl Seal for Key {
    fn open(&self, object: &Marked<'_>) -> Result<Sealed, Forged> {
        let part = |key: &str| object.annotations.get(key).map(String::as_str);
        let needed = |key: &str| part(key).ok_or_else(|| Forged(format!("annotation {key} is missing")));
        let contents = Contents {
            uid: object.uid,
            case: object.case,
            decision: needed(DECISION)?,
            reason: part(REASON).unwrap_or_default(),
            by: needed(DECIDED_BY)?,
            at: needed(DECIDED_AT)?,
        };
        let seal = hex::decode(needed(SEAL)?).map_err(|_| Forged("the seal is no hex number".to_owned()))?;
        // Compared in constant time.
        let broken = |_| Forged("the seal is not of this decision, on this object, by this user".to_owned());
        self.mac(&contents).verify_slice(&seal).map_err(broken)?;
        let unknown = || Forged(format!("{:?} is no decision", contents.decision));
        let at: jiff::Timestamp = contents
            .at
            .parse()
            .map_err(|_| Forged("the time is none".to_owned()))?;
        Ok(Sealed {
            decision: decision_of(contents.decision).ok_or_else(unknown)?,
            reason: contents.reason.to_owned(),
            by: contents.by.to_owned(),
            at: Timestamp::from_micros(at.as_microsecond()),
        })
    }
}

/// The annotations of a decision that was just made.
pub(super) fn stamps(key: &Key, contents: &Contents<'_>) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (DECIDED_BY, contents.by.to_owned()),
        (DECIDED_AT, contents.at.to_owned()),
        (SEAL, key.seal(contents)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-01T00:00:00.000001Z";

    fn key(letter: &str) -> Key {
        Key::new(letter.repeat(32).as_bytes()).expect("long enough")
    }

    fn contents() -> Contents<'static> {
        Contents {
            uid: "u1",
            case: "c1",
            decision: "approve",
            reason: "seen",
            by: "ada",
            at: AT,
        }
    }

    fn annotations(key: &Key, contents: &Contents<'_>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            (DECISION.to_owned(), contents.decision.to_owned()),
            (REASON.to_owned(), contents.reason.to_owned()),
        ]);
        all.extend(
            stamps(key, contents)
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
        all
    }

    fn open(
        key: &Key,
        uid: &str,
        case: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Sealed, Forged> {
        key.open(&Marked {
            uid,
            name: "n",
            namespace: "ns",
            case,
            annotations,
        })
    }

    /// Guarantees: what was sealed is read back, word for word and to the microsecond.
    #[test]
    fn a_seal_is_opened() {
        let sealed = open(&key("k"), "u1", "c1", &annotations(&key("k"), &contents())).expect("it holds");
        assert_eq!((sealed.by.as_str(), sealed.reason.as_str()), ("ada", "seen"));
        assert_eq!(sealed.at, Timestamp::from_micros(1_767_225_600_000_001));
    }

    /// Scenario: a sealed decision is carried to another object or case, any of its parts is changed or taken away, the
    /// seal is cut short, or it was made with another key.
    /// Guarantees: none of them counts.
    #[test]
    fn a_forgery_does_not_count() {
        let good = annotations(&key("k"), &contents());
        assert!(open(&key("k"), "u2", "c1", &good).is_err());
        assert!(open(&key("k"), "u1", "c2", &good).is_err());
        assert!(open(&key("x"), "u1", "c1", &good).is_err());
        for part in [DECISION, REASON, DECIDED_BY, DECIDED_AT, SEAL] {
            for other in [
                None,
                Some("release"),
                Some("2026-01-01T00:00:00Z"),
                Some(""),
                Some("ab"),
            ] {
                let mut bad = good.clone();
                match other {
                    Some(other) => bad.insert(part.to_owned(), other.to_owned()),
                    None => bad.remove(part),
                };
                assert!(open(&key("k"), "u1", "c1", &bad).is_err(), "{part} {other:?}");
            }
        }
        let mut short = good.clone();
        short.get_mut(SEAL).expect("a seal").truncate(32);
        assert!(open(&key("k"), "u1", "c1", &short).is_err());
        // A letter that goes from one field to the next makes another seal.
        let moved = Contents {
            decision: "approves",
            reason: "een",
            ..contents()
        };
        assert_ne!(key("k").seal(&moved), key("k").seal(&contents()));
    }

    /// Guarantees: a short key is refused, white space around one is no part of it, and no log shows it.
    #[test]
    fn keys_are_kept() {
        assert!(matches!(Key::new(b"short"), Err(KeyError::Short(5))));
        let padded = Key::new(format!("{}\n", "k".repeat(32)).as_bytes()).expect("long enough");
        assert_eq!(padded.seal(&contents()), key("k").seal(&contents()));
        assert_eq!(format!("{padded:?}"), "Key(hidden)");
    }
}
