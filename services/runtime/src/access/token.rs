//! The shared token by which roles in several processes on one machine know each other where there is no TLS.

use super::{Roles, same_hash};
use crate::config::Secret;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use std::fmt;

/// Metadata name of the token.
pub const TOKEN: &str = "x-immune-token";
/// Metadata name of the roles that the caller runs, as [`Roles`] prints.
pub const ROLES: &str = "x-immune-roles";

/// The shortest token, characters.
const TOKEN_CHARS_MIN: usize = 32;

/// The token, hashed: what a server compares with.
#[derive(Clone)]
pub struct RoleToken([u8; 32]);

/// Why a call with a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another token, or one where none is expected.
    #[error("the token of the roles is not the one that this process was given")]
    Wrong,
    /// The token is right and the roles are not said.
    #[error("the call has the token of the roles but does not say which roles it comes from")]
    NoRoles,
}

impl RoleToken {
    /// Hashes a token.
    pub fn new(secret: &Secret) -> Self {
        RoleToken(Sha256::digest(secret.expose()).into())
    }

    /// Adds what is wrong with a token to `mistakes`; the token itself is never said.
    pub fn check(secret: &Secret, path: &str, mistakes: &mut Vec<String>) {
        let text = secret.expose();
        if text.len() < TOKEN_CHARS_MIN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            mistakes.push(format!(
                "{path}: must have at least {TOKEN_CHARS_MIN} letters, digits and signs of ASCII, without spaces"
            ));
        }
    }

    /// The roles of who presents the token; `None` for a stranger, who presents nothing.
    ///
    /// # Errors
    /// When a token is presented and it is wrong, so that a wrong configuration is noticed and does not become a
    /// stranger's rights.
    pub fn verify(expected: Option<&Self>, headers: &HeaderMap) -> Result<Option<Roles>, TokenError> {
        let Some(presented) = headers.get(TOKEN) else {
            return Ok(None);
        };
        let expected = expected.ok_or(TokenError::Wrong)?;
        let presented: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        if !same_hash(&expected.0, &presented) {
            return Err(TokenError::Wrong);
        }
        let roles = headers.get(ROLES).and_then(|roles| roles.to_str().ok());
        roles.and_then(Roles::parse).map(Some).ok_or(TokenError::NoRoles)
    }

    /// What a caller adds to its calls; `None` when the token cannot be sent as metadata.
    pub(crate) fn headers(secret: &Secret, me: Roles) -> Option<HeaderMap> {
        let mut token = HeaderValue::from_str(secret.expose()).ok()?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(TOKEN, token);
        headers.insert(ROLES, HeaderValue::from_str(&me.to_string()).ok()?);
        Some(headers)
    }
}

impl fmt::Debug for RoleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::RoleName;
    use super::*;

    /// Scenario: nothing, the right token, a wrong one, and one where none is expected.
    /// Guarantees: only the right one grants roles, only nothing makes a stranger.
    #[test]
    fn a_wrong_token_is_no_stranger() {
        let secret = Secret::new("a token of the roles");
        let token = RoleToken::new(&secret);
        let right = RoleToken::headers(&secret, RoleName::Healer.into()).unwrap();
        let wrong = RoleToken::headers(&Secret::new("another token"), RoleName::Healer.into()).unwrap();
        let healer = Some(Roles::from(RoleName::Healer));
        assert_eq!(RoleToken::verify(Some(&token), &right), Ok(healer));
        assert_eq!(RoleToken::verify(Some(&token), &wrong), Err(TokenError::Wrong));
        assert_eq!(RoleToken::verify(None, &right), Err(TokenError::Wrong));
        assert_eq!(RoleToken::verify(Some(&token), &HeaderMap::new()), Ok(None));
        let mut no_roles = right.clone();
        no_roles.remove(ROLES);
        assert_eq!(
            RoleToken::verify(Some(&token), &no_roles),
            Err(TokenError::NoRoles)
        );
        assert!(!format!("{right:?} {token:?}").contains("a token"));
    }

    /// Guarantees: a token that can be guessed or not be sent is a mistake, which does not show it.
    #[test]
    fn weak_tokens_are_mistakes() {
        let of = |text: &str| {
            let mut mistakes = Vec::new();
            RoleToken::check(&Secret::new(text), "grpc.token", &mut mistakes);
            mistakes
        };
        assert!(of("0123456789abcdef0123456789abcdef").is_empty());
        for text in [
            "short",
            "0123456789abcdef 123456789abcdef",
            "ä123456789abcdef0123456789abcdef",
        ] {
            let mistakes = of(text);
            assert!(
                mistakes[0].starts_with("grpc.token: ") && !mistakes[0].contains(text),
                "{mistakes:?}"
            );
        }
    }
}
