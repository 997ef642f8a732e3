//! Tokens to claims: verifies a JWT with a tenant's keys as of a given instant.
//!
//! [`Keys`] are prepared once per tenant; [`verify`] then does no parsing of key material. What a token has to look
//! like, which key checks it and which claims it must carry is in `protocol-spec/auth.md`.
//!
//! What is not here: no clock (the caller says what time it is, and the token library's own look at the clock is never
//! used), no network (key sets are given, not fetched), no decision about what a role may do.

mod claims;
mod error;
mod json;
mod keys;
mod secret;
mod sign;
mod token;
mod validators;
mod verify;

pub use claims::Claims;
pub use error::VerifyError;
pub use keys::{Keys, KeysError, UnusableKey};
pub use secret::Secret;
pub use sign::sign;
pub use validators::{ClaimValidators, ValidatorsError};
pub use verify::verify;
