//! Why a WebSocket handshake is refused. Source: protocol-spec/errors-and-limits.md, section 2.

use std::borrow::Cow;

/// Why a WebSocket handshake is refused: an HTTP response instead of 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeRefusal {
    /// `vsn` names no serializer. The only refusal without a body and without delay.
    UnsupportedVersion,
    /// The host names no tenant.
    TenantNotFound,
    /// The tenant is suspended.
    TenantSuspended,
    /// Neither header nor parameter holds a token, or it is no string.
    ApiKeyMissing,
    /// The token is no JWT.
    TokenMalformed,
    /// The token has expired.
    TokenExpired,
    /// The token lacks `role` or `exp`.
    TokenClaimsMissing,
    /// The signature is wrong.
    TokenSignature,
    /// The tenant has no key for the token's algorithm.
    TokenNoSigner,
    /// The tenant has no key with the token's key id.
    TokenUnknownKey {
        /// The id.
        kid: String,
    },
    /// The tenant has as many users as it may have.
    TooManyConnectedUsers,
    /// The tenant's join rate is exceeded.
    TooManyJoins,
    /// Anything else: a claim that does not hold, a failure of ours.
    Other,
}

impl HandshakeRefusal {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::ApiKeyMissing
            | Self::TokenMalformed
            | Self::TokenExpired
            | Self::TokenClaimsMissing
            | Self::TokenSignature
            | Self::TokenNoSigner
            | Self::TokenUnknownKey { .. } => 401,
            Self::UnsupportedVersion | Self::TenantSuspended => 403,
            Self::TenantNotFound => 404,
            Self::TooManyConnectedUsers | Self::TooManyJoins => 429,
            Self::Other => 500,
        }
    }

    /// The text in the body; empty for [`HandshakeRefusal::UnsupportedVersion`].
    pub fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::UnsupportedVersion => "",
            Self::TenantNotFound => "Tenant not found",
            Self::TenantSuspended => "Realtime was disabled for this tenant",
            Self::ApiKeyMissing => "API key is missing",
            Self::TokenMalformed => super::TOKEN_MALFORMED,
            Self::TokenExpired => "Token has expired",
            Self::TokenClaimsMissing => super::TOKEN_CLAIMS_MISSING,
            Self::TokenSignature => super::TOKEN_SIGNATURE,
            Self::TokenNoSigner => super::TOKEN_NO_SIGNER,
            Self::TokenUnknownKey { kid } => return Cow::Owned(super::unknown_key(kid)),
            Self::TooManyConnectedUsers => super::TOO_MANY_USERS,
            Self::TooManyJoins => super::TOO_MANY_JOINS,
            Self::Other => "Error connecting to Realtime",
        })
    }

    /// The body: `{"error":…}`, or nothing.
    pub fn body(&self) -> String {
        match self {
            Self::UnsupportedVersion => String::new(),
            _ => super::object("error", &self.text()),
        }
    }

    /// True if the answer has to wait for the connect back-off, which slows down clients that retry.
    pub fn is_delayed(&self) -> bool {
        *self != Self::UnsupportedVersion
    }

    /// The reference's name for the case, for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedVersion => "UnsupportedVersion",
            Self::TenantNotFound => "TenantNotFound",
            Self::TenantSuspended => "RealtimeDisabledForTenant",
            Self::ApiKeyMissing => "MissingAPIKey",
            Self::TokenMalformed => "MalformedJWT",
            Self::TokenExpired | Self::TokenClaimsMissing => "InvalidJWTToken",
            Self::TokenSignature | Self::TokenNoSigner | Self::TokenUnknownKey { .. } | Self::Other => {
                "ErrorConnectingToWebsocket"
            }
            Self::TooManyConnectedUsers => "ConnectionRateLimitReached",
            Self::TooManyJoins => "JoinsRateLimitReached",
        }
    }
}

/// The body, plain text, of the 400 for a GET on the socket path that is no WebSocket handshake: the first thing that is
/// wrong with its headers. `values` are all a header has.
pub mod not_an_upgrade {
    use crate::inspect::strings;

    /// The header is not there.
    pub fn is_absent(header: &str) -> String {
        format!("'{header}' header is absent")
    }

    /// A list that lacks `token`.
    pub fn must_contain<'a>(header: &str, token: &str, values: impl IntoIterator<Item = &'a str>) -> String {
        format!(
            "'{header}' header must contain '{token}', got {}",
            strings(values)
        )
    }

    /// A header with another value than the only one allowed.
    pub fn must_equal<'a>(header: &str, value: &str, values: impl IntoIterator<Item = &'a str>) -> String {
        format!("'{header}' header must equal '{value}', got {}", strings(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_version_is_refused_at_once_and_without_a_word() {
        let refusal = HandshakeRefusal::UnsupportedVersion;
        assert_eq!(
            (refusal.status(), refusal.body().as_str(), refusal.is_delayed()),
            (403, "", false)
        );
    }

    #[test]
    fn every_other_refusal_says_why() {
        for (refusal, status, body) in [
            (
                HandshakeRefusal::TenantNotFound,
                404,
                r#"{"error":"Tenant not found"}"#,
            ),
            (
                HandshakeRefusal::TenantSuspended,
                403,
                r#"{"error":"Realtime was disabled for this tenant"}"#,
            ),
            (
                HandshakeRefusal::ApiKeyMissing,
                401,
                r#"{"error":"API key is missing"}"#,
            ),
            (
                HandshakeRefusal::TokenMalformed,
                401,
                r#"{"error":"The token provided is not a valid JWT"}"#,
            ),
            (
                HandshakeRefusal::TokenExpired,
                401,
                r#"{"error":"Token has expired"}"#,
            ),
            (
                HandshakeRefusal::TokenClaimsMissing,
                401,
                r#"{"error":"Fields `role` and `exp` are required in JWT"}"#,
            ),
            (
                HandshakeRefusal::TokenSignature,
                401,
                r#"{"error":"Failed to validate JWT signature"}"#,
            ),
            (
                HandshakeRefusal::TokenNoSigner,
                401,
                r#"{"error":"Failed to generate JWT signer, check your JWT secret or JWKS configuration"}"#,
            ),
            (
                HandshakeRefusal::TokenUnknownKey {
                    kid: "rsa-9".to_owned(),
                },
                401,
                r#"{"error":"Failed to generate JWT signer for key ID (kid) \"rsa-9\", check your JWT secret or JWKS configuration"}"#,
            ),
            (
                HandshakeRefusal::TooManyConnectedUsers,
                429,
                r#"{"error":"Too many connected users"}"#,
            ),
            (
                HandshakeRefusal::TooManyJoins,
                429,
                r#"{"error":"Too many joins per second"}"#,
            ),
            (
                HandshakeRefusal::Other,
                500,
                r#"{"error":"Error connecting to Realtime"}"#,
            ),
        ] {
            assert_eq!((refusal.status(), refusal.body().as_str()), (status, body));
            assert!(refusal.is_delayed());
        }
    }

    #[test]
    fn a_plain_request_is_told_its_own_header() {
        assert_eq!(
            not_an_upgrade::must_contain("connection", "upgrade", ["close"]),
            r#"'connection' header must contain 'upgrade', got ["close"]"#
        );
    }
}
