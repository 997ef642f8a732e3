//! The real binary with a real PostgreSQL, over real sockets.

mod changes;
mod metrics;
mod shutdown;
mod slow_consumer;
mod transcripts;
