//! Which platform has which agents, and how long we wait for it.

use crate::conversation::Pace;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The options of the lever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The platforms; the first that matches an agent is asked. Default none.
    pub bases: Vec<Base>,
    /// The platform of every agent that none of `bases` matches, a url as there. Default none: asks for such agents
    /// are unsupported.
    pub base_url: Option<String>,
    /// The token for `base_url`, sent as `Authorization: Bearer ...`; this or `token_file`.
    pub token: Option<Secret>,
    /// File whose first line is that token; read anew for each ask.
    pub token_file: Option<PathBuf>,
    /// The longest time for one ask, with retries, polling and verification; seconds, default 20.
    pub deadline_seconds: f64,
    /// The longest time for one request; seconds, default 5.
    pub request_seconds: f64,
    /// How often a request that may succeed later is repeated, with the same idempotency key; default 5.
    pub retries_max: u32,
    /// The wait before the first repetition, doubled each time; seconds, default 0.2.
    pub backoff_seconds: f64,
    /// The longest wait between two requests; seconds, default 3.
    pub backoff_seconds_max: f64,
    /// How long the platform's own view may disagree with its receipt before it counts as a lie; seconds, default 2.
    pub settle_seconds: f64,
    /// The largest answer that is read; bytes, default 65536.
    pub response_bytes_max: usize,
}

/// One platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Base {
    /// Runs that it serves; `*` stands for any run of characters, default `*`.
    pub run: String,
    /// Agents that it has; as above, default `*`.
    pub agent: String,
    /// Where it is: `http://`, `https://` (a path may follow), `grpc://host:port` or `grpcs://host:port`.
    pub url: String,
    /// Sent as `Authorization: Bearer ...`; this or `token_file`.
    pub token: Option<Secret>,
    /// File whose first line is the token; read anew for each ask, so that it may be rotated.
    pub token_file: Option<PathBuf>,
    /// Header that carries the token as it is, instead of `Authorization: Bearer`.
    pub header: Option<String>,
    /// PEM file of a certificate authority to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            bases: Vec::new(),
            base_url: None,
            token: None,
            token_file: None,
            deadline_seconds: 20.0,
            request_seconds: 5.0,
            retries_max: 5,
            backoff_seconds: 0.2,
            backoff_seconds_max: 3.0,
            settle_seconds: 2.0,
            response_bytes_max: 65_536,
        }
    }
}

impl Default for Base {
    fn default() -> Self {
        Base {
            run: "*".to_owned(),
            agent: "*".to_owned(),
            url: String::new(),
            token: None,
            token_file: None,
            header: None,
            ca_file: None,
        }
    }
}

/// The longest deadline that can be set: a case waits for its lever, seconds.
const DEADLINE_SECONDS_MAX: f64 = 600.0;
const RETRIES_MAX: u32 = 100;
const RESPONSE_BYTES: std::ops::RangeInclusive<usize> = 1_024..=16 * 1_024 * 1_024;

impl Config {
    /// One platform for everyone, without credentials.
    pub fn for_everyone(url: impl Into<String>) -> Self {
        Config {
            base_url: Some(url.into()),
            ..Config::default()
        }
    }

    /// Every platform in the order in which they are tried.
    pub fn platforms(&self) -> Vec<Base> {
        let general = self.base_url.as_ref().map(|url| Base {
            url: url.clone(),
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            ..Base::default()
        });
        self.bases.iter().cloned().chain(general).collect()
    }

    /// Adds what is wrong, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: f64, min: f64, max: f64| {
            if !(min..=max).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {min} and {max}"
                ));
            }
        };
        within(
            "deadline_seconds",
            self.deadline_seconds,
            0.05,
            DEADLINE_SECONDS_MAX,
        );
        within(
            "request_seconds",
            self.request_seconds,
            0.01,
            DEADLINE_SECONDS_MAX,
        );
        within("backoff_seconds", self.backoff_seconds, 0.001, 60.0);
        within(
            "backoff_seconds_max",
            self.backoff_seconds_max,
            self.backoff_seconds.clamp(0.001, 60.0),
            60.0,
        );
        within("settle_seconds", self.settle_seconds, 0.0, 60.0);
        if self.retries_max > RETRIES_MAX {
            mistakes.push(format!(
                "{path}.retries_max = {}: must be at most {RETRIES_MAX}",
                self.retries_max
            ));
        }
        if !RESPONSE_BYTES.contains(&self.response_bytes_max) {
            let (min, max) = (RESPONSE_BYTES.start(), RESPONSE_BYTES.end());
            mistakes.push(format!(
                "{path}.response_bytes_max = {}: must be between {min} and {max}",
                self.response_bytes_max
            ));
        }
        if self.base_url.is_none() && (self.token.is_some() || self.token_file.is_some()) {
            mistakes.push(format!("{path}: token and token_file need base_url"));
        }
        for (n, base) in self.platforms().iter().enumerate() {
            if n < self.bases.len() {
                let path = format!("{path}.bases[{n}]");
                base.check(&path, &format!("{path}.url"), mistakes);
            } else {
                base.check(path, &format!("{path}.base_url"), mistakes);
            }
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            deadline: Duration::from_secs_f64(self.deadline_seconds),
            request: Duration::from_secs_f64(self.request_seconds),
            settle: Duration::from_secs_f64(self.settle_seconds),
            backoff: Duration::from_secs_f64(self.backoff_seconds),
            backoff_max: Duration::from_secs_f64(self.backoff_seconds_max),
            retries_max: self.retries_max,
        }
    }
}

impl Base {
    pub(crate) fn is_grpc(&self) -> bool {
        self.url.starts_with("grpc://") || self.url.starts_with("grpcs://")
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.url.starts_with("https://") || self.url.starts_with("grpcs://")
    }

    fn check(&self, path: &str, url_path: &str, mistakes: &mut Vec<String>) {
        match Url::parse(&self.url) {
            // The text itself may hold a password, so it is not repeated.
            Err(e) => mistakes.push(format!("{url_path}: cannot be read: {e}")),
            Ok(url) => self.check_url(&url, url_path, mistakes),
        }
        if self.token.is_some() && self.token_file.is_some() {
            mistakes.push(format!("{path}: give token or token_file, not both"));
        }
        if self.header.is_some() && self.token.is_none() && self.token_file.is_none() {
            mistakes.push(format!("{path}.header: needs token or token_file"));
        }
        for (name, file) in [("token_file", &self.token_file), ("ca_file", &self.ca_file)] {
            let Some(file) = file else { continue };
            if let Err(e) = std::fs::metadata(file) {
                mistakes.push(format!("{path}.{name} = {}: cannot be read: {e}", file.display()));
            }
        }
        if self.ca_file.is_some() && !self.is_tls() {
            mistakes.push(format!("{path}.ca_file: needs an https:// or grpcs:// url"));
        }
    }

    fn check_url(&self, url: &Url, path: &str, mistakes: &mut Vec<String>) {
        if !["http", "https", "grpc", "grpcs"].contains(&url.scheme()) {
            let scheme = url.scheme();
            mistakes.push(format!(
                "{path}: {scheme}:// is not one of http, https, grpc, grpcs"
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            mistakes.push(format!("{path}: holds credentials; use token or token_file"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            mistakes.push(format!("{path}: names no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            mistakes.push(format!("{path}: must end with its path"));
        }
        if self.is_grpc() && !matches!(url.path(), "" | "/") {
            mistakes.push(format!(
                "{path}: gRPC has no path, but this one has {}",
                url.path()
            ));
        }
        if self.is_grpc() && url.port().is_none() {
            mistakes.push(format!("{path}: needs a port"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(base: Base) -> Vec<String> {
        let mut mistakes = Vec::new();
        Config {
            bases: vec![base],
            ..Config::default()
        }
        .check("levers.lifecycle", &mut mistakes);
        mistakes
    }

    /// Guarantees: the four forms of a url are right, and what cannot work is named with its path.
    #[test]
    fn urls_are_checked() {
        for url in ["http://p:1/api", "https://p", "grpc://p:1", "grpcs://[::1]:443"] {
            let base = Base {
                url: url.to_owned(),
                ..Base::default()
            };
            assert_eq!(mistakes(base), Vec::<String>::new(), "{url}");
        }
        for url in [
            "",
            "p:1",
            "ftp://p",
            "http://p/?a=b",
            "grpc://p:1/path",
            "grpc://p",
        ] {
            let base = Base {
                url: url.to_owned(),
                ..Base::default()
            };
            let mistakes = mistakes(base);
            assert!(
                mistakes
                    .iter()
                    .any(|m| m.starts_with("levers.lifecycle.bases[0].url: ")),
                "{url}: {mistakes:?}"
            );
        }
    }

    /// Guarantees: a platform for everyone is a platform like the others, and the last one that is tried.
    #[test]
    fn the_general_platform_counts() {
        assert!(Config::default().platforms().is_empty());
        let mut config = Config::for_everyone("http://everyone");
        config.bases.push(Base {
            url: "http://some".to_owned(),
            ..Base::default()
        });
        let urls: Vec<String> = config.platforms().into_iter().map(|base| base.url).collect();
        assert_eq!(urls, ["http://some", "http://everyone"]);
    }

    /// Guarantees: credentials in a url are refused and not repeated, and a secret prints as stars.
    #[test]
    fn credentials_are_not_printed() {
        let base = Base {
            url: "http://me:hunter2@p".to_owned(),
            ..Base::default()
        };
        let said = format!("{:?}", mistakes(base));
        assert!(
            said.contains("credentials") && !said.contains("hunter2"),
            "{said}"
        );
        let base = Base {
            token: Some(Secret::new("hunter2")),
            ..Base::default()
        };
        let said = format!("{base:?} {}", serde_json::to_string(&base).unwrap());
        assert!(!said.contains("hunter2"), "{said}");
    }

    /// Guarantees: two sources of one secret, a file that is not there, and unknown keys are mistakes.
    #[test]
    fn other_mistakes() {
        let base = Base {
            url: "http://p".to_owned(),
            token: Some(Secret::new("a")),
            token_file: Some("no/such/file".into()),
            ..Base::default()
        };
        assert_eq!(mistakes(base).len(), 2);
        assert!(serde_json::from_str::<Config>(r#"{"base": []}"#).is_err());
        let mut found = Vec::new();
        Config::for_everyone("p:1").check("l", &mut found);
        assert!(found[0].starts_with("l.base_url: "), "{found:?}");
        let mut found = Vec::new();
        Config {
            deadline_seconds: f64::NAN,
            ..Config::default()
        }
        .check("l", &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
