//! Hubs, workers and rooms as their users see them, without a socket.

mod company;
mod fanout;
mod rooms;
mod support;
mod workers;
