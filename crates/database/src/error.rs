//! Why there is no answer from the database, by what the one who asked can do about it.

use std::error::Error as _;
use std::io;

use replication::{Definite, ServerError, Transient};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached at the moment, or the connection broke. Try again later.
    #[error(transparent)]
    Unreachable(Transient),
    /// The server has no connection left for us.
    #[error("the database takes no more connections (raise max_connections if this lasts): {message}")]
    LackOfConnections {
        /// The server's words.
        message: String,
    },
    /// All connections of the pool were in use for too long.
    #[error("no connection of the pool of {size} became free within {seconds} seconds")]
    PoolExhausted {
        /// Connections of the pool.
        size: usize,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server does not let us in, or its certificate is not to be trusted. An operator has to act.
    #[error(transparent)]
    Refused(Definite),
    /// The publication does not exist.
    #[error(transparent)]
    PublicationMissing(Definite),
    /// The role does not exist.
    #[error("the database has no role {role:?}")]
    RoleMissing {
        /// Its name.
        role: String,
    },
    /// The user we log in as may not act as the role.
    #[error("the database lets {user:?} not act as {role:?}: GRANT {role:?} TO {user:?}")]
    RoleNotGranted {
        /// The role.
        role: String,
        /// The user.
        user: String,
    },
    /// A table has changed since its row was.
    #[error("the table {table} has other columns than the row that was asked about")]
    TableAltered {
        /// Schema and name.
        table: String,
    },
    /// The server refused a statement.
    #[error("the database said: {0}")]
    Statement(ServerError),
    /// A migration could not be applied. Earlier ones are, this one left no trace.
    #[error("migration {name} could not be applied: {reason}")]
    Migration {
        /// Set and file.
        name: String,
        /// The server's words.
        reason: ServerError,
    },
    /// The answer is not of the shape the statement has.
    #[error("the database's answer was not understood: {0}")]
    Answer(String),
}

impl Error {
    /// Of a connection that is being made.
    pub(crate) fn of_login(error: tokio_postgres::Error) -> Error {
        match server_error(&error) {
            Some(server) => replication::Error::from(server).into(),
            None => Error::of_driver(&error),
        }
    }

    fn of_driver(error: &tokio_postgres::Error) -> Error {
        let source = error.source();
        let is_io = source.is_some_and(|source| source.is::<io::Error>());
        let reason = match source {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        if is_io || error.is_closed() {
            Error::Unreachable(Transient::Lost { reason })
        } else {
            Error::Answer(reason)
        }
    }
}

/// Of the way to a connection.
impl From<replication::Error> for Error {
    fn from(error: replication::Error) -> Error {
        match error {
            replication::Error::Transient(Transient::TooManyConnections { message }) => {
                Error::LackOfConnections { message }
            }
            replication::Error::Transient(transient) => Error::Unreachable(transient),
            replication::Error::Definite(definite) => Error::Refused(definite),
        }
    }
}

/// Of a statement.
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match server_error(&error) {
            // A session that is being ended says so in place of an answer.
            Some(server) if server.sqlstate.starts_with("57P0") => {
                Error::Unreachable(Transient::Server(server))
            }
            Some(server) => Error::Statement(server),
            None => Error::of_driver(&error),
        }
    }
}

fn server_error(error: &tokio_postgres::Error) -> Option<ServerError> {
    let error = error.as_db_error()?;
    Some(ServerError {
        sqlstate: error.code().code().to_owned(),
        message: error.message().to_owned(),
    })
}
