//! Rows from another node's replica, and rows that go.

use std::sync::Arc;

use super::{P0, P1, Subject, all, get, put, put_applied};
use crate::rows::{Row, Rows, Store};
use crate::transfer::{Incoming, Outgoing};

/// Enough rows for several chunks, as of a checkpoint at index 7.
fn filled(store: &dyn Store) -> (Arc<dyn Rows>, Vec<Row>) {
    let rows = store.partition(P0).expect("opened");
    put_applied(&*rows, P0, 7);
    for number in 0..300_u32 {
        let value = vec![number.to_le_bytes()[0]; 10_000];
        put(&*rows, &[b"i", &number.to_be_bytes()[..]].concat(), &value);
    }
    put(&*rows, b"l", b"");
    let content = all(&*rows);
    assert_eq!(content.len(), 302);
    (rows, content)
}

/// Sends rows to a store, as far as the last chunk.
fn sent(rows: &dyn Rows, store: &dyn Store) -> Incoming {
    let mut outgoing = Outgoing::open(rows).expect("read").expect("a checkpoint");
    let mut incoming = Incoming::begin(store, P0).expect("begun");
    let mut chunks = 0;
    while let Some(chunk) = outgoing.next_chunk().expect("read") {
        incoming.write(&chunk).expect("kept");
        chunks += 1;
    }
    assert!(chunks > 2, "not everything at once");
    incoming
}

pub(super) fn replace_a_partition(subject: &mut dyn Subject) {
    let (rows, content) = filled(subject.store());
    let mut outgoing = Outgoing::open(&*rows).expect("read").expect("written");
    put_applied(&*rows, P0, 8);
    put(&*rows, b"i new", b"after the moment");
    assert_eq!(outgoing.applied().map(|it| it.index), Some(7));
    assert_eq!(
        outgoing.membership().map(|it| &it[..]),
        Some(&b"voters"[..])
    );
    let other = subject.store().partition(P1).expect("opened");
    put(&*other, b"k", b"another partition's");

    let mut incoming = Incoming::begin(subject.store(), P0).expect("begun");
    while let Some(chunk) = outgoing.next_chunk().expect("read") {
        incoming.write(&chunk).expect("kept");
    }
    let arrived = incoming.finish().expect("complete");
    assert_eq!(arrived.applied(), outgoing.applied());
    assert_eq!(arrived.membership(), outgoing.membership());
    assert_eq!(
        get(&*rows, b"i new").as_deref(),
        Some(&b"after the moment"[..]),
        "nothing is replaced yet"
    );
    let installed = arrived.install().expect("installed");
    assert_eq!(all(&*installed), content);
    assert!(rows.get(b"i new").is_err(), "the old rows are gone");
    assert!(rows.flush().is_err());
    assert_eq!(
        get(&*other, b"k").as_deref(),
        Some(&b"another partition's"[..])
    );

    put(&*installed, b"i later", b"not flushed");
    drop((rows, other, installed, outgoing));
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*rows), content, "durable once installed");
}

pub(super) fn begin_a_partition(subject: &mut dyn Subject) {
    let (rows, content) = filled(subject.store());
    let incoming = sent(&*rows, subject.store());
    drop(rows);
    subject.store().remove(P0).expect("removed");
    let arrived = incoming.finish().expect("complete");
    drop(arrived.install().expect("installed"));
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*rows), content);
}

pub(super) fn change_nothing_until_installed(subject: &mut dyn Subject) {
    let (rows, content) = filled(subject.store());
    rows.flush().expect("flushed");
    drop(sent(&*rows, subject.store()));
    let both = [(); 2].map(|()| sent(&*rows, subject.store()));
    let arrived = both.map(|incoming| incoming.finish().expect("complete"));
    assert_eq!(all(&*rows), content);
    drop(rows);
    subject.crash();
    drop(arrived);
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*rows), content);

    let empty = subject.store().partition(P1).expect("opened");
    assert!(
        Outgoing::open(&*empty).expect("read").is_none(),
        "there is no checkpoint yet"
    );
}

pub(super) fn of_a_removed_partition_are_gone(subject: &mut dyn Subject) {
    let (rows, _) = filled(subject.store());
    rows.flush().expect("flushed");
    let view = rows.view().expect("viewed");
    let other = subject.store().partition(P1).expect("opened");
    put(&*other, b"k", b"another partition's");
    other.flush().expect("flushed");
    assert_eq!(subject.store().partitions().expect("read"), [P0, P1]);

    for _ in 0..2 {
        subject.store().remove(P0).expect("removed");
        assert_eq!(subject.store().partitions().expect("read"), [P1]);
    }
    assert!(rows.get(b"l").is_err());
    let again = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*again), []);
    put(&*again, b"l", b"new");
    assert!(rows.get(b"l").is_err(), "the old handle finds no new rows");
    drop((rows, again, view, other));

    subject.store().remove(P0).expect("removed");
    subject.crash();
    assert_eq!(subject.store().partitions().expect("read"), [P1]);
    let again = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*again), []);
    put(&*again, b"l", b"new");
    again.flush().expect("flushed");
    drop(again);
    subject.crash();
    let again = subject.store().partition(P0).expect("opened");
    assert_eq!(get(&*again, b"l").as_deref(), Some(&b"new"[..]));
    let other = subject.store().partition(P1).expect("opened");
    assert_eq!(
        get(&*other, b"k").as_deref(),
        Some(&b"another partition's"[..])
    );
}
