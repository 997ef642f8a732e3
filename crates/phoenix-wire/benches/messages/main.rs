//! What the protocol costs: a client's message taken apart, and the server's messages written.
//!
//! Times are per operation and hold no socket and no framing of input. Allocations are counted by the profiler; those of
//! a written message are its buffer and the reference count it is shared by.

mod decoding;
mod encoding;
mod samples;

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
