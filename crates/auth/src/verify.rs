//! Verification: from a token's text to its claims.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use crate::claims::{Claims, Members};
use crate::error::VerifyError;
use crate::keys::{Keys, Scheme};
use crate::token::Token;
use crate::validators::ClaimValidators;

/// Verifies `token` as of `now`, seconds since the epoch.
///
/// The first failure in this order is reported: the escapes, the shape, the key, the signature, the values of claims,
/// the presence of `role` and `exp`. Claims are not looked into before the signature holds. Source:
/// `protocol-spec/auth.md`, section 2.
pub fn verify(
    token: &str,
    keys: &Keys,
    validators: &ClaimValidators,
    now: i64,
) -> Result<Claims, VerifyError> {
    let token = Token::parse(token)?;
    let (key, scheme) = keys.choose(token.header())?;
    if !is_signed(&token, key, scheme) {
        return Err(VerifyError::Signature);
    }
    let members = Members::parse(token.claims())?;
    validators.check(&members.values, now)?;
    Claims::new(token.claims(), members)
}

fn is_signed(token: &Token, key: &DecodingKey, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Known(algorithm) => {
            jsonwebtoken::crypto::verify(token.signature(), token.message(), key, algorithm).unwrap_or(false)
        }
        Scheme::Es512 => match (
            key.try_get_as_bytes(),
            BASE64_URL_SAFE_NO_PAD.decode(token.signature()),
        ) {
            (Ok(point), Ok(signature)) => UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
                .verify(token.message(), &signature)
                .is_ok(),
            _ => false,
        },
        Scheme::Ed448 => false,
    }
}
