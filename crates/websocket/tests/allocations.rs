//! What takes heap memory and what does not, counted.

use std::ops::ControlFlow;

use allocation_counter::measure;
use websocket::{FrameBuilder, FrameReader, Opcode, Role, mask_frame, pong_frame};

const MESSAGE_BYTES_MAX: usize = 1 << 20;

fn masked(payload_len: usize) -> Vec<u8> {
    mask_frame(Opcode::Text, &vec![b'x'; payload_len], [1, 2, 3, 4])
}

/// Allocations while a reader takes in these inputs, one after the other.
fn allocations_of_reading(inputs: &mut [&mut [u8]]) -> u64 {
    let mut reader = FrameReader::new(Role::Server, MESSAGE_BYTES_MAX);
    let counted = measure(|| {
        for input in inputs {
            reader
                .feed(input, &mut |_| ControlFlow::Continue(()))
                .expect("the frames are valid");
        }
    });
    assert_eq!(counted.count_current, 0, "nothing is kept after the last frame");
    counted.count_total
}

#[test]
fn frames_that_arrive_whole_are_read_without_allocating() {
    for payload_len in [0, 200, 65_536] {
        assert_eq!(allocations_of_reading(&mut [&mut masked(payload_len)]), 0);
    }
    assert_eq!(allocations_of_reading(&mut [&mut masked(200).repeat(64)]), 0);
}

#[test]
fn a_header_that_arrives_in_pieces_is_read_without_allocating() {
    let mut frame = masked(200);
    let (first, rest) = frame.split_at_mut(1);
    let (second, rest) = rest.split_at_mut(3);
    assert_eq!(allocations_of_reading(&mut [first, second, rest]), 0);
}

#[test]
fn a_short_message_in_pieces_takes_one_buffer() {
    let mut frame = masked(3000);
    let mut pieces: Vec<_> = frame.chunks_mut(100).collect();
    assert_eq!(allocations_of_reading(&mut pieces), 1);
}

#[test]
fn a_frame_takes_its_buffer_and_its_reference_count() {
    for payload_len in [0, 200, 65_536] {
        let counted = measure(|| {
            let mut frame = FrameBuilder::new(Opcode::Text, payload_len);
            for _ in 0..payload_len {
                frame.push(b'x');
            }
            drop(frame.finish());
        });
        assert_eq!(counted.count_total, 2, "payload of {payload_len} bytes");
    }
    assert_eq!(measure(|| drop(pong_frame(b"hello"))).count_total, 2);
}

#[test]
fn a_shared_frame_costs_no_allocation() {
    let frame = pong_frame(b"hello");
    let mut shared = Vec::with_capacity(100);
    let counted = measure(|| shared.extend(std::iter::repeat_n(&frame, 100).cloned()));
    assert_eq!((counted.count_total, shared.len()), (0, 100));
}
