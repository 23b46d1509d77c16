//! What a provider says of itself (OpenID Connect Discovery 1.0, section 3).

use super::config::{Config, endpoint};
use super::error::OidcError;
use super::jws::ALGORITHMS;
use serde::Deserialize;
use url::Url;

/// The document, as far as it concerns us.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// A provider whose description was checked.
#[derive(Debug)]
pub(crate) struct Description {
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
    pub userinfo: Option<Url>,
    pub end_session: Option<Url>,
    /// Whether the secret goes into the form instead of a header.
    pub secret_in_form: bool,
    /// Whether every callback names the provider.
    pub names_itself: bool,
}

/// Where the description is.
pub(crate) fn address(config: &Config) -> Result<Url, OidcError> {
    let address = format!(
        "{}/.well-known/openid-configuration",
        config.issuer.trim_end_matches('/')
    );
    Url::parse(&address).map_err(|error| OidcError::Described(format!("issuer: {error}")))
}

/// Checks a description.
pub(crate) fn read(config: &Config, document: serde_json::Value) -> Result<Description, OidcError> {
    let wrong = |problem: String| OidcError::Described(problem);
    let document: Document = serde_json::from_value(document).map_err(|error| wrong(error.to_string()))?;
    if document.issuer != config.issuer {
        return Err(wrong(format!(
            "it is of {:?}, and access.oidc.issuer is {:?}; both must be the same to the letter",
            document.issuer, config.issuer
        )));
    }
    let is_tls = config.issuer.starts_with("https:");
    let checked = |name: &str, text: &str| -> Result<Url, OidcError> {
        // Endpoints may have a query.
        let mut bare = Url::parse(text).map_err(|error| wrong(format!("{name}: {error}")))?;
        let url = bare.clone();
        bare.set_query(None);
        endpoint(bare.as_str()).map_err(|problem| wrong(format!("{name} {problem}")))?;
        if is_tls && url.scheme() != "https" {
            return Err(wrong(format!("{name} is not https")));
        }
        Ok(url)
    };
    let optional = |name: &str, text: &Option<String>| -> Result<Option<Url>, OidcError> {
        text.as_deref().map(|text| checked(name, text)).transpose()
    };
    let algorithms = &document.id_token_signing_alg_values_supported;
    if !algorithms.iter().any(|name| ALGORITHMS.contains(&name.as_str())) {
        return Err(wrong(format!(
            "it signs with {algorithms:?}, and we read {ALGORITHMS:?}"
        )));
    }
    if let Some(methods) = &document.code_challenge_methods_supported
        && !methods.iter().any(|method| method == "S256")
    {
        return Err(wrong(format!(
            "its code challenges are {methods:?}, and ours is S256"
        )));
    }
    let has = |method: &str| {
        document
            .token_endpoint_auth_methods_supported
            .as_ref()
            .is_some_and(|methods| methods.iter().any(|m| m == method))
    };
    Ok(Description {
        authorization: checked("authorization_endpoint", &document.authorization_endpoint)?,
        token: checked("token_endpoint", &document.token_endpoint)?,
        keys: checked("jwks_uri", &document.jwks_uri)?,
        userinfo: optional("userinfo_endpoint", &document.userinfo_endpoint)?,
        end_session: optional("end_session_endpoint", &document.end_session_endpoint)?,
        // Without a word about it, a provider takes the header.
        secret_in_form: !has("client_secret_basic") && has("client_secret_post"),
        names_itself: document.authorization_response_iss_parameter_supported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config() -> Config {
        Config {
            issuer: "https://id.example.com/main".to_owned(),
            ..Config::default()
        }
    }

    fn document() -> Value {
        json!({
            "issuer": "https://id.example.com/main",
            "authorization_endpoint": "https://id.example.com/main/auth?tenant=1",
            "token_endpoint": "https://id.example.com/main/token",
            "jwks_uri": "https://id.example.com/main/keys",
            "id_token_signing_alg_values_supported": ["RS256", "none"],
        })
    }

    /// Guarantees: a plain description is read; the secret goes into the header unless only the form is taken.
    #[test]
    fn a_good_one() {
        let read = read(&config(), document()).unwrap();
        assert_eq!(read.authorization.query(), Some("tenant=1"));
        assert!(!read.secret_in_form && read.end_session.is_none());
        let mut post = document();
        post["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        assert!(super::read(&config(), post).unwrap().secret_in_form);
        let well_known = address(&config()).unwrap();
        assert_eq!(
            well_known.as_str(),
            "https://id.example.com/main/.well-known/openid-configuration"
        );
    }

    /// Scenario: another issuer, endpoints without TLS, no algorithm or challenge that we know, a missing endpoint.
    /// Guarantees: none of them is used.
    #[test]
    fn wrong_ones() {
        for (name, value) in [
            ("issuer", json!("https://id.example.com/main/")),
            ("issuer", json!("https://evil.example.com")),
            ("token_endpoint", json!("http://id.example.com/main/token")),
            ("token_endpoint", json!("http://127.0.0.1/main/token")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("userinfo_endpoint", json!("https://me:pw@id.example.com/")),
            ("authorization_endpoint", Value::Null),
            ("id_token_signing_alg_values_supported", json!(["HS256", "none"])),
            ("code_challenge_methods_supported", json!(["plain"])),
        ] {
            let mut document = document();
            document[name] = value.clone();
            let read = read(&config(), document);
            assert!(matches!(read, Err(OidcError::Described(_))), "{name} = {value}");
        }
    }
}
