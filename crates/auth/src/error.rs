//! Why a token is not accepted.

/// Why a token is not accepted. What a client is told in which situation is in `protocol-spec/auth.md`, section 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not three parts, or a part that is no base64url, or a header or claims that are no JSON.
    #[error("the token is not a JWT")]
    Malformed,
    /// `exp` is an integer and not in the future.
    #[error("the token expired {seconds_ago} seconds ago")]
    Expired {
        /// Whole seconds since `exp`; 0 in the second of expiry.
        seconds_ago: i64,
    },
    /// `role` or `exp` is missing.
    #[error("the token lacks `role` or `exp`")]
    MissingClaims,
    /// The signature does not match.
    #[error("the signature does not match")]
    Signature,
    /// The algorithm is not supported, or needs a key set or a key id that is not there.
    #[error("no key for the token's algorithm")]
    NoSigner,
    /// The key set has no usable key with the token's key id for the token's algorithm.
    #[error("no usable key with id {kid:?}")]
    UnknownKey {
        /// The id.
        kid: String,
    },
    /// A claim is there but is not what it has to be. Also said of `header` and `claims` as a whole when they are JSON
    /// but no object.
    #[error("claim {claim:?} is not what it has to be")]
    InvalidClaim {
        /// The claim's name.
        claim: String,
    },
    /// A percent sign without two hexadecimal digits behind it.
    #[error("malformed percent escape")]
    BadEscape,
}
