//! Signed tokens in the compact form (RFC 7515, section 3.1) and the keys that verify them (RFC 7517). Verifying is
//! ring's; here is only which algorithm and key may be used.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The largest token that is read, bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 64 << 10;
/// The most keys of a provider that are read.
const KEYS_MAX: usize = 64;

/// Algorithms that are verified: signatures with a public key only. Never `none`, and never a shared secret, which
/// whoever reads our configuration could sign with.
pub(crate) const ALGORITHMS: &[&str] = &[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519",
];

/// Header of a token, as far as it concerns us.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub alg: String,
    pub kid: Option<String>,
    pub typ: Option<String>,
    /// Names of headers that must be understood (RFC 7515, section 4.1.11); we understand none.
    crit: Option<Value>,
}

/// A token whose signature has not been looked at.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub header: Header,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub fn parse(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("is too large");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("is no signed token")?;
        let (header, claims) = signed.split_once('.').ok_or("is no signed token")?;
        if claims.contains('.') {
            return Err("is no signed token");
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| "has a header that is not base64url")?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| "has a header that cannot be read")?;
        if header.crit.is_some() {
            return Err("has critical headers");
        }
        if !ALGORITHMS.contains(&header.alg.as_str()) {
            return Err("is signed with an algorithm that is not allowed");
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| "has a signature that is not base64url")?;
        Ok(Unverified {
            header,
            signed,
            claims,
            signature,
        })
    }

    /// The claims, if one of the keys that may have signed this did.
    pub fn verify(&self, keys: &KeySet) -> Result<Map<String, Value>, Unfit> {
        let mut candidates = keys.0.iter().filter(|key| key.may_have_signed(&self.header));
        let mut candidates = candidates.by_ref().peekable();
        if candidates.peek().is_none() {
            return Err(Unfit::NoKey);
        }
        let is_signed = |key: &Key| {
            key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature)
                .is_some()
        };
        if !candidates.any(is_signed) {
            return Err(Unfit::Forged("has a signature that is wrong"));
        }
        let claims = URL_SAFE_NO_PAD
            .decode(self.claims)
            .map_err(|_| Unfit::Forged("has claims that are not base64url"))?;
        serde_json::from_slice(&claims).map_err(|_| Unfit::Forged("has claims that cannot be read"))
    }
}

/// Why a token was not verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// We have no key of this name and algorithm; a newer key set may.
    NoKey,
    /// It was not made by a holder of these keys.
    Forged(&'static str),
}

/// One public key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Debug, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    use_: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn may_have_signed(&self, header: &Header) -> bool {
        let kind = match header.alg.as_str() {
            "ES256" | "ES384" => "EC",
            "EdDSA" | "Ed25519" => "OKP",
            _ => "RSA",
        };
        self.kty == kind
            && header
                .kid
                .as_ref()
                .is_none_or(|kid| self.kid.as_ref() == Some(kid))
            && self.alg.as_ref().is_none_or(|alg| *alg == header.alg)
            && self.use_.as_ref().is_none_or(|use_| use_ == "sig")
    }

    /// `None` when the signature is wrong, or the key is not one for this algorithm.
    fn verify(&self, alg: &str, message: &[u8], signed: &[u8]) -> Option<()> {
        let rsa = match alg {
            "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
            "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
            "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
            "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
            "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
            "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
            "ES256" => return self.verify_ec("P-256", &signature::ECDSA_P256_SHA256_FIXED, message, signed),
            "ES384" => return self.verify_ec("P-384", &signature::ECDSA_P384_SHA384_FIXED, message, signed),
            // Two names of one algorithm (RFC 8037, RFC 9864).
            "EdDSA" | "Ed25519" if self.crv.as_deref() == Some("Ed25519") => {
                let key = UnparsedPublicKey::new(&signature::ED25519, decoded(&self.x)?);
                return key.verify(message, signed).ok();
            }
            _ => return None,
        };
        let key = RsaPublicKeyComponents {
            n: decoded(&self.n)?,
            e: decoded(&self.e)?,
        };
        key.verify(rsa, message, signed).ok()
    }

    fn verify_ec(
        &self,
        curve: &str,
        algorithm: &'static dyn signature::VerificationAlgorithm,
        message: &[u8],
        signed: &[u8],
    ) -> Option<()> {
        if self.crv.as_deref() != Some(curve) {
            return None;
        }
        // An uncompressed point (SEC 1, section 2.3.3); ring refuses one of another length.
        let mut point = vec![4];
        point.extend(decoded(&self.x)?);
        point.extend(decoded(&self.y)?);
        UnparsedPublicKey::new(algorithm, point)
            .verify(message, signed)
            .ok()
    }
}

fn decoded(text: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()
}

/// The keys of a provider.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

impl<'de> Deserialize<'de> for KeySet {
    /// Keys of kinds that we do not know are no mistake; they verify nothing.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document = Document::deserialize(deserializer)?;
        let keys = document
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok())
            .take(KEYS_MAX);
        Ok(KeySet(keys.collect()))
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
