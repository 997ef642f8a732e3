//! What tests of several crates together need.

pub mod frames;
pub mod gateway;
pub mod peer;
pub mod stage;
pub mod tls;
pub mod world;
