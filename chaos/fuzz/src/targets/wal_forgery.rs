//! A segment whose batches are whole and whose checksums are right, but whose records nobody wrote.

use std::sync::Arc;

use longhaul_wal::testing::{SimFiles, forged_record, forged_segment};
use longhaul_wal::{Config, Entry, GroupId, Identity, Wal};

use crate::input::Input;

/// The smallest there are.
const SEGMENT_BYTES: u16 = 8 << 10;

const IDENTITY: Identity = Identity {
    cluster_id: *b"a fuzzed cluster",
    node_id: 1,
};

/// Groups that records are about.
const GROUPS: [GroupId; 3] = [GroupId(0), GroupId(1), GroupId(u32::MAX)];

/// What is in a log: entries, vote, committed and purged of every group.
#[derive(Debug, PartialEq)]
struct Group {
    entries: Result<Vec<Entry>, String>,
    vote: Option<Vec<u8>>,
    committed: Option<Vec<u8>>,
    purged: Option<(u64, Vec<u8>)>,
    durable: Option<u64>,
}

pub(crate) fn run(input: &[u8]) {
    let bodies = bodies(Input::new(input));
    let files = SimFiles::new();
    drop(Wal::open_unthreaded(config(), IDENTITY, Arc::new(files.clone())).expect("a first start"));
    files.kill();
    let mut paths = files.paths().into_iter();
    let segment = paths.find(|path| path.extension().is_some_and(|it| it == "seg"));
    let forged = forged_segment(IDENTITY, usize::from(SEGMENT_BYTES), &bodies);
    files.replace(&segment.expect("there is a segment"), forged);
    if let Some(found) = open(&files) {
        assert_eq!(open(&files), Some(found), "found again");
    }
}

fn config() -> Config {
    Config {
        segment_bytes: u64::from(SEGMENT_BYTES),
        ..Config::new("data/wal")
    }
}

fn open(files: &SimFiles) -> Option<Vec<Group>> {
    let opened = Wal::open_unthreaded(config(), IDENTITY, Arc::new(files.clone()));
    let found = opened.ok().map(|(wal, _writer)| {
        let group = |id| {
            let log = wal.group(id);
            Group {
                entries: log.read(..).map_err(|error| error.to_string()),
                vote: log.vote().map(Into::into),
                committed: log.committed().map(Into::into),
                purged: log.purged().map(|(index, id)| (index, id.into())),
                durable: log.durable_index(),
            }
        };
        GROUPS.map(group).into()
    });
    files.kill();
    found
}

/// Batches of records, or of anything, that together fit into the segment.
fn bodies(mut input: Input<'_>) -> Vec<Vec<u8>> {
    let (mut bodies, mut room) = (Vec::new(), usize::from(SEGMENT_BYTES) - 512);
    while !input.is_empty() {
        let mut body = Vec::new();
        for _ in 0..=input.below(4) {
            match input.below(8) {
                7 => body.extend_from_slice(input.chunk()),
                _ => body.extend(record(&mut input)),
            }
        }
        let sealed = (body.len() + 40).next_multiple_of(512);
        if sealed > room {
            break;
        }
        room -= sealed;
        bodies.push(body);
    }
    bodies
}

fn record(input: &mut Input<'_>) -> Vec<u8> {
    let group = GROUPS[input.below(GROUPS.len())];
    let kind = input.below(11) as u8;
    let index = match input.below(8) {
        7 => input.u64(),
        6 => u64::MAX - u64::from(input.u8()),
        _ => u64::from(input.u8()),
    };
    forged_record(group, kind, index, u64::from(input.u8()), input.chunk())
}
