//! Options of OpenID Connect: `access.oidc`.

use immune_runtime::access::Role;
use immune_runtime::config::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Login with an OpenID provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The provider, as it names itself: `https://...`; `http://` only on this machine. Its description is read from
    /// `/.well-known/openid-configuration` below it.
    pub issuer: String,
    /// As whom we are registered there, for the code flow, with `EXTERNAL_URL/auth/callback` as redirect.
    pub client_id: String,
    /// What proves it; or `client_secret_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// File whose first line is the secret; or `client_secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers reach us: `https://immune.example.com`, without a path; `http://` only on this machine. Over
    /// `https` cookies are `Secure` and bound to the host, also when a proxy in front ends TLS.
    pub external_url: String,
    /// What the login page calls the provider, default `single sign-on`.
    pub name: String,
    /// What is asked for, default `openid profile email`; some providers want one more for groups.
    pub scopes: Vec<String>,
    /// Claim with the person's groups, in the ID token or else from userinfo, default `groups`. A dot leads into an
    /// object: `realm_access.roles`.
    pub groups_claim: String,
    /// Claim that names a person in the action log and to policies, default `email`. An email counts only when the
    /// provider says that it is verified, and is written in lower case; without it the name is `sub`.
    pub subject_claim: String,
    /// Which groups may do what. Of several the highest role counts, and the runs of its groups. Nobody else gets in.
    pub roles: Vec<Grant>,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Longest time for one answer of the provider, seconds, default 10.
    pub request_seconds: u64,
}

/// What members of a group may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The group, exactly as the provider writes it.
    pub group: String,
    /// `viewer`, `operator` or `admin`.
    pub role: Role,
    /// Runs that they are bound to; empty means all.
    #[serde(default)]
    pub runs: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            external_url: String::new(),
            name: "single sign-on".to_owned(),
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            groups_claim: "groups".to_owned(),
            subject_claim: "email".to_owned(),
            roles: Vec::new(),
            ca_file: None,
            request_seconds: 10,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if let Err(problem) = endpoint(&self.issuer) {
            mistakes.push(format!("{path}.issuer = {:?}: {problem}", self.issuer));
        }
        if let Err(problem) = self.external() {
            mistakes.push(format!(
                "{path}.external_url = {:?}: {problem}",
                self.external_url
            ));
        }
        if self.client_id.is_empty() {
            mistakes.push(format!("{path}.client_id: is missing"));
        }
        self.secret(path, mistakes);
        if !self.scopes.iter().any(|scope| scope == "openid") {
            mistakes.push(format!("{path}.scopes: must contain openid"));
        }
        if self.scopes.iter().any(|scope| !is_scope(scope)) {
            mistakes.push(format!(
                "{path}.scopes = {:?}: each must be one word",
                self.scopes
            ));
        }
        for (name, claim) in [
            ("groups_claim", &self.groups_claim),
            ("subject_claim", &self.subject_claim),
        ] {
            if claim.is_empty() {
                mistakes.push(format!("{path}.{name}: is empty"));
            }
        }
        if self.roles.is_empty() {
            mistakes.push(format!("{path}.roles: is empty, so nobody could come in"));
        }
        for (i, grant) in self.roles.iter().enumerate() {
            if grant.group.is_empty() {
                mistakes.push(format!("{path}.roles[{i}].group: is empty"));
            }
            if grant.role == Role::Ingest {
                mistakes.push(format!(
                    "{path}.roles[{i}] ({}).role = ingest: is for keys of programs",
                    grant.group
                ));
            }
        }
        if !(1..=30).contains(&self.request_seconds) {
            mistakes.push(format!(
                "{path}.request_seconds = {}: must be between 1 and 30",
                self.request_seconds
            ));
        }
    }

    /// The client secret; `None` after adding a mistake.
    pub(crate) fn secret(&self, path: &str, mistakes: &mut Vec<String>) -> Option<Secret> {
        let (value, file) = (self.client_secret.as_ref(), self.client_secret_file.as_deref());
        let secret = Secret::resolve(path, "client_secret", value, file, mistakes)?;
        if secret.expose().is_empty() {
            mistakes.push(format!("{path}.client_secret: is empty"));
            return None;
        }
        Some(secret)
    }

    /// Where browsers reach us.
    pub(crate) fn external(&self) -> Result<Url, &'static str> {
        let url = endpoint(&self.external_url)?;
        match url.path() {
            "/" => Ok(url),
            _ => Err("must have no path"),
        }
    }

    /// Whether browsers reach us over TLS.
    pub fn is_external_tls(&self) -> bool {
        self.external().is_ok_and(|url| url.scheme() == "https")
    }

    /// The origin of our pages, as browsers name it.
    pub fn origin(&self) -> Option<String> {
        Some(self.external().ok()?.origin().ascii_serialization())
    }

    pub(crate) fn request_max(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
}

/// A URL that secrets may be sent to: TLS, or this machine.
pub(crate) fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    let is_ours = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        _ => false,
    };
    if !is_ours {
        return Err("must be https://, or http:// on a loopback address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a login");
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err("must have neither query nor fragment");
    }
    Ok(url)
}

/// Whether a URL leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        Config {
            issuer: "https://id.example.com/realms/main".to_owned(),
            client_id: "immune".to_owned(),
            client_secret: Some(Secret::new("not told")),
            external_url: "https://immune.example.com".to_owned(),
            roles: vec![Grant {
                group: "sre".to_owned(),
                role: Role::Operator,
                runs: Vec::new(),
            }],
            ..Config::default()
        }
    }

    fn mistakes(config: &Config) -> Vec<String> {
        let mut mistakes = Vec::new();
        config.check("access.oidc", &mut mistakes);
        mistakes
    }

    /// Guarantees: a complete configuration has no mistakes, and nothing of it prints the secret.
    #[test]
    fn a_good_one() {
        assert_eq!(mistakes(&good()), Vec::<String>::new());
        let shown = format!("{:?} {}", good(), serde_json::to_string(&good()).unwrap());
        assert!(!shown.contains("not told"), "{shown}");
        assert_eq!(good().origin().unwrap(), "https://immune.example.com");
    }

    /// Guarantees: an empty section and one full of mistakes name every one of them.
    #[test]
    fn every_mistake_at_once() {
        assert_eq!(
            mistakes(&Config::default()).len(),
            5,
            "{:?}",
            mistakes(&Config::default())
        );
        let mut config = good();
        config.issuer = "http://id.example.com".to_owned();
        config.external_url = "https://immune.example.com/app".to_owned();
        config.client_secret_file = Some("also".into());
        config.scopes = vec!["a b".to_owned()];
        config.groups_claim = String::new();
        config.roles[0].role = Role::Ingest;
        config.request_seconds = 0;
        let mistakes = mistakes(&config);
        assert_eq!(mistakes.len(), 8, "{mistakes:?}");
        assert!(!mistakes.concat().contains("not told"));
    }

    /// Guarantees: only TLS and this machine are sent secrets.
    #[test]
    fn where_secrets_may_go() {
        for good in [
            "https://id.example.com",
            "http://127.0.0.1:9000/",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example.com",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "https://me@id.example.com",
            "https://id.example.com/?a=b",
            "https://id.example.com/#a",
            "id.example.com",
            "",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
