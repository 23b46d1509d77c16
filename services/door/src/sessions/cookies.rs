//! The cookies that we set and read (RFC 6265bis).

use axum::http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// The longest cookie that is looked at, bytes.
const COOKIE_BYTES_MAX: usize = 4_096;
/// How many cookies of one name are tried: on plain HTTP another program on the same host may have set one, too.
const SAME_NAME_MAX: usize = 4;

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session.
    Session,
    /// The login that is under way.
    Login,
}

/// How cookies are named and set, which depends on whether browsers reach us over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookies {
    pub is_secure: bool,
}

impl Cookies {
    /// Names with `__Host-` are accepted by browsers only from this very host, over TLS, for every path: neither a
    /// neighbouring subdomain nor plain HTTP can plant one.
    pub fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.is_secure) {
            (Cookie::Session, true) => "__Host-immune",
            (Cookie::Session, false) => "immune",
            (Cookie::Login, true) => "__Host-immune-login",
            (Cookie::Login, false) => "immune-login",
        }
    }

    /// A `Set-Cookie`. `Lax`: other sites' forms and scripts do not send it, links from mails and chats do.
    pub fn set(self, cookie: Cookie, value: &str, lasts: Duration) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.name(cookie),
            lasts.as_secs()
        );
        let mut value = HeaderValue::from_str(&text).expect("values are base64url text and a dot");
        value.set_sensitive(true);
        value
    }

    /// A `Set-Cookie` that removes it.
    pub fn remove(self, cookie: Cookie) -> HeaderValue {
        self.set(cookie, "", Duration::ZERO)
    }

    /// The values that a request sends under the name.
    pub fn read(self, cookie: Cookie, headers: &HeaderMap) -> Vec<&str> {
        let name = self.name(cookie);
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(given, value)| *given == name && !value.is_empty() && value.len() <= COOKIE_BYTES_MAX)
            .map(|(_, value)| value)
            .take(SAME_NAME_MAX)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: over TLS the cookie is bound to the host and to TLS; on loopback it is not, or it would be lost.
    #[test]
    fn attributes() {
        let tls = Cookies { is_secure: true }.set(Cookie::Session, "a.b", Duration::from_secs(60));
        assert_eq!(
            tls.to_str().unwrap(),
            "__Host-immune=a.b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let plain = Cookies { is_secure: false }.remove(Cookie::Login);
        assert_eq!(
            plain.to_str().unwrap(),
            "immune-login=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    /// Scenario: several headers, other cookies, one of a similar name, and very many of ours.
    /// Guarantees: ours are found, and no more than a few.
    #[test]
    fn ours_are_found_among_others() {
        let cookies = Cookies { is_secure: false };
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            "a=1; immune=x.y;immune-login=q; ximmune=z".parse().unwrap(),
        );
        headers.append(header::COOKIE, "immune=second=part; immune=".parse().unwrap());
        assert_eq!(cookies.read(Cookie::Session, &headers), ["x.y", "second=part"]);
        assert_eq!(cookies.read(Cookie::Login, &headers), ["q"]);
        headers.append(header::COOKIE, "immune=n; ".repeat(100).parse().unwrap());
        assert_eq!(cookies.read(Cookie::Session, &headers).len(), SAME_NAME_MAX);
    }
}
