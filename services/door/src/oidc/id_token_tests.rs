use super::*;
use serde_json::json;

const PARTIES: Parties<'static> = Parties {
    issuer: "https://id.example.com",
    client_id: "immune",
};
const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

fn with(base: Value, changes: Value) -> Claims {
    let (Value::Object(mut claims), Value::Object(changes)) = (base, changes) else {
        panic!("objects");
    };
    for (name, value) in changes {
        match value {
            Value::Null => claims.remove(&name),
            value => claims.insert(name, value),
        };
    }
    claims
}

fn id_token(changes: Value) -> Claims {
    let base = json!({
        "iss": "https://id.example.com", "aud": "immune", "sub": "248289761001", "nonce": "n",
        "iat": NOW - 5, "exp": NOW + 300,
    });
    with(base, changes)
}

fn logout_token(changes: Value) -> Claims {
    let base = json!({
        "iss": "https://id.example.com", "aud": ["immune"], "sub": "248289761001", "sid": "s1", "jti": "bWJq",
        "iat": NOW - 5, "exp": NOW + 120, "events": { LOGOUT_EVENT: {} },
    });
    with(base, changes)
}

/// Guarantees: what the specification allows is taken, within a minute between the clocks.
#[test]
fn good_id_tokens() {
    for changes in [
        json!({}),
        json!({ "aud": ["immune"], "azp": "immune" }),
        json!({ "aud": ["other", "immune"], "azp": "immune" }),
        json!({ "exp": NOW - 59 }),
        json!({ "iat": NOW + 59 }),
        json!({ "exp": NOW as f64 + 0.5 }),
    ] {
        let claims = id_token(changes.clone());
        assert_eq!(
            check(&claims, PARTIES, "n", now()).as_deref(),
            Ok("248289761001"),
            "{changes}"
        );
    }
}

/// Guarantees: a token of others, for others, of another login, or out of time is refused.
#[test]
fn bad_id_tokens() {
    for changes in [
        json!({ "iss": "https://id.example.com/" }),
        json!({ "iss": null }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": [] }),
        json!({ "aud": null }),
        json!({ "aud": ["immune", "other"] }),
        json!({ "azp": "other" }),
        json!({ "azp": 1 }),
        json!({ "exp": NOW - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "tomorrow" }),
        json!({ "exp": -1 }),
        json!({ "iat": null }),
        json!({ "iat": NOW + 61 }),
        json!({ "nbf": NOW + 61 }),
        json!({ "nonce": "m" }),
        json!({ "nonce": null }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": "a\nb" }),
        json!({ "sub": 7 }),
        json!({ "sub": "x".repeat(ID_BYTES_MAX + 1) }),
    ] {
        let claims = id_token(changes.clone());
        assert!(check(&claims, PARTIES, "n", now()).is_err(), "{changes}");
    }
}

/// Guarantees: a logout names a session, a subject, or both; old providers send neither type nor end.
#[test]
fn good_logout_tokens() {
    for (typ, changes) in [
        (Some("logout+jwt"), json!({})),
        (Some("JWT"), json!({ "sid": null })),
        (None, json!({ "sub": null, "exp": null })),
    ] {
        let claims = logout_token(changes.clone());
        assert!(
            check_logout(&claims, typ, PARTIES, now()).is_ok(),
            "{typ:?} {changes}"
        );
    }
}

/// Guarantees: an ID token is no logout token, and neither is one of others, for nobody, or out of time.
#[test]
fn bad_logout_tokens() {
    for (typ, changes) in [
        (Some("at+jwt"), json!({})),
        (None, json!({ "iss": "https://evil.example.com" })),
        (None, json!({ "aud": "other" })),
        (None, json!({ "events": null })),
        (
            None,
            json!({ "events": { "http://schemas.openid.net/event/other": {} } }),
        ),
        (None, json!({ "events": { LOGOUT_EVENT: "yes" } })),
        (None, json!({ "nonce": "n" })),
        (None, json!({ "sub": null, "sid": null })),
        (None, json!({ "jti": null })),
        (None, json!({ "iat": null })),
        (None, json!({ "iat": NOW + 61 })),
        (None, json!({ "exp": NOW - 60 })),
        (None, json!({ "exp": null, "iat": NOW - 120 })),
    ] {
        let claims = logout_token(changes.clone());
        assert!(
            check_logout(&claims, typ, PARTIES, now()).is_err(),
            "{typ:?} {changes}"
        );
    }
    assert!(check_logout(&id_token(json!({ "jti": "x" })), None, PARTIES, now()).is_err());
}
