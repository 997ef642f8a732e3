//! Signs tokens. Source: FORMAT.md, "Tokens".
//!
//! Not with a JWT library: claims are written as the transcript has them, to the last digit, and half of the tokens are
//! meant to be ones no library would make.

use std::collections::BTreeMap;
use std::fmt;

use auth::Secret;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use transcript::{Algorithm, KeySource, Token, Value, claims_at};

/// The private keys a `key` of a token names.
#[derive(Default)]
pub struct KeyRing {
    keys: BTreeMap<String, Key>,
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Oct(Vec<u8>),
}

/// Why a token cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key file has no such key.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The key file has a key nobody understands.
    #[error("the key {0} cannot be read")]
    BadKey(String),
    /// Key and algorithm do not fit.
    #[error("that key does not sign {0}")]
    Misfit(&'static str),
    /// The target does not know the secret of the admin API.
    #[error("the secret of the admin API is not known")]
    NoAdminSecret,
}

impl KeyRing {
    /// Reads `fixtures/keys.json`: `{"keys": {name: private JWK}}`.
    ///
    /// # Errors
    ///
    /// [`SignError::BadKey`]
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let file = Value::parse(text).map_err(|_| SignError::BadKey("file".into()))?;
        let members = file.get("keys").and_then(Value::as_object).unwrap_or_default();
        let keys = members
            .iter()
            .map(|(name, jwk)| {
                let key = Key::parse(jwk).ok_or_else(|| SignError::BadKey(name.clone()))?;
                Ok((name.clone(), key))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The text of a token. `tenant` and `admin` are the secrets of the two.
    ///
    /// # Errors
    ///
    /// [`SignError`]
    pub fn sign(
        &self,
        token: &Token,
        tenant: &Secret,
        admin: Option<&Secret>,
        unix_s: i64,
    ) -> Result<String, SignError> {
        let (claims, algorithm, kid, key) = match token {
            Token::Raw(text) => return Ok(text.clone()),
            Token::Claims {
                claims,
                algorithm,
                kid,
                key,
            } => (claims, *algorithm, kid, key),
        };
        let mut header = vec![
            ("alg".to_owned(), Value::text(algorithm.name())),
            ("typ".to_owned(), Value::text("JWT")),
        ];
        header.extend(kid.iter().map(|kid| ("kid".to_owned(), Value::text(kid))));
        let claims = claims_at(claims, unix_s);
        let message = format!("{}.{}", encoded(&Value::Object(header)), encoded(&claims));
        let signature = match key {
            KeySource::Tenant => sign_with_secret(algorithm, tenant.reveal().as_bytes(), &message)?,
            KeySource::Text(text) => sign_with_secret(algorithm, text.as_bytes(), &message)?,
            KeySource::Admin => {
                let secret = admin.ok_or(SignError::NoAdminSecret)?;
                sign_with_secret(algorithm, secret.reveal().as_bytes(), &message)?
            }
            KeySource::Fixture(name) => {
                let key = self
                    .keys
                    .get(name)
                    .ok_or_else(|| SignError::NoKey(name.clone()))?;
                key.sign(algorithm, &message)?
            }
        };
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Names only.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.keys.keys()).finish()
    }
}

impl Key {
    fn parse(jwk: &Value) -> Option<Self> {
        let part = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        match jwk.get("kty")?.as_str()? {
            "RSA" => {
                let mut parts = vec![vec![0]];
                for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                    parts.push(part(name)?);
                }
                RsaKeyPair::from_der(&der_sequence_of_integers(&parts))
                    .ok()
                    .map(Self::Rsa)
            }
            "EC" => {
                // An uncompressed point. Source: SEC 1, section 2.3.3.
                let public = [vec![0x04], part("x")?, part("y")?].concat();
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, &part("d")?, &public)
                    .ok()
                    .map(Self::Ec)
            }
            "OKP" => Ed25519KeyPair::from_seed_and_public_key(&part("d")?, &part("x")?)
                .ok()
                .map(Self::Ed),
            "oct" => part("k").map(Self::Oct),
            _ => None,
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &str) -> Result<Vec<u8>, SignError> {
        let misfit = SignError::Misfit(algorithm.name());
        let random = SystemRandom::new();
        match (self, algorithm) {
            (Self::Oct(secret), _) => sign_with_secret(algorithm, secret, message),
            (Self::Rsa(key), Algorithm::Rs256) => {
                let mut signature = vec![0; key.public_modulus_len()];
                match key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature) {
                    Ok(()) => Ok(signature),
                    Err(_) => Err(misfit),
                }
            }
            (Self::Ec(key), Algorithm::Es256) => {
                let signature = key.sign(&random, message.as_bytes()).map_err(|_| misfit)?;
                Ok(signature.as_ref().to_vec())
            }
            (Self::Ed(key), Algorithm::EdDsa) => Ok(key.sign(message.as_bytes()).as_ref().to_vec()),
            _ => Err(misfit),
        }
    }
}

fn sign_with_secret(algorithm: Algorithm, secret: &[u8], message: &str) -> Result<Vec<u8>, SignError> {
    let hash = match algorithm {
        Algorithm::Hs256 => hmac::HMAC_SHA256,
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        Algorithm::None => return Ok(Vec::new()),
        Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {
            return Err(SignError::Misfit(algorithm.name()));
        }
    };
    Ok(hmac::sign(&hmac::Key::new(hash, secret), message.as_bytes())
        .as_ref()
        .to_vec())
}

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// `RSAPrivateKey` and its like, in DER, from big-endian numbers. Source: RFC 8017, appendix A.1.2.
fn der_sequence_of_integers(numbers: &[Vec<u8>]) -> Vec<u8> {
    let mut content = Vec::new();
    for number in numbers {
        // A leading zero keeps the number positive.
        let is_negative = number.first().is_some_and(|byte| byte & 0x80 != 0);
        let number = if is_negative {
            [&[0], number.as_slice()].concat()
        } else {
            number.clone()
        };
        content.extend(der(0x02, &number));
    }
    der(0x30, &content)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match significant.as_slice() {
        [] => bytes.push(0),
        [short] if *short < 0x80 => bytes.push(*short),
        long => {
            bytes.push(0x80 | u8::try_from(long.len()).expect("a usize has at most 8 bytes"));
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::{ClaimValidators, Keys, verify};

    const SECRET: &str = "a-secret-of-at-least-thirty-two-characters";

    fn ring() -> KeyRing {
        KeyRing::parse(crate::fixtures::KEYS).unwrap()
    }

    fn claims(algorithm: Algorithm, key: KeySource, kid: Option<&str>) -> Token {
        let claims = Value::parse(r#"{"role":"anon","exp":"now+60"}"#).unwrap();
        Token::Claims {
            claims,
            algorithm,
            kid: kid.map(str::to_owned),
            key,
        }
    }

    fn sign(token: &Token) -> Result<String, SignError> {
        ring().sign(token, &Secret::new(SECRET), None, 1000)
    }

    #[test]
    fn the_server_accepts_what_is_signed_here() {
        let settings = crate::fixtures::profile_settings();
        let keys = Keys::new(Some(&Secret::new(SECRET)), settings["keys"].get("jwt_jwks")).unwrap();
        for (algorithm, key, kid) in [
            (Algorithm::Hs256, KeySource::Tenant, None),
            (Algorithm::Rs256, KeySource::Fixture("rsa".into()), Some("rsa-1")),
            (Algorithm::Es256, KeySource::Fixture("ec".into()), Some("ec-1")),
            (Algorithm::EdDsa, KeySource::Fixture("ed".into()), Some("ed-1")),
            (Algorithm::Hs256, KeySource::Fixture("oct".into()), Some("oct-1")),
        ] {
            let text = sign(&claims(algorithm, key, kid)).unwrap();
            let verified = verify(&text, &keys, &ClaimValidators::default(), 1000);
            assert!(verified.is_ok(), "{}: {verified:?}", algorithm.name());
        }
    }

    #[test]
    fn header_and_claims_are_written_as_they_are() {
        let text = sign(&claims(Algorithm::None, KeySource::Tenant, Some("k"))).unwrap();
        let parts: Vec<String> = text
            .split('.')
            .map(|part| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts,
            [
                r#"{"alg":"none","typ":"JWT","kid":"k"}"#,
                r#"{"role":"anon","exp":1060}"#,
                ""
            ]
        );
        assert_eq!(sign(&Token::Raw("x".into())), Ok("x".into()));
    }

    #[test]
    fn longer_hashes_give_longer_signatures() {
        for (algorithm, bytes) in [
            (Algorithm::Hs256, 32),
            (Algorithm::Hs384, 48),
            (Algorithm::Hs512, 64),
        ] {
            let text = sign(&claims(algorithm, KeySource::Text("x".into()), None)).unwrap();
            let signature = text.rsplit('.').next().unwrap();
            assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap().len(), bytes);
        }
    }

    #[test]
    fn what_cannot_sign_says_so() {
        for (algorithm, key, error) in [
            (Algorithm::Rs256, KeySource::Tenant, SignError::Misfit("RS256")),
            (
                Algorithm::Hs256,
                KeySource::Fixture("rsa".into()),
                SignError::Misfit("HS256"),
            ),
            (
                Algorithm::Hs256,
                KeySource::Fixture("tin".into()),
                SignError::NoKey("tin".into()),
            ),
            (Algorithm::Hs256, KeySource::Admin, SignError::NoAdminSecret),
        ] {
            assert_eq!(sign(&claims(algorithm, key, None)), Err(error));
        }
    }
}
