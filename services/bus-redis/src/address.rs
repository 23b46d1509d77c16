//! URLs of Redis, its clusters and its sentinels.

use percent_encoding::percent_decode_str;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use std::fmt;
use std::str::FromStr;

/// Where Redis is.
///
/// - `redis://[user:password@]host[:6379][/database]`: one server;
/// - `redis+cluster://[user:password@]host[:6379],host...`: a Redis Cluster, by some of its nodes;
/// - `redis+sentinel://[user:password@]host[:26379],host.../service[/database]`: the primary that the sentinels name.
///   User and password are those of the server; the sentinels' own go into the query:
///   `?sentinel_user=u&sentinel_password=p`.
///
/// With `rediss` in the place of `redis` all connections are TLS. Special characters of user and password are
/// percent-encoded. Prints without passwords.
#[derive(Clone)]
pub struct Address {
    pub(crate) kind: Kind,
    pub(crate) hosts: Vec<Host>,
    pub(crate) is_tls: bool,
    pub(crate) login: Login,
}

/// What the hosts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    One {
        database: i64,
    },
    Cluster,
    Sentinel {
        service: String,
        database: i64,
        login: Login,
    },
}

/// One host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// Who this process says it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        write!(f, "{:?}:{password:?}", self.user)
    }
}

/// A text that is no address of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme.
    #[error(
        "not an address of redis: must begin with redis:, rediss:, redis+cluster: or redis+sentinel:, each with //"
    )]
    Scheme,
    /// No host, or one that is none.
    #[error("{host:?} is not a host with an optional port")]
    Host {
        /// The part in question.
        host: String,
    },
    /// Several hosts without saying what they are.
    #[error("several hosts need redis+cluster or redis+sentinel")]
    Several,
    /// A sentinel address without service.
    #[error("an address of sentinels needs the service's name as its path")]
    Service,
    /// A path that is no database.
    #[error("{path:?} is not a database: a number from 0")]
    Database {
        /// The part in question.
        path: String,
    },
    /// A query key that is not known.
    #[error("{key:?} is not known in the query of an address of redis")]
    Query {
        /// Which.
        key: String,
    },
}

impl AddressError {
    /// A mistake of who configured it.
    pub fn kind(&self) -> immune_domain::ErrorKind {
        immune_domain::ErrorKind::Invalid
    }
}

impl Address {
    /// Whether streams live on several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        match self.kind {
            Kind::Cluster => true,
            Kind::One { .. } | Kind::Sentinel { .. } => false,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Login::parse(login), hosts),
            None => (Login::default(), authority),
        };
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Scheme),
        };
        let port = if form == "sentinel" { 26_379 } else { 6_379 };
        let hosts: Vec<Host> = hosts
            .split(',')
            .map(|host| Host::parse(host, port))
            .collect::<Result<_, _>>()?;
        let mut sentinel = Login::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (form, key) {
                ("sentinel", "sentinel_user") => sentinel.user = Some(decoded(value)),
                ("sentinel", "sentinel_password") => sentinel.password = Some(decoded(value)),
                _ => return Err(AddressError::Query { key: key.to_owned() }),
            }
        }
        let kind = match form {
            "" if hosts.len() > 1 => return Err(AddressError::Several),
            "" => Kind::One {
                database: database(path)?,
            },
            "cluster" if matches!(path, "" | "0") => Kind::Cluster,
            "cluster" => {
                return Err(AddressError::Database {
                    path: path.to_owned(),
                });
            }
            "sentinel" => {
                let (service, path) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err(AddressError::Service);
                }
                Kind::Sentinel {
                    service: decoded(service),
                    database: database(path)?,
                    login: sentinel,
                }
            }
            _ => return Err(AddressError::Scheme),
        };
        Ok(Address {
            kind,
            hosts,
            is_tls,
            login,
        })
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn database(path: &str) -> Result<i64, AddressError> {
    let number = if path.is_empty() { "0" } else { path };
    number
        .parse::<u16>()
        .map(i64::from)
        .map_err(|_| AddressError::Database {
            path: path.to_owned(),
        })
}

impl Login {
    fn parse(text: &str) -> Self {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password))),
            None => (text, None),
        };
        Login {
            user: (!user.is_empty()).then(|| decoded(user)),
            password,
        }
    }

    /// What a server is told at the beginning of a connection.
    pub(crate) fn settings(&self, database: i64) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default().set_db(database);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl Host {
    fn parse(text: &str, default_port: u16) -> Result<Self, AddressError> {
        let wrong = || AddressError::Host {
            host: text.to_owned(),
        };
        // An IPv6 address is in brackets (RFC 3986, 3.2.2); the colon of its port comes after them.
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().map_err(|_| wrong())?),
            _ => (text, default_port),
        };
        let name = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if name.is_empty() || !name.chars().all(is_host) || port == 0 {
            return Err(wrong());
        }
        Ok(Host {
            name: name.to_owned(),
            port,
        })
    }

    /// The connection to it.
    pub(crate) fn info(
        &self,
        is_tls: bool,
        settings: RedisConnectionInfo,
    ) -> Result<ConnectionInfo, redis::RedisError> {
        let scheme = if is_tls { "rediss" } else { "redis" };
        let url = format!("{scheme}://{self}/");
        Ok(url.into_connection_info()?.set_redis_settings(settings))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        let hosts = hosts.join(",");
        match &self.kind {
            Kind::One { database } => write!(f, "{scheme}://{hosts}/{database}"),
            Kind::Cluster => write!(f, "{scheme}+cluster://{hosts}"),
            Kind::Sentinel {
                service, database, ..
            } => {
                write!(f, "{scheme}+sentinel://{hosts}/{service}/{database}")
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Result<String, String> {
        url.parse::<Address>()
            .map(|address| address.to_string())
            .map_err(|error| error.to_string())
    }

    /// Guarantees: every form is understood, ports and databases have their defaults, and passwords are not printed.
    #[test]
    fn forms() {
        for (url, expected) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("rediss://u:p%40ss@r.example:1/3", "rediss://r.example:1/3"),
            ("redis://[::1]/", "redis://[::1]:6379/0"),
            ("redis+cluster://:p@a,b:7000", "redis+cluster://a:6379,b:7000"),
            ("rediss+cluster://a/", "rediss+cluster://a:6379"),
            (
                "redis+sentinel://u:p@a:1,[::2]/main/2?sentinel_password=q",
                "redis+sentinel://a:1,[::2]:26379/main/2",
            ),
        ] {
            assert_eq!(shown(url).as_deref(), Ok(expected));
        }
        let address: Address = "redis://us%3Aer:p%40%2Fss@h".parse().unwrap();
        assert_eq!(address.login.user.as_deref(), Some("us:er"));
        assert_eq!(address.login.password.as_deref(), Some("p@/ss"));
        assert!(!format!("{address:?} {:?}", address.login).contains("p@"));
    }

    /// Guarantees: what is no address is refused, and says which part is wrong.
    #[test]
    fn refusals() {
        for (url, part) in [
            ("http://h", "must begin with"),
            ("redis+other://h", "must begin with"),
            ("h:6379", "must begin with"),
            ("redis://", "\"\" is not a host"),
            ("redis://h:port", "\"h:port\" is not a host"),
            ("redis://a,b", "several hosts"),
            ("redis://h/x", "\"x\" is not a database"),
            ("redis+cluster://h/1", "\"1\" is not a database"),
            ("redis+sentinel://h", "needs the service"),
            ("redis://h?tls=no", "\"tls\" is not known"),
        ] {
            let error = shown(url).expect_err(url);
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
