//! What it costs to reach the subscribers of a topic on one worker: no socket, no encoding.
//!
//! A subscriber costs a reference count, a slot in the queue of its socket, and a place on the list of sockets with
//! something to write. Taking the frame out again is part of each operation, as otherwise the queues would grow.
//! The throughput is in subscribers, so its reciprocal is what one more of them costs.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use hub::{
    Courier, Delivery, DirtyList, Hub, LocalHub, Outbox, Sender, SocketId, Subscription, Tally, TopicKey,
    WorkerId,
};
use phoenix_wire::Version;
use presence::MemberId;
use websocket::{Frame, FrameBuilder, Opcode};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Most bytes an outbox holds.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// There is one worker, so nothing is ever sent to another.
struct NoCourier;

impl Courier for NoCourier {
    fn deliver(&self, _: WorkerId, _: Delivery) {}
}

/// One worker and the channels of one topic.
struct Worker {
    hub: Arc<Hub>,
    local: LocalHub,
    dirty: Rc<DirtyList>,
    /// The list that is exchanged for the dirty one.
    taken: Vec<Rc<Outbox>>,
}

impl Worker {
    fn new() -> Self {
        Self {
            hub: Hub::new(1, Arc::new(NoCourier), Arc::new(Tally::default()), 7),
            local: LocalHub::new(WorkerId(0)),
            dirty: Rc::default(),
            taken: Vec::new(),
        }
    }

    fn subscribe(&self, version: Version) -> Subscription {
        let number = self.hub.next_number();
        let socket = SocketId(u32::try_from(number).expect("there are few sockets"));
        let outbox = Outbox::new(socket, OUTBOX_BYTES_MAX, self.dirty.clone());
        let key = TopicKey {
            private: false,
            name: "room".into(),
        };
        self.local
            .subscribe(&self.hub, key, MemberId(number), version, outbox)
    }

    /// Takes every frame out of every outbox, as the worker does once a socket has taken them. How many bytes that was.
    fn take_out(&mut self) -> usize {
        let mut bytes = 0;
        self.dirty.swap(&mut self.taken, Waker::noop());
        for outbox in self.taken.drain(..) {
            outbox.unlist();
            outbox.drain(0, |queue| {
                let written = queue.iter().map(Frame::len).sum();
                bytes += written;
                written
            });
        }
        bytes
    }
}

fn frame() -> Frame {
    let mut frame = FrameBuilder::new(Opcode::Text, 250);
    frame.extend_from_slice(&[b'x'; 250]);
    frame.finish()
}

/// A broadcast to so many subscribers with one serializer.
#[divan::bench(args = [1, 10, 1000], sample_size = 100)]
fn publish(bencher: Bencher, subscribers: usize) {
    let mut worker = Worker::new();
    let sender = worker.subscribe(Version::V2);
    let _others: Vec<_> = (0..subscribers).map(|_| worker.subscribe(Version::V2)).collect();
    let frame = frame();
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        let fanout = worker.local.publish(&sender, Sender::Excluded, None, |_| {
            Some(black_box(&frame).clone())
        });
        (fanout, worker.take_out())
    });
}

/// The same, half of them with the other serializer.
#[divan::bench(args = [10, 1000], sample_size = 100)]
fn publish_to_both_serializers(bencher: Bencher, subscribers: usize) {
    let mut worker = Worker::new();
    let sender = worker.subscribe(Version::V2);
    let versions = [Version::V1, Version::V2].into_iter().cycle();
    let _others: Vec<_> = versions
        .take(subscribers)
        .map(|version| worker.subscribe(version))
        .collect();
    let frame = frame();
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        let fanout = worker.local.publish(&sender, Sender::Excluded, None, |_| {
            Some(black_box(&frame).clone())
        });
        (fanout, worker.take_out())
    });
}

/// A broadcast nobody else hears: it is not even encoded.
#[divan::bench]
fn publish_to_nobody(bencher: Bencher) {
    let worker = Worker::new();
    let sender = worker.subscribe(Version::V2);
    let frame = frame();
    bencher.bench_local(|| {
        worker.local.publish(&sender, Sender::Excluded, None, |_| {
            Some(black_box(&frame).clone())
        })
    });
}

/// One frame into one outbox and out again: what a reply costs.
#[divan::bench]
fn push_and_take_out(bencher: Bencher) {
    let mut worker = Worker::new();
    let outbox = Outbox::new(SocketId(1), OUTBOX_BYTES_MAX, worker.dirty.clone());
    let frame = frame();
    bencher.bench_local(|| {
        outbox.push(black_box(&frame));
        worker.take_out()
    });
}

/// A channel joins a topic of so many and leaves it again.
#[divan::bench(args = [0, 1000], sample_size = 100)]
fn subscribe_and_unsubscribe(bencher: Bencher, subscribers: usize) {
    let worker = Worker::new();
    let _others: Vec<_> = (0..subscribers).map(|_| worker.subscribe(Version::V2)).collect();
    bencher.bench_local(|| {
        let subscription = worker.subscribe(Version::V2);
        worker.local.unsubscribe(std::time::Duration::ZERO, subscription)
    });
}
