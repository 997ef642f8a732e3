//! The server: everything the other crates know, put to work.
//!
//! [`server::Server`] binds a port and runs one [`worker`] per core. A worker serves the connections it is handed from
//! their first byte to their last: HTTP requests ([`http`]), then, for most of them, a socket. What a socket says is
//! decided by `session`, who hears it by `hub`; this crate drives both and owns clocks, sockets and threads.

mod clock;
pub mod config;
pub mod explain;
mod feed;
mod http;
mod private;
pub mod server;
mod tenant;
mod worker;
