//! `jws_vectors.json` holds public keys, and a token per algorithm with the claim `sub: alice`, made by another
//! implementation (the npm package `jose`).

use super::*;
use serde_json::json;

fn vectors() -> (KeySet, Map<String, Value>) {
    let vectors: Value = serde_json::from_str(include_str!("jws_vectors.json")).unwrap();
    let Value::Object(tokens) = vectors["tokens"].clone() else {
        panic!("tokens");
    };
    (serde_json::from_value(vectors).unwrap(), tokens)
}

fn token(tokens: &Map<String, Value>, alg: &str) -> String {
    tokens[alg].as_str().unwrap().to_owned()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Guarantees: every algorithm that we name is verified as others sign it.
#[test]
fn every_algorithm_is_verified() {
    let (keys, tokens) = vectors();
    for alg in ALGORITHMS {
        let token = token(&tokens, alg);
        let claims = Unverified::parse(&token).unwrap().verify(&keys);
        assert_eq!(claims.unwrap()["sub"], "alice", "{alg}");
    }
}

/// Scenario: other claims, another signature, the header of another algorithm, no signature, a shared secret.
/// Guarantees: nothing of it is believed.
#[test]
fn forgeries() {
    let (keys, tokens) = vectors();
    let good = token(&tokens, "RS256");
    let parts: Vec<&str> = good.split('.').collect();
    let mallory = encoded(&json!({ "sub": "mallory" }));
    let forged = format!("{}.{mallory}.{}", parts[0], parts[2]);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let other = token(&tokens, "RS384");
    let mixed = format!("{}.{}.{}", parts[0], parts[1], other.rsplit_once('.').unwrap().1);
    for token in [forged, unsigned, mixed] {
        let verified = Unverified::parse(&token).unwrap().verify(&keys);
        assert!(matches!(verified, Err(Unfit::Forged(_))), "{token}");
    }
    let none = format!("{}.{}.", encoded(&json!({ "alg": "none" })), parts[1]);
    let critical = json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false });
    let critical = format!("{}.{}.{}", encoded(&critical), parts[1], parts[2]);
    let extra = format!("{good}.x");
    let large = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
    for token in [
        none,
        token(&tokens, "HS256"),
        critical,
        extra,
        large,
        String::new(),
        "a.b.c".to_owned(),
    ] {
        assert!(Unverified::parse(&token).is_err(), "{token}");
    }
}

/// Scenario: the key is gone, is for encryption, for another algorithm, of another kind, or has no name in the token.
/// Guarantees: a key verifies only what it is for; without a name every fitting key is tried.
#[test]
fn keys_are_for_something() {
    let (_, tokens) = vectors();
    let all: Value = serde_json::from_str(include_str!("jws_vectors.json")).unwrap();
    let rsa = all["keys"][0].clone();
    let good = token(&tokens, "RS256");
    let unverified = Unverified::parse(&good).unwrap();
    for (name, value) in [
        ("kid", json!("other")),
        ("kid", Value::Null),
        ("use", json!("enc")),
        ("alg", json!("RS512")),
        ("kty", json!("EC")),
    ] {
        let mut key = rsa.clone();
        key[name] = value.clone();
        let keys: KeySet = serde_json::from_value(json!({ "keys": [key] })).unwrap();
        assert_eq!(unverified.verify(&keys), Err(Unfit::NoKey), "{name} = {value}");
    }
    let strange = json!({ "keys": [{ "kty": 7 }, "x", { "kty": "AKP", "kid": "rsa" }, rsa] });
    assert!(
        unverified
            .verify(&serde_json::from_value(strange).unwrap())
            .is_ok()
    );
    let curve = json!({ "keys": [{ "kty": "EC", "kid": "es256", "crv": "P-384", "x": "AA", "y": "AA" }] });
    let es256 = token(&tokens, "ES256");
    let verified = Unverified::parse(&es256)
        .unwrap()
        .verify(&serde_json::from_value(curve).unwrap());
    assert!(matches!(verified, Err(Unfit::Forged(_))));
}
