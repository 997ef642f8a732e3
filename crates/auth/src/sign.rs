//! Tokens of our own, for tools.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use crate::secret::Secret;

/// A token with these claims, signed with HS256.
pub fn sign(claims: &Map<String, Value>, secret: &Secret) -> String {
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("HS256 takes any key and a map is JSON")
}
