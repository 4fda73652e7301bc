//! Backups that are written, checked, and found to be broken.

use std::path::Path;

use longhaul_proto::admin::v1 as wire;
use wire::backup_part::Part;
use xxhash_rust::xxh3::xxh3_64;

use super::server::{FakeCluster, cluster};
use super::{against, typed};
use crate::operate::backup::manifest::Manifest;
use crate::operate::backup::rows;

fn bytes(partition: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..3 {
        rows::put(&[partition, number], &[number; 10], &mut bytes);
    }
    bytes
}

fn begin() -> wire::BackupBegin {
    let copy = |id, other| wire::PartitionCopy {
        id,
        term: 1,
        index: 10,
        exchanged: vec![wire::Exchanged {
            partition: other,
            sent: 3,
            acknowledged: 1,
            received: 2,
        }],
    };
    wire::BackupBegin {
        cluster_id: "0f".repeat(16),
        partition_count: 2,
        replicas: 3,
        taken_at_ms: 1_700_000_000_000,
        version: "1.2.3".to_owned(),
        rows_format: 1,
        partitions: vec![copy(0, 1), copy(1, 0)],
        hubs: Some(wire::Hubs {
            last_id: 2,
            listed: vec![wire::Hub {
                id: 2,
                name: "orders".to_owned(),
            }],
            doomed: vec![1],
        }),
    }
}

/// What a server sends of two partitions.
fn parts() -> Vec<Part> {
    let mut parts = vec![Part::Begin(begin())];
    for id in 0..2 {
        let bytes = bytes(id);
        let (first, second) = bytes.split_at(18);
        parts.push(Part::Rows(first.to_vec().into()));
        parts.push(Part::Rows(second.to_vec().into()));
        parts.push(Part::PartitionEnd(wire::PartitionEnd {
            id: id.into(),
            rows: 3,
            bytes: bytes.len() as u64,
            checksum: xxh3_64(&bytes),
        }));
    }
    parts.push(Part::End(wire::BackupEnd {}));
    parts
}

fn sends(parts: Vec<Part>) -> FakeCluster {
    let mut cluster = cluster();
    let parts = parts
        .into_iter()
        .map(|it| wire::BackupPart { part: Some(it) });
    cluster.send(parts.collect());
    cluster
}

fn text(dir: &Path) -> &str {
    dir.to_str().expect("text")
}

async fn created() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = against(&sends(parts()), &["backup", "create", text(dir.path())]).await;
    assert_eq!(ended.code(), 0, "{:?}", ended.outcome);
    dir
}

#[tokio::test]
async fn what_was_sent_is_what_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("new/one");
    let ended = against(&sends(parts()), &["backup", "create", text(&to)]).await;
    assert_eq!(ended.code(), 0, "{:?}", ended.outcome);
    assert_eq!(
        ended.progress,
        "partition 0: 3 rows, 60 bytes\npartition 1: 3 rows, 60 bytes\n"
    );
    let said = format!(
        "copied 2 partitions to {}: 6 rows, 120 bytes, as of 2023-11-14T22:13:20Z\n",
        to.display()
    );
    assert_eq!(ended.results, said);

    for id in 0..2 {
        let kept = std::fs::read(to.join(format!("partition-{id:05}.rows"))).expect("kept");
        assert_eq!(kept, bytes(id));
    }
    let manifest = Manifest::read(&to).expect("whole");
    assert_eq!(manifest.cluster.id, "0f".repeat(16));
    assert_eq!(
        (manifest.hubs.last_id, &manifest.hubs.doomed[..]),
        (2, &[1][..])
    );
    assert_eq!(manifest.hubs.listed[0].name, "orders");
    assert_eq!(manifest.partitions[1].copy.exchanged[0].received, 2);

    let verified = typed(&["backup", "verify", text(&to)]).await;
    assert_eq!(verified.code(), 0, "{:?}", verified.outcome);
    let cluster = "0f".repeat(16);
    let said = format!(
        "whole: 2 partitions of cluster {cluster} as of 2023-11-14T22:13:20Z, 6 rows, 120 bytes\n"
    );
    assert_eq!(verified.results, said);
}

#[tokio::test]
async fn a_directory_with_anything_in_it_is_left_alone() {
    let dir = created().await;
    let before = std::fs::read(dir.path().join("manifest.json")).expect("there");
    let ended = against(&sends(parts()), &["backup", "create", text(dir.path())]).await;
    assert_eq!(ended.code(), 1);
    assert!(
        ended.message().contains("is not empty"),
        "{}",
        ended.message()
    );
    let after = std::fs::read(dir.path().join("manifest.json")).expect("there");
    assert_eq!(before, after);
}

#[tokio::test]
async fn what_is_sent_in_another_order_or_changed_is_no_backup() {
    let without = |index: usize| {
        let mut parts = parts();
        parts.remove(index);
        parts
    };
    let mut swapped = parts();
    swapped.swap(3, 6);
    let mut changed = parts();
    changed[1] = Part::Rows(vec![0; 18].into());
    let mut twice = parts();
    twice.insert(1, Part::Begin(begin()));
    let mut torn = parts();
    let Part::Begin(begin) = &mut torn[0] else {
        panic!("it begins so");
    };
    begin.partitions[1].exchanged[0].received = 4;
    for (parts, says) in [
        (without(0), "rows of no partition"),
        (without(1), "changed on their way"),
        (without(3), "whose turn it is not"),
        (without(6), "the end before the last partition's"),
        (without(7), "ended too early"),
        (swapped, "whose turn it is not"),
        (changed, "changed on their way"),
        (twice, "a second beginning"),
        (torn, "not of one moment"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let ended = against(&sends(parts), &["backup", "create", text(dir.path())]).await;
        assert_eq!(ended.code(), 1, "{says}");
        assert!(
            ended.message().contains(says),
            "{says}: {}",
            ended.message()
        );
        let verified = typed(&["backup", "verify", text(dir.path())]).await;
        assert!(
            verified.message().contains("not finished"),
            "{}",
            verified.message()
        );
    }
}

#[tokio::test]
async fn a_stream_that_fails_is_no_backup() {
    let mut parts = parts();
    parts.truncate(4);
    let mut cluster = sends(parts);
    cluster.refuse(tonic::Status::unavailable("partition 1 lost its leader"));
    let dir = tempfile::tempdir().expect("a directory");
    let ended = against(&cluster, &["backup", "create", text(dir.path())]).await;
    assert_eq!(ended.code(), 2);
    assert!(ended.message().contains("lost its leader"));
    assert_eq!(
        typed(&["backup", "verify", text(dir.path())]).await.code(),
        1
    );
}

#[tokio::test]
async fn damage_is_found_in_every_file() {
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 6] = [
        (
            |dir| std::fs::remove_file(dir.join("partition-00001.rows")).expect("removed"),
            "partition-00001.rows: ",
        ),
        (
            |dir| change(dir, |bytes| bytes[19] ^= 1),
            "its checksum is another one",
        ),
        (
            |dir| change(dir, |bytes| bytes[0] = 0xff),
            "it ends within a row",
        ),
        (
            |dir| change(dir, |bytes| bytes.truncate(40)),
            "it has 40 bytes, not 60",
        ),
        (
            |dir| change(dir, |bytes| bytes.truncate(30)),
            "it ends within a row",
        ),
        (
            |dir| rewrite(dir, |manifest| drop(manifest.partitions.pop())),
            "1 partitions in the wrong order or number, not 2",
        ),
    ];
    for (damage, says) in damages {
        let dir = created().await;
        damage(dir.path());
        let ended = typed(&["backup", "verify", text(dir.path())]).await;
        assert_eq!(ended.code(), 1, "{says}");
        assert!(
            ended.message().contains(says),
            "{says}: {}",
            ended.message()
        );
    }
}

#[tokio::test]
async fn a_manifest_that_contradicts_the_files_is_found() {
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 4] = [
        (|it| it.partitions[0].file.rows = 4, "it has 3 rows, not 4"),
        (
            |it| it.partitions[0].file.name = "../partition-00000.rows".to_owned(),
            "not the name of a file",
        ),
        (
            |it| it.partitions[0].copy.exchanged[0].sent = 1,
            "not of one moment",
        ),
        (|it| it.partitions.swap(0, 1), "wrong order"),
    ];
    for (change, says) in changes {
        let dir = created().await;
        rewrite(dir.path(), change);
        let ended = typed(&["backup", "verify", text(dir.path())]).await;
        assert!(
            ended.message().contains(says),
            "{says}: {}",
            ended.message()
        );
    }
}

#[tokio::test]
async fn rows_out_of_order_are_found() {
    let mut bytes = Vec::new();
    for key in [b"b", b"a"] {
        rows::put(key, b"", &mut bytes);
    }
    let mut parts = parts();
    parts[1] = Part::Rows(bytes.clone().into());
    parts[3] = Part::PartitionEnd(wire::PartitionEnd {
        id: 0,
        rows: 2,
        bytes: bytes.len() as u64,
        checksum: xxh3_64(&bytes),
    });
    parts.remove(2);
    let dir = tempfile::tempdir().expect("a directory");
    let ended = against(&sends(parts), &["backup", "create", text(dir.path())]).await;
    assert_eq!(ended.code(), 0, "{:?}", ended.outcome);
    let ended = typed(&["backup", "verify", text(dir.path())]).await;
    assert!(
        ended.message().contains("not in order"),
        "{}",
        ended.message()
    );
}

fn change(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join("partition-00000.rows");
    let mut bytes = std::fs::read(&path).expect("there");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("written");
}

fn rewrite(dir: &Path, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::read(dir).expect("whole");
    change(&mut manifest);
    manifest.write(dir).expect("written");
}
