//! The threaded log on the operating system's files.

mod common;

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use common::{A, Acks, IDENTITY, entries, entry};
use longhaul_wal::{Config, Files, GroupId, GroupLog, OpenError, RealFiles, Wal};

fn open(config: &Config) -> Result<Wal, OpenError> {
    Wal::open(config.clone(), IDENTITY, Arc::new(RealFiles))
}

fn config(dir: &tempfile::TempDir) -> Config {
    Config {
        segment_bytes: 256 << 10,
        cache_bytes: 100 << 10,
        ..Config::new(dir.path().join("wal"))
    }
}

/// Runs one operation and waits until it is durable.
fn wait(start: impl FnOnce(longhaul_wal::Done)) {
    let (sender, receiver) = sync_channel(1);
    start(Box::new(move |result| {
        sender.send(result).expect("someone waits")
    }));
    receiver.recv().expect("called").expect("durable");
}

fn payload(group: u32, index: u64) -> Bytes {
    let bytes = usize::try_from(index * 37 % 900).expect("small");
    Bytes::from(vec![(u64::from(group) * 31 + index) as u8; bytes])
}

#[test]
fn many_groups_append_read_and_purge_at_once_and_restart() {
    const GROUPS: u32 = 16;
    const ENTRIES: u64 = 400;
    let dir = tempfile::tempdir().expect("a directory");
    let wal = open(&config(&dir)).expect("a first start");
    let start = Barrier::new(GROUPS as usize);
    let write = |group: u32, log: GroupLog| {
        start.wait();
        let acks = Acks::default();
        wait(|done| log.save_vote(format!("vote of {group}").into(), done));
        for index in 0..ENTRIES {
            log.append(vec![entry(1, index, payload(group, index))], acks.next());
            log.save_committed(format!("{index}").into());
            if index % 50 == 49 {
                wait(|done| log.append(vec![], done));
                assert_eq!(log.durable_index(), Some(index));
                // Old entries come from disk, new ones from memory.
                let found = log.read(..).expect("readable");
                assert!(
                    found
                        .iter()
                        .all(|entry| entry.payload == payload(group, entry.index))
                );
                assert_eq!(found.last().map(|entry| entry.index), Some(index));
                if group.is_multiple_of(2) {
                    log.purge(index - 20, format!("{}", index - 20).into(), acks.next());
                }
            }
        }
        wait(|done| log.append(vec![], done));
        assert_eq!(acks.acknowledged(), acks.issued());
    };
    std::thread::scope(|scope| {
        for group in 0..GROUPS {
            let log = wal.group(GroupId(group));
            scope.spawn(move || write(group, log));
        }
    });
    let stats = wal.stats();
    assert!(
        stats.batches < stats.entries,
        "appends of several groups share syncs: {stats:?}"
    );
    assert_eq!(stats.entries, u64::from(GROUPS) * ENTRIES);
    let position = wal.position();
    wal.close().expect("no fault");

    let wal = open(&config(&dir)).expect("undamaged");
    assert!(wal.position() >= position);
    assert_eq!(wal.groups().len(), GROUPS as usize);
    for group in 0..GROUPS {
        let log = wal.group(GroupId(group));
        let found = log.read(..).expect("readable");
        let first = if group.is_multiple_of(2) {
            ENTRIES - 20
        } else {
            0
        };
        assert!(
            found.iter().map(|entry| entry.index).eq(first..ENTRIES),
            "group {group}"
        );
        assert!(
            found
                .iter()
                .all(|entry| entry.payload == payload(group, entry.index))
        );
        assert_eq!(log.vote(), Some(format!("vote of {group}").into()));
        assert_eq!(log.committed(), Some(format!("{}", ENTRIES - 1).into()));
    }
}

#[test]
fn a_directory_is_used_by_one_log_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(&config(&dir)).expect("a first start");
    assert!(matches!(open(&config(&dir)), Err(OpenError::Locked { .. })));
    drop(first);
    open(&config(&dir)).expect("free again");
}

#[test]
fn files_behave_as_the_log_needs() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = RealFiles;
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    assert_eq!(
        files.open(&one).expect_err("missing").kind(),
        std::io::ErrorKind::NotFound
    );
    let file = files.create(&one).expect("created");
    file.allocate(8192).expect("allocated");
    assert_eq!(file.len().expect("measured"), 8192);
    file.write_at(b"hello", 4096).expect("written");
    file.sync().expect("synced");
    files.rename(&one, &other).expect("renamed");
    files.sync_dir(dir.path()).expect("synced");
    assert_eq!(files.list(dir.path()).expect("listed"), ["other"]);
    files.remove(&other).expect("removed");
    let mut bytes = [0; 6];
    file.read_at(&mut bytes, 4095).expect("still open");
    assert_eq!(&bytes, b"\0hello");
    file.read_at(&mut bytes, 8190).expect_err("behind the end");
    let held = files.lock(&one).expect("locked");
    assert_eq!(
        files.lock(&one).expect_err("held").kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(held);
    files.lock(&one).expect("free again");
}

#[test]
fn prewritten_segments_and_an_idle_watermark_work_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        prewrite: true,
        ..config(&dir)
    };
    let wal = open(&config).expect("a first start");
    let log = wal.group(A);
    wait(|done| log.append(entries(0..200, 1000), done));
    // Settles by itself once idle; bounded by the test runner, not by a sleep.
    while wal.stats().watermark_syncs == 0 {
        std::thread::yield_now();
    }
    wait(|done| log.append(entries(200..400, 1000), done));
    drop(wal);
    let wal = open(&config).expect("undamaged");
    assert_eq!(
        wal.group(A).read(..).expect("readable"),
        entries(0..400, 1000)
    );
}
