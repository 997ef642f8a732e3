//! Load scenarios for a realtime gateway, and their report.
//!
//! The tool shares a small machine with the server it loads, so its client side does as little as it can: one thread
//! of epoll for all receiving sockets ([`swarm`]), one thread for all senders ([`pacer`]), no parsing of what is
//! delivered beyond frame boundaries and a stamp ([`frame`], [`message`]). Sending is open-loop. CPU and memory of
//! the server are the operating system's figures ([`process`]). The same scenarios run, in turn, against a bare
//! program that writes the same bytes to the same sockets and does nothing else ([`floor`]); what a server adds is
//! the ratio ([`bench`]).
//!
//! What the database takes part in is measured apart, in units of its own and with a private PostgreSQL ([`staged`]):
//! its changes ([`changes`]), joins that its policies decide ([`private_joins`]) and messages that SQL sends
//! ([`database_broadcasts`]).
//!
//! Nothing here runs without an end: every wait has a limit, and [`server::guard`] bounds the whole.

pub mod answer;
pub mod bench;
pub mod changes;
pub mod database_broadcasts;
pub mod floor;
pub mod frame;
pub mod goal;
pub mod histogram;
pub mod http;
pub mod measure;
pub mod message;
pub mod pacer;
pub mod private_joins;
pub mod process;
pub mod report;
pub mod scenario;
pub mod server;
pub mod staged;
pub mod summary;
pub mod swarm;
pub mod target;

/// Errors of a tool: told to the person who runs it, never matched on but for [`measure::Void`].
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Result of a tool.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that is a sentence.
pub fn failed<T>(reason: impl Into<String>) -> Result<T> {
    Err(reason.into().into())
}
