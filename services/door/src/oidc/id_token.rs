//! What an ID token must say (OpenID Connect Core 1.0, section 3.1.3.7), and what a logout token must (OpenID Connect
//! Back-Channel Logout 1.0, section 2.6). The signature has been verified before.

use immune_domain::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// How far the provider's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// How long a logout token holds that does not say when it ends.
const LOGOUT_AGE_MAX: Duration = Duration::from_secs(120);
/// The longest subject or session of a provider that is taken.
const ID_BYTES_MAX: usize = 512;

/// The claim that makes a token a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The claims of a token.
pub(crate) type Claims = Map<String, Value>;

/// Who must have made a token, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
}

/// Whom a logout token logs out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoggedOut {
    pub subject: Option<String>,
    pub session: Option<String>,
    /// Identity of the token.
    pub id: String,
    /// From when on the token is refused anyway.
    pub ends_at: Timestamp,
}

/// Checks an ID token; returns the subject.
pub(crate) fn check(
    claims: &Claims,
    parties: Parties<'_>,
    nonce: &str,
    now: Timestamp,
) -> Result<String, &'static str> {
    check_parties(claims, parties)?;
    let exp = time(claims, "exp")?.ok_or("has no exp")?;
    if now >= exp.plus(LEEWAY) {
        return Err("has expired");
    }
    let iat = time(claims, "iat")?.ok_or("has no iat")?;
    check_begun(claims, iat, now)?;
    if text(claims, "nonce") != Some(nonce) {
        return Err("has another nonce");
    }
    id(claims, "sub")?.ok_or("has no sub")
}

/// Checks a logout token.
pub(crate) fn check_logout(
    claims: &Claims,
    typ: Option<&str>,
    parties: Parties<'_>,
    now: Timestamp,
) -> Result<LoggedOut, &'static str> {
    // The type is recommended since 1.0; whatever else says what it is must not be a logout token.
    let is_typed = typ.is_none_or(|typ| {
        let typ = typ.to_ascii_lowercase();
        ["logout+jwt", "application/logout+jwt", "jwt"].contains(&typ.as_str())
    });
    if !is_typed {
        return Err("has another type");
    }
    check_parties(claims, parties)?;
    let iat = time(claims, "iat")?.ok_or("has no iat")?;
    check_begun(claims, iat, now)?;
    let ends_at = match time(claims, "exp")? {
        Some(exp) => exp.plus(LEEWAY),
        None => iat.plus(LOGOUT_AGE_MAX),
    };
    if now >= ends_at {
        return Err("has expired");
    }
    let is_event = claims
        .get("events")
        .and_then(|events| events.get(LOGOUT_EVENT))
        .is_some_and(Value::is_object);
    if !is_event {
        return Err("is no logout token");
    }
    if claims.contains_key("nonce") {
        return Err("has a nonce, which no logout token has");
    }
    let (subject, session) = (id(claims, "sub")?, id(claims, "sid")?);
    if subject.is_none() && session.is_none() {
        return Err("has neither sub nor sid");
    }
    Ok(LoggedOut {
        subject,
        session,
        id: id(claims, "jti")?.ok_or("has no jti")?,
        ends_at,
    })
}

fn check_parties(claims: &Claims, parties: Parties<'_>) -> Result<(), &'static str> {
    if text(claims, "iss") != Some(parties.issuer) {
        return Err("is of another issuer");
    }
    let us = Value::String(parties.client_id.to_owned());
    let is_for_others = match claims.get("aud") {
        Some(Value::Array(all)) if all.contains(&us) => all.len() > 1,
        Some(one) if *one == us => false,
        Some(_) | None => return Err("is for another audience"),
    };
    match claims.get("azp") {
        None if is_for_others => Err("is for several, and does not say for whom it was made"),
        None => Ok(()),
        Some(azp) if *azp == us => Ok(()),
        Some(_) => Err("was made for another client"),
    }
}

fn check_begun(claims: &Claims, iat: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    let begins = time(claims, "nbf")?.map_or(iat, |nbf| nbf.max(iat));
    match begins > now.plus(LEEWAY) {
        true => Err("is from the future"),
        false => Ok(()),
    }
}

/// A text.
pub(crate) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A name that the provider gives: text of some length, without control characters.
pub(crate) fn id(claims: &Claims, name: &str) -> Result<Option<String>, &'static str> {
    let text = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err("has a name that is no text"),
    };
    let is_good = (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    match is_good {
        true => Ok(Some(text.clone())),
        false => Err("has a name that is too long, or empty, or not printable"),
    }
}

/// Seconds since the epoch (RFC 7519, section 2).
fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, &'static str> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .and_then(Timestamp::from_epoch_seconds)
            .map(Some)
            .ok_or("has a time that is none"),
    }
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
