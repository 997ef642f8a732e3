//! Finding out who is to hear of a row.
//!
//! Subscribers who ask for one value of a column are found by that value; all others are looked at one by one. Each
//! operation is what the gateway does for a row: what the database has to be asked (nothing, here), and who hears it.

use changes::{Answers, SubscriptionIndex};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

use crate::support::{ROW, change, index, insert_message, mapping, row_in_room};

fn looked_up(bencher: Bencher, index: &SubscriptionIndex<u32>, row: &[&str], expected: usize) {
    let (mapping, message) = (mapping(), insert_message(row));
    let change = change(&mapping, &message);
    let answers = Answers::default();
    assert_eq!(index.matches(&change, &answers).len(), expected);
    bencher.bench_local(|| {
        let questions = index.questions(black_box(&change)).len();
        (questions, index.matches(black_box(&change), &answers).len())
    });
}

fn rooms(count: u32) -> SubscriptionIndex<u32> {
    index((0..count).map(|room| format!("room=eq.{room}")))
}

/// So many subscribers, each for a room of its own; the row is in none of these.
#[divan::bench(args = [1, 1000, 100_000])]
fn eq_unmatched(bencher: Bencher, subscribers: u32) {
    looked_up(bencher, &rooms(subscribers), &ROW, 0);
}

/// The row is in the room of one of them.
#[divan::bench(args = [1, 1000, 100_000])]
fn eq_matched_by_one(bencher: Bencher, subscribers: u32) {
    looked_up(bencher, &rooms(subscribers), &row_in_room("0"), 1);
}

/// So many subscribers without a filter: they hear the same, so that is one look.
#[divan::bench(args = [1, 1000, 100_000])]
fn no_filter(bencher: Bencher, subscribers: usize) {
    looked_up(
        bencher,
        &index(std::iter::repeat_n(String::new(), subscribers)),
        &ROW,
        1,
    );
}

/// A thousand subscribers asking for values of a column of each type, unmatched: what reading the row's value costs.
#[divan::bench(args = ["id", "body", "amount", "at", "owner"])]
fn eq_unmatched_in_column(bencher: Bencher, column: &str) {
    let filter = |number: u32| match column {
        "at" => format!(
            "at=eq.2025-01-01 00:{:02}:{:02}+00",
            number / 60 % 60,
            number % 60
        ),
        "owner" => format!("owner=eq.22222222-2222-4222-8222-{number:012}"),
        _ => format!("{column}=eq.{number}"),
    };
    looked_up(bencher, &index((0..1000).map(filter)), &ROW, 0);
}

/// One subscriber with another condition, which the row does not satisfy.
#[divan::bench(args = [
    "room=gt.2000000000",
    "amount=gt.99999.5",
    "at=gt.2027-01-01 00:00:00+00",
    "room=in.(1,2,3,4,5,6,7,8)",
    "body=in.(a,b,c,d,e,f,g,h)",
    "body=neq.The quick brown fox jumps over the lazy dog",
    "body=like.A quick%",
    "body=ilike.%lazy cat%",
])]
fn one_other_filter(bencher: Bencher, filter: &str) {
    looked_up(bencher, &index([filter.to_owned()]), &ROW, 0);
}

/// So many subscribers with a different `gt` each, none satisfied. The throughput is in subscribers.
#[divan::bench(args = [1000, 100_000])]
fn gt_unmatched(bencher: Bencher, subscribers: u32) {
    let index = index((0..subscribers).map(|n| format!("room=gt.{}", 2_000_000_000 + n)));
    looked_up(bencher.counter(ItemsCount::new(subscribers)), &index, &ROW, 0);
}

/// So many subscribers with a different list of four rooms each, none with that of the row.
#[divan::bench(args = [1000, 100_000])]
fn in_unmatched(bencher: Bencher, subscribers: u32) {
    let index = index((0..subscribers).map(|n| format!("room=in.({n},{},{},{})", n + 1, n + 2, n + 3)));
    looked_up(bencher.counter(ItemsCount::new(subscribers)), &index, &ROW, 0);
}

/// A subscriber comes and goes, in an index of so many.
#[divan::bench(args = [1, 1000, 100_000])]
fn insert_and_remove(bencher: Bencher, subscribers: u32) {
    let mut index = rooms(subscribers);
    let newcomer = crate::support::subscription("room=eq.2000000000");
    bencher.bench_local(|| {
        let inserted = index.insert(u32::MAX, newcomer.clone());
        index.remove(u32::MAX);
        inserted.is_ok()
    });
}
