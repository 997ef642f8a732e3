//! A replication connection to PostgreSQL: bytes and log positions, never rows.
//!
//! [`Dsn`] says where the database is, [`Socket::open`] gets there with the TLS it asks for, [`Connection`] logs in for
//! replication and makes a slot, temporary or durable, [`ReplicationStream`] streams it. What the bytes mean is for the
//! crate `changes`; SQL is for the crate `database`, which gets its connections through [`Dsn`] and [`Socket`] as well.
//!
//! The driver `tokio-postgres` has no copy-both mode, which replication needs; so the connection is written here on
//! `postgres-protocol`, and the driver is used for the notation of connection strings only.
//!
//! What is not here: no queue (see `stream.rs`), no reconnect (the feed decides, by [`Error`]), no SQL.

mod auth;
mod certificate;
mod connect;
mod door;
mod dsn;
mod error;
mod frame;
mod liveness;
mod lsn;
mod message;
mod progress;
mod slot;
mod socket;
mod stream;
mod tls;

pub use connect::{Connection, SETTINGS};
pub use dsn::{Dsn, DsnError};
pub use error::{Definite, Error, ServerError, Transient};
pub use lsn::{Lsn, LsnError};
pub use progress::{Lag, Position};
pub use slot::{Durability, Slot, System};
pub use socket::Socket;
pub use stream::{Event, ReplicationStream};
