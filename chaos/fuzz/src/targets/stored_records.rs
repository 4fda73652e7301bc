//! Records of the store, of snapshots and of log entries: a byte that chooses the kind, then the record.

use std::fmt::Debug;

use bytes::Bytes;
use longhaul_storage::records::{self, Corrupt, SnapshotManifest};

pub(crate) fn run(input: &[u8]) {
    let Some((kind, record)) = input.split_first() else {
        return;
    };
    let record = Bytes::copy_from_slice(record);
    match kind % 8 {
        0 => reread(record, records::decode_batch, records::encode_batch),
        1 => reread(record, records::decode_instance, |it| {
            put(|out| records::put_instance(it, out))
        }),
        2 => reread(record, records::decode_entity, |it| {
            put(|out| records::put_entity(it, out))
        }),
        3 => reread(record, records::decode_message, |it| {
            put(|out| records::put_message(it, out))
        }),
        4 => reread(record, records::decode_partition_row, |it| {
            put(|out| records::put_partition_row(it, out))
        }),
        5 => reread(record, records::decode_history_run, |it| {
            put(|out| records::put_history_run(it, out))
        }),
        6 => reread(record, records::decode_incarnation, |it| {
            records::encode_incarnation(*it)
        }),
        _ => reread(record, SnapshotManifest::decode, SnapshotManifest::encode),
    }
}

fn put(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    out.into()
}

fn reread<T: PartialEq + Debug>(
    record: Bytes,
    decode: impl Fn(Bytes) -> Result<T, Corrupt>,
    encode: impl Fn(&T) -> Bytes,
) {
    match decode(record) {
        Ok(value) => assert_eq!(decode(encode(&value)), Ok(value), "written and read again"),
        Err(corrupt) => assert!(!corrupt.to_string().is_empty()),
    }
}
