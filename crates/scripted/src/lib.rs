//! The server's side of transcripts, played for real clients: what `roost serve --script` does.
//!
//! ```text
//!  files ─▶ Script ─▶ Stage ─▶ Socket (per connection) ─▶ Player (per file on it) ─▶ Act, Act, …
//!                                 ▲ what the client says, what time it is      │
//!                                 └──────────────── server (sockets, HTTP) ◀───┘
//! ```
//!
//! Clients choose their own refs, tokens and timing, and join channels in their own order: they are matched by what they mean,
//! and answered with their own refs. What is played depends on the file and on what the client says, and on nothing else:
//! all but [`Server`] is free of I/O, clocks and randomness. Texts of its own that a client can see are about the files, and
//! are therefore here and not in `phoenix-wire`.

mod act;
mod blanks;
mod http;
mod likeness;
mod message;
mod player;
mod script;
mod server;
mod socket;
mod stage;

pub use act::{Act, Note};
pub use player::WAITING_MAX;
pub use script::{Script, ScriptError};
pub use server::Server;
pub use socket::Socket;
pub use stage::{AWAITED_MAX, Answer, Choice, Rules, Stage};
