//! Why the server ends a running channel. Source: protocol-spec/errors-and-limits.md, section 4.

/// Why the server ends a running channel: a `system` error with this text, then `phx_close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The new token is no JWT.
    TokenMalformed,
    /// The token has expired, or the new one has.
    TokenExpired {
        /// Whole seconds since.
        seconds_ago: i64,
    },
    /// The new token lacks `role` or `exp`.
    TokenClaimsMissing,
    /// The signature of the new token is wrong.
    TokenSignature,
    /// The tenant has no key for the new token's algorithm.
    TokenNoSigner,
    /// The tenant has no key with the new token's key id.
    TokenUnknownKey {
        /// The id.
        kid: String,
    },
    /// A claim of the new token does not hold.
    TokenClaim {
        /// The claim's name.
        claim: String,
    },
    /// The policies let the new token read nothing of the channel, or could not be evaluated.
    Unauthorized {
        /// The sub-topic.
        topic: String,
    },
    /// The new token may not read something the old one could.
    NoLongerAuthorized {
        /// The sub-topic.
        topic: String,
    },
    /// The policy check for the new token was cancelled.
    QueryCancelled,
    /// Too many checks wait for a connection to the tenant's database.
    PoolExhausted,
    /// There is no partition for today's messages.
    MissingPartition,
    /// The tenant's database cannot be reached.
    DatabaseUnavailable,
    /// The tenant's message rate is exceeded.
    TooManyMessages,
    /// The tenant's presence rate is exceeded.
    TooManyPresenceMessages,
    /// The channel has used up its presence calls for the time being.
    ClientPresenceLimit,
    /// The tracked payload is too large.
    TrackTooLarge,
    /// Broadcasts from the database did not flow in time.
    ReplicationNotReady,
}

impl Shutdown {
    /// The message of the `system` notice. It has no code in front.
    pub fn message(&self) -> String {
        match self {
            Self::TokenMalformed => super::TOKEN_MALFORMED,
            Self::TokenExpired { seconds_ago } => return super::token_expired(*seconds_ago),
            Self::TokenClaimsMissing => super::TOKEN_CLAIMS_MISSING,
            // These three show the reference's internals. They are part of what applications see all the same.
            Self::TokenSignature => ":signature_error",
            Self::TokenNoSigner => ":error_generating_signer",
            Self::PoolExhausted => ":increase_connection_pool",
            Self::TokenUnknownKey { kid } => return super::unknown_key(kid),
            Self::TokenClaim { claim } => {
                return format!(
                    r#"[message: "Invalid token", claim: {}]"#,
                    crate::inspect::string(claim)
                );
            }
            Self::Unauthorized { topic } => return super::unauthorized(topic),
            Self::NoLongerAuthorized { topic } => {
                return format!("You no longer have permission to read from this Channel topic: {topic}");
            }
            Self::QueryCancelled => "Query was cancelled, please try again",
            Self::MissingPartition | Self::DatabaseUnavailable => super::DATABASE_UNAVAILABLE,
            Self::TooManyMessages => "Too many messages per second",
            Self::TooManyPresenceMessages => "Too many presence messages per second",
            Self::ClientPresenceLimit => "Client presence rate limit exceeded",
            Self::TrackTooLarge => "Track message size exceeded",
            Self::ReplicationNotReady => "Replication connection was not established in time",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_that_of_the_table() {
        for (shutdown, message) in [
            (Shutdown::TokenMalformed, "The token provided is not a valid JWT"),
            (
                Shutdown::TokenExpired { seconds_ago: 0 },
                "Token has expired 0 seconds ago",
            ),
            (
                Shutdown::TokenClaimsMissing,
                "Fields `role` and `exp` are required in JWT",
            ),
            (Shutdown::TokenSignature, ":signature_error"),
            (Shutdown::TokenNoSigner, ":error_generating_signer"),
            (
                Shutdown::TokenUnknownKey { kid: "k".to_owned() },
                "Failed to generate JWT signer for key ID (kid) \"k\", check your JWT secret or JWKS configuration",
            ),
            (
                Shutdown::TokenClaim {
                    claim: "iat".to_owned(),
                },
                r#"[message: "Invalid token", claim: "iat"]"#,
            ),
            (
                Shutdown::Unauthorized {
                    topic: "t".to_owned(),
                },
                "You do not have permissions to read from this Channel topic: t",
            ),
            (
                Shutdown::NoLongerAuthorized {
                    topic: "t".to_owned(),
                },
                "You no longer have permission to read from this Channel topic: t",
            ),
            (Shutdown::QueryCancelled, "Query was cancelled, please try again"),
            (Shutdown::PoolExhausted, ":increase_connection_pool"),
            (
                Shutdown::MissingPartition,
                "Realtime was unable to connect to the project database",
            ),
            (
                Shutdown::DatabaseUnavailable,
                "Realtime was unable to connect to the project database",
            ),
            (Shutdown::TooManyMessages, "Too many messages per second"),
            (
                Shutdown::TooManyPresenceMessages,
                "Too many presence messages per second",
            ),
            (
                Shutdown::ClientPresenceLimit,
                "Client presence rate limit exceeded",
            ),
            (Shutdown::TrackTooLarge, "Track message size exceeded"),
            (
                Shutdown::ReplicationNotReady,
                "Replication connection was not established in time",
            ),
        ] {
            assert_eq!(shutdown.message(), message);
        }
    }
}
