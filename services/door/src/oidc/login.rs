//! A login: to the provider, and back.

use super::error::OidcError;
use super::id_token::{self, Claims, text};
use super::{Description, Provider, fetch, person};
use crate::sessions::signing::{Purpose, Signer};
use crate::sessions::{Stay, unguessable};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use immune_domain::Timestamp;
use immune_domain::case::Person;
use immune_runtime::access::Caller;
use immune_runtime::config::Secret;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::Url;

/// How long a login may take at the provider.
pub(crate) const LOGIN_LASTS: Duration = Duration::from_secs(600);
/// The largest ID token that is kept, as a hint for the logout at the provider; it travels in a URL then.
const HINT_BYTES_MAX: usize = 4_096;
/// The longest word of the provider that is logged, characters.
const WORD_CHARS_MAX: usize = 200;

/// What a browser keeps while its login is under way.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    then: String,
    ends_at: Timestamp,
}

/// What the provider sends the browser back with (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Callback {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<Secret>,
}

/// A refusal of the token endpoint (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Provider {
    /// Where to send the browser, and what it has to keep until it comes back.
    pub async fn begin(
        &self,
        signer: &Signer,
        then: String,
        now: Timestamp,
    ) -> Result<(Url, String), OidcError> {
        let description = self.description(now).await?;
        let begun = Begun {
            state: unguessable(),
            nonce: unguessable(),
            verifier: unguessable(),
            then,
            ends_at: now.plus(LOGIN_LASTS),
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&begun.verifier));
        let mut to = description.authorization.clone();
        to.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.ours("/auth/callback"))
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &begun.state)
            .append_pair("nonce", &begun.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let content = serde_json::to_vec(&begun).expect("texts and a number are JSON");
        Ok((to, signer.seal(Purpose::Login, &content)))
    }

    /// Who has logged in, and where they wanted to go. `kept` is what the browser kept.
    pub async fn finish(
        &self,
        signer: &Signer,
        kept: &[&str],
        callback: Callback,
        now: Timestamp,
    ) -> Result<(Stay, String), OidcError> {
        let state = callback.state.as_deref().unwrap_or_default();
        let begun = kept
            .iter()
            .filter_map(|sealed| signer.open(Purpose::Login, sealed))
            .filter_map(|content| serde_json::from_slice::<Begun>(&content).ok())
            .find(|begun| begun.state == state && now < begun.ends_at)
            .ok_or(OidcError::State)?;
        let description = self.description(now).await?;
        // Of several providers one may try to make us bring the code of another to it (RFC 9207).
        let is_of_issuer = match callback.iss {
            Some(iss) => iss == self.config.issuer,
            None => !description.names_itself,
        };
        if !is_of_issuer {
            return Err(OidcError::State);
        }
        if let Some(error) = callback.error {
            return Err(refused(&error, &callback.error_description.unwrap_or_default()));
        }
        let code = callback.code.ok_or(OidcError::State)?;
        let tokens = self.redeem(&description, &code, &begun.verifier).await?;
        let stay = self.stay(&description, tokens, &begun.nonce, now).await?;
        Ok((stay, begun.then))
    }

    /// Gives the code for tokens.
    async fn redeem(
        &self,
        description: &Description,
        code: &str,
        verifier: &str,
    ) -> Result<Tokens, OidcError> {
        let redirect = self.ours("/auth/callback");
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", verifier),
        ];
        let mut basic = None;
        if description.secret_in_form {
            form.push(("client_id", &self.config.client_id));
            form.push(("client_secret", self.secret.expose()));
        } else {
            basic = Some((self.config.client_id.as_str(), &self.secret));
        }
        let url = description.token.clone();
        let (status, body) = self.fetch.post("token answer", url, &form, basic).await?;
        if status == StatusCode::OK {
            return fetch::parsed("token answer", &body);
        }
        match serde_json::from_slice::<TokenError>(&body) {
            Ok(said) if status.is_client_error() => Err(refused(&said.error, &said.error_description)),
            Ok(_) | Err(_) => Err(OidcError::Away {
                what: "token answer",
                problem: format!("status {status}"),
            }),
        }
    }

    /// Who the tokens stand for.
    async fn stay(
        &self,
        description: &Description,
        tokens: Tokens,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Stay, OidcError> {
        let what = "ID token";
        let invalid = |problem: &str| OidcError::Token {
            what,
            problem: problem.to_owned(),
        };
        let (mut claims, _) = self.verified(what, &tokens.id_token, now).await?;
        let sub = id_token::check(&claims, self.parties(), nonce, now).map_err(invalid)?;
        let sid = id_token::id(&claims, "sid").map_err(invalid)?;
        let is_thin = person::groups(&claims, &self.config.groups_claim).is_none()
            || !claims.contains_key(&self.config.subject_claim);
        if is_thin && let (Some(url), Some(token)) = (&description.userinfo, &tokens.access_token) {
            let more: Claims = self.fetch.get_as("userinfo", url.clone(), token).await?;
            add(&mut claims, more, &sub)?;
        }
        let subject = person::subject(&self.config, &claims, &sub);
        let groups = person::groups(&claims, &self.config.groups_claim).unwrap_or_default();
        let Some((role, runs)) = person::granted(&self.config.roles, &groups) else {
            return Err(OidcError::NoRole {
                subject,
                groups: groups.len(),
            });
        };
        let name = person::name(&claims, &subject);
        Ok(Stay {
            caller: Caller {
                person: Person {
                    subject,
                    via: self.via(),
                },
                role,
                runs,
            },
            name,
            provider_session: sid.map(|sid| self.theirs(&sid)),
            provider_subject: Some(self.theirs(&sub)),
            id_token: Some(tokens.id_token).filter(|token| token.len() <= HINT_BYTES_MAX),
            ends_at_most: None,
        })
    }
}

/// Adds what userinfo says beside the ID token (OpenID Connect Core 1.0, section 5.3.2): of the same person only, and
/// never instead of what is signed. A verified email is verified by the source that gives it.
fn add(claims: &mut Claims, mut more: Claims, sub: &str) -> Result<(), OidcError> {
    if text(&more, "sub") != Some(sub) {
        return Err(OidcError::Token {
            what: "userinfo",
            problem: "is of another subject".to_owned(),
        });
    }
    if claims.contains_key("email") {
        more.remove("email_verified");
    } else {
        claims.remove("email_verified");
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
    Ok(())
}

fn refused(code: &str, description: &str) -> OidcError {
    let short = |text: &str| text.chars().take(WORD_CHARS_MAX).collect();
    OidcError::Refused {
        code: short(code),
        description: short(description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else {
            panic!("object")
        };
        claims
    }

    /// Guarantees: userinfo of somebody else is refused; what is signed stands; no email becomes verified by the word
    /// of the other source.
    #[test]
    fn userinfo_adds_and_never_replaces() {
        let mut signed = claims(json!({ "sub": "a", "email": "a@example.com", "name": "A" }));
        let more = claims(json!({
            "sub": "a", "email": "b@example.com", "email_verified": true, "name": "B", "groups": ["g"],
        }));
        add(&mut signed, more, "a").unwrap();
        let expected = json!({ "sub": "a", "email": "a@example.com", "name": "A", "groups": ["g"] });
        assert_eq!(Value::Object(signed), expected);
        let mut signed = claims(json!({ "sub": "a", "email_verified": true }));
        add(
            &mut signed,
            claims(json!({ "sub": "a", "email": "b@example.com" })),
            "a",
        )
        .unwrap();
        assert_eq!(
            Value::Object(signed),
            json!({ "sub": "a", "email": "b@example.com" })
        );
        for other in [json!({ "sub": "b" }), json!({})] {
            assert!(add(&mut claims(json!({})), claims(other), "a").is_err());
        }
    }
}
