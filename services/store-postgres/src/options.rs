//! How a database is reached and used.

use crate::error::OpenError;
use serde::{Deserialize, Serialize};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::time::Duration;
use url::Url;

/// Parameters of a URL that mean something to us; others would be ignored by the driver without a word.
const PARAMETERS: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// Prepared statements that a connection keeps. Listings have a text per combination of filters.
const STATEMENTS_MAX: usize = 200;

/// Where the database is, and its limits.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database?sslmode=...`; a secret.
    pub url: String,
    /// Sizes and times.
    pub limits: Limits,
}

impl Options {
    /// The default limits.
    pub fn new(url: impl Into<String>) -> Self {
        Options {
            url: url.into(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &"***")
            .field("limits", &self.limits)
            .finish()
    }
}

/// Sizes and times of the connections to PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of one process, besides one that listens for events; default 10.
    pub connections: u32,
    /// How long connecting may take, milliseconds, default 5,000.
    pub connect_timeout_ms: u64,
    /// How long a call waits for a free connection, milliseconds, default 5,000.
    pub acquire_timeout_ms: u64,
    /// After which a statement is cancelled, milliseconds, default 10,000.
    pub statement_timeout_ms: u64,
    /// After which waiting for a lock is given up and the statement tried again, milliseconds, default 2,000.
    pub lock_timeout_ms: u64,
    /// After which the server ends a transaction that does nothing, milliseconds, default 10,000. Ours never wait,
    /// but a process may be stopped in the middle of one.
    pub idle_in_transaction_timeout_ms: u64,
    /// For how long a call is tried again while the database is away or busy, milliseconds, default 2,000; 0 tries
    /// once.
    pub retry_ms: u64,
    /// After which a connection is replaced, seconds, default 1,800: names may lead elsewhere in the meantime.
    pub lifetime_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10,
            connect_timeout_ms: 5_000,
            acquire_timeout_ms: 5_000,
            statement_timeout_ms: 10_000,
            lock_timeout_ms: 2_000,
            idle_in_transaction_timeout_ms: 10_000,
            retry_ms: 2_000,
            lifetime_seconds: 1_800,
        }
    }
}

impl Limits {
    /// Adds a line for every option that cannot be meant.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        const HOUR: u64 = 3_600_000;
        if !(1..=1_000).contains(&self.connections) {
            mistakes.push(format!(
                "{path}.connections = {}: must be between 1 and 1000",
                self.connections
            ));
        }
        for (name, least, value) in [
            ("connect_timeout_ms", 1, self.connect_timeout_ms),
            ("acquire_timeout_ms", 1, self.acquire_timeout_ms),
            ("statement_timeout_ms", 1, self.statement_timeout_ms),
            ("lock_timeout_ms", 1, self.lock_timeout_ms),
            (
                "idle_in_transaction_timeout_ms",
                1,
                self.idle_in_transaction_timeout_ms,
            ),
            ("retry_ms", 0, self.retry_ms),
        ] {
            if !(least..=HOUR).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {least} and {HOUR}"
                ));
            }
        }
        if self.lifetime_seconds == 0 {
            mistakes.push(format!("{path}.lifetime_seconds = 0: must be at least 1"));
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    /// When to give a statement up on this side: the server, if it is still there, has done so before.
    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms) + Duration::from_secs(2)
    }

    pub(crate) fn retry(&self) -> Duration {
        Duration::from_millis(self.retry_ms)
    }

    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_seconds)
    }
}

/// Reads a URL. What is wrong is said without the URL's text, which holds a password.
pub(crate) fn parse(text: &str) -> Result<PgConnectOptions, OpenError> {
    let wrong = |why: &str| OpenError::Url { why: why.to_owned() };
    if text
        .split(['/', '?'])
        .nth(2)
        .is_some_and(|authority| authority.contains(','))
    {
        return Err(wrong(
            "it names several hosts; use one name that leads to the primary",
        ));
    }
    let url: Url = text
        .parse()
        .map_err(|error: url::ParseError| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong("it does not start with postgres:// or postgresql://"));
    }
    for (name, value) in url.query_pairs() {
        if !PARAMETERS.contains(&&*name) {
            return Err(wrong(&format!("its parameter {name} is not known")));
        }
        if name == "host" && value.contains(',') {
            return Err(wrong(
                "it names several hosts; use one name that leads to the primary",
            ));
        }
    }
    let options: PgConnectOptions = text
        .parse()
        .map_err(|error: sqlx::Error| wrong(&error.to_string()))?;
    let name = options.get_application_name().unwrap_or("immune").to_owned();
    Ok(options
        .application_name(&name)
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
        error
    }

    /// Scenario: URLs that cannot be used, each with a password.
    /// Guarantees: the reason is said, the password is not.
    #[test]
    fn wrong_urls_are_refused_without_their_password() {
        assert!(why("mysql://u:s3cret@h/d").contains("postgres://"));
        assert!(why("postgres://u:s3cret@h1,h2/d").contains("several hosts"));
        assert!(why("postgres://u:s3cret@h1:1,h2:2/d").contains("several hosts"));
        assert!(why("postgres://u:s3cret@h/d?host=a,b").contains("several hosts"));
        assert!(why("postgres://u:s3cret@h/d?target_session_attrs=x").contains("target_session_attrs"));
        assert!(why("postgres://u:s3cret@h:port/d").contains("port"));
        assert!(why("postgres://u:s3cret@h/d?sslmode=maybe").contains("maybe"));
        let options = Options::new("postgres://u:s3cret@h/d");
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    /// Guarantees: what is written is what is used.
    #[test]
    fn urls_are_read() {
        let options = parse("postgres://u:p@db.example:6432/d?sslmode=disable").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 6432));
        assert_eq!(options.get_application_name(), Some("immune"));
    }

    /// Guarantees: limits that cannot be meant are named, and the default is none of them.
    #[test]
    fn absurd_limits_are_mistakes() {
        let mut mistakes = Vec::new();
        Limits::default().check("store", &mut mistakes);
        assert_eq!(mistakes, [] as [&str; 0]);
        let limits = Limits {
            connections: 0,
            lock_timeout_ms: 0,
            ..Limits::default()
        };
        limits.check("store", &mut mistakes);
        assert_eq!(
            mistakes,
            [
                "store.connections = 0: must be between 1 and 1000",
                "store.lock_timeout_ms = 0: must be between 1 and 3600000"
            ]
        );
    }
}
