//! Streams that are cut, damaged, or not what they should be.

use longhaul_engine::tables::PartitionState;
use longhaul_types::PartitionCount;
use proptest::prelude::*;

use super::*;
use crate::MemStore;
use crate::conformance::Subject;
use crate::records::put_partition_row;
use crate::rows::{Row, RowBatch};
use crate::testing::OnDisk;

const PARTITION: PartitionId = PartitionId(2);

fn source(values: &[Vec<u8>]) -> (MemStore, Vec<Row>) {
    let store = MemStore::new();
    let rows = store.partition(PARTITION).expect("memory");
    let count = PartitionCount::new(4).expect("a power of two");
    let row = PartitionRow {
        applied: Some(Position { term: 3, index: 9 }),
        membership: None,
        state: PartitionState::new(PARTITION, count),
        indexes_version: 0,
    };
    let mut batch = RowBatch::default();
    batch.put_with(keys::PARTITION, |out| put_partition_row(&row, out));
    for (number, value) in (0_u32..).zip(values) {
        batch.put(&[b"i", &number.to_be_bytes()[..]].concat(), value);
    }
    rows.write(batch).expect("memory");
    let content = rows.scan(b"", None, usize::MAX).expect("memory");
    (store, content)
}

fn stream(store: &MemStore) -> Vec<u8> {
    let rows = store.partition(PARTITION).expect("memory");
    let mut outgoing = Outgoing::open(&*rows).expect("memory").expect("written");
    let mut stream = Vec::new();
    while let Some(chunk) = outgoing.next_chunk().expect("memory") {
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
        stream.extend_from_slice(&chunk);
    }
    stream
}

fn received(stream: &[u8], partition: PartitionId) -> Result<Vec<Row>, TableFault> {
    let store = MemStore::new();
    let mut incoming = Incoming::begin(&store, partition)?;
    incoming.write(stream)?;
    let rows = incoming.finish()?.install()?;
    rows.scan(b"", None, usize::MAX)
}

/// A stream of these rows, whatever they are.
fn made(rows: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in rows {
        body.extend_from_slice(&length(key).to_le_bytes());
        body.extend_from_slice(&length(value).to_le_bytes());
        body.extend_from_slice(key);
        body.extend_from_slice(value);
    }
    let mut hash = Xxh3::new();
    hash.update(&body);
    let mut stream = vec![FORMAT];
    stream.extend_from_slice(&body);
    stream.extend_from_slice(&END.to_le_bytes());
    stream.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    stream.extend_from_slice(&hash.digest().to_le_bytes());
    stream
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        cuts in prop::collection::vec(1_usize..50, 1..40),
    ) {
        let (store, content) = source(&values);
        let stream = stream(&store);
        let target = MemStore::new();
        let mut incoming = Incoming::begin(&target, PARTITION).expect("memory");
        let (mut rest, mut cuts) = (&stream[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let cut = cuts.next().expect("endless").min(rest.len());
            let (chunk, behind) = rest.split_at(cut);
            incoming.write(chunk).expect("kept");
            rest = behind;
        }
        let rows = incoming.finish().expect("complete").install().expect("memory");
        prop_assert_eq!(rows.scan(b"", None, usize::MAX).expect("memory"), content);
    }

    #[test]
    fn a_damaged_stream_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (store, _) = source(&[b"value".to_vec(), Vec::new()]);
        let mut stream = stream(&store);
        let at = at.index(stream.len());
        stream[at] ^= 1_u8 << bit;
        prop_assert!(received(&stream, PARTITION).is_err(), "byte {}", at);
    }
}

#[test]
fn a_row_may_be_longer_than_chunks() {
    let long = vec![7; 3 * CHUNK_BYTES + 5];
    let (store, content) = source(&[long, b"short".to_vec()]);
    let rows = received(&stream(&store), PARTITION);
    assert_eq!(rows.expect("whole"), content);
}

#[test]
fn rows_go_from_one_kind_of_store_to_the_other() {
    // More than one file.
    let (store, content) = source(&vec![vec![5; 1_000_000]; 40]);
    let disk = OnDisk::new();
    let mut incoming = Incoming::begin(disk.store(), PARTITION).expect("begun");
    for chunk in stream(&store).chunks(CHUNK_BYTES) {
        incoming.write(chunk).expect("kept");
    }
    let rows = incoming.finish().expect("complete").install();
    let rows = rows.expect("installed");
    assert_eq!(rows.scan(b"", None, usize::MAX).expect("read"), content);

    let mut outgoing = Outgoing::open(&*rows).expect("read").expect("written");
    let memory = MemStore::new();
    let mut incoming = Incoming::begin(&memory, PARTITION).expect("begun");
    while let Some(chunk) = outgoing.next_chunk().expect("read") {
        incoming.write(&chunk).expect("kept");
    }
    let rows = incoming.finish().expect("complete").install();
    let rows = rows.expect("installed");
    assert_eq!(rows.scan(b"", None, usize::MAX).expect("read"), content);
}

#[test]
fn what_is_staged_on_disk_goes_with_whoever_staged_it() {
    let disk = OnDisk::new();
    let staging = disk.database().join("staging");
    let left = || std::fs::read_dir(&staging).expect("listed").count();
    let (store, _) = source(&vec![vec![5; 1_000_000]; 40]);
    let mut incoming = Incoming::begin(disk.store(), PARTITION).expect("begun");
    incoming.write(&stream(&store)).expect("kept");
    assert_eq!(left(), 1);
    let arrived = incoming.finish().expect("complete");
    assert_eq!(left(), 1);
    drop(arrived);
    assert_eq!(left(), 0);

    // Or when the database is opened, if that was a crash.
    let mut disk = disk;
    let incoming = Incoming::begin(disk.store(), PARTITION).expect("begun");
    disk.crash();
    assert!(!disk.database().join("staging").exists());
    drop(incoming);
}

#[test]
fn what_is_not_a_state_of_the_partition_is_refused() {
    let (store, content) = source(&[b"value".to_vec()]);
    let whole = stream(&store);
    let refused = |stream: &[u8], partition, reason: &str| {
        let refused = received(stream, partition).expect_err(reason);
        assert!(refused.to_string().contains(reason), "{refused}");
    };
    refused(&whole, PartitionId(1), "not of this partition");
    refused(&whole[..whole.len() - 1], PARTITION, "its end is missing");
    refused(&[], PARTITION, "its end is missing");
    refused(
        &[&whole[..], &[0]].concat(),
        PARTITION,
        "goes on after its end",
    );
    refused(&[2], PARTITION, "format is 2");
    let too_long = [&[FORMAT][..], &[0xfe, 0xff, 0xff, 0xff], &[0; 4]].concat();
    refused(&too_long, PARTITION, "too long");

    let row = &content[0].1[..];
    assert!(received(&made(&[(b"a", row), (b"i", b"1")]), PARTITION).is_ok());
    refused(&made(&[(b"i", b"1")]), PARTITION, "not of this partition");
    for disorder in [
        [(&b"a"[..], row), (b"i", b"1"), (b"b", b"2")],
        [(b"a", row), (b"i", b"1"), (b"i", b"2")],
    ] {
        refused(&made(&disorder), PARTITION, "not in order");
    }
    refused(&made(&[(b"a", b"no row")]), PARTITION, "partition row");
}
