//! Where a request comes from, as far as limits need to know.

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest chain of forwarded addresses that is read.
const HOPS_MAX: usize = 16;

/// What counts as one place: an IPv4 address, or the /64 of an IPv6 address, which one household or host has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// Where nothing is known; all of it is one place.
    pub const UNKNOWN: Address = Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Address(match ip.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// A range of addresses, as `10.0.0.0/8`, `2001:db8::/32` or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_one = || format!("{text:?} is no address and no range, such as 10.0.0.0/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base = IpAddr::from_str(base).map_err(|_| not_one())?.to_canonical();
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(not_one)?,
        };
        Ok(Network { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The address of a request. `X-Forwarded-For` is read only from a trusted proxy, from its end: each proxy appends who
/// it was called by, so the last one that is no trusted proxy is the one that our proxies have seen; what stands
/// before it anybody may have written.
pub(crate) fn of(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[Network]) -> Address {
    let Some(mut seen) = peer else {
        return Address::UNKNOWN;
    };
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
    if !is_trusted(seen) {
        return seen.into();
    }
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        let Some(ip) = parsed(hop.trim()) else { break };
        seen = ip;
        if !is_trusted(ip) {
            break;
        }
    }
    seen.into()
}

/// An address, with or without a port.
fn parsed(hop: &str) -> Option<IpAddr> {
    if let Ok(ip) = hop.parse() {
        return Some(ip);
    }
    if let Ok(address) = hop.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Address {
        ip.parse::<IpAddr>().unwrap().into()
    }

    /// Guarantees: one IPv6 host cannot pass for many, one IPv4 host has one name, neighbours are apart.
    #[test]
    fn a_place_is_one_host() {
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2:ffff::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:10.1.2.3"), at("10.1.2.3"));
        assert_ne!(at("10.1.2.3"), at("10.1.2.4"));
    }

    /// Scenario: forwarded addresses from a stranger, from a trusted proxy, through two of them, and made up in front.
    /// Guarantees: only what our own proxies have seen counts.
    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|n| n.parse().unwrap()).collect();
        let said = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            of(Some(peer.parse().unwrap()), &headers, &trusted)
        };
        assert_eq!(said("192.0.2.1", &["198.51.100.7"]), at("192.0.2.1"));
        assert_eq!(said("10.0.0.1", &["198.51.100.7"]), at("198.51.100.7"));
        assert_eq!(said("::1", &["198.51.100.7:4711"]), at("198.51.100.7"));
        assert_eq!(
            said("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]),
            at("198.51.100.7")
        );
        assert_eq!(said("10.0.0.1", &["1.1.1.1", "198.51.100.7"]), at("198.51.100.7"));
        assert_eq!(said("10.0.0.1", &["[2001:db8::1]"]), at("2001:db8::1"));
        for nothing in [&[][..], &["unknown"], &["198.51.100.7, _hidden"], &[""]] {
            assert_eq!(said("10.0.0.1", nothing), at("10.0.0.1"), "{nothing:?}");
        }
        assert_eq!(of(None, &HeaderMap::new(), &trusted), Address::UNKNOWN);
    }

    /// Guarantees: ranges are read as they print, and what is no range is refused.
    #[test]
    fn ranges_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "proxy", "::1/129", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
    }
}
