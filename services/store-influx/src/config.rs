//! Where InfluxDB is, how to log in, and every limit.

use crate::secret::Secret;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::{Host, Url};

/// The options of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of the server, `http://` or `https://`, a path may follow; default `http://127.0.0.1:8086`.
    pub url: String,
    /// Generation of the server: `1`, `2` or `3`. Default: asked for, at the first request.
    pub version: Option<Version>,
    /// Database (1.x, 3.x) or bucket (2.x), default `immune`.
    pub database: String,
    /// Organisation that has the bucket; 2.x only.
    pub org: String,
    /// Retention policy to write to and read from (1.x), or of the mapping to read through (2.x). Default: the
    /// database's own.
    pub retention_policy: Option<String>,
    /// API token (2.x, 3.x); this or `token_file`.
    pub token: Option<Secret>,
    /// File whose first line is the token; read anew for each request, so that it may be rotated.
    pub token_file: Option<PathBuf>,
    /// User (1.x), with `password` or `password_file`.
    pub user: Option<String>,
    /// Password of the user; this or `password_file`.
    pub password: Option<Secret>,
    /// File whose first line is the password; read anew for each request.
    pub password_file: Option<PathBuf>,
    /// PEM file of a certificate authority to trust beside the system's; needs an `https://` url.
    pub ca_file: Option<PathBuf>,
    /// The longest time for one write; seconds, default 10.
    pub write_seconds: f64,
    /// The longest time for one read; seconds, default 30.
    pub query_seconds: f64,
    /// Points in one write at most, default 5000.
    pub batch_points_max: usize,
    /// Bytes of one write before compression at most, default 4194304.
    pub batch_bytes_max: usize,
    /// How long a write waits for others to share a request with; seconds, default 0.005.
    pub linger_seconds: f64,
    /// Records that wait to be written at most; more wait at the door. Default 50000.
    pub queue_records_max: usize,
    /// How long a record may wait at the door before it is refused; seconds, default 5.
    pub queue_seconds: f64,
    /// How often a failed write is repeated before it goes to the spill, default 2.
    pub retries_max: u32,
    /// The wait before the first repetition, doubled each time; seconds, default 0.1.
    pub backoff_seconds: f64,
    /// The longest wait between two attempts to empty the spill; seconds, default 10.
    pub backoff_seconds_max: f64,
    /// Folder of records that wait for a server that is away; one per process. Default none: while the server is
    /// away, records are refused.
    pub spill_dir: Option<PathBuf>,
    /// Bytes in that folder at most, compressed; default 1073741824. When it is full, records are refused.
    pub spill_bytes_max: u64,
    /// Executions whose revision is remembered, so that most corrections need not be looked up; default 200000
    /// (about 100 bytes each).
    pub remembered_max: usize,
    /// The largest answer that is read; bytes, default 67108864.
    pub answer_bytes_max: usize,
    /// Points that wait to be mirrored (profiles, events, healings, action log) at most, default 10000.
    pub mirror_points_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            url: "http://127.0.0.1:8086".to_owned(),
            version: None,
            database: "immune".to_owned(),
            org: String::new(),
            retention_policy: None,
            token: None,
            token_file: None,
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            write_seconds: 10.0,
            query_seconds: 30.0,
            batch_points_max: 5_000,
            batch_bytes_max: 4 * 1_024 * 1_024,
            linger_seconds: 0.005,
            queue_records_max: 50_000,
            queue_seconds: 5.0,
            retries_max: 2,
            backoff_seconds: 0.1,
            backoff_seconds_max: 10.0,
            spill_dir: None,
            spill_bytes_max: 1_024 * 1_024 * 1_024,
            remembered_max: 200_000,
            answer_bytes_max: 64 * 1_024 * 1_024,
            mirror_points_max: 10_000,
        }
    }
}

impl Config {
    /// Adds what is wrong, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        self.check_url(path, mistakes);
        self.check_login(path, mistakes);
        let mut seconds = |name: &str, value: f64, min: f64, max: f64| {
            if !(min..=max).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {min} and {max}"
                ));
            }
        };
        seconds("write_seconds", self.write_seconds, 0.05, 300.0);
        seconds("query_seconds", self.query_seconds, 0.05, 600.0);
        seconds("linger_seconds", self.linger_seconds, 0.0, 1.0);
        seconds("queue_seconds", self.queue_seconds, 0.0, 60.0);
        seconds("backoff_seconds", self.backoff_seconds, 0.001, 60.0);
        let least = self.backoff_seconds.clamp(0.001, 60.0);
        seconds("backoff_seconds_max", self.backoff_seconds_max, least, 600.0);
        let mut count = |name: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {min} and {max}"
                ));
            }
        };
        const MIB: u64 = 1_024 * 1_024;
        count("batch_points_max", self.batch_points_max as u64, 1, 50_000);
        count("batch_bytes_max", self.batch_bytes_max as u64, 1_024, 24 * MIB);
        count("queue_records_max", self.queue_records_max as u64, 1, 10_000_000);
        count("retries_max", self.retries_max.into(), 0, 100);
        count("spill_bytes_max", self.spill_bytes_max, MIB / 16, 1 << 50);
        count("remembered_max", self.remembered_max as u64, 1, 100_000_000);
        count("answer_bytes_max", self.answer_bytes_max as u64, MIB, 4_096 * MIB);
        count("mirror_points_max", self.mirror_points_max as u64, 1, 10_000_000);
    }

    /// What is allowed and worth a warning at the start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match Url::parse(&self.url) {
            Ok(url) if url.scheme() == "http" && !is_loopback(&url) => warnings.push(format!(
                "{}: records and credentials for InfluxDB travel without encryption",
                url.host_str().unwrap_or_default()
            )),
            Ok(_) | Err(_) => {}
        }
        if self.spill_dir.is_none() {
            warnings.push("no spill_dir: while InfluxDB is away, telemetry is refused".to_owned());
        }
        warnings
    }

    fn check_url(&self, path: &str, mistakes: &mut Vec<String>) {
        let path = format!("{path}.url");
        match Url::parse(&self.url) {
            // The text itself may hold a password, so it is not repeated.
            Err(e) => mistakes.push(format!("{path}: cannot be read: {e}")),
            Ok(url) => {
                if !["http", "https"].contains(&url.scheme()) {
                    mistakes.push(format!("{path}: {}:// is not one of http, https", url.scheme()));
                }
                if !url.username().is_empty() || url.password().is_some() {
                    mistakes.push(format!(
                        "{path}: holds credentials; use user and password, or token"
                    ));
                }
                if url.query().is_some() || url.fragment().is_some() {
                    mistakes.push(format!(
                        "{path}: must end with its path; database and org have fields"
                    ));
                }
                if self.ca_file.is_some() && url.scheme() != "https" {
                    mistakes.push(format!("{path}: ca_file needs an https:// url"));
                }
            }
        }
    }

    fn check_login(&self, path: &str, mistakes: &mut Vec<String>) {
        if self.database.is_empty() || self.database.chars().any(char::is_control) {
            mistakes.push(format!("{path}.database = {:?}: is not a name", self.database));
        }
        if self.token.is_some() && self.token_file.is_some() {
            mistakes.push(format!("{path}: give token or token_file, not both"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            mistakes.push(format!("{path}: give password or password_file, not both"));
        }
        let has_password = self.password.is_some() || self.password_file.is_some();
        if has_password != self.user.is_some() {
            mistakes.push(format!("{path}: user and password go together"));
        }
        if self.user.is_some() && (self.token.is_some() || self.token_file.is_some()) {
            mistakes.push(format!(
                "{path}: give user and password (1.x) or a token (2.x, 3.x), not both"
            ));
        }
        if self.version == Some(Version::V2) && self.org.is_empty() {
            mistakes.push(format!("{path}.org: version 2 needs it"));
        }
        for (name, file) in [
            ("token_file", &self.token_file),
            ("password_file", &self.password_file),
            ("ca_file", &self.ca_file),
        ] {
            let Some(file) = file else { continue };
            if let Err(e) = std::fs::metadata(file) {
                mistakes.push(format!("{path}.{name} = {}: cannot be read: {e}", file.display()));
            }
        }
    }

    /// The wait before repetition number `attempt` (0 is the first).
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        let seconds = self.backoff_seconds * 2_f64.powi(attempt.min(30) as i32);
        Duration::from_secs_f64(seconds.min(self.backoff_seconds_max))
    }
}

/// Whether the url stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(config: &Config) -> Vec<String> {
        let mut mistakes = Vec::new();
        config.check("vitals.influx", &mut mistakes);
        mistakes
    }

    /// Guarantees: the defaults can be meant, and each thing that cannot is named with its path.
    #[test]
    fn mistakes_are_named() {
        assert_eq!(mistakes(&Config::default()), Vec::<String>::new());
        let wrong = Config {
            url: "ftp://me:hunter2@h/?a=b".into(),
            version: Some(Version::V2),
            database: String::new(),
            user: Some("u".into()),
            token: Some(Secret::new("hunter3")),
            token_file: Some("no/such/file".into()),
            write_seconds: f64::NAN,
            batch_points_max: 0,
            ..Config::default()
        };
        let said = mistakes(&wrong).join("\n");
        for part in [
            "url: ftp",
            "credentials",
            "database",
            "token or token_file",
            "go together",
            "not both",
            "org: version 2",
            "no/such/file",
            "write_seconds",
            "batch_points_max = 0",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("hunter"), "{said}");
        assert!(!format!("{wrong:?}").contains("hunter3"));
        assert!(serde_json::from_str::<Config>(r#"{"bucket": "b"}"#).is_err());
    }

    /// Guarantees: plain HTTP is warned of where it leaves the machine, and only there.
    #[test]
    fn plain_http_off_the_machine_is_warned_of() {
        for (url, warned) in [
            ("http://127.0.0.1:8086", false),
            ("http://[::1]:8086", false),
            ("https://influx.example", false),
            ("http://influx.example:8086", true),
        ] {
            let config = Config {
                url: url.into(),
                spill_dir: Some(".".into()),
                ..Config::default()
            };
            assert_eq!(!config.warnings().is_empty(), warned, "{url}");
        }
    }
}
