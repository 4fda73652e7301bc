//! A log that is written, stopped in some way, damaged, and opened again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use longhaul_wal::testing::SimFiles;
use longhaul_wal::{Config, Done, Entry, GroupId, Identity, OpenError, Progress, Wal, Writer};

use crate::input::Input;

const IDENTITY: Identity = Identity {
    cluster_id: *b"a fuzzed cluster",
    node_id: 1,
};

const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

/// Operations before the damage.
const OPERATIONS_MAX: usize = 64;

/// What is in a log.
type State = Vec<(Vec<Entry>, Option<Vec<u8>>, Option<u64>)>;

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let files = SimFiles::new();
    let written = write(&files, &mut input);
    damage(&files, &mut input);
    let Ok((wal, mut writer)) = open(&files) else {
        return;
    };
    let found = state(&wal);
    assert!(
        written.contains(&found),
        "{found:?} was never in the log: {written:?}"
    );
    goes_on(&files, wal, &mut writer);
}

fn open(files: &SimFiles) -> Result<(Wal, Writer), OpenError> {
    let config = Config {
        segment_bytes: 8 << 10,
        watermark_batches: 4,
        ..Config::new("data/wal")
    };
    Wal::open_unthreaded(config, IDENTITY, Arc::new(files.clone()))
}

fn state(wal: &Wal) -> State {
    let of_group = |id| {
        let log = wal.group(id);
        let entries = log.read(..).expect("what was recovered can be read");
        let purged = log.purged().map(|(index, _)| index);
        (entries, log.vote().map(Into::into), purged)
    };
    GROUPS.map(of_group).into()
}

fn done() -> Done {
    Box::new(|_| {})
}

fn rest(writer: &mut Writer) {
    while writer.run_once() == Progress::Worked {}
}

/// Writes, stops, and returns what was in the log after each batch.
fn write(files: &SimFiles, input: &mut Input<'_>) -> Vec<State> {
    let (wal, mut writer) = open(files).expect("a first start");
    let mut states = vec![state(&wal)];
    let mut next = BTreeMap::from(GROUPS.map(|group| (group, 0)));
    for _ in 0..1 + input.below(OPERATIONS_MAX) {
        let group = GROUPS[input.below(GROUPS.len())];
        let index = next.get_mut(&group).expect("one of them");
        operate(&wal, group, index, input);
        rest(&mut writer);
        states.push(state(&wal));
    }
    let stop = input.below(4);
    if stop == 0 {
        writer.settle();
    }
    match stop {
        0 | 1 => files.kill(),
        _ => files.crash(u64::from(input.u8())),
    }
    states
}

/// `next` is the index of the group's next entry.
fn operate(wal: &Wal, group: GroupId, next: &mut u64, input: &mut Input<'_>) {
    let log = wal.group(group);
    let byte = input.u8();
    match input.below(12) {
        0 => log.save_vote(vec![byte; 9].into(), done()),
        1 if *next > 0 => {
            let keep = next.saturating_sub(1 + u64::from(byte % 4));
            let first = log.first_index().unwrap_or(*next);
            if keep >= first && keep < *next {
                log.truncate_after(Some(keep), done());
                *next = keep + 1;
            }
        }
        2 if *next > 0 => {
            let upto = u64::from(byte).min(*next - 1);
            log.purge(upto, vec![byte].into(), done());
        }
        3 => {
            log.destroy(done());
            *next = 0;
        }
        _ => {
            let count = 1 + input.below(3) as u64;
            let len = usize::from(input.u16()) % 1_500;
            let entry = |index| Entry {
                term: 1,
                index,
                payload: vec![byte ^ index as u8; len].into(),
            };
            log.append((*next..*next + count).map(entry).collect(), done());
            *next += count;
        }
    }
}

/// Overwrites, cuts, moves and deletes.
fn damage(files: &SimFiles, input: &mut Input<'_>) {
    for _ in 0..input.below(5) {
        let paths = files.paths();
        let Some(path) = pick(&paths, input) else {
            return;
        };
        let mut content = files.content(&path);
        let how = input.below(6);
        let at = usize::from(input.u16()) % (content.len() + 1);
        match how {
            0 => {
                let bytes = input.chunk();
                let end = (at + bytes.len()).min(content.len());
                content[at..end].copy_from_slice(&bytes[..end - at]);
            }
            1 => content
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|it| *it ^= input.u8()),
            2 => content.truncate(at),
            3 => content[at..].fill(0),
            4 => {
                let (from, to) = (at / 512 * 512, input.below(16) * 512);
                if to + 512 <= content.len() && from + 512 <= content.len() {
                    content.copy_within(from..from + 512, to);
                }
            }
            _ => {
                files.delete(&path);
                continue;
            }
        }
        files.replace(&path, content);
    }
}

fn pick(paths: &[PathBuf], input: &mut Input<'_>) -> Option<PathBuf> {
    let at = input.below(paths.len().max(1));
    paths.get(at).cloned()
}

/// What was recovered takes more, and keeps it.
fn goes_on(files: &SimFiles, wal: Wal, writer: &mut Writer) {
    let log = wal.group(GROUPS[0]);
    let purged = log.purged().map_or(0, |(index, _)| index + 1);
    let next = log.last().map_or(purged, |(_, index)| index + 1);
    let entry = Entry {
        term: 2,
        index: next,
        payload: "one more".into(),
    };
    log.append(vec![entry], done());
    rest(writer);
    writer.settle();
    let expected = state(&wal);
    files.crash(0);
    drop(wal);
    let (wal, _writer) = open(files).expect("nothing was damaged since");
    assert_eq!(state(&wal), expected, "nothing is lost");
}
