//! What framing costs: taking the frames of a client apart, and putting the server's together.
//!
//! Times are per operation and hold no system call. Allocations are counted by the profiler.

use std::ops::ControlFlow;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use websocket::{Event, Frame, FrameBuilder, FrameReader, Opcode, Role, mask_frame, pong_frame};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The largest message any of these benchmarks has. Bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

fn masked(payload_len: usize) -> Vec<u8> {
    mask_frame(Opcode::Text, &vec![b'x'; payload_len], MASK)
}

/// Feeds a reader; how many payload bytes it reported.
///
/// Feeding the same input again masks what was unmasked. A reader does not look at payloads, so that costs the same.
fn feed(reader: &mut FrameReader, input: &mut [u8]) -> usize {
    let mut bytes = 0;
    let fed = reader.feed(input, &mut |event| {
        if let Event::Text(payload) | Event::Binary(payload) | Event::Ping(payload) = event {
            bytes += payload.len();
        }
        ControlFlow::Continue(())
    });
    fed.expect("the frames are valid");
    bytes
}

/// One frame that arrived whole: reads its header and unmasks its payload in place.
#[divan::bench(args = [0, 200, 65_536])]
fn read_one_frame(bencher: Bencher, payload_len: usize) {
    let mut reader = FrameReader::new(Role::Server, MESSAGE_BYTES_MAX);
    let mut input = masked(payload_len);
    bencher
        .counter(BytesCount::new(payload_len))
        .bench_local(|| feed(&mut reader, black_box(&mut input)));
}

/// Several frames of 200 bytes that arrived in one read.
#[divan::bench(args = [4, 64])]
fn read_many_frames(bencher: Bencher, frames: usize) {
    let mut reader = FrameReader::new(Role::Server, MESSAGE_BYTES_MAX);
    let mut input = masked(200).repeat(frames);
    bencher
        .counter(ItemsCount::new(frames))
        .bench_local(|| feed(&mut reader, black_box(&mut input)));
}

/// One frame of 16 KiB that arrived in pieces: it has to be put together, which takes a buffer and a copy.
#[divan::bench(args = [2, 8])]
fn read_one_frame_in_pieces(bencher: Bencher, pieces: usize) {
    let mut reader = FrameReader::new(Role::Server, MESSAGE_BYTES_MAX);
    let mut input = masked(16_384);
    let piece = input.len().div_ceil(pieces);
    bencher.counter(BytesCount::new(16_384_usize)).bench_local(|| {
        let pieces = black_box(&mut input).chunks_mut(piece);
        pieces.map(|piece| feed(&mut reader, piece)).sum::<usize>()
    });
}

/// A text frame of the server, built into a buffer of sufficient capacity.
#[divan::bench(args = [200, 65_536])]
fn build_a_frame(bencher: Bencher, payload_len: usize) {
    let payload = vec![b'x'; payload_len];
    bencher
        .counter(BytesCount::new(payload_len))
        .bench_local(|| -> Frame {
            let mut frame = FrameBuilder::new(Opcode::Text, payload_len);
            frame.extend_from_slice(black_box(&payload));
            frame.finish()
        });
}

/// Handing a finished frame to one more subscriber: a reference count.
#[divan::bench]
fn share_a_frame(bencher: Bencher) {
    let frame = pong_frame(b"hello");
    bencher.bench_local(|| black_box(&frame).clone());
}

/// The answer to a ping.
#[divan::bench(sample_size = 1000)]
fn answer_a_ping() -> Frame {
    pong_frame(black_box(b"hello"))
}
