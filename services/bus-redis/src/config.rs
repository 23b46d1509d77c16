//! Options of the bus over Redis. The address is not among them: it holds a password.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How vitals are kept at Redis, and how long anybody waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// First word of every key, default `immune`. Two installations on one Redis need two.
    pub prefix: String,
    /// Into how many partitions the agents are divided, default 64. All processes must say the same, and Redis
    /// remembers it: to change it, stop ingestion, let the consumers finish, and delete the key
    /// `<prefix>:{vitals}:partitions`.
    pub partitions: u16,
    /// How long entries are kept, seconds, default 900. A consumer that is behind for longer loses the oldest.
    pub keep_seconds: u64,
    /// Entries kept in one partition, default 100,000. Beyond it the oldest go, however young.
    pub entries_max: u64,
    /// Bytes of one entry before compression, default 262,144 (256 KiB). Records of a publication that need more
    /// become several entries.
    pub entry_bytes_max: usize,
    /// How long a publication may take, seconds, default 5. Within it, what Redis did not take is sent again.
    pub publish_seconds_max: u64,
    /// Publications under way at once, default 64. Beyond it publishing waits.
    pub publications_max: usize,
    /// Replicas of Redis that must have an entry before it counts as published, default 0. Applies to every primary
    /// of a cluster.
    pub replicas_min: u32,
    /// How long Redis may take for one answer, or for a connection, milliseconds, default 2,000. Then the connection
    /// is made anew.
    pub answer_ms_max: u64,
    /// How long a partition stays with a replica that says nothing, milliseconds, default 4,000.
    pub lease_ms: u64,
    /// Entries that wait to be taken by a consumer, default 1,024.
    pub queue_entries_max: usize,
    /// What these entries may hold, as encoded, bytes, default 16,777,216 (16 MiB).
    pub queue_bytes_max: usize,
    /// Certificates for `rediss` addresses.
    pub tls: Tls,
}

/// Files with certificates, read again at every new connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Authorities that may have signed the server's certificate, PEM; default: those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Certificate that this process shows, PEM; default none. Needs `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            prefix: "immune".to_owned(),
            partitions: 64,
            keep_seconds: 900,
            entries_max: 100_000,
            entry_bytes_max: 256 * 1024,
            publish_seconds_max: 5,
            publications_max: 64,
            replicas_min: 0,
            answer_ms_max: 2_000,
            lease_ms: 4_000,
            queue_entries_max: 1_024,
            queue_bytes_max: 16 * 1024 * 1024,
            tls: Tls::default(),
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !is_word(&self.prefix) {
            mistakes.push(format!(
                "{path}.prefix = {:?}: must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`",
                self.prefix
            ));
        }
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            mistakes.push(format!(
                "{path}.tls: give certificate_file and key_file, or neither"
            ));
        }
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("partitions", self.partitions.into(), 1, 1_024);
        within("keep_seconds", self.keep_seconds, 10, 7 * 24 * 3_600);
        within("entries_max", self.entries_max, 1_000, 10_000_000);
        within(
            "entry_bytes_max",
            self.entry_bytes_max as u64,
            4_096,
            4 * 1024 * 1024,
        );
        within("publish_seconds_max", self.publish_seconds_max, 1, 60);
        within("publications_max", self.publications_max as u64, 1, 10_000);
        within("replicas_min", self.replicas_min.into(), 0, 16);
        within("answer_ms_max", self.answer_ms_max, 100, 30_000);
        within("lease_ms", self.lease_ms, 1_000, 60_000);
        within("queue_entries_max", self.queue_entries_max as u64, 1, 1_000_000);
        within(
            "queue_bytes_max",
            self.queue_bytes_max as u64,
            64 * 1024,
            1024 * 1024 * 1024,
        );
    }

    /// How long Redis may take for one answer.
    pub(crate) fn answer_max(&self) -> Duration {
        Duration::from_millis(self.answer_ms_max)
    }

    /// How long a lease lasts at Redis.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long after it was asked for a replica trusts a lease: less than it lasts at Redis, which counts from the
    /// moment that it was granted.
    pub(crate) fn trust(&self) -> Duration {
        self.lease() * 3 / 4
    }

    /// Time between two signs of life.
    pub(crate) fn beat(&self) -> Duration {
        self.lease() / 8
    }
}

/// Whether a text may be a part of a key: no braces, no colons, nothing that could be another key.
pub(crate) fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are valid, and every mistake is named with its path and value.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("redis", &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let wrong = Config {
            prefix: "a{b}".to_owned(),
            partitions: 0,
            lease_ms: 10,
            tls: Tls {
                key_file: Some("key.pem".into()),
                ..Tls::default()
            },
            ..Config::default()
        };
        wrong.check("redis", &mut mistakes);
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert!(mistakes[0].starts_with(r#"redis.prefix = "a{b}": must be"#));
        assert_eq!(mistakes[2], "redis.partitions = 0: must be between 1 and 1024");
    }
}
