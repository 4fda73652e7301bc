//! What a crash leaves.

use super::{P0, P1, Subject, get, put};
use crate::rows::RowBatch;

pub(super) fn keep_what_was_flushed(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    put(&*rows, b"a", b"1");
    put(&*rows, b"b", b"1");
    let mut removal = RowBatch::default();
    removal.delete(b"b");
    rows.write(removal).expect("written");
    rows.flush().expect("flushed");
    rows.flush().expect("flushed again");
    drop(rows);
    for _ in 0..2 {
        subject.crash();
        let rows = subject.store().partition(P0).expect("opened");
        assert_eq!(get(&*rows, b"a").as_deref(), Some(&b"1"[..]));
        assert_eq!(get(&*rows, b"b"), None);
    }
}

pub(super) fn leave_whole_batches(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let write = |number: u8| {
        let mut batch = RowBatch::default();
        for key in 0..=100_u8 {
            batch.put(&[key], &[number]);
        }
        rows.write(batch).expect("written");
    };
    (1..=3).for_each(write);
    rows.flush().expect("flushed");
    (4..=9).for_each(write);
    drop(rows);
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    let first = get(&*rows, &[0]).expect("flushed");
    assert!(
        (3..=9).contains(&first[0]),
        "not older than the flush: {first:?}"
    );
    for key in 0..=100 {
        assert_eq!(
            get(&*rows, &[key]),
            Some(first.clone()),
            "key {key} is of another batch"
        );
    }
}

pub(super) fn keep_what_is_called_durable(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let durable = || rows.get_durable(b"k").expect("read");
    put(&*rows, b"k", &[1]);
    rows.flush().expect("flushed");
    assert_eq!(
        durable().as_deref(),
        Some(&[1][..]),
        "a flush is durable on return"
    );
    put(&*rows, b"k", &[2]);
    let promised = durable().expect("the row was flushed");
    assert_eq!(get(&*rows, b"k").as_deref(), Some(&[2][..]));
    drop(rows);
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    assert!(get(&*rows, b"k").expect("flushed") >= promised);
}

pub(super) fn keep_facts(subject: &mut dyn Subject) {
    assert_eq!(subject.store().node_fact(b"name").expect("read"), None);
    for value in [b"1", b"2"] {
        subject
            .store()
            .put_node_fact(b"name", value)
            .expect("written");
        subject.crash();
        assert_eq!(
            subject.store().node_fact(b"name").expect("read").as_deref(),
            Some(&value[..])
        );
    }
    let rows = subject.store().partition(P1).expect("opened");
    assert_eq!(get(&*rows, b"name"), None, "facts are no rows");
}
