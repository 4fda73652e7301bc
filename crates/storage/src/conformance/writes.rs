//! Reading what was written.

use bytes::Bytes;

use super::{P0, P1, Subject, all, get, put};
use crate::rows::RowBatch;

pub(super) fn are_visible_at_once(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(get(&*rows, b"k"), None);
    put(&*rows, b"k", b"1");
    assert_eq!(get(&*rows, b"k").as_deref(), Some(&b"1"[..]));
    let same = subject.store().partition(P0).expect("opened");
    put(&*same, b"k", b"2");
    assert_eq!(get(&*rows, b"k").as_deref(), Some(&b"2"[..]));
}

pub(super) fn are_performed_in_order(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    put(&*rows, b"gone", b"old");
    let mut batch = RowBatch::default();
    batch.put(b"kept", b"1");
    batch.delete(b"kept");
    batch.put(b"kept", b"2");
    batch.put(b"gone", b"new");
    batch.delete(b"gone");
    batch.delete(b"never there");
    rows.write(batch).expect("written");
    assert_eq!(
        all(&*rows),
        [(Bytes::from_static(b"kept"), Bytes::from_static(b"2"))]
    );
}

pub(super) fn are_scanned_in_order(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let keys: [&[u8]; 6] = [b"a", b"b", b"b\0", b"b\xFF", b"b\xFF\xFF", b"c"];
    for key in keys.iter().rev() {
        put(&*rows, key, key);
    }
    let scan = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Bytes> {
        let found = rows.scan(prefix, after, limit).expect("scanned");
        found.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(scan(b"", None, usize::MAX), keys);
    assert_eq!(scan(b"b", None, 10), keys[1..5]);
    assert_eq!(scan(b"b", None, 2), keys[1..3]);
    assert_eq!(scan(b"b", Some(b"b\0"), 2), keys[3..5]);
    assert_eq!(
        scan(b"b", Some(b"b\x01"), 1),
        keys[3..4],
        "after a key that is not there"
    );
    assert_eq!(
        scan(b"b", Some(b"a"), 1),
        keys[1..2],
        "after a key before the prefix"
    );
    assert!(scan(b"b", Some(b"b\xFF\xFF"), 10).is_empty());
    assert!(
        scan(b"b", Some(b"c"), 10).is_empty(),
        "after a key behind the prefix"
    );
    assert!(scan(b"b", None, 0).is_empty());
    rows.flush().expect("flushed");
    put(&*rows, b"b\x01", b"");
    assert_eq!(scan(b"b", None, 10).len(), 5, "flushed rows and fresh ones");
}

pub(super) fn remove_ranges(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    for key in [b"a", b"b", b"c", b"d"] {
        put(&*rows, key, b"");
    }
    rows.flush().expect("flushed");
    put(&*rows, b"bb", b"");
    let mut batch = RowBatch::default();
    batch.delete_range(b"b", b"d");
    batch.put(b"c", b"again");
    rows.write(batch).expect("written");
    let left: Vec<Bytes> = all(&*rows).into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [&b"a"[..], b"c", b"d"]);
    assert_eq!(get(&*rows, b"b"), None);
    assert_eq!(get(&*rows, b"c").as_deref(), Some(&b"again"[..]));
}

pub(super) fn hold_any_value(subject: &mut dyn Subject) {
    let rows = subject.store().partition(P0).expect("opened");
    let large = vec![0xA5; 5 << 20];
    put(&*rows, b"large", &large);
    put(&*rows, b"empty", b"");
    put(&*rows, b"", b"no key");
    rows.flush().expect("flushed");
    assert_eq!(get(&*rows, b"large").as_deref(), Some(&large[..]));
    assert_eq!(get(&*rows, b"empty").as_deref(), Some(&b""[..]));
    assert_eq!(get(&*rows, b"").as_deref(), Some(&b"no key"[..]));
}

pub(super) fn of_partitions_are_apart(subject: &mut dyn Subject) {
    let zero = subject.store().partition(P0).expect("opened");
    let one = subject.store().partition(P1).expect("opened");
    put(&*zero, b"k", b"0");
    assert_eq!(get(&*one, b"k"), None);
    put(&*one, b"k", b"1");
    assert_eq!(get(&*zero, b"k").as_deref(), Some(&b"0"[..]));
}
