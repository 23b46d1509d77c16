//! Browsers: a page of another site must not use this machine's or a person's place at the door.
//!
//! An open loopback listener trusts whoever reaches it, and a browser on this machine can be made to reach it: by a
//! name of another site that resolves to 127.0.0.1 (then the `Host` is foreign), or by a form or script of another
//! site that sends a write (then the `Origin` is foreign). Reads across sites are held back by the browser itself,
//! since no answer carries CORS headers.

use super::{forbidden, is_write};
use crate::app::App;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use immune_runtime::http::problem::Problem;
use std::net::IpAddr;

/// What shows that a browser acts for another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// The name under which this server was reached.
    Host,
    /// The page that sends the request.
    Origin,
}

impl Foreign {
    /// Name in metrics and in the action log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Foreign::Host => "host",
            Foreign::Origin => "origin",
        }
    }

    pub fn problem(self) -> Problem {
        let detail = match self {
            Foreign::Host => {
                "the Host of this request is not a name of this server; add it to dashboard.allowed_hosts"
            }
            Foreign::Origin => {
                "a page of another site may not write here; add its origin to dashboard.allowed_origins"
            }
        };
        forbidden(&format!("access.{}", self.as_str()), detail.to_owned())
    }
}

/// Refuses requests that a browser sends for another site.
pub(crate) fn check(app: &App, request: &Request) -> Result<(), Foreign> {
    let host = authority(request);
    // Where callers are told apart, a foreign name opens nothing: no browser has our cookie under it.
    let is_ours = !app.door.is_open()
        || host
            .as_deref()
            .is_some_and(|host| is_local(host, &app.config.allowed_hosts));
    if !is_ours {
        return Err(Foreign::Host);
    }
    let mut allowed = app.config.allowed_origins.clone();
    allowed.extend(app.door.external_origin().map(str::to_owned));
    if is_write(request.method()) && is_cross_site(request.headers(), host.as_deref(), &allowed) {
        return Err(Foreign::Origin);
    }
    Ok(())
}

/// Host and port that the request names.
fn authority(request: &Request) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.to_string());
    }
    Some(request.headers().get(header::HOST)?.to_str().ok()?.to_owned())
}

/// Whether an authority names this machine, or is allowed by configuration.
fn is_local(authority: &str, allowed: &[String]) -> bool {
    let name = without_port(authority);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || allowed.iter().any(|host| host.eq_ignore_ascii_case(name))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => authority,
    }
}

/// Whether a browser says that a page of another origin sends this. Programs say nothing.
fn is_cross_site(headers: &HeaderMap, host: Option<&str>, allowed: &[String]) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let Ok(origin) = origin.to_str() else { return true };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let is_same = authority.is_some()
            && authority.map(str::to_ascii_lowercase) == host.map(str::to_ascii_lowercase);
        return !is_same && !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    }
    match headers.get("sec-fetch-site") {
        None => false,
        Some(site) => site != "same-origin" && site != "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: only names of this machine are ours, whatever tricks the text plays.
    #[test]
    fn names_of_this_machine() {
        for ours in [
            "localhost",
            "LOCALHOST:8090",
            "127.0.0.1:8090",
            "127.9.9.9",
            "[::1]:8090",
            "[::1]",
        ] {
            assert!(is_local(ours, &[]), "{ours}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example:8090",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "a:b:80",
            "evil@localhost",
        ];
        for foreign in foreign {
            assert!(!is_local(foreign, &[]), "{foreign}");
        }
        assert!(is_local("immune.internal:80", &["immune.internal".to_owned()]));
    }

    /// Guarantees: another site's page cannot write; our own page and programs can.
    #[test]
    fn writes_across_sites() {
        let headers = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        let host = Some("127.0.0.1:8090");
        assert!(!is_cross_site(&HeaderMap::new(), host, &[]));
        assert!(!is_cross_site(
            &headers("origin", "http://127.0.0.1:8090"),
            host,
            &[]
        ));
        for foreign in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:3000",
            "http://127.0.0.1:8090.evil.example",
        ] {
            assert!(is_cross_site(&headers("origin", foreign), host, &[]), "{foreign}");
        }
        let allowed = ["http://127.0.0.1:3000".to_owned()];
        assert!(!is_cross_site(
            &headers("origin", "http://127.0.0.1:3000"),
            host,
            &allowed
        ));
        assert!(is_cross_site(&headers("sec-fetch-site", "cross-site"), host, &[]));
        assert!(is_cross_site(&headers("sec-fetch-site", "same-site"), host, &[]));
        assert!(!is_cross_site(
            &headers("sec-fetch-site", "same-origin"),
            host,
            &[]
        ));
    }
}
