//! Why a join is refused. Source: protocol-spec/errors-and-limits.md, section 3.

/// Why a join is refused: a reply with `{"reason":…}`, after the join back-off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The sub-topic is empty.
    TopicNameRequired,
    /// The server is shutting down.
    RealtimeRestarting,
    /// The tenant is gone. Closes the connection.
    TenantNotFound,
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant has private channels only.
    PrivateOnly,
    /// The tenant has as many users as it may have.
    TooManyConnectedUsers,
    /// The tenant's join rate is exceeded. Closes the connection.
    TooManyJoins,
    /// The connection has as many channels as it may have.
    TooManyChannels,
    /// The token is no JWT.
    TokenMalformed,
    /// The token has expired.
    TokenExpired {
        /// Whole seconds since.
        seconds_ago: i64,
    },
    /// The token lacks `role` or `exp`.
    TokenClaimsMissing,
    /// The token expired while it was being looked at.
    TokenExpirationInvalid,
    /// The signature is wrong.
    TokenSignature,
    /// The tenant has no key for the token's algorithm.
    TokenNoSigner,
    /// The tenant has no key with the token's key id.
    TokenUnknownKey {
        /// The id.
        kid: String,
    },
    /// The policies let the token read nothing of the channel, or could not be evaluated.
    Unauthorized {
        /// The sub-topic.
        topic: String,
    },
    /// The tenant's database cannot be reached.
    UnableToConnectToProject,
    /// The policies could not be asked for another reason.
    UnableToSetPolicies,
    /// The tenant's database takes no more connections.
    DatabaseLackOfConnections,
    /// Connecting to the tenant's database has failed too often lately.
    DatabaseConnectionRateLimit,
    /// The tenant is being started.
    Initializing,
    /// The tenant's database is being connected to.
    Connecting,
    /// Too many checks wait for a connection to the tenant's database.
    IncreaseConnectionPool,
    /// The policy check was cancelled.
    QueryCanceled {
        /// What the database said.
        detail: String,
    },
    /// There is no partition for today's messages.
    MissingPartition,
    /// A replay on a public channel.
    ReplayOnPublicChannel,
    /// A replay that does not say what it wants.
    ReplayParamsInvalid,
    /// The messages to replay could not be read.
    ReplayFailed,
    /// Any failure without a name.
    Unknown,
    /// A failure of ours with a text: a payload of the wrong shape, for one.
    Exception(String),
}

impl JoinRefusal {
    /// The text the client gets. Reads `<code>: <text>` but for two rows.
    pub fn reason(&self) -> String {
        match self {
            Self::UnableToSetPolicies | Self::Unknown => self.text(),
            _ => format!("{}: {}", self.code(), self.text()),
        }
    }

    /// The response of the reply. JSON text.
    pub fn response(&self) -> String {
        super::object("reason", &self.reason())
    }

    /// True if the connection is closed right after the reply, with [`crate::close::CloseReason::Refused`].
    pub fn closes_socket(&self) -> bool {
        matches!(self, Self::TenantNotFound | Self::TooManyJoins)
    }

    /// The reference's name for the case: what the reason starts with, and what logs say.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TopicNameRequired => "TopicNameRequired",
            Self::RealtimeRestarting => "RealtimeRestarting",
            Self::TenantNotFound => "TenantNotFound",
            Self::TenantSuspended => "RealtimeDisabledForTenant",
            Self::PrivateOnly => "PrivateOnly",
            Self::TooManyConnectedUsers => "ConnectionRateLimitReached",
            Self::TooManyJoins => "ClientJoinRateLimitReached",
            Self::TooManyChannels => "ChannelRateLimitReached",
            Self::TokenMalformed => "MalformedJWT",
            Self::TokenExpired { .. } | Self::TokenClaimsMissing | Self::TokenExpirationInvalid => {
                "InvalidJWTToken"
            }
            Self::TokenSignature => "JwtSignatureError",
            Self::TokenNoSigner | Self::TokenUnknownKey { .. } => "JwtSignerError",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::UnableToConnectToProject => "UnableToConnectToProject",
            Self::UnableToSetPolicies => "UnableToSetPolicies",
            Self::DatabaseLackOfConnections => "DatabaseLackOfConnections",
            Self::DatabaseConnectionRateLimit => "DatabaseConnectionRateLimitReached",
            Self::Initializing | Self::Connecting => "InitializingProjectConnection",
            Self::IncreaseConnectionPool => "IncreaseConnectionPool",
            Self::QueryCanceled { .. } => "QueryCanceled",
            Self::MissingPartition => "MissingPartition",
            Self::ReplayOnPublicChannel | Self::ReplayParamsInvalid | Self::ReplayFailed => {
                "UnableToReplayMessages"
            }
            Self::Unknown | Self::Exception(_) => "UnknownErrorOnChannel",
        }
    }

    /// The text without the code.
    fn text(&self) -> String {
        match self {
            Self::TopicNameRequired => "You must provide a topic name",
            Self::RealtimeRestarting => "Realtime is restarting, please standby",
            Self::TenantNotFound => "Tenant with the given ID does not exist",
            Self::TenantSuspended => "Realtime disabled for this tenant",
            Self::PrivateOnly => "This project only allows private channels",
            Self::TooManyConnectedUsers => super::TOO_MANY_USERS,
            Self::TooManyJoins => super::TOO_MANY_JOINS,
            Self::TooManyChannels => "Too many channels",
            Self::TokenMalformed => super::TOKEN_MALFORMED,
            Self::TokenExpired { seconds_ago } => return super::token_expired(*seconds_ago),
            Self::TokenClaimsMissing => super::TOKEN_CLAIMS_MISSING,
            Self::TokenExpirationInvalid => "Token expiration time is invalid",
            Self::TokenSignature => super::TOKEN_SIGNATURE,
            Self::TokenNoSigner => super::TOKEN_NO_SIGNER,
            Self::TokenUnknownKey { kid } => return super::unknown_key(kid),
            Self::Unauthorized { topic } => return super::unauthorized(topic),
            Self::UnableToConnectToProject | Self::UnableToSetPolicies => super::DATABASE_UNAVAILABLE,
            Self::DatabaseLackOfConnections => {
                "Database can't accept more connections, Realtime won't connect"
            }
            Self::DatabaseConnectionRateLimit => "Too many database connections attempts per second",
            Self::Initializing => "Realtime is initializing the project connection",
            Self::Connecting => "Connecting to the project database",
            Self::IncreaseConnectionPool => "Please increase your connection pool size",
            Self::QueryCanceled { detail } => detail,
            Self::MissingPartition => "Realtime was unable to find the expected messages partition",
            Self::ReplayOnPublicChannel => "Replay is not allowed for public channels",
            Self::ReplayParamsInvalid => "Replay params are not valid",
            Self::ReplayFailed => "Realtime was unable to replay messages",
            Self::Unknown => "Unknown Error on Channel",
            Self::Exception(message) => message,
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_that_of_the_table() {
        for (refusal, reason) in [
            (
                JoinRefusal::TopicNameRequired,
                "TopicNameRequired: You must provide a topic name",
            ),
            (
                JoinRefusal::RealtimeRestarting,
                "RealtimeRestarting: Realtime is restarting, please standby",
            ),
            (
                JoinRefusal::TenantNotFound,
                "TenantNotFound: Tenant with the given ID does not exist",
            ),
            (
                JoinRefusal::TenantSuspended,
                "RealtimeDisabledForTenant: Realtime disabled for this tenant",
            ),
            (
                JoinRefusal::PrivateOnly,
                "PrivateOnly: This project only allows private channels",
            ),
            (
                JoinRefusal::TooManyConnectedUsers,
                "ConnectionRateLimitReached: Too many connected users",
            ),
            (
                JoinRefusal::TooManyJoins,
                "ClientJoinRateLimitReached: Too many joins per second",
            ),
            (
                JoinRefusal::TooManyChannels,
                "ChannelRateLimitReached: Too many channels",
            ),
            (
                JoinRefusal::TokenMalformed,
                "MalformedJWT: The token provided is not a valid JWT",
            ),
            (
                JoinRefusal::TokenExpired { seconds_ago: 7 },
                "InvalidJWTToken: Token has expired 7 seconds ago",
            ),
            (
                JoinRefusal::TokenClaimsMissing,
                "InvalidJWTToken: Fields `role` and `exp` are required in JWT",
            ),
            (
                JoinRefusal::TokenExpirationInvalid,
                "InvalidJWTToken: Token expiration time is invalid",
            ),
            (
                JoinRefusal::TokenSignature,
                "JwtSignatureError: Failed to validate JWT signature",
            ),
            (
                JoinRefusal::TokenNoSigner,
                "JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration",
            ),
            (
                JoinRefusal::TokenUnknownKey { kid: "k".to_owned() },
                "JwtSignerError: Failed to generate JWT signer for key ID (kid) \"k\", \
                 check your JWT secret or JWKS configuration",
            ),
            (
                JoinRefusal::Unauthorized {
                    topic: "room:a".to_owned(),
                },
                "Unauthorized: You do not have permissions to read from this Channel topic: room:a",
            ),
            (
                JoinRefusal::UnableToConnectToProject,
                "UnableToConnectToProject: Realtime was unable to connect to the project database",
            ),
            (
                JoinRefusal::UnableToSetPolicies,
                "Realtime was unable to connect to the project database",
            ),
            (
                JoinRefusal::DatabaseLackOfConnections,
                "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect",
            ),
            (
                JoinRefusal::DatabaseConnectionRateLimit,
                "DatabaseConnectionRateLimitReached: Too many database connections attempts per second",
            ),
            (
                JoinRefusal::Initializing,
                "InitializingProjectConnection: Realtime is initializing the project connection",
            ),
            (
                JoinRefusal::Connecting,
                "InitializingProjectConnection: Connecting to the project database",
            ),
            (
                JoinRefusal::IncreaseConnectionPool,
                "IncreaseConnectionPool: Please increase your connection pool size",
            ),
            (
                JoinRefusal::QueryCanceled {
                    detail: "x".to_owned(),
                },
                "QueryCanceled: x",
            ),
            (
                JoinRefusal::MissingPartition,
                "MissingPartition: Realtime was unable to find the expected messages partition",
            ),
            (
                JoinRefusal::ReplayOnPublicChannel,
                "UnableToReplayMessages: Replay is not allowed for public channels",
            ),
            (
                JoinRefusal::ReplayParamsInvalid,
                "UnableToReplayMessages: Replay params are not valid",
            ),
            (
                JoinRefusal::ReplayFailed,
                "UnableToReplayMessages: Realtime was unable to replay messages",
            ),
            (JoinRefusal::Unknown, "Unknown Error on Channel"),
            (JoinRefusal::Exception("x".to_owned()), "UnknownErrorOnChannel: x"),
        ] {
            assert_eq!(refusal.reason(), reason);
        }
    }

    #[test]
    fn two_refusals_end_the_connection() {
        assert!(JoinRefusal::TenantNotFound.closes_socket());
        assert!(JoinRefusal::TooManyJoins.closes_socket());
        assert!(!JoinRefusal::TooManyChannels.closes_socket());
    }
}
