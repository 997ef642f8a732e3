//! What tests of several crates together need.

pub mod frames;
pub mod world;
