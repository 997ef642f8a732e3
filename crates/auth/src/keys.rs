//! A tenant's keys, prepared for use, and which of them checks a token.

use std::fmt;

use base64::Engine;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::error::VerifyError;
use crate::secret::Secret;
use crate::token::{BASE64, Header};

/// The keys of one tenant: its secret, its key set, or both.
///
/// Keys of a set that cannot be used do no harm until a token asks for them; [`Keys::unusable`] lists them.
#[derive(Clone)]
pub struct Keys {
    secret: Option<DecodingKey>,
    /// `None`: no key set, which is told apart from an empty one.
    set: Option<Vec<Jwk>>,
}

/// One key of a set.
#[derive(Clone)]
struct Jwk {
    kid: String,
    family: Family,
    key: Result<DecodingKey, Unusable>,
}

/// Why a key of a set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unusable {
    /// A member is missing, not text, not base64url or empty.
    Material,
    /// A curve no signature algorithm uses.
    ForeignCurve,
    /// Ed448, which the cryptographic library lacks.
    Ed448,
}

/// A key of a set that cannot be used, for a warning at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// The key's id.
    pub kid: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why no [`Keys`] could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The secret is the empty string, with which anybody could sign.
    #[error("the JWT secret is empty")]
    EmptySecret,
    /// The key set is no object with a list `keys`.
    #[error("a key set is an object with a list named \"keys\"")]
    NotAKeySet,
}

impl Keys {
    /// Prepares the keys. Members of the set without a text `kid` or with an unknown `kty` are passed over, for no
    /// token can name them.
    pub fn new(secret: Option<&Secret>, jwks: Option<&Value>) -> Result<Keys, KeysError> {
        let secret = match secret.map(Secret::reveal) {
            Some("") => return Err(KeysError::EmptySecret),
            Some(secret) => Some(DecodingKey::from_secret(secret.as_bytes())),
            None => None,
        };
        let set = match jwks {
            None | Some(Value::Null) => None,
            Some(jwks) => {
                let keys = jwks
                    .get("keys")
                    .and_then(Value::as_array)
                    .ok_or(KeysError::NotAKeySet)?;
                Some(keys.iter().filter_map(Jwk::parse).collect())
            }
        };
        Ok(Keys { secret, set })
    }

    /// The keys of the set no token can be verified with.
    pub fn unusable(&self) -> Vec<UnusableKey> {
        let keys = self.set.iter().flatten();
        keys.filter_map(|jwk| {
            Some(UnusableKey {
                kid: jwk.kid.clone(),
                reason: jwk.key.as_ref().err()?.reason(),
            })
        })
        .collect()
    }

    /// The key that has to have signed a token with this header, and how. Source: `protocol-spec/auth.md`, section 2.
    pub(crate) fn choose(&self, header: &Header) -> Result<(&DecodingKey, Scheme), VerifyError> {
        let (family, scheme) = header
            .alg
            .as_deref()
            .and_then(Scheme::of_algorithm)
            .ok_or(VerifyError::NoSigner)?;
        let named = match (&header.kid, &self.set) {
            (Some(kid), Some(set)) => Some((kid, set.iter().find(|jwk| jwk.is(family, kid)))),
            _ => None,
        };
        let key = match (named, family) {
            (Some((kid, Some(jwk))), _) => jwk.key.as_ref().map_err(|unusable| match unusable {
                Unusable::Ed448 => VerifyError::NoSigner,
                Unusable::Material | Unusable::ForeignCurve => VerifyError::UnknownKey { kid: kid.clone() },
            })?,
            // Tokens signed with the secret often carry a key id all the same.
            (Some((_, None)) | None, Family::Hmac) => self.secret.as_ref().ok_or(VerifyError::NoSigner)?,
            (Some((kid, None)), _) => return Err(VerifyError::UnknownKey { kid: kid.clone() }),
            (None, _) => return Err(VerifyError::NoSigner),
        };
        Ok((key, scheme))
    }
}

impl Jwk {
    fn parse(jwk: &Value) -> Option<Jwk> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let bytes = text(name).and_then(|text| BASE64.decode(text).ok());
            bytes.filter(|bytes| !bytes.is_empty()).ok_or(Unusable::Material)
        };
        let (family, key) = match text("kty")? {
            // A key without text `k` counts as not there, and the tenant's secret is used.
            "oct" if text("k").is_none() => return None,
            "oct" => (Family::Hmac, bytes("k").map(|k| DecodingKey::from_secret(&k))),
            "RSA" => {
                let key = bytes("n").and_then(|n| Ok(DecodingKey::from_rsa_raw_components(&n, &bytes("e")?)));
                (Family::Rsa, key)
            }
            "EC" => (
                Family::Ec,
                bytes("x").and_then(|x| Ok(uncompressed_point(&x, &bytes("y")?))),
            ),
            "OKP" => {
                let key = match text("crv") {
                    Some("Ed25519") => bytes("x").map(|x| DecodingKey::from_ed_der(&x)),
                    Some("Ed448") => Err(Unusable::Ed448),
                    _ => Err(Unusable::ForeignCurve),
                };
                (Family::Ed, key)
            }
            _ => return None,
        };
        Some(Jwk {
            kid: text("kid")?.to_owned(),
            family,
            key,
        })
    }

    fn is(&self, family: Family, kid: &str) -> bool {
        self.family == family && self.kid == kid
    }
}

/// A public key on an elliptic curve as the library takes it. Source: SEC 1, section 2.3.3.
fn uncompressed_point(x: &[u8], y: &[u8]) -> DecodingKey {
    DecodingKey::from_ec_der(&[&[0x04], x, y].concat())
}

impl Unusable {
    fn reason(self) -> &'static str {
        match self {
            Unusable::Material => "key material missing or undecodable",
            Unusable::ForeignCurve => "curve without a signature algorithm",
            Unusable::Ed448 => "Ed448 is not supported",
        }
    }
}

/// A kind of key, and the algorithms that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `kty` oct.
    Hmac,
    /// `kty` RSA.
    Rsa,
    /// `kty` EC.
    Ec,
    /// `kty` OKP.
    Ed,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// One that `jsonwebtoken` knows.
    Known(Algorithm),
    /// ES512, which it does not.
    Es512,
    /// Ed448, which nobody here knows; a key for it is [`Unusable`].
    Ed448,
}

impl Scheme {
    /// The scheme of a header's `alg`; `None` for all that is not accepted, `none` among them.
    fn of_algorithm(alg: &str) -> Option<(Family, Scheme)> {
        Some(match alg {
            "HS256" => (Family::Hmac, Scheme::Known(Algorithm::HS256)),
            "HS384" => (Family::Hmac, Scheme::Known(Algorithm::HS384)),
            "HS512" => (Family::Hmac, Scheme::Known(Algorithm::HS512)),
            "RS256" => (Family::Rsa, Scheme::Known(Algorithm::RS256)),
            "RS384" => (Family::Rsa, Scheme::Known(Algorithm::RS384)),
            "RS512" => (Family::Rsa, Scheme::Known(Algorithm::RS512)),
            "ES256" => (Family::Ec, Scheme::Known(Algorithm::ES256)),
            "ES384" => (Family::Ec, Scheme::Known(Algorithm::ES384)),
            "ES512" => (Family::Ec, Scheme::Es512),
            "EdDSA" | "Ed25519" => (Family::Ed, Scheme::Known(Algorithm::EdDSA)),
            "Ed448" => (Family::Ed, Scheme::Ed448),
            _ => return None,
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Option<Vec<&str>> = self
            .set
            .as_ref()
            .map(|set| set.iter().map(|jwk| &*jwk.kid).collect());
        f.debug_struct("Keys")
            .field("secret", &self.secret.is_some())
            .field("kids", &kids)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_no_key_material() {
        let jwks = json!({"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]});
        let keys = Keys::new(Some(&Secret::new("hush")), Some(&jwks)).unwrap();
        assert_eq!(
            format!("{keys:?}"),
            r#"Keys { secret: true, kids: Some(["one"]) }"#
        );
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(redacted)");
    }

    #[test]
    fn an_empty_secret_and_a_key_set_of_another_shape_are_refused() {
        assert_eq!(
            Keys::new(Some(&Secret::new("")), None).unwrap_err(),
            KeysError::EmptySecret
        );
        for jwks in [
            json!([]),
            json!({}),
            json!({"keys": {}}),
            json!("x"),
            json!({"key": []}),
        ] {
            assert_eq!(
                Keys::new(None, Some(&jwks)).unwrap_err(),
                KeysError::NotAKeySet,
                "{jwks}"
            );
        }
    }

    #[test]
    fn unusable_keys_are_listed_and_unreachable_ones_passed_over() {
        let jwks = json!({"keys": [
            {"kty": "RSA", "kid": "no-modulus", "e": "AQAB"},
            {"kty": "oct", "kid": "empty", "k": ""},
            {"kty": "oct", "kid": "no-k"},
            {"kty": "OKP", "kid": "agreement", "crv": "X25519", "x": "AAAA"},
            {"kty": "OKP", "kid": "goldilocks", "crv": "Ed448", "x": "AAAA"},
            {"kty": "EC", "x": "AAAA", "y": "AAAA"},
            {"kty": "EC", "kid": "point", "x": "AAAA", "y": "AAAA"},
            null, 7
        ]});
        let unusable = Keys::new(None, Some(&jwks)).unwrap().unusable();
        let expected = [
            ("no-modulus", Unusable::Material),
            ("empty", Unusable::Material),
            ("agreement", Unusable::ForeignCurve),
            ("goldilocks", Unusable::Ed448),
        ];
        let expected: Vec<_> = expected
            .map(|(kid, unusable)| UnusableKey {
                kid: kid.to_owned(),
                reason: unusable.reason(),
            })
            .into();
        assert_eq!(unusable, expected);
    }
}
