//! The client side and the floor, which know nothing of each other but the protocol, hold a conversation.

use loadgen::frame::Inbox;
use loadgen::measure::{Void, measure, run};
use loadgen::message::{self, Broadcast, Wire, members_of, stamp_of};
use loadgen::pacer::{Schedule, Sender};
use loadgen::server::Server;
use loadgen::swarm::{Member, Swarm};
use loadgen::target::Target;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Far above what any of this takes.
const LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(100);
const SCHEDULE: Schedule = Schedule {
    rate: 500.0,
    burst: 5,
    total: 50,
};

/// A floor on a thread of its own, which ends with the test.
fn floor() -> Server {
    let listener = loadgen::floor::listen(([127, 0, 0, 1], 0).into()).expect("the loopback has a free port");
    let url = format!(
        "ws://{}",
        listener.local_addr().expect("a bound socket has an address")
    );
    std::thread::spawn(move || loadgen::floor::serve(listener));
    Server::running(Target::parse(&url, "token").expect("a ws URL"), None)
}

fn joined(server: &Server, topic: &str, sockets: usize) -> Swarm {
    let mut swarm = Swarm::new(&server.target).expect("a poll");
    let member = Member::new(message::join(topic, "token", false));
    swarm
        .open(std::iter::repeat_n(member, sockets), 64, LIMIT)
        .expect("the floor takes every join");
    swarm
}

fn sender(swarm: &mut Swarm, socket: usize, broadcast: Broadcast) -> [Sender; 1] {
    let stream = swarm.detach(socket).expect("a joined socket");
    [Sender::new(stream, broadcast).expect("a blocking socket")]
}

#[test]
fn every_message_reaches_every_other_socket_of_its_topic_in_either_wire_form() {
    let server = floor();
    for wire in [Wire::Binary, Wire::Text] {
        let mut swarm = joined(&server, "room", 11);
        let mut senders = sender(&mut swarm, 10, Broadcast::new(wire, "room", 200));
        let reading = measure(&server, &mut swarm, &mut senders, 10, SCHEDULE).unwrap();
        assert_eq!((reading.delivered, reading.latency.len()), (500, 500));
        assert!(reading.bytes_per_delivery() > 200.0);
    }
}

#[test]
fn messages_stay_in_their_topic_and_a_loss_makes_the_run_void() {
    let server = floor();
    let mut swarm = joined(&server, "here", 3);
    let mut elsewhere = joined(&server, "elsewhere", 1);
    let mut senders = sender(&mut elsewhere, 0, Broadcast::new(Wire::Binary, "elsewhere", 64));
    let reading = run(&server, &mut swarm, &mut senders, 3, SCHEDULE).unwrap();
    let void = Void {
        expected: 150,
        delivered: 0,
    };
    assert_eq!(reading.whole().unwrap_err(), void);
}

#[test]
fn a_member_that_joins_late_is_told_of_those_before() {
    let server = floor();
    let mut swarm = Swarm::new(&server.target).unwrap();
    let begun = Instant::now();
    let mut seen_by_last = Vec::new();
    for member in 0..3 {
        let mut joining = Member::new(message::join("presence", "token", true));
        joining.then = message::track("presence", member);
        swarm.start(joining).unwrap();
        let mut own = false;
        while !own {
            assert!(begun.elapsed() < LIMIT, "{:?}", swarm.counts());
            swarm
                .pump(PATIENCE, &mut |delivery| {
                    let members = members_of(delivery.payload).filter(|_| delivery.socket == member);
                    for seen in members {
                        own |= seen == member as u64;
                        seen_by_last.extend((member == 2).then_some(seen));
                    }
                })
                .unwrap();
        }
    }
    assert_eq!(seen_by_last, [0, 1, 2]);
}

#[test]
fn an_http_broadcast_reaches_the_sockets_of_its_topic() {
    let server = floor();
    let mut swarm = joined(&server, "http", 1);
    let mut listening = swarm.detach(0).unwrap();
    listening.set_read_timeout(Some(LIMIT)).unwrap();
    let payload = message::stamped_payload(100);
    let body = format!(r#"{{"messages":[{{"topic":"http","event":"load","payload":{payload}}}]}}"#);
    let mut request = Broadcast::from_frame(server.target.broadcast_request(&body));
    request.stamp(7);
    let mut connection = TcpStream::connect(server.target.address).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let (mut inbox, mut stamp, mut buffer) = (Inbox::default(), None, [0; 1024]);
    while stamp.is_none() {
        let bytes = listening.read(&mut buffer).unwrap();
        assert!(bytes > 0, "the floor closed the socket");
        inbox
            .feed(&buffer[..bytes], |frame| stamp = stamp_of(frame.payload))
            .unwrap();
    }
    assert_eq!(stamp, Some(7));
}
