//! Where the replicas of a role are said to be.

use crate::access::RoleName;
use std::fmt;

/// The longest list, so that a slip in a configuration does not become a scan of the network.
const PLACES_MAX: usize = 64;

/// A role and the names of its replicas: `immune-sentinel:50053`, or several of `host:port` with commas between.
/// Every address behind a name is a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) role: RoleName,
    pub(super) places: Vec<Place>,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Name or address; IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing in it.
    #[error("names no host")]
    Empty,
    /// Too many.
    #[error("has {0} hosts, at most {PLACES_MAX} are allowed")]
    TooMany(usize),
    /// A part that is no `host:port`.
    #[error("{0:?} is not host:port")]
    NotAPlace(String),
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// With the part that is wrong.
    pub fn parse(role: RoleName, text: &str) -> Result<Self, TargetError> {
        let places = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Place::parse(part).ok_or_else(|| TargetError::NotAPlace(part.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        match places.len() {
            0 => Err(TargetError::Empty),
            count if count > PLACES_MAX => Err(TargetError::TooMany(count)),
            _ => Ok(Target { role, places }),
        }
    }

    /// The role.
    pub fn role(&self) -> RoleName {
        self.role
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(host) => {
                let host = host.strip_suffix(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                host
            }
            None => host,
        };
        let is_name = |host: &str| {
            !host.is_empty()
                && host.len() <= 253
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let is_host = text.starts_with('[') || is_name(host);
        is_host.then(|| Place {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        f.write_str(&places.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: names, addresses and lists are read and print as they were; anything else names the wrong part.
    #[test]
    fn targets_are_read() {
        let parse = |text| Target::parse(RoleName::Sentinel, text);
        for text in [
            "immune-sentinel:50053",
            "sentinel.immune.svc.cluster.local:1",
            "127.0.0.1:1,127.0.0.1:2",
            "[::1]:50053,host_a:7",
        ] {
            assert_eq!(parse(text).map(|t| t.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(parse(" a:1 , b:2, ").unwrap().to_string(), "a:1,b:2");
        assert_eq!(parse(" , "), Err(TargetError::Empty));
        for part in [
            "a",
            "a:",
            "a:0",
            "a:65536",
            ":1",
            "::1:5",
            "[x]:1",
            "http://a:1",
            "a b:1",
        ] {
            assert_eq!(
                parse(part),
                Err(TargetError::NotAPlace(part.to_owned())),
                "{part}"
            );
        }
        let many = vec!["a:1"; 65].join(",");
        assert_eq!(parse(&many), Err(TargetError::TooMany(65)));
    }
}
