//! A row from the bytes of the stream to the text clients are told.

use changes::{ColumnSet, Payloads, RowChange, View, data, pgoutput};
use divan::{Bencher, black_box};

use crate::support::{self, BEGIN, ROW, insert_message, mapping};

/// The bytes of an insert, to values that borrow from them.
#[divan::bench(sample_size = 100)]
fn decode_an_insert(bencher: Bencher) {
    let message = insert_message(&ROW);
    bencher.bench_local(|| pgoutput::decode(black_box(&message)).map(|_| ()));
}

/// The same, and the values laid over the columns of the table.
#[divan::bench(sample_size = 100)]
fn decode_an_insert_and_map_it(bencher: Bencher) {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    bencher.bench_local(|| -> RowChange<'_> { support::change(&mapping, black_box(&message)) });
}

/// What is looked at for a table nobody listens to: its oid alone.
#[divan::bench(sample_size = 100)]
fn skip_an_insert(bencher: Bencher) {
    let message = insert_message(&ROW);
    bencher.bench_local(|| pgoutput::relation_of(black_box(&message)));
}

/// The values laid over the columns, by themselves.
#[divan::bench(sample_size = 100)]
fn map_an_insert(bencher: Bencher) {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    let Ok(pgoutput::LogicalMessage::Insert(insert)) = pgoutput::decode(&message) else {
        return;
    };
    bencher
        .with_inputs(|| insert.clone())
        .bench_local_values(|insert| RowChange::insert(&mapping, &BEGIN, insert).is_ok());
}

/// What is told of the row, written once for all who may see the same columns.
#[divan::bench(sample_size = 100)]
fn write_what_is_told(bencher: Bencher) {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    let change = support::change(&mapping, &message);
    let view = View::Columns(ColumnSet::from_iter(0..ROW.len()));
    bencher.bench_local(|| data(black_box(&change), &view));
}

/// The same for a hundred groups of subscribers who see the same: it is written for the first.
#[divan::bench(sample_size = 100)]
fn write_what_is_told_to_a_hundred_groups(bencher: Bencher) {
    let (mapping, message) = (mapping(), insert_message(&ROW));
    let change = support::change(&mapping, &message);
    let view = View::Columns(ColumnSet::from_iter(0..ROW.len()));
    bencher.bench_local(|| {
        let mut payloads = Payloads::new(&change);
        (0..100)
            .map(|_| payloads.data(black_box(&view)).len())
            .sum::<usize>()
    });
}
