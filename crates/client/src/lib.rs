//! A client of the gateway for tools and tests: WebSocket and HTTP, with everything in its hands.
//!
//! It sends exactly what it is told, well-formed or not, and shows what comes back: refused handshakes with their answer,
//! pongs, close codes, the end without one. It knows servers in the clear and behind TLS, and those whose paths have a
//! prefix. Frames are read by a task per connection into a bounded queue, so nothing is lost when a caller stops waiting.
//! Reconnecting, heartbeats and the meaning of messages are not here.

mod address;
mod authorities;
mod connection;
mod endpoint;
mod http;
mod stream;

pub use address::{Address, AddressError};
pub use authorities::AuthoritiesError;
pub use connection::{Connection, MESSAGE_BYTES_MAX, RECEIVED_MAX, Received};
pub use endpoint::{ClientError, Endpoint, Opening};
pub use http::{Answer, Request};
pub use stream::Stream;
