//! What a change of the database costs between the replication stream and the frames: decoding it, finding out who is to
//! hear of it, deciding who may, and writing what they are told.
//!
//! Times are per operation and hold no socket and no database. The table has six columns, see [`support`].

mod filters;
mod policies;
mod rows;
mod support;

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
