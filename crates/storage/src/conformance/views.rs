//! Rows as of one moment.

use bytes::Bytes;

use super::{P0, P1, Subject, get, put};
use crate::rows::{RowBatch, RowsView};

/// Keys and values of a range.
fn walk(view: &dyn RowsView, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = view.walk(from.to_vec()..to.to_vec()).expect("walked");
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.row() {
        assert_eq!(cursor.row(), Some((key, value)), "a row stays");
        found.push((key.to_vec(), value.to_vec()));
        cursor.advance().expect("walked");
    }
    cursor.advance().expect("the end is the end");
    assert_eq!(cursor.row(), None);
    found
}

fn keys(view: &dyn RowsView, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let rows = walk(view, from, to).into_iter();
    rows.map(|(key, _)| key).collect()
}

pub(super) fn stay_as_they_were(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let other = subject.store().partition(P1).expect("opened");
    put(&*other, b"a", b"another partition's");
    put(&*rows, b"a", b"1");
    put(&*rows, b"b", b"1");
    rows.flush().expect("flushed");
    put(&*rows, b"b", b"2");
    put(&*rows, b"c", b"2");
    let view = rows.view().expect("viewed");
    let before = walk(&*view, b"", b"\xFF");

    let mut batch = RowBatch::default();
    batch.delete(b"a");
    batch.put(b"b", b"3");
    batch.delete_range(b"c", b"d");
    batch.put(b"d", b"3");
    rows.write(batch).expect("written");
    let later = rows.view().expect("viewed");
    rows.flush().expect("flushed");
    assert_eq!(get(&*rows, b"a"), None);
    drop(rows);

    let value = |key: &[u8]| view.get(key).expect("read");
    assert_eq!(value(b"a"), Some(Bytes::from_static(b"1")));
    assert_eq!(value(b"b"), Some(Bytes::from_static(b"2")));
    assert_eq!(value(b"c"), Some(Bytes::from_static(b"2")));
    assert_eq!(value(b"d"), None);
    assert_eq!(walk(&*view, b"", b"\xFF"), before);
    assert_eq!(before.len(), 3);
    assert_eq!(keys(&*later, b"", b"\xFF"), [b"b", b"d"]);
}

pub(super) fn are_walked_in_order(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let all: [&[u8]; 6] = [b"a", b"b", b"b\0", b"b\xFF", b"b\xFF\xFF", b"c"];
    for (number, key) in all.iter().enumerate() {
        put(&*rows, key, key);
        if number == 2 {
            rows.flush().expect("flushed");
        }
    }
    let view = rows.view().expect("viewed");
    assert_eq!(keys(&*view, b"", b"d"), all);
    assert_eq!(keys(&*view, b"b", b"c"), all[1..5]);
    assert_eq!(keys(&*view, b"b\0", b"b\xFF"), all[2..3]);
    assert_eq!(keys(&*view, b"b\x01", b"d"), all[3..]);
    for (from, to) in [("b", "b"), ("c", "b"), ("d", "e"), ("0", "1"), ("", "")] {
        let nothing = keys(&*view, from.as_bytes(), to.as_bytes());
        assert!(nothing.is_empty(), "{from:?} to {to:?}");
    }
    for (key, value) in walk(&*view, b"", b"d") {
        assert_eq!(key, value);
    }
    let mut one = view.walk(b"a".to_vec()..b"d".to_vec()).expect("walked");
    let mut another = view.walk(b"c".to_vec()..b"d".to_vec()).expect("walked");
    one.advance().expect("walked");
    assert_eq!(one.row().map(|(key, _)| key), Some(all[1]));
    assert_eq!(another.row().map(|(key, _)| key), Some(all[5]));
    another.advance().expect("walked");
    assert_eq!(another.row(), None);
}
