//! Exports and imports.

use std::sync::Arc;

use super::{P0, P1, Subject, all, get, put, put_applied};
use crate::rows::{Row, RowBatch, Rows};
use crate::snapshot::{MANIFEST_FILE, read_manifest};

/// A partition with rows of a checkpoint at index 7.
fn filled(subject: &dyn Subject) -> (Arc<dyn Rows>, Vec<Row>) {
    let rows = subject.store().partition(P0).expect("opened");
    put_applied(&*rows, P0, 7);
    for number in 0..1_000_u32 {
        put(
            &*rows,
            &[b"i", &number.to_be_bytes()[..]].concat(),
            &number.to_le_bytes(),
        );
    }
    let mut removal = RowBatch::default();
    removal.delete(&[b"i", &3_u32.to_be_bytes()[..]].concat());
    rows.write(removal).expect("written");
    let content = all(&*rows);
    assert_eq!(content.len(), 1_000);
    (rows, content)
}

pub(super) fn replace_a_partition(subject: &mut dyn Subject) {
    let dir = subject.scratch();
    let (rows, content) = filled(subject);
    let manifest = rows.export(&dir).expect("exported");
    assert_eq!(manifest.partition, P0);
    assert_eq!(manifest.applied.index, 7);
    assert_eq!(manifest.membership.as_deref(), Some(&b"voters"[..]));
    assert_eq!(read_manifest(&dir).as_ref().expect("read"), &manifest);

    put(&*rows, b"i new", b"not exported");
    let other = subject.store().partition(P1).expect("opened");
    put(&*other, b"k", b"another partition's");

    let imported = subject.store().import(P0, &dir).expect("imported");
    assert_eq!(all(&*imported), content);
    assert_eq!(
        all(&*subject.store().partition(P0).expect("opened")),
        content
    );
    assert!(rows.get(b"i new").is_err(), "the old rows are gone");
    assert!(rows.flush().is_err());
    assert_eq!(
        get(&*other, b"k").as_deref(),
        Some(&b"another partition's"[..])
    );
    put(&*imported, b"i new", b"goes on");
    assert_eq!(get(&*imported, b"i new").as_deref(), Some(&b"goes on"[..]));
}

pub(super) fn survive_a_crash(subject: &mut dyn Subject) {
    let dir = subject.scratch();
    let (rows, content) = filled(subject);
    rows.export(&dir).expect("exported");
    drop(rows);
    drop(subject.store().import(P0, &dir).expect("imported"));
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*rows), content);

    let again = subject.scratch();
    let manifest = rows.export(&again).expect("exported");
    let incarnation = manifest.incarnation;
    drop(rows);
    drop(subject.store().import(P0, &again).expect("imported"));
    subject.crash();
    let rows = subject.store().partition(P0).expect("opened");
    assert_eq!(all(&*rows), content);
    let manifest = rows.export(&subject.scratch()).expect("exported");
    assert!(
        manifest.incarnation > incarnation,
        "every import is another copy"
    );
}

pub(super) fn are_of_one_moment(subject: &mut dyn Subject) {
    let dir = subject.scratch();
    let rows = subject.store().partition(P0).expect("opened");
    assert!(
        rows.export(&subject.scratch()).is_err(),
        "there is no checkpoint yet"
    );
    let applied = put_applied(&*rows, P0, 1);
    put(&*rows, b"i", b"1");
    assert_eq!(rows.export(&dir).expect("exported").applied, applied);
    put_applied(&*rows, P0, 2);
    put(&*rows, b"i", b"2");
    let imported = subject.store().import(P0, &dir).expect("imported");
    assert_eq!(get(&*imported, b"i").as_deref(), Some(&b"1"[..]));
}

pub(super) fn must_be_whole(subject: &mut dyn Subject) {
    let (rows, content) = filled(subject);
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        |bytes| bytes.truncate(bytes.len() - 1),
        Vec::clear,
    ];
    for damage in damages {
        for damages_manifest in [false, true] {
            let dir = subject.scratch();
            let manifest = rows.export(&dir).expect("exported");
            let name = if damages_manifest {
                MANIFEST_FILE
            } else {
                &manifest.files[0].name
            };
            let mut bytes = std::fs::read(dir.join(name)).expect("read");
            damage(&mut bytes);
            std::fs::write(dir.join(name), bytes).expect("written");
            assert!(
                subject.store().import(P0, &dir).is_err(),
                "{name} is damaged"
            );
        }
    }
    let empty = subject.scratch();
    assert!(
        subject.store().import(P0, &empty).is_err(),
        "there is no manifest"
    );
    assert_eq!(all(&*rows), content, "refused files change nothing");
}

pub(super) fn must_be_of_the_partition(subject: &mut dyn Subject) {
    let dir = subject.scratch();
    let (rows, content) = filled(subject);
    rows.export(&dir).expect("exported");
    let refused = subject
        .store()
        .import(P1, &dir)
        .map(|_| ())
        .expect_err("another partition");
    assert!(refused.reason.contains("partition 0, not 1"), "{refused}");
    assert_eq!(all(&*rows), content);
}
