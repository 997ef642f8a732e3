//! The real binary with a real PostgreSQL, over real sockets.

mod changes;
mod explain;
mod filters;
mod metrics;
mod private;
mod record;
mod replay;
mod replay_elsewhere;
mod restarts;
mod row_security;
mod script;
mod seating;
mod shutdown;
mod slow_consumer;
mod snapshot;
mod transcripts;
