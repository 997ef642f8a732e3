//! What can go wrong between us and the database, and whose turn it is.
//!
//! One question decides what a caller does: may it work the next time ([`Transient`]), or does it take an operator
//! ([`Definite`])? The sentences of the latter say what to do. No error holds a password or a connection string.

use std::fmt;
use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorResponseBody;

/// Why a connection could not be made, or does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Try again, with a growing pause.
    #[error(transparent)]
    Transient(#[from] Transient),
    /// An operator has to act; trying again soon is of no use.
    #[error(transparent)]
    Definite(#[from] Definite),
}

/// What passes by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Transient {
    /// No connection to any of the hosts: a name that does not resolve, a refusal, no answer.
    #[error("the database at {server} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port; several after one another.
        server: String,
        /// What the operating system said.
        reason: String,
    },
    /// The connection broke or was ended.
    #[error("the connection to the database was lost: {reason}")]
    Lost {
        /// How.
        reason: String,
    },
    /// The server does not answer although the connection stands.
    #[error("the database has not answered for {seconds} seconds")]
    Silent {
        /// Since it was asked.
        seconds: u64,
    },
    /// The server has no connection left for us.
    #[error("the database takes no more connections (raise max_connections if this lasts): {message}")]
    TooManyConnections {
        /// The server's words.
        message: String,
    },
    /// Another connection streams the slot: of another gateway, or a former one of ours that the server has not yet
    /// found to be gone, which can take its `wal_sender_timeout`.
    #[error("replication slot {slot:?} is in use by another connection: {message}")]
    SlotActive {
        /// Its name.
        slot: String,
        /// The server's words; they name the process.
        message: String,
    },
    /// The server is starting up, shutting down, out of a resource, or ended the session.
    #[error("the database said: {0}")]
    Server(ServerError),
}

/// What does not pass by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Definite {
    /// `sslmode` asks for TLS and the server has none.
    #[error("the database at {server} offers no TLS: turn on `ssl` there, or set sslmode=prefer")]
    TlsNotOffered {
        /// Host and port.
        server: String,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to the database at {server} (see sslmode and sslrootcert): {reason}")]
    Tls {
        /// Host and port.
        server: String,
        /// What is wrong with the certificate or with the peer.
        reason: String,
    },
    /// There is nothing to check the server's certificate with.
    #[error("no root certificates from {origin}: {reason}")]
    RootCertificates {
        /// The file of `sslrootcert`, or the operating system.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Name and password do not match.
    #[error("the database does not accept user name and password of the connection string: {message}")]
    Password {
        /// The server's words.
        message: String,
    },
    /// The server wants a password and the connection string has none.
    #[error("the database asks for a password: add one to the connection string")]
    PasswordMissing,
    /// The server wants a proof that we cannot give.
    #[error("the database asks for authentication by {method}: use scram-sha-256 in its pg_hba.conf")]
    AuthenticationMethod {
        /// Its name.
        method: &'static str,
    },
    /// `channel_binding=require`, and there is none.
    #[error("channel_binding=require needs TLS and scram-sha-256, which the database did not offer")]
    ChannelBinding,
    /// The server's own proof in SCRAM is wrong: it does not know the password.
    #[error("the database could not prove that it knows the password; is something between it and us?")]
    ServerProof,
    /// No rule in `pg_hba.conf`, or a role that may not log in.
    #[error("the database refuses this user or this address (see its pg_hba.conf): {message}")]
    Refused {
        /// The server's words.
        message: String,
    },
    /// The database of that name does not exist.
    #[error("wrong database name in the connection string: {message}")]
    DatabaseMissing {
        /// The server's words.
        message: String,
    },
    /// Logical replication is off.
    #[error(
        "the database runs with wal_level = {wal_level}: `alter system set wal_level = logical`, then restart it"
    )]
    WalLevel {
        /// What it is.
        wal_level: String,
    },
    /// The role may not replicate.
    #[error("user {user:?} may not replicate: run `alter role \"{user}\" with replication` as a superuser")]
    ReplicationRole {
        /// Whom we logged in as.
        user: String,
    },
    /// The publication does not exist.
    #[error(
        "the database has no publication {publication:?}: run `create publication \"{publication}\"` there, and add \
         tables to it (`roost migrate` creates supabase_realtime)"
    )]
    PublicationMissing {
        /// Its name.
        publication: String,
    },
    /// All replication slots are taken.
    #[error("all replication slots are in use: raise max_replication_slots, or drop one that is not needed")]
    SlotsInUse,
    /// There is a slot of that name already, durable or of a connection that lives.
    #[error("there is a replication slot {slot:?} already: stream it, or drop it if nobody needs it")]
    SlotExists {
        /// Its name.
        slot: String,
    },
    /// There is no slot of that name.
    #[error("there is no replication slot {slot:?}: somebody has dropped it, and it has to be made again")]
    SlotMissing {
        /// Its name.
        slot: String,
    },
    /// The server has thrown away log that the slot needs. It can only be dropped and made again, and what it had still
    /// to stream is lost.
    #[error(
        "replication slot {slot:?} was behind by more log than the database keeps, and changes are lost (raise \
         max_slot_wal_keep_size if this happens again): {message}"
    )]
    SlotLost {
        /// Its name.
        slot: String,
        /// The server's words.
        message: String,
    },
    /// All places for replication connections are taken.
    #[error("all replication connections are in use: raise max_wal_senders")]
    SendersInUse,
    /// Bytes that are no PostgreSQL protocol, or more of them than make sense.
    #[error("the peer does not speak the PostgreSQL protocol as expected: {0}")]
    Protocol(&'static str),
    /// The server's error, without a better name.
    #[error("the database said: {0}")]
    Server(ServerError),
}

/// An error as the server reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Five characters. Source: the PostgreSQL manual, appendix A.
    pub sqlstate: String,
    /// The primary message, in the server's language.
    pub message: String,
}

/// What we were doing when the server sent an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doing<'a> {
    /// Logging in as this user.
    Login { user: &'a str },
    /// Running a replication command.
    Command,
    /// Making or dropping this slot.
    Slot { slot: &'a str },
    /// Starting to stream this slot.
    Starting { slot: &'a str },
    /// Streaming this publication from this slot.
    Streaming { slot: &'a str, publication: &'a str },
    /// Logging in without replication, or running a statement.
    Sql,
}

impl Error {
    /// An error that the server has sent while we were doing something.
    pub(crate) fn read(body: &ErrorResponseBody, doing: Doing<'_>) -> Error {
        let (mut sqlstate, mut message, mut has_detail) = (String::new(), String::new(), false);
        let mut fields = body.fields();
        loop {
            let field = match fields.next() {
                Ok(Some(field)) => field,
                Ok(None) => break,
                Err(_) => return protocol("malformed error"),
            };
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => sqlstate = text(),
                b'M' => message = text(),
                b'D' => has_detail = true,
                _ => {}
            }
        }
        ServerError { sqlstate, message }.classify(doing, has_detail)
    }
}

impl ServerError {
    /// Whose turn it is.
    fn classify(self, doing: Doing<'_>, has_detail: bool) -> Error {
        let ServerError { sqlstate, message } = &self;
        let message = message.clone();
        match (sqlstate.as_str(), doing) {
            ("28P01", _) => Definite::Password { message }.into(),
            ("28000", _) => Definite::Refused { message }.into(),
            ("3D000", _) => Definite::DatabaseMissing { message }.into(),
            ("42501", Doing::Login { user }) => Definite::ReplicationRole { user: user.into() }.into(),
            // Names of settings are not translated.
            ("53300", _) if message.contains("max_wal_senders") => Definite::SendersInUse.into(),
            ("53300", _) => Transient::TooManyConnections { message }.into(),
            ("53400", Doing::Slot { .. }) => Definite::SlotsInUse.into(),
            ("42710", Doing::Slot { slot }) => Definite::SlotExists { slot: slot.into() }.into(),
            ("42704", Doing::Slot { slot } | Doing::Starting { slot }) => {
                Definite::SlotMissing { slot: slot.into() }.into()
            }
            ("42704", Doing::Streaming { publication, .. }) => Definite::PublicationMissing {
                publication: publication.into(),
            }
            .into(),
            ("55006", Doing::Slot { slot } | Doing::Starting { slot }) => Transient::SlotActive {
                slot: slot.into(),
                message,
            }
            .into(),
            // An object in use is one of a session that is about to end.
            ("55006", _) => Transient::Server(self).into(),
            // Servers say by a detail why a slot was invalidated; the same code without one is about a slot that is of
            // another database or not for decoding, and not ours to drop. Messages are translated.
            ("55000", Doing::Starting { slot }) if has_detail => lost_slot(slot, message),
            // A segment of the log is missing, unless it is another file. "WAL" is not translated.
            ("58P01", Doing::Streaming { slot, .. }) if message.contains("WAL") => lost_slot(slot, message),
            // XX is an error of the server's own: it has been seen to lose a table's file node while decoding.
            _ if ["08", "40", "53", "57", "58", "XX"].contains(&sqlstate.get(..2).unwrap_or_default()) => {
                Transient::Server(self).into()
            }
            _ => Definite::Server(self).into(),
        }
    }
}

fn lost_slot(slot: &str, message: String) -> Error {
    Definite::SlotLost {
        slot: slot.into(),
        message,
    }
    .into()
}

/// For an error of an ordinary session, which the driver has received.
impl From<ServerError> for Error {
    fn from(error: ServerError) -> Error {
        error.classify(Doing::Sql, false)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sqlstate)
    }
}

/// A violation of the protocol.
pub(crate) fn protocol(what: &'static str) -> Error {
    Definite::Protocol(what).into()
}

/// A connection that broke.
pub(crate) fn lost(error: &io::Error) -> Error {
    Transient::Lost {
        reason: error.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sqlstate: &str, message: &str, doing: Doing<'_>) -> Error {
        ServerError {
            sqlstate: sqlstate.into(),
            message: message.into(),
        }
        .classify(doing, false)
    }

    #[test]
    fn a_server_that_goes_away_is_transient() {
        for sqlstate in ["57P01", "57P02", "57P03", "53100", "08006", "55006"] {
            assert!(matches!(
                check(sqlstate, "", Doing::Command),
                Error::Transient(Transient::Server(_))
            ));
        }
    }

    #[test]
    fn the_same_code_means_different_things_in_different_moments() {
        let login = Doing::Login { user: "anna" };
        let streaming = Doing::Streaming {
            slot: "s",
            publication: "p",
        };
        assert_eq!(
            check("42501", "", login),
            Definite::ReplicationRole { user: "anna".into() }.into()
        );
        assert!(matches!(
            check("42501", "", streaming),
            Error::Definite(Definite::Server(_))
        ));
        assert_eq!(
            check("42704", "", streaming),
            Definite::PublicationMissing {
                publication: "p".into()
            }
            .into()
        );
        assert_eq!(
            check("53300", "more than max_wal_senders", login),
            Definite::SendersInUse.into()
        );
        assert!(matches!(
            check("53300", "zu viele", login),
            Error::Transient(Transient::TooManyConnections { .. })
        ));
    }

    #[test]
    fn what_befalls_a_slot_is_told_apart() {
        let making = Doing::Slot { slot: "s" };
        let starting = Doing::Starting { slot: "s" };
        let streaming = Doing::Streaming {
            slot: "s",
            publication: "p",
        };
        let slot = || "s".to_owned();
        assert_eq!(
            check("42710", "gibt es schon", making),
            Definite::SlotExists { slot: slot() }.into()
        );
        for doing in [making, starting] {
            assert_eq!(
                check("42704", "gibt es nicht", doing),
                Definite::SlotMissing { slot: slot() }.into()
            );
            let message = "PID 7".to_owned();
            assert_eq!(
                check("55006", "PID 7", doing),
                Transient::SlotActive {
                    slot: slot(),
                    message
                }
                .into()
            );
        }
        let lost = |message: &str| -> Error {
            let message = message.to_owned();
            Definite::SlotLost {
                slot: slot(),
                message,
            }
            .into()
        };
        let invalidated = ServerError {
            sqlstate: "55000".into(),
            message: "ungültig".into(),
        };
        assert_eq!(invalidated.classify(starting, true), lost("ungültig"));
        assert!(
            matches!(
                check("55000", "another database", starting),
                Error::Definite(Definite::Server(_))
            ),
            "a slot of somebody else is not lost"
        );
        let segment = "das angeforderte WAL-Segment 00000001 wurde schon entfernt";
        assert_eq!(check("58P01", segment, streaming), lost(segment));
        assert!(matches!(
            check("58P01", "could not open file", streaming),
            Error::Transient(Transient::Server(_))
        ));
    }

    #[test]
    fn a_code_of_no_length_is_definite() {
        assert!(matches!(
            check("", "odd", Doing::Command),
            Error::Definite(Definite::Server(_))
        ));
    }
}
