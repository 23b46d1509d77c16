//! API keys: bearer secrets for machines and the command line, bound to a role and to runs.

use super::{Role, same_hash};
use crate::config::Secret;
use immune_domain::RunId;
use immune_domain::case::Person;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One key as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Name in the action log.
    pub name: String,
    /// The secret, at least 16 characters; or `key_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// File whose first line is the secret; or `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<std::path::PathBuf>,
    /// What its holder may do.
    pub role: Role,
    /// Runs that it is bound to; empty means all.
    #[serde(default)]
    pub runs: Vec<String>,
}

/// A verified caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub person: Person,
    /// What it may do.
    pub role: Role,
    /// Runs that it is bound to; empty means all.
    pub runs: Vec<RunId>,
}

impl Caller {
    /// Whoever is on this machine, where configuration leaves a loopback listener open.
    pub fn loopback() -> Self {
        let person = Person {
            subject: "loopback".to_owned(),
            via: "loopback".to_owned(),
        };
        Caller {
            person,
            role: Role::Admin,
            runs: Vec::new(),
        }
    }

    /// Whether the caller may touch a run.
    pub fn may_use(&self, run: &RunId) -> bool {
        self.runs.is_empty() || self.runs.contains(run)
    }
}

/// The configured keys, hashed.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<([u8; 32], Caller)>,
}

/// The shortest secret that a key may have, characters.
const KEY_CHARS_MIN: usize = 16;

impl KeyRing {
    /// Reads and hashes the keys; mistakes are added to `mistakes` under `path`.
    pub fn load(configured: &[ApiKey], path: &str, mistakes: &mut Vec<String>) -> Self {
        let mut keys = Vec::with_capacity(configured.len());
        for (i, key) in configured.iter().enumerate() {
            let at = format!("{path}[{i}] ({})", key.name);
            let Some(secret) =
                Secret::resolve(&at, "key", key.key.as_ref(), key.key_file.as_deref(), mistakes)
            else {
                continue;
            };
            if secret.expose().chars().count() < KEY_CHARS_MIN {
                mistakes.push(format!("{at}: the key has fewer than {KEY_CHARS_MIN} characters"));
                continue;
            }
            let person = Person {
                subject: key.name.clone(),
                via: format!("api_key:{}", key.name),
            };
            let runs = key.runs.iter().map(|run| RunId::new(run.as_str())).collect();
            keys.push((
                Sha256::digest(secret.expose()).into(),
                Caller {
                    person,
                    role: key.role,
                    runs,
                },
            ));
        }
        KeyRing { keys }
    }

    /// Every caller that a key stands for.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.keys.iter().map(|(_, caller)| caller)
    }

    /// What tells the secret of a configured key from an earlier one of the same name, and nothing else; by the `via`
    /// of its caller.
    pub fn fingerprint(&self, via: &str) -> Option<[u8; 32]> {
        let (hash, _) = self.keys.iter().find(|(_, caller)| caller.person.via == via)?;
        Some(Sha256::digest(hash).into())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The caller that presents this secret. Every key is compared, and hashes are compared whole, so that the
    /// time taken tells nothing about any key.
    pub fn verify(&self, presented: &str) -> Option<&Caller> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let mut found = None;
        for (hash, caller) in &self.keys {
            if same_hash(hash, &presented) {
                found = Some(caller);
            }
        }
        found
    }
}
