//! The stored keys as they were read last, ready to be asked.

use immune_domain::Timestamp;
use immune_domain::case::Person;
use immune_runtime::access::{Caller, Role, same_hash};
use immune_store::access::{SecretHash, StoredKey};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Never used, as far as this process knows.
const NEVER: i64 = i64::MIN;

/// One key and its use in this process.
pub(super) struct Entry {
    pub key: StoredKey,
    pub caller: Caller,
    /// When it was used here last, microseconds; shared with the entries of earlier readings.
    used: Arc<AtomicI64>,
    /// The same, as far as it is in the store.
    noted: Arc<AtomicI64>,
}

impl Entry {
    /// Notes a use.
    pub fn used(&self, now: Timestamp) {
        self.used.fetch_max(now.as_micros(), Ordering::Relaxed);
    }

    /// A use that the store does not know.
    pub fn unnoted(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > self.noted.load(Ordering::Relaxed)).then(|| Timestamp::from_micros(used))
    }

    /// The store knows uses up to this one.
    pub fn noted(&self, at: Timestamp) {
        self.noted.fetch_max(at.as_micros(), Ordering::Relaxed);
    }
}

/// All keys of one reading.
#[derive(Default)]
pub(super) struct Snapshot {
    /// By the first bytes of their hash: who cannot foresee SHA-256 learns nothing from finding none there.
    by_hash: HashMap<[u8; 8], Vec<Arc<Entry>>>,
    /// Whether one is, or was, of role `ingest`.
    pub has_ingest: bool,
}

impl Snapshot {
    /// Keys as read, with what earlier readings know of their use. A key whose role this program does not know is
    /// left out, and so opens nothing.
    pub fn new(keys: Vec<StoredKey>, before: Option<&Snapshot>) -> Self {
        let before: HashMap<&str, &Arc<Entry>> = before
            .into_iter()
            .flat_map(Snapshot::entries)
            .map(|entry| (entry.key.id.as_str(), entry))
            .collect();
        let mut snapshot = Snapshot::default();
        for key in keys {
            let Some(role) = Role::parse(&key.role) else {
                tracing::warn!(key = %key.id, role = ?key.role, "a stored key has a role that is not known here");
                continue;
            };
            let (used, noted) = match before.get(key.id.as_str()) {
                Some(entry) => (entry.used.clone(), entry.noted.clone()),
                None => Default::default(),
            };
            // Zero would be a time, and before some.
            if !before.contains_key(key.id.as_str()) {
                used.store(NEVER, Ordering::Relaxed);
                let stored = key.last_used_at.map_or(NEVER, Timestamp::as_micros);
                noted.store(stored, Ordering::Relaxed);
            }
            snapshot.has_ingest |= role == Role::Ingest;
            let person = Person {
                subject: key.name.clone(),
                via: format!("{}{}", super::VIA, key.id),
            };
            let caller = Caller {
                person,
                role,
                runs: key.runs.clone(),
            };
            let entry = Entry {
                key,
                caller,
                used,
                noted,
            };
            let place = snapshot.by_hash.entry(head(&entry.key.hash)).or_default();
            place.push(Arc::new(entry));
        }
        snapshot
    }

    /// The key of a hash, whether or not it may be used.
    pub fn find(&self, hash: &SecretHash) -> Option<&Arc<Entry>> {
        let entries = self.by_hash.get(&head(hash))?;
        entries.iter().find(|entry| same_hash(&entry.key.hash, hash))
    }

    /// Every key, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_hash.values().flatten()
    }
}

fn head(hash: &SecretHash) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}
