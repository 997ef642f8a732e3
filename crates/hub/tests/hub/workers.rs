//! Several workers at once, for real: what may never happen in between.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use hub::WorkerId;
use hub::{
    Courier, Delivery, DeliveryKind, DirtyList, Hub, LocalHub, Outbox, Sender, SocketId, Tally, TopicKey,
};
use phoenix_wire::Version::V2;
use phoenix_wire::{RefView, encode};
use presence::MemberId;

/// Counts what it is given.
#[derive(Default)]
struct Counter {
    broadcasts: AtomicU64,
}

impl Courier for Counter {
    fn deliver(&self, _: WorkerId, delivery: Delivery) {
        if delivery.kind == DeliveryKind::Broadcast {
            self.broadcasts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

const WORKERS: u16 = 4;
const ROUNDS: usize = 2_000;

fn key(name: usize) -> TopicKey {
    TopicKey {
        private: false,
        name: name.to_string().into(),
    }
}

/// Runs `work` on a thread per worker, all starting together.
fn on_all_workers(hub: &Arc<Hub>, work: impl Fn(u16, &LocalHub, &dyn Fn() -> Rc<Outbox>) + Sync) {
    let start = Barrier::new(usize::from(WORKERS));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (start, work, hub) = (&start, &work, hub.clone());
            scope.spawn(move || {
                let local = LocalHub::new(WorkerId(worker));
                let dirty = Rc::new(DirtyList::default());
                let outbox = || Outbox::new(SocketId(hub.next_number() as u32), 1 << 30, dirty.clone());
                start.wait();
                work(worker, &local, &outbox);
            });
        }
    });
}

#[test]
fn a_listener_is_always_on_the_topic_that_publishers_find_and_nobody_is_left_behind() {
    let hub = Hub::new(
        WORKERS,
        Arc::new(Counter::default()),
        Arc::new(Tally::default()),
        1,
    );
    on_all_workers(&hub, |worker, local, outbox| {
        for round in 0..ROUNDS {
            let name = (round * 7 + usize::from(worker)) % 3;
            let member = MemberId(hub.next_number());
            let subscription = local.subscribe(&hub, key(name), member, V2, outbox());
            let found = hub.topic(&key(name)).expect("it has a listener");
            assert!(Arc::ptr_eq(&found, subscription.topic()));
            let now = Duration::from_millis(round as u64);
            if round % 2 == 0 {
                found.track(now, member, "k", "{}");
                assert!(found.presence_state().contains("phx_ref"));
            }
            local.unsubscribe(now, subscription);
        }
    });
    for name in 0..3 {
        assert!(hub.topic(&key(name)).is_none());
    }
}

#[test]
fn every_broadcast_is_mailed_to_every_other_worker_that_stays() {
    let counter = Arc::new(Counter::default());
    let hub = Hub::new(WORKERS, counter.clone(), Arc::new(Tally::default()), 1);
    let subscribed = Barrier::new(usize::from(WORKERS));
    on_all_workers(&hub, |_, local, outbox| {
        let subscription = local.subscribe(&hub, key(0), MemberId(hub.next_number()), V2, outbox());
        subscribed.wait();
        for _ in 0..ROUNDS {
            // Somebody else of this worker comes and goes meanwhile.
            let guest = local.subscribe(&hub, key(0), MemberId(hub.next_number()), V2, outbox());
            let fanout = local.publish(&subscription, Sender::Excluded, None, |version| {
                Some(encode::message(
                    version,
                    RefView::NULL,
                    RefView::NULL,
                    "realtime:0",
                    "broadcast",
                    "{}",
                ))
            });
            assert_eq!(fanout.delivered, 1);
            local.unsubscribe(Duration::ZERO, guest);
        }
        subscribed.wait();
        local.unsubscribe(Duration::ZERO, subscription);
    });
    let workers = u64::from(WORKERS);
    assert_eq!(
        counter.broadcasts.load(Ordering::Relaxed),
        workers * (workers - 1) * ROUNDS as u64
    );
}
