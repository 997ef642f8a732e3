//! Why an HTTP request is refused. Source: protocol-spec/http-api.md.

/// The `content-type` of refusals with a JSON body.
pub const JSON_CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// Why a request to the HTTP API is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpRefusal {
    /// No route matches.
    RouteNotFound,
    /// The body is no JSON, or lacks what the route needs.
    BadRequest,
    /// The host names no tenant.
    TenantNotInDatabase,
    /// The token does not verify, or an action failed in a way nobody has words for.
    Unauthorized,
    /// The policies do not let the token write to the topic.
    Forbidden,
    /// The token of the tenants or metrics API does not verify. No body.
    AdminForbidden,
    /// The metrics have no secret. Ours: the reference does not start without one.
    MetricsOff,
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenants API knows no such tenant.
    NotFound,
    /// The body is larger than the server reads.
    BodyTooLarge,
    /// Neither JSON nor bytes.
    UnsupportedMediaType,
    /// Fields do not validate.
    Invalid {
        /// JSON text: an object from field to a list of complaints.
        errors: String,
    },
    /// The tenant's request rate is exceeded.
    TooManyRequests,
    /// The tenant's event rate is exceeded.
    RateLimited,
    /// The batch would exceed the tenant's event rate.
    BatchTooLarge,
    /// A policy raised, or the role does not exist.
    RlsPolicyError,
    /// The policy check was cancelled.
    QueryCanceled,
    /// There is no partition for today's messages.
    MissingPartition,
    /// The tenant's database cannot be reached.
    DatabaseUnavailable,
    /// The tenant is being started.
    DatabaseInitializing,
    /// The tenant's database is being connected to.
    DatabaseConnecting,
    /// The tenant's database takes no more connections.
    DatabaseLackOfConnections,
    /// Connecting to the tenant's database has failed too often lately.
    ConnectRateLimit,
    /// Too many checks wait for a connection to the tenant's database.
    PoolExhausted,
    /// The policies could not be asked.
    UnableToAuthorize,
    /// An action answered with something unexpected.
    UnknownError,
}

impl HttpRefusal {
    /// A field of one message does not validate: `{"<field>":["<complaint>"]}`.
    pub fn invalid_field(field: &str, complaint: &str) -> Self {
        let mut errors = String::from("{");
        crate::json::write_string(&mut errors, field);
        errors.push_str(":[");
        crate::json::write_string(&mut errors, complaint);
        errors.push_str("]}");
        Self::Invalid { errors }
    }

    /// The complaint about a missing or blank field.
    pub const BLANK: &'static str = "can't be blank";
    /// The complaint about a field of the wrong type.
    pub const INVALID: &'static str = "is invalid";
    /// The complaint about a payload above the tenant's limit.
    pub const PAYLOAD_TOO_LARGE: &'static str = "Payload size exceeds tenant limit";

    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::TenantNotInDatabase | Self::Unauthorized => 401,
            Self::Forbidden | Self::AdminForbidden | Self::TenantSuspended => 403,
            Self::RouteNotFound | Self::NotFound | Self::MetricsOff => 404,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid { .. }
            | Self::RlsPolicyError
            | Self::QueryCanceled
            | Self::MissingPartition
            | Self::DatabaseUnavailable
            | Self::DatabaseInitializing
            | Self::DatabaseConnecting
            | Self::DatabaseLackOfConnections
            | Self::ConnectRateLimit
            | Self::UnknownError => 422,
            Self::TooManyRequests | Self::RateLimited | Self::BatchTooLarge | Self::PoolExhausted => 429,
            Self::UnableToAuthorize => 500,
        }
    }

    /// The `content-type` of the body; `None` where there is no body.
    pub fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::AdminForbidden => None,
            Self::MetricsOff => Some("text/plain; charset=utf-8"),
            Self::RouteNotFound | Self::BadRequest | Self::BodyTooLarge => Some("text/html; charset=utf-8"),
            _ => Some(JSON_CONTENT_TYPE),
        }
    }

    /// The body: `{"message":…}` but for a few.
    pub fn body(&self) -> String {
        let message = match self {
            Self::AdminForbidden => return String::new(),
            Self::RouteNotFound => return "Not Found".to_owned(),
            Self::MetricsOff => {
                return "Metrics are off. METRICS_JWT_SECRET (--metrics-jwt-secret) turns them on.\n"
                    .to_owned();
            }
            Self::BadRequest => return "Bad Request".to_owned(),
            Self::BodyTooLarge => return "Request Entity Too Large".to_owned(),
            Self::UnsupportedMediaType => {
                return super::object(
                    "error",
                    "Unsupported Media Type. Use application/json or application/octet-stream",
                );
            }
            Self::Invalid { errors } => return format!(r#"{{"errors":{errors}}}"#),
            Self::TenantNotInDatabase => "Tenant not found in database",
            Self::Unauthorized | Self::Forbidden => "Unauthorized",
            Self::TenantSuspended => "Tenant is suspended",
            Self::NotFound => "not found",
            Self::TooManyRequests => "Too many requests",
            Self::RateLimited => "You have exceeded your rate limit",
            Self::BatchTooLarge => "Too many messages to broadcast, please reduce the batch size",
            Self::RlsPolicyError => "RLS policy error",
            Self::QueryCanceled => "Query canceled",
            Self::MissingPartition => "Missing messages partition",
            Self::DatabaseUnavailable => "Tenant database unavailable",
            Self::DatabaseInitializing => "Tenant database initializing",
            Self::DatabaseConnecting => "Tenant database connection initializing",
            Self::DatabaseLackOfConnections => "Tenant database has too many connections",
            Self::ConnectRateLimit => "Connect rate limit reached",
            Self::PoolExhausted => "Connection pool exhausted",
            Self::UnableToAuthorize => "Unable to authorize broadcast",
            Self::UnknownError => "Unknown error",
        };
        super::object("message", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_bodies_are_those_of_the_table() {
        for (refusal, status, body) in [
            (HttpRefusal::RouteNotFound, 404, "Not Found"),
            (HttpRefusal::BadRequest, 400, "Bad Request"),
            (HttpRefusal::BodyTooLarge, 413, "Request Entity Too Large"),
            (
                HttpRefusal::TenantNotInDatabase,
                401,
                r#"{"message":"Tenant not found in database"}"#,
            ),
            (HttpRefusal::Unauthorized, 401, r#"{"message":"Unauthorized"}"#),
            (HttpRefusal::Forbidden, 403, r#"{"message":"Unauthorized"}"#),
            (HttpRefusal::AdminForbidden, 403, ""),
            (
                HttpRefusal::MetricsOff,
                404,
                "Metrics are off. METRICS_JWT_SECRET (--metrics-jwt-secret) turns them on.\n",
            ),
            (
                HttpRefusal::TenantSuspended,
                403,
                r#"{"message":"Tenant is suspended"}"#,
            ),
            (HttpRefusal::NotFound, 404, r#"{"message":"not found"}"#),
            (
                HttpRefusal::UnsupportedMediaType,
                415,
                r#"{"error":"Unsupported Media Type. Use application/json or application/octet-stream"}"#,
            ),
            (
                HttpRefusal::invalid_field("payload", HttpRefusal::PAYLOAD_TOO_LARGE),
                422,
                r#"{"errors":{"payload":["Payload size exceeds tenant limit"]}}"#,
            ),
            (
                HttpRefusal::Invalid {
                    errors: r#"{"messages":[{},{"topic":["is invalid"]}]}"#.to_owned(),
                },
                422,
                r#"{"errors":{"messages":[{},{"topic":["is invalid"]}]}}"#,
            ),
            (
                HttpRefusal::TooManyRequests,
                429,
                r#"{"message":"Too many requests"}"#,
            ),
            (
                HttpRefusal::RateLimited,
                429,
                r#"{"message":"You have exceeded your rate limit"}"#,
            ),
            (
                HttpRefusal::BatchTooLarge,
                429,
                r#"{"message":"Too many messages to broadcast, please reduce the batch size"}"#,
            ),
            (
                HttpRefusal::RlsPolicyError,
                422,
                r#"{"message":"RLS policy error"}"#,
            ),
            (HttpRefusal::QueryCanceled, 422, r#"{"message":"Query canceled"}"#),
            (
                HttpRefusal::MissingPartition,
                422,
                r#"{"message":"Missing messages partition"}"#,
            ),
            (
                HttpRefusal::DatabaseUnavailable,
                422,
                r#"{"message":"Tenant database unavailable"}"#,
            ),
            (
                HttpRefusal::DatabaseInitializing,
                422,
                r#"{"message":"Tenant database initializing"}"#,
            ),
            (
                HttpRefusal::DatabaseConnecting,
                422,
                r#"{"message":"Tenant database connection initializing"}"#,
            ),
            (
                HttpRefusal::DatabaseLackOfConnections,
                422,
                r#"{"message":"Tenant database has too many connections"}"#,
            ),
            (
                HttpRefusal::ConnectRateLimit,
                422,
                r#"{"message":"Connect rate limit reached"}"#,
            ),
            (
                HttpRefusal::PoolExhausted,
                429,
                r#"{"message":"Connection pool exhausted"}"#,
            ),
            (
                HttpRefusal::UnableToAuthorize,
                500,
                r#"{"message":"Unable to authorize broadcast"}"#,
            ),
            (HttpRefusal::UnknownError, 422, r#"{"message":"Unknown error"}"#),
        ] {
            assert_eq!((refusal.status(), refusal.body().as_str()), (status, body));
            assert_eq!(
                refusal.content_type() == Some(JSON_CONTENT_TYPE),
                body.starts_with('{'),
                "{body}"
            );
            assert_eq!(refusal.content_type().is_none(), body.is_empty());
        }
    }
}
