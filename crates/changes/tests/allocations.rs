//! What takes heap memory and what does not, counted.

#[path = "../benches/changes/support.rs"]
mod support;

use allocation_counter::measure;
use changes::{Answers, ColumnSet, SubscriptionIndex, View, data, pgoutput};

use support::{ROW, change, index, insert_message, mapping, row_in_room};

/// Allocations of finding out who hears of a row, and how many groups do.
fn allocations_of_looking_up(index: &SubscriptionIndex<u32>, row: &[&str]) -> (u64, usize) {
    let (mapping, message) = (mapping(), insert_message(row));
    let change = change(&mapping, &message);
    let answers = Answers::default();
    let mut matches = 0;
    let counted = measure(|| {
        assert!(index.questions(&change).is_empty());
        matches = index.matches(&change, &answers).len();
    });
    (counted.count_total, matches)
}

#[test]
fn a_row_nobody_asks_for_allocates_nothing() {
    for column in ["id", "body", "room"] {
        let index = index((0..1000).map(|value| format!("{column}=eq.{value}")));
        assert_eq!(allocations_of_looking_up(&index, &ROW), (0, 0), "{column}");
    }
    let moments = index((10..60).map(|second| format!("at=eq.2025-01-01 00:00:{second}+00")));
    assert_eq!(allocations_of_looking_up(&moments, &ROW), (0, 0));
    let nobody = index([]);
    assert_eq!(allocations_of_looking_up(&nobody, &ROW), (0, 0));
}

#[test]
fn a_row_costs_who_asks_for_it_whatever_others_ask_for() {
    let allocations = |subscribers: u32| {
        let index = index((0..subscribers).map(|room| format!("room=eq.{room}")));
        let (allocations, matches) = allocations_of_looking_up(&index, &row_in_room("0"));
        assert_eq!(matches, 1);
        allocations
    };
    assert_eq!(allocations(1), allocations(10_000));
}

#[test]
fn a_row_is_decoded_into_one_list_of_values_and_laid_over_the_columns_in_another() {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    let counted = measure(|| drop(pgoutput::decode(&message)));
    assert_eq!(counted.count_total, 1);
    let counted = measure(|| drop(change(&mapping, &message)));
    assert_eq!(counted.count_total, 2);
}

#[test]
fn a_row_of_a_table_nobody_listens_to_allocates_nothing() {
    let message = insert_message(&ROW);
    let mut table = None;
    let counted = measure(|| table = pgoutput::relation_of(&message));
    assert_eq!((counted.count_total, table), (0, Some(support::notes().oid)));
}

#[test]
fn what_is_told_of_a_row_takes_its_text_and_one_for_a_point_in_time() {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    let change = change(&mapping, &message);
    let view = View::Columns(ColumnSet::from_iter(0..ROW.len()));
    let counted = measure(|| drop(data(&change, &view)));
    // The other is `at` in the form of JSON.
    assert_eq!(counted.count_total, 2);
}
