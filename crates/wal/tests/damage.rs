//! Damage to the files of a stopped log: it either has everything it acknowledged, or it refuses
//! and says why.

mod common;

use std::path::Path;

use common::{A, Acks, B, IDENTITY, Node, config, entries, entry, segments, watermark};
use longhaul_wal::testing::{SimFiles, forged_record, forged_segment};
use longhaul_wal::{Config, Entry, Identity, Loss, OpenError, Wal};

/// Everything the log of these tests acknowledged.
type State = Vec<(Vec<Entry>, Option<Vec<u8>>)>;

fn state(node: &Node) -> State {
    [A, B]
        .map(|id| {
            let log = node.group(id);
            (
                log.read(..).expect("readable"),
                log.vote().map(|vote| vote.to_vec()),
            )
        })
        .to_vec()
}

/// Writes a log of two segments, with two groups.
fn write(node: &mut Node) -> State {
    node.group(A)
        .save_vote("vote of a".into(), Acks::default().next());
    node.append(A, entries(0..3, 100));
    for index in 3..11 {
        node.append(A, entries(index..index + 1, 700));
        node.append(B, entries(index..index + 1, 10));
    }
    state(node)
}

/// How the log was stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Closed,
    Killed,
    /// With a settled watermark: what is left after a power loss that hit an idle node.
    PowerLoss,
}

const STOPS: [Stop; 3] = [Stop::Closed, Stop::Killed, Stop::PowerLoss];

fn stopped(stop: Stop) -> (SimFiles, State) {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    let state = write(&mut node);
    match stop {
        Stop::Closed => node.close(),
        Stop::Killed => files.kill(),
        Stop::PowerLoss => {
            node.writer.settle();
            files.crash(1);
        }
    }
    assert_eq!(segments(&files).len(), 2);
    (files, state)
}

/// Opens a damaged log. Anything but the whole state or a refusal is a failure; returns the
/// refusal.
#[track_caller]
fn check(files: &SimFiles, expected: &State, what: &str) -> Option<OpenError> {
    match Node::open(files) {
        Ok(node) => {
            assert!(
                state(&node) == *expected,
                "{what}: opened with less than was acknowledged"
            );
            None
        }
        Err(error) => Some(error),
    }
}

#[track_caller]
fn refused(files: &SimFiles, expected: &State, what: &str) -> OpenError {
    check(files, expected, what).unwrap_or_else(|| panic!("{what}: opened"))
}

/// The end of the last batch in a segment: the last sector with anything in it.
fn used(files: &SimFiles, path: &Path) -> usize {
    let content = files.content(path);
    content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| (last / 512 + 1) * 512)
}

/// The bytes of a file that are not padding. Of the watermark every slot may be lost alone.
fn covered(files: &SimFiles, path: &Path) -> Vec<std::ops::Range<usize>> {
    if path == watermark() {
        return vec![];
    }
    let content = files.content(path);
    let batches = (512..content.len())
        .step_by(512)
        .filter(|at| content[*at..].starts_with(b"LHWB"));
    let body =
        |at: usize| u32::from_le_bytes(content[at + 24..at + 28].try_into().expect("4 bytes"));
    batches
        .map(|at| at..at + 40 + body(at) as usize)
        .chain(std::iter::once(0..72))
        .collect()
}

#[test]
fn undamaged_it_has_everything() {
    for stop in STOPS {
        let (files, expected) = stopped(stop);
        assert!(check(&files, &expected, "undamaged").is_none());
    }
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_harmless() {
    for (stop, mask) in STOPS.into_iter().zip([0x01, 0x80, 0xff]) {
        let (files, expected) = stopped(stop);
        for path in files.paths() {
            let covered = covered(&files, &path);
            for at in 0..used(&files, &path) {
                let damaged = files.fork();
                damaged.flip(&path, at, mask);
                let what = format!("{stop:?}, {} flipped at {at}", path.display());
                let error = check(&damaged, &expected, &what);
                assert_eq!(
                    error.is_some(),
                    covered.iter().any(|range| range.contains(&at)),
                    "{what}"
                );
                assert!(
                    matches!(
                        error,
                        None | Some(OpenError::Damaged { .. } | OpenError::LogLost { .. })
                    ),
                    "{what}: {error:?}"
                );
            }
        }
    }
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let (files, expected) = stopped(Stop::Killed);
    for path in files.paths() {
        let len = files.content(&path).len();
        for shorter in (0..len).step_by(64).chain([len - 1]) {
            let damaged = files.fork();
            damaged.truncate(&path, shorter);
            match refused(
                &damaged,
                &expected,
                &format!("{} cut at {shorter}", path.display()),
            ) {
                OpenError::Damaged { path: named, .. }
                | OpenError::WatermarkLost { path: named, .. } => {
                    assert_eq!(named, path);
                }
                error => panic!("{error}"),
            }
        }
    }
}

#[test]
fn zeros_from_any_sector_to_the_end_are_refused() {
    for stop in STOPS {
        let (files, expected) = stopped(stop);
        for path in segments(&files) {
            let (used, len) = (used(&files, &path), files.content(&path).len());
            for from in (0..used).step_by(512) {
                let damaged = files.fork();
                damaged.zero(&path, from..len);
                refused(
                    &damaged,
                    &expected,
                    &format!("{stop:?}, {} zeroed from {from}", path.display()),
                );
                let damaged = files.fork();
                damaged.zero(&path, from..from + 512);
                check(
                    &damaged,
                    &expected,
                    &format!("{stop:?}, {} zeroed at {from}", path.display()),
                );
            }
            let damaged = files.fork();
            damaged.zero(&path, used..len);
            assert!(check(&damaged, &expected, "zeroed behind the end").is_none());
        }
    }
}

#[test]
fn a_sector_or_batch_written_to_the_wrong_place_is_refused_or_harmless() {
    let (files, expected) = stopped(Stop::Closed);
    let paths = segments(&files);
    for (from, to) in paths
        .iter()
        .flat_map(|from| paths.iter().map(move |to| (from, to)))
    {
        for source in (0..used(&files, from)).step_by(512) {
            for target in (0..8192 - 512).step_by(512) {
                for len in [512, 1024] {
                    let damaged = files.fork();
                    let moved = files.content(from);
                    let Some(moved) = moved.get(source..source + len) else {
                        continue;
                    };
                    let mut content = files.content(to);
                    content[target..target + len].copy_from_slice(moved);
                    damaged.replace(to, content);
                    check(
                        &damaged,
                        &expected,
                        &format!("{len} bytes at {source} also at {target}"),
                    );
                }
            }
        }
    }
}

#[test]
fn a_deleted_file_is_named() {
    for stop in STOPS {
        let (files, expected) = stopped(stop);
        for (path, segment) in segments(&files).into_iter().zip(1..) {
            let damaged = files.fork();
            damaged.delete(&path);
            let error = refused(&damaged, &expected, "a segment is deleted");
            assert!(
                matches!(error, OpenError::LogLost { loss: Loss::Segment { segment: named }, .. }
                    if named == segment),
                "{error}"
            );
        }
        let damaged = files.fork();
        segments(&damaged)
            .iter()
            .for_each(|path| damaged.delete(path));
        assert!(matches!(
            refused(&damaged, &expected, "all are deleted"),
            OpenError::LogLost { .. }
        ));
        let damaged = files.fork();
        damaged.delete(&watermark());
        assert!(matches!(
            refused(&damaged, &expected, "the watermark is deleted"),
            OpenError::WatermarkLost { .. }
        ));
    }
}

#[test]
fn a_new_segment_is_missed_from_its_first_batch_on_whatever_a_power_loss_keeps() {
    let files = SimFiles::new();
    let mut node = Node::open(&files).expect("a first start");
    for index in 0..8 {
        node.append(A, entries(index..index + 1, 1000));
    }
    assert_eq!(segments(&files).len(), 2);
    for seed in 0..20 {
        let damaged = files.fork();
        damaged.crash(seed);
        damaged.delete(&segments(&damaged)[1]);
        let error = Node::open(&damaged).expect_err("refused");
        assert!(
            matches!(
                error,
                OpenError::LogLost {
                    loss: Loss::Segment { segment: 2 },
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_node_that_ran_before_notices_that_nothing_is_left() {
    let files = SimFiles::new();
    let config = Config {
        must_exist: true,
        ..config()
    };
    let error = Node::open_with(&files, config).expect_err("refused");
    assert!(
        matches!(
            error,
            OpenError::LogLost {
                loss: Loss::Everything,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("rejoin its cluster as a new node"),
        "it says what to do: {error}"
    );
}

/// Found by fuzzing: the index of an entry overflowed, or took memory for all the entries before it.
#[test]
fn an_index_that_no_entry_can_have_is_refused() {
    const APPEND: u8 = 1;
    const MOVED: u8 = 2;
    let record = |kind, index| forged_record(A, kind, index, 1, b"x");
    let forgeries = [
        vec![record(APPEND, u64::MAX)],
        vec![record(MOVED, u64::MAX)],
        vec![record(APPEND, 0), record(APPEND, 1 << 40)],
        vec![record(APPEND, 0), record(MOVED, 1 << 40)],
        vec![record(APPEND, 1 << 40), record(MOVED, 0)],
    ];
    for bodies in forgeries {
        let files = SimFiles::new();
        Node::open(&files).expect("a first start").close();
        let segment = forged_segment(IDENTITY, 8 << 10, &bodies);
        files.replace(&segments(&files)[0], segment);
        let error = Node::open(&files).expect_err("refused");
        assert!(
            matches!(&error, OpenError::Damaged { reason, .. } if reason.contains("index")),
            "{error}"
        );
    }
}

#[test]
fn an_older_copy_of_the_log_is_refused() {
    let (files, _) = stopped(Stop::Closed);
    let copy = files.fork();
    let mut node = Node::open(&files).expect("undamaged");
    node.append(B, entries(11..14, 10));
    node.append(B, entries(14..15, 10));
    let expected = state(&node);
    node.close();
    for path in segments(&files) {
        files.replace(&path, copy.content(&path));
    }
    let error = refused(&files, &expected, "rolled back");
    assert!(
        matches!(
            error,
            OpenError::LogLost {
                loss: Loss::Tail {
                    expected: 19,
                    found: 17
                },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_older_copy_that_went_on_by_itself_is_refused() {
    let (files, _) = stopped(Stop::Closed);
    let copy = files.fork();
    for (files, term) in [(&files, 7), (&copy, 8)] {
        let mut node = Node::open(files).expect("undamaged");
        node.append(B, vec![entry(term, 11, "x")]);
        node.append(B, vec![entry(term, 12, "x")]);
        node.close();
    }
    for path in segments(&files) {
        files.replace(&path, copy.content(&path));
    }
    let error = refused(&files, &vec![], "another history");
    assert!(
        matches!(
            error,
            OpenError::LogLost {
                loss: Loss::History { batch_seq: 19 },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn another_nodes_files_are_refused() {
    let (files, _) = stopped(Stop::Closed);
    for other in [
        Identity {
            node_id: 2,
            ..IDENTITY
        },
        Identity {
            cluster_id: [0; 16],
            ..IDENTITY
        },
    ] {
        let error = Wal::open_unthreaded(config(), other, std::sync::Arc::new(files.fork()))
            .expect_err("refused");
        assert!(
            matches!(&error, OpenError::WrongIdentity { expected, found, .. }
            if *expected == other && *found == IDENTITY)
        );
        // With a watermark of its own, the segments tell.
        let mixed = files.fork();
        let fresh = SimFiles::new();
        drop(
            Wal::open_unthreaded(config(), other, std::sync::Arc::new(fresh.clone()))
                .expect("a first start"),
        );
        mixed.replace(&watermark(), fresh.content(&watermark()));
        let error =
            Wal::open_unthreaded(config(), other, std::sync::Arc::new(mixed)).expect_err("refused");
        assert!(
            matches!(
                error,
                OpenError::WrongIdentity { .. } | OpenError::LogLost { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_write_that_a_crash_cut_off_is_cut_and_the_log_goes_on() {
    let (mut torn, mut whole, mut gone) = (0, 0, 0);
    for seed in 0..200 {
        let files = SimFiles::new();
        let mut node = Node::open(&files).expect("a first start");
        let expected = write(&mut node);
        let acks = Acks::default();
        node.group(A).append(entries(11..13, 900), acks.next());
        // The write happens, the sync does not.
        files.halt_after(1);
        node.writer.run_once();
        assert_eq!(acks.acknowledged(), 0);
        files.crash(seed);
        let mut node = Node::open(&files).expect("nothing acknowledged is lost");
        let found = state(&node);
        if found == expected {
            if node.wal.recovery().torn_tail {
                torn += 1
            } else {
                gone += 1
            }
            node.append(A, entries(11..12, 5));
        } else {
            whole += 1;
            assert_eq!(found[0].0[..11], expected[0].0);
            assert_eq!(found[0].0[11..], entries(11..13, 900));
        }
        let expected = state(&node);
        files.crash(seed);
        assert!(check(&files, &expected, "after going on").is_none());
    }
    assert!(
        torn > 10 && whole > 10 && gone > 10,
        "{torn} torn, {whole} whole, {gone} gone"
    );
}

#[test]
fn the_window_of_the_watermark_is_as_documented() {
    // A power loss, and on top of it the loss of everything from some batch on: noticed up to the
    // settled watermark.
    let files = SimFiles::new();
    let mut node = Node::open_with(
        &files,
        Config {
            watermark_batches: 8,
            ..config()
        },
    )
    .expect("a first start");
    for index in 0..11 {
        node.append(A, entries(index..index + 1, 10));
    }
    // Seed by seed, a power loss may or may not keep the mark that was noted but not settled.
    let mut silent = 0;
    for seed in 0..20 {
        let crashed = files.fork();
        crashed.crash(seed);
        for kept in 0..=11usize {
            let damaged = crashed.fork();
            let path = segments(&damaged).remove(0);
            damaged.zero(&path, 512 + kept * 512..8192);
            match Node::open(&damaged) {
                Ok(node) => {
                    assert!(kept >= 8, "below the settled mark everything is noticed");
                    assert_eq!(node.group(A).read(..).expect("readable").len(), kept);
                    silent += usize::from(kept < 11);
                }
                Err(OpenError::LogLost {
                    loss: Loss::Tail { found, .. },
                    ..
                }) => assert_eq!(found, kept as u64),
                Err(error) => panic!("{error}"),
            }
        }
        // Within the window a single damaged batch is still noticed, unless it is the very last.
        for batch in 0..10 {
            let damaged = crashed.fork();
            damaged.flip(&segments(&damaged)[0], 512 + batch * 512 + 50, 1);
            assert!(Node::open(&damaged).is_err(), "batch {batch}");
        }
    }
    assert!(silent > 0, "the window exists");
    // If only the process died, there is no window.
    files.kill();
    let path = segments(&files).remove(0);
    files.zero(&path, 512 + 10 * 512..8192);
    assert!(Node::open(&files).is_err());
}
