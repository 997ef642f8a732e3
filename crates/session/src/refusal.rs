//! How failures of other crates are told to the client, per situation. The texts are in `phoenix_wire::refusal`.

use auth::VerifyError;
use phoenix_wire::refusal::{JoinRefusal, Shutdown};

use crate::effects::AuthorizeFailure;

/// A token that fails at a join. Source: auth.md, section 2.
pub(crate) fn join_refusal_of_token(error: &VerifyError) -> JoinRefusal {
    match error {
        VerifyError::Malformed => JoinRefusal::TokenMalformed,
        VerifyError::Expired { seconds_ago } => JoinRefusal::TokenExpired {
            seconds_ago: *seconds_ago,
        },
        VerifyError::MissingClaims => JoinRefusal::TokenClaimsMissing,
        VerifyError::Signature => JoinRefusal::TokenSignature,
        VerifyError::NoSigner => JoinRefusal::TokenNoSigner,
        VerifyError::UnknownKey { kid } => JoinRefusal::TokenUnknownKey { kid: kid.clone() },
        VerifyError::InvalidClaim { .. } => JoinRefusal::Unknown,
        VerifyError::BadEscape => {
            JoinRefusal::Exception("the token has a malformed percent escape".to_owned())
        }
    }
}

/// A token that fails on a running channel. Source: auth.md, section 2.
pub(crate) fn shutdown_of_token(error: &VerifyError) -> Shutdown {
    match error {
        VerifyError::Malformed => Shutdown::TokenMalformed,
        VerifyError::Expired { seconds_ago } => Shutdown::TokenExpired {
            seconds_ago: *seconds_ago,
        },
        VerifyError::MissingClaims => Shutdown::TokenClaimsMissing,
        VerifyError::Signature => Shutdown::TokenSignature,
        VerifyError::NoSigner => Shutdown::TokenNoSigner,
        VerifyError::UnknownKey { kid } => Shutdown::TokenUnknownKey { kid: kid.clone() },
        VerifyError::InvalidClaim { claim } => Shutdown::TokenClaim { claim: claim.clone() },
        VerifyError::BadEscape => Shutdown::TokenMalformed,
    }
}

/// A permission check that fails at a join. Source: auth.md, section 7.
pub(crate) fn join_refusal_of_check(failure: AuthorizeFailure, topic: &str) -> JoinRefusal {
    match failure {
        AuthorizeFailure::Policy => JoinRefusal::Unauthorized {
            topic: topic.to_owned(),
        },
        AuthorizeFailure::Cancelled(detail) => JoinRefusal::QueryCanceled { detail },
        AuthorizeFailure::MissingPartition => JoinRefusal::MissingPartition,
        AuthorizeFailure::PoolExhausted => JoinRefusal::IncreaseConnectionPool,
        AuthorizeFailure::LackOfConnections => JoinRefusal::DatabaseLackOfConnections,
        AuthorizeFailure::Unavailable => JoinRefusal::UnableToConnectToProject,
    }
}

/// A permission check that fails when a token is refreshed. Source: auth.md, section 5.
pub(crate) fn shutdown_of_check(failure: &AuthorizeFailure, topic: &str) -> Shutdown {
    match failure {
        AuthorizeFailure::Policy => Shutdown::Unauthorized {
            topic: topic.to_owned(),
        },
        AuthorizeFailure::Cancelled(_) => Shutdown::QueryCancelled,
        AuthorizeFailure::PoolExhausted => Shutdown::PoolExhausted,
        AuthorizeFailure::MissingPartition => Shutdown::MissingPartition,
        AuthorizeFailure::LackOfConnections | AuthorizeFailure::Unavailable => Shutdown::DatabaseUnavailable,
    }
}
