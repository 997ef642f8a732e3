//! What presence costs: one member who comes and goes, many who come at once, and the snapshot they are shown.
//!
//! Times are per operation. A `phx_ref` is handed over as a `String`, so each join counts one allocation of its caller.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use presence::{Change, Diff, MemberId, PresenceSet};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// What a member tracks: some 60 bytes.
const META: &str = r#"{"user":"ada","typing":false,"at":"2026-08-21T12:03:56.123Z"}"#;

/// A member that is in no room of these benchmarks yet.
const NEWCOMER: MemberId = MemberId(u64::MAX);

fn join(room: &mut PresenceSet, member: MemberId) -> Change {
    let key = format!("key-{}", member.0);
    room.track(member, &key, META, "F8aXl2k_0001".to_owned())
        .expect("nobody is there twice")
}

fn room_of(members: u64) -> PresenceSet {
    let mut room = PresenceSet::default();
    for member in 0..members {
        join(&mut room, MemberId(member));
    }
    room
}

/// One member joins a room of so many and leaves it again; nobody is told. The room is what it was afterwards.
#[divan::bench(args = [0, 10, 1000, 10_000], sample_size = 100)]
fn join_and_leave(bencher: Bencher, members: u64) {
    let mut room = room_of(members);
    bencher.bench_local(|| {
        let change = room.track(NEWCOMER, "newcomer", black_box(META), "F8aXl2k_0001".to_owned());
        (change, room.untrack(NEWCOMER))
    });
}

/// Tracking what is tracked already: found out by its hash.
#[divan::bench]
fn track_the_same_again(bencher: Bencher) {
    let mut room = room_of(1000);
    let phx_ref = String::new();
    bencher.bench_local(|| room.track(MemberId(7), "key-7", black_box(META), phx_ref.clone()));
}

/// The `presence_diff` of one join.
#[divan::bench]
fn diff_of_one_join(bencher: Bencher) {
    let change = join(&mut PresenceSet::default(), NEWCOMER);
    bencher
        .with_inputs(|| change.clone())
        .bench_local_values(|change| {
            let mut diff = Diff::default();
            diff.add(change);
            diff.to_json()
        });
}

/// So many joins merged into one `presence_diff`, and its text.
#[divan::bench(args = [10, 1000])]
fn diff_of_many_joins(bencher: Bencher, joins: u64) {
    let mut room = PresenceSet::default();
    let changes: Vec<_> = (0..joins)
        .map(|member| join(&mut room, MemberId(member)))
        .collect();
    bencher
        .counter(ItemsCount::new(joins))
        .with_inputs(|| changes.clone())
        .bench_local_values(|changes| {
            let mut diff = Diff::default();
            changes.into_iter().for_each(|change| diff.add(change));
            diff.to_json()
        });
}

/// A room that fills up: every join, its change merged, without the text.
#[divan::bench(args = [10, 1000])]
fn fill_a_room(bencher: Bencher, members: u64) {
    bencher.counter(ItemsCount::new(members)).bench_local(|| {
        let (mut room, mut diff) = (PresenceSet::default(), Diff::default());
        for member in 0..members {
            diff.add(join(&mut room, MemberId(member)));
        }
        (room, diff)
    });
}

/// The snapshot a newcomer is sent: the payload of `presence_state`.
#[divan::bench(args = [10, 1000], sample_size = 50)]
fn snapshot(bencher: Bencher, members: u64) {
    let room = room_of(members);
    bencher
        .counter(ItemsCount::new(members))
        .bench_local(|| black_box(&room).state_json());
}
