//! What callers may rely on, on a disk that works and on one that does not.

mod common;

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{A, Acks, B, Node, config, entries, entry, segments, watermark};
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{
    BatchStats, Config, GroupId, Hooks, Observer, OpenError, Progress, Wal, WalFault,
};

#[test]
fn a_batch_holds_everything_queued_and_completes_in_order_after_one_sync() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<BatchStats>>);
    impl Observer for Seen {
        fn batch(&self, batch: &BatchStats) {
            self.0.lock().unwrap().push(*batch);
        }
    }
    let seen = Arc::new(Seen::default());
    let hooks = Hooks {
        observer: seen.clone(),
        ..Hooks::default()
    };
    let mut node =
        Node::open_with(&SimFiles::new(), Config { hooks, ..config() }).expect("a first start");
    let acks = Acks::default();
    node.group(A).append(entries(0..3, 10), acks.next());
    node.group(B).save_vote("vote".into(), acks.next());
    node.group(A).append(vec![], acks.next());
    node.group(B).append(entries(5..6, 10), acks.next());
    assert_eq!(
        node.group(A).read(..).expect("in memory").len(),
        3,
        "readable at once"
    );
    assert_eq!(
        (node.group(A).durable_index(), node.group(A).last()),
        (None, Some((1, 2)))
    );
    assert!(node.wal.stats().queued_bytes > 0);

    assert_eq!(node.writer.run_once(), Progress::Worked);
    assert_eq!(acks.results(), vec![Ok(()); 4]);
    assert_eq!(
        (node.group(A).durable_index(), node.group(B).durable_index()),
        (Some(2), Some(5))
    );
    assert_eq!(node.writer.run_once(), Progress::Idle);
    let batches = seen.0.lock().unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].records, batches[0].entries), (5, 4));
    let stats = node.wal.stats();
    assert_eq!(
        (
            stats.batches,
            stats.entries,
            stats.bytes,
            stats.queued_bytes
        ),
        (1, 4, 512, 0)
    );
    assert_eq!(node.wal.position().batch_seq, 1);
}

#[test]
fn the_committed_log_id_rides_along_and_survives() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    node.group(A).save_committed("early".into());
    assert_eq!(
        node.writer.run_once(),
        Progress::Idle,
        "it asks for no sync"
    );
    node.group(A).save_committed("late".into());
    node.append(B, entries(0..1, 1));
    node.group(B).save_committed("at the end".into());
    assert_eq!(node.wal.stats().batches, 1);
    node.close();
    let node = Node::open(&files).expect("undamaged");
    assert_eq!(node.group(A).committed(), Some("late".into()));
    assert_eq!(
        node.group(B).committed(),
        Some("at the end".into()),
        "closing writes what is left"
    );
}

#[test]
fn a_groups_log_truncates_purges_and_begins_anew() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    let (log, acks) = (node.group(A), Acks::default());
    let indexes = |log: &longhaul_wal::GroupLog| -> Vec<u64> {
        log.read(..)
            .expect("readable")
            .iter()
            .map(|entry| entry.index)
            .collect()
    };
    log.append(entries(3..9, 1), acks.next());
    log.truncate_after(Some(6), acks.next());
    log.append(vec![entry(2, 7, "again")], acks.next());
    assert_eq!(
        (indexes(&log), log.last()),
        (vec![3, 4, 5, 6, 7], Some((2, 7)))
    );
    log.purge(4, "four".into(), acks.next());
    log.purge(2, "no news".into(), acks.next());
    assert_eq!(
        (indexes(&log), log.first_index(), log.purged()),
        (vec![5, 6, 7], Some(5), Some((4, "four".into())))
    );
    assert_eq!(log.read(6..7).expect("readable"), entries(6..7, 1));
    assert_eq!(log.read(6..=u64::MAX).expect("readable").len(), 2);
    assert_eq!(log.read(100..).expect("readable"), []);
    assert_eq!(log.read(..5).expect("readable"), []);
    node.run();
    assert_eq!(log.durable_index(), Some(7));

    // Beyond the end, as after a snapshot; the log goes on behind it and nowhere else.
    log.purge(20, "twenty".into(), acks.next());
    assert_eq!((log.last(), log.first_index()), (None, None));
    log.append(entries(21..23, 1), acks.next());
    log.truncate_after(None, acks.next());
    log.append(entries(21..22, 1), acks.next());
    node.run();
    assert_eq!((indexes(&log), log.durable_index()), (vec![21], Some(21)));
    assert_eq!(node.wal.groups(), [A]);

    log.save_vote("vote".into(), acks.next());
    log.save_committed("lost with the group".into());
    log.destroy(acks.next());
    assert_eq!(
        (log.vote(), log.purged(), log.committed(), log.last()),
        (Some("vote".into()), None, None, None),
        "whoever is to vote again must not forget how it did"
    );
    assert_eq!(node.wal.groups(), [A]);
    log.append(entries(1..2, 1), acks.next());
    node.close();
    assert_eq!(acks.acknowledged(), acks.issued());
    let node = Node::open(&files).expect("undamaged");
    assert_eq!(
        (
            indexes(&node.group(A)),
            node.group(A).vote(),
            node.group(A).committed()
        ),
        (vec![1], Some("vote".into()), None)
    );
}

#[test]
fn durable_never_runs_ahead_of_a_truncation() {
    let mut node = Node::open(&SimFiles::new()).expect("a first start");
    let (log, acks) = (node.group(A), Acks::default());
    node.append(A, entries(0..6, 1));
    log.append(entries(6..9, 1), acks.next());
    log.truncate_after(Some(2), acks.next());
    assert_eq!(log.durable_index(), Some(2));
    node.run();
    assert_eq!(log.durable_index(), Some(2));
    log.append(vec![entry(2, 3, "x")], acks.next());
    assert_eq!(
        log.durable_index(),
        Some(2),
        "entry 3 was durable once, but this is another"
    );
    node.run();
    assert_eq!(log.durable_index(), Some(3));
}

#[test]
fn an_append_with_a_hole_is_refused_whole_and_in_turn() {
    let mut node = Node::open(&SimFiles::new()).expect("a first start");
    let (log, results) = (node.group(A), Arc::new(Mutex::new(vec![])));
    let done = |name: &'static str| -> longhaul_wal::Done {
        let results = results.clone();
        Box::new(move |result| {
            results
                .lock()
                .unwrap()
                .push((name, result.err().map(|fault| fault.to_string())))
        })
    };
    log.append(entries(0..2, 1), done("first"));
    log.append(entries(3..4, 1), done("hole"));
    log.append(entries(1..2, 1), done("overlap"));
    log.append(
        vec![entry(1, 2, "x"), entry(1, 4, "x")],
        done("hole inside"),
    );
    log.append(entries(2..3, 1), done("next"));
    assert_eq!(log.last(), Some((1, 2)));
    node.run();
    let refusal = |found, expected| {
        Some(format!(
            "group 1 was asked to append index {found} where {expected} is next"
        ))
    };
    assert_eq!(
        *results.lock().unwrap(),
        [
            ("first", None),
            ("hole", refusal(3, 2)),
            ("overlap", refusal(1, 2)),
            ("hole inside", refusal(4, 3)),
            ("next", None),
        ]
    );
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_written() {
    for nth in 1..60 {
        let files = SimFiles::new();
        let faults = Arc::new(Mutex::new(vec![]));
        let seen = faults.clone();
        let hooks = Hooks {
            on_fault: Arc::new(move |fault| seen.lock().unwrap().push(fault)),
            ..Hooks::default()
        };
        let config = Config {
            hooks,
            watermark_batches: 3,
            ..config()
        };
        let mut node = Node::open_with(&files, config.clone()).expect("a first start");
        files.fail_sync(nth);
        let acks = Acks::default();
        for index in 0..50 {
            node.group(A)
                .append(entries(index..index + 1, 1500), acks.next());
            node.writer.run_once();
            if index > 5 {
                node.group(A).purge(index - 4, "id".into(), acks.next());
            }
        }
        node.run();
        let acknowledged = acks.acknowledged();
        assert!(acknowledged < acks.issued(), "sync {nth} failed");
        assert_eq!(
            acks.results().len(),
            acks.issued(),
            "every callback is called"
        );
        assert_eq!(
            faults.lock().unwrap().len(),
            1,
            "the fault is reported once"
        );
        let mutations = files.mutations();
        node.group(A).save_vote("late".into(), acks.next());
        node.run();
        node.writer.settle();
        assert_eq!(files.mutations(), mutations, "nothing is tried again");
        assert!(matches!(node.wal.close(), Err(WalFault::File(_))));

        // What could be read after the process died is durable, whatever the failed sync did.
        files.kill();
        let node = Node::open_with(&files, config.clone()).expect("the log is whole");
        let found = node.group(A).read(..).expect("readable");
        files.crash(nth);
        let node = Node::open_with(&files, config).expect("the log is still whole");
        assert_eq!(node.group(A).read(..).expect("readable"), found);
    }
}

#[test]
fn entries_that_left_memory_are_read_from_disk_and_checked() {
    let files = SimFiles::new();
    let config = Config {
        cache_bytes: 3000,
        ..config()
    };
    let mut node = Node::open_with(&files, config).expect("a first start");
    for index in 0..40 {
        node.append(A, entries(index..index + 1, 300));
        node.append(B, entries(index..index + 1, 20));
    }
    assert!(node.wal.stats().segments > 2);
    assert_eq!(
        node.group(A).read(..).expect("readable"),
        entries(0..40, 300)
    );
    assert_eq!(
        node.group(B).read(3..30).expect("readable"),
        entries(3..30, 20)
    );

    // A read that needs the damaged record fails; it is never left out.
    let path = segments(&files).remove(0);
    let content = files.content(&path);
    let at = content
        .windows(300)
        .position(|window| window == [2; 300])
        .expect("entry 2 is in the first segment");
    files.flip(&path, at + 7, 0x40);
    // The log has the file open, so it takes a restart of the process to see the other one.
    drop(node);
    files.kill();
    assert!(matches!(Node::open(&files), Err(OpenError::Damaged { .. })));
}

#[test]
fn entries_that_replaced_evicted_ones_stay_in_memory_until_durable() {
    let config = Config {
        cache_bytes: 300,
        batch_bytes: 512,
        ..config()
    };
    let mut node = Node::open_with(&SimFiles::new(), config).expect("a first start");
    node.append(A, entries(0..6, 50));
    let acks = Acks::default();
    node.group(B).append(entries(0..1, 600), acks.next());
    node.group(A).truncate_after(Some(2), acks.next());
    node.group(A).append(vec![entry(2, 3, "new")], acks.next());
    // The first batch holds the append to B only, and pushes the old entries of A out.
    node.writer.run_once();
    assert_eq!(acks.results(), [Ok(())]);
    assert_eq!(
        node.group(A).read(2..).expect("readable").last(),
        Some(&entry(2, 3, "new"))
    );
    node.run();
    assert_eq!(
        node.group(A).read(2..).expect("readable").last(),
        Some(&entry(2, 3, "new"))
    );
}

#[test]
fn a_record_damaged_while_the_log_is_open_is_an_error_not_a_hole() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        cache_bytes: 0,
        ..Config::new(dir.path().join("wal"))
    };
    let config = Config {
        segment_bytes: 8 << 10,
        ..config
    };
    let wal = Wal::open(config, common::IDENTITY, Arc::new(longhaul_wal::RealFiles))
        .expect("a first start");
    let log = wal.group(A);
    let (sender, receiver) = sync_channel(1);
    log.append(
        entries(0..5, 200),
        Box::new(move |result| sender.send(result).expect("someone waits")),
    );
    receiver.recv().expect("called").expect("durable");
    assert_eq!(log.read(..).expect("readable"), entries(0..5, 200));

    let path = std::fs::read_dir(dir.path().join("wal"))
        .expect("listed")
        .map(|file| file.expect("a file").path())
        .find(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .expect("one segment");
    let mut content = std::fs::read(&path).expect("read");
    let at = content
        .windows(200)
        .position(|window| window == [3; 200])
        .expect("entry 3");
    content[at] ^= 1;
    std::fs::write(&path, content).expect("written");
    let error = log.read(..).expect_err("entry 3 is damaged");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("group 1, index 3"), "{error}");
    assert_eq!(
        log.read(..3).expect("the others are whole"),
        entries(0..3, 200)
    );
}

#[test]
fn purged_segments_are_recycled_and_their_old_bytes_mean_nothing() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    let acks = Acks::default();
    for index in 0..300 {
        node.append(A, entries(index..index + 1, 1000));
        if index >= 5 {
            node.group(A).purge(index - 5, "id".into(), acks.next());
            node.run();
        }
        assert!(
            node.wal.stats().segments <= 4,
            "space is bounded by what is live"
        );
        let files_now = files.paths().len();
        assert!(files_now <= 4 + 2 + 1, "{files_now} files");
        if index % 20 == 0 {
            // Recycled files are full of old batches, which must not be taken for new ones, in any
            // state.
            let copy = files.fork();
            copy.kill();
            let reopened = Node::open(&copy).expect("whole");
            assert_eq!(
                reopened.group(A).read(..).expect("readable"),
                node.group(A).read(..).expect("readable")
            );
        }
    }
    assert_eq!(
        node.wal.bytes_in_use(),
        node.wal.stats().segments * (8 << 10)
    );
    let spares = files
        .paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "spare"))
        .count();
    assert!(spares > 0, "files are kept for reuse");
}

#[test]
fn an_idle_groups_records_move_so_that_old_segments_can_go() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    let idle = GroupId(9);
    let acks = Acks::default();
    node.group(idle).save_vote("idle vote".into(), acks.next());
    node.append(idle, entries(0..12, 100));
    node.group(idle).purge(4, "idle purge".into(), acks.next());
    node.group(idle).save_committed("idle committed".into());
    node.run();
    for index in 0..200 {
        node.append(A, entries(index..index + 1, 1000));
        node.group(A).purge(index, "id".into(), acks.next());
    }
    node.run();
    let stats = node.wal.stats();
    assert!(stats.moved > 0 && stats.segments <= 4, "{stats:?}");
    let appended = 201 * 1024 + 12 * 132;
    assert!(
        stats.bytes < appended * 3,
        "moving stays within bounds: {stats:?}"
    );
    node.close();
    let node = Node::open_with(
        &files,
        Config {
            cache_bytes: 0,
            ..config()
        },
    )
    .expect("whole");
    let log = node.group(idle);
    assert_eq!(log.read(..).expect("readable"), entries(5..12, 100));
    assert_eq!(
        (log.vote(), log.purged()),
        (Some("idle vote".into()), Some((4, "idle purge".into())))
    );
    assert_eq!(log.committed(), Some("idle committed".into()));
}

#[test]
fn a_reader_keeps_its_segment_while_it_is_freed() {
    let files = SimFiles::new();
    let mut node = Node::open_with(
        &files,
        Config {
            cache_bytes: 0,
            ..config()
        },
    )
    .expect("a first start");
    let (log, acks) = (node.group(A), Acks::default());
    for index in 0..100 {
        node.append(A, entries(index..index + 1, 500));
        let found = log.read(..).expect("never a damaged or recycled record");
        assert_eq!(found.last().map(|entry| entry.index), Some(index));
        log.purge(index.saturating_sub(9), "id".into(), acks.next());
    }
}

#[test]
fn an_entry_larger_than_a_segment_gets_its_own() {
    let files = SimFiles::new();
    let mut node = Node::open_with(
        &files,
        Config {
            cache_bytes: 0,
            batch_bytes: 4096,
            ..config()
        },
    )
    .expect("open");
    node.append(A, entries(0..2, 10));
    node.append(A, entries(2..3, 100_000));
    node.append(A, entries(3..40, 3000));
    let mut expected = entries(0..2, 10);
    expected.extend(entries(2..3, 100_000));
    expected.extend(entries(3..40, 3000));
    assert_eq!(node.group(A).read(..).expect("readable"), expected);
    node.close();
    let mut node = Node::open(&files).expect("whole");
    assert_eq!(node.group(A).read(..).expect("readable"), expected);
    let acks = Acks::default();
    node.group(A).purge(39, "id".into(), acks.next());
    node.run();
    assert_eq!(node.wal.stats().segments, 1);
}

#[test]
fn a_closed_log_refuses_and_a_second_opening_waits_for_the_first() {
    let files = SimFiles::new();
    let node = Node::open(&files).expect("a first start");
    assert!(matches!(Node::open(&files), Err(OpenError::Locked { .. })));
    let log = node.group(A);
    node.close();
    let acks = Acks::default();
    log.append(entries(0..1, 1), acks.next());
    log.save_vote("v".into(), acks.next());
    assert_eq!(acks.results(), vec![Err("the log is closed".to_owned()); 2]);
    Node::open(&files).expect("the lock is free");
}

#[test]
fn the_writer_is_woken_for_work_and_for_closing_only() {
    let woken = Arc::new(Mutex::new(0));
    let count = woken.clone();
    let hooks = Hooks {
        wake: Arc::new(move || *count.lock().unwrap() += 1),
        ..Hooks::default()
    };
    let node =
        Node::open_with(&SimFiles::new(), Config { hooks, ..config() }).expect("a first start");
    node.group(A).save_committed("x".into());
    assert_eq!(*woken.lock().unwrap(), 0);
    node.group(A).save_vote("x".into(), Box::new(|_| {}));
    assert_eq!(*woken.lock().unwrap(), 1);
    node.close();
    assert_eq!(*woken.lock().unwrap(), 2);
}

#[test]
fn the_watermark_settles_when_idle_and_now_and_then() {
    let files = SimFiles::new();
    let mut node = Node::open_with(
        &files,
        Config {
            watermark_batches: 4,
            ..config()
        },
    )
    .expect("a first start");
    assert!(node.writer.is_settled());
    node.append(A, entries(0..1, 1));
    assert!(!node.writer.is_settled());
    node.writer.settle();
    assert!(node.writer.is_settled());
    assert_eq!(node.wal.stats().watermark_syncs, 1);
    for index in 1..5 {
        node.append(A, entries(index..index + 1, 1));
    }
    assert!(node.writer.is_settled());
    assert_eq!(node.wal.stats().watermark_syncs, 2);
    assert_eq!(files.content(&watermark()).len(), 3 * 4096);
}

#[test]
fn without_syncs_a_killed_process_still_loses_nothing() {
    let files = SimFiles::new();
    let config = Config {
        sync: false,
        ..config()
    };
    let mut node = Node::open_with(&files, config.clone()).expect("a first start");
    for index in 0..20 {
        node.append(A, entries(index..index + 1, 1000));
    }
    files.kill();
    let node = Node::open_with(&files, config).expect("whole");
    assert_eq!(
        node.group(A).read(..).expect("readable"),
        entries(0..20, 1000)
    );
}

#[test]
fn a_panicking_callback_is_a_fault_not_a_silent_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, faults) = sync_channel(1);
    let sender = Mutex::new(sender);
    let hooks = Hooks {
        on_fault: Arc::new(move |fault| sender.lock().unwrap().send(fault).expect("someone waits")),
        ..Hooks::default()
    };
    let config = Config {
        hooks,
        segment_bytes: 8 << 10,
        ..Config::new(dir.path().join("wal"))
    };
    let wal = Wal::open(config, common::IDENTITY, Arc::new(longhaul_wal::RealFiles))
        .expect("a first start");
    wal.group(A).save_vote(
        "x".into(),
        Box::new(|_| panic!("a callback panics (expected)")),
    );
    assert!(matches!(faults.recv(), Ok(WalFault::Panicked)));
    let (sender, results) = sync_channel(1);
    wal.group(A).save_vote(
        "y".into(),
        Box::new(move |result| sender.send(result).expect("someone waits")),
    );
    assert!(
        matches!(results.recv(), Ok(Err(WalFault::Panicked))),
        "later ones are told"
    );
    assert!(matches!(wal.close(), Err(WalFault::Panicked)));
}

#[test]
fn payloads_do_not_hold_on_to_what_was_read_around_them() {
    let mut node = Node::open_with(
        &SimFiles::new(),
        Config {
            cache_bytes: 0,
            ..config()
        },
    )
    .expect("open");
    node.append(A, entries(0..20, 100));
    let found = node.group(A).read(..).expect("readable");
    let payload = found[7].payload.clone();
    drop(found);
    assert!(payload.is_unique(), "an entry owns its bytes");
    assert_eq!(payload, Bytes::from(vec![7; 100]));
}

#[test]
fn the_vote_and_the_note_of_a_destroyed_group_outlive_its_segments_and_restarts() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    let (log, acks) = (node.group(A), Acks::default());
    node.append(A, entries(0..4, 10));
    log.save_vote("for the other".into(), acks.next());
    log.save_note("of earlier".into(), acks.next());
    log.destroy_noting("up to entry 3".into(), acks.next());
    node.run();
    let first = segments(&files)[0].clone();

    // Another group fills segments and is purged behind, until those of the destroyed one are gone.
    let mut next = 0;
    while segments(&files).contains(&first) {
        node.append(B, entries(next..next + 8, 1 << 10));
        next += 8;
        let done = acks.next();
        node.group(B).purge(next - 2, "purged".into(), done);
        node.run();
        assert!(next < 1_000, "the first segment is never freed");
    }
    assert!(node.wal.stats().moved > 0, "what is kept was moved");
    let kept = |log: &longhaul_wal::GroupLog| (log.vote(), log.note(), log.last());
    let expected = (
        Some(Bytes::from("for the other")),
        Some(Bytes::from("up to entry 3")),
        None,
    );
    assert_eq!(kept(&log), expected);
    files.crash(7);
    let mut node = Node::open(&files).expect("undamaged");
    assert_eq!(kept(&node.group(A)), expected);

    // Destroyed once more, it keeps what it was told before.
    node.append(A, entries(7..9, 1));
    node.group(A).destroy(acks.next());
    node.close();
    let node = Node::open(&files).expect("undamaged");
    assert_eq!(kept(&node.group(A)), expected);
}

#[test]
fn a_log_that_completes_nothing_is_stalled_for_as_long_as_something_waits() {
    let mut node = Node::open(&SimFiles::new()).expect("a first start");
    let (log, acks) = (node.group(A), Acks::default());
    let start = Instant::now();
    let at = move |seconds| start + Duration::from_secs(seconds);
    assert_eq!(log.stalled_for(at(0)), Duration::ZERO);
    log.append(entries(0..1, 1), acks.next());
    assert_eq!(log.stalled_for(at(9)), Duration::ZERO, "idle until now");
    assert_eq!(node.group(B).stalled_for(at(12)), Duration::from_secs(3));
    node.run();
    assert_eq!(log.stalled_for(at(13)), Duration::ZERO);

    // What the writer has taken waits as well.
    let (other, (said, heard)) = (node.group(B), sync_channel(1));
    let look = move |_| {
        other.stalled_for(at(20));
        said.send(other.stalled_for(at(24)))
            .expect("the test listens");
    };
    log.append(entries(1..2, 1), Box::new(look));
    node.run();
    assert_eq!(heard.try_recv(), Ok(Duration::from_secs(4)));
    assert_eq!(log.stalled_for(at(25)), Duration::ZERO);

    assert!(log.note_stalled(true), "news");
    assert!(!node.group(B).note_stalled(true), "known");
    assert!(log.note_stalled(false), "news");
}
