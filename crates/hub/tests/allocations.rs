//! What takes heap memory and what does not, counted.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use allocation_counter::measure;
use hub::{
    Courier, Delivery, DirtyList, Hub, LocalHub, Outbox, Sender, SocketId, Subscription, Tally, TopicKey,
    WorkerId,
};
use phoenix_wire::Version;
use presence::MemberId;
use websocket::{Frame, FrameBuilder, Opcode};

struct NoCourier;

impl Courier for NoCourier {
    fn deliver(&self, _: WorkerId, _: Delivery) {}
}

/// A worker with the subscribers of one topic, half of them with each serializer.
struct Worker {
    local: LocalHub,
    subscriptions: Vec<Subscription>,
    dirty: Rc<DirtyList>,
    taken: Vec<Rc<Outbox>>,
}

impl Worker {
    fn new(subscribers: u32) -> Self {
        let hub = Hub::new(1, Arc::new(NoCourier), Arc::new(Tally::default()), 7);
        let (local, dirty) = (LocalHub::new(WorkerId(0)), Rc::<DirtyList>::default());
        let subscribe = |number: u32| {
            let outbox = Outbox::new(SocketId(number), 1 << 20, dirty.clone());
            let version = [Version::V1, Version::V2][number as usize % 2];
            let key = TopicKey {
                private: false,
                name: "room".into(),
            };
            local.subscribe(&hub, key, MemberId(number.into()), version, outbox)
        };
        let subscriptions = (0..subscribers).map(subscribe).collect();
        Self {
            local,
            subscriptions,
            dirty,
            taken: Vec::new(),
        }
    }

    /// Allocations of one broadcast, which is encoded already, until all of its copies are taken out again.
    fn allocations_of_publishing(&mut self, frame: &Frame) -> u64 {
        let mut delivered = 0;
        let counted = measure(|| {
            let fanout = self
                .local
                .publish(&self.subscriptions[0], Sender::Included, None, |_| {
                    Some(frame.clone())
                });
            delivered = fanout.delivered;
            self.take_out();
        });
        assert_eq!(delivered, self.subscriptions.len() as u64);
        counted.count_total
    }

    fn take_out(&mut self) {
        self.dirty.swap(&mut self.taken, Waker::noop());
        for outbox in self.taken.drain(..) {
            outbox.unlist();
            outbox.drain(0, |queue| queue.iter().map(Frame::len).sum());
        }
    }
}

fn frame() -> Frame {
    let mut frame = FrameBuilder::new(Opcode::Text, 250);
    frame.extend_from_slice(&[b'x'; 250]);
    frame.finish()
}

#[test]
fn reaching_one_more_subscriber_allocates_nothing() {
    let frame = frame();
    for subscribers in [1, 10, 1000] {
        let mut worker = Worker::new(subscribers);
        // The queues and the two lists that are exchanged get their first room.
        for _ in 0..2 {
            worker.allocations_of_publishing(&frame);
        }
        assert_eq!(
            worker.allocations_of_publishing(&frame),
            0,
            "{subscribers} subscribers"
        );
    }
}

#[test]
fn what_waits_for_one_socket_takes_room_by_doubling() {
    let (dirty, frame) = (Rc::<DirtyList>::default(), frame());
    let outbox = Outbox::new(SocketId(1), 1 << 20, dirty);
    let counted = measure(|| (0..1000).for_each(|_| outbox.push(&frame)));
    // Room for 4, 8, …, 1024 frames, and for the one entry of the list.
    assert_eq!(counted.count_total, 9 + 1);
}
