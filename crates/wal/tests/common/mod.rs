//! What the tests share: a log on a simulated disk, driven by hand, and a record of what it
//! acknowledged.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use longhaul_wal::testing::SimFiles;
use longhaul_wal::{
    Config, Done, Entry, GroupId, GroupLog, Identity, OpenError, Progress, Wal, WalFault, Writer,
};

pub const IDENTITY: Identity = Identity {
    cluster_id: *b"cluster-of-tests",
    node_id: 1,
};

pub const A: GroupId = GroupId(1);
pub const B: GroupId = GroupId(2);

/// The smallest segments, so that a few kilobytes make several.
pub fn config() -> Config {
    Config {
        segment_bytes: 8 << 10,
        ..Config::new("data/wal")
    }
}

pub fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry {
        term,
        index,
        payload: payload.into(),
    }
}

/// Entries `range`, all of term 1, each with `bytes` bytes that depend on its index.
pub fn entries(range: std::ops::Range<u64>, bytes: usize) -> Vec<Entry> {
    range
        .map(|index| entry(1, index, vec![index as u8; bytes]))
        .collect()
}

/// The log of a node on a simulated disk, driven by hand.
#[derive(Debug)]
pub struct Node {
    pub wal: Wal,
    pub writer: Writer,
}

impl Node {
    pub fn open(files: &SimFiles) -> Result<Node, OpenError> {
        Node::open_with(files, config())
    }

    pub fn open_with(files: &SimFiles, config: Config) -> Result<Node, OpenError> {
        let (wal, writer) = Wal::open_unthreaded(config, IDENTITY, Arc::new(files.clone()))?;
        Ok(Node { wal, writer })
    }

    pub fn group(&self, id: GroupId) -> GroupLog {
        self.wal.group(id)
    }

    /// Runs the writer until nothing is left to do.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            if self.writer.run_once() != Progress::Worked {
                return;
            }
        }
        panic!("the writer never comes to rest");
    }

    /// Appends and waits.
    pub fn append(&mut self, id: GroupId, entries: Vec<Entry>) {
        let acks = Acks::default();
        self.group(id).append(entries, acks.next());
        self.run();
        assert_eq!(acks.results(), [Ok(())], "the append is acknowledged");
    }

    /// Ends as a server does.
    pub fn close(self) {
        let Node { wal, mut writer } = self;
        wal.close().expect("no fault");
        for _ in 0..10_000 {
            if writer.run_once() == Progress::Closed {
                return;
            }
        }
        panic!("the writer never closes");
    }
}

/// What became of an operation: which one, and how it ended.
type Completed = (usize, Result<(), WalFault>);

/// Collects the results of operations, in the order in which they came.
#[derive(Clone, Default)]
pub struct Acks {
    results: Arc<Mutex<Vec<Completed>>>,
    issued: Arc<Mutex<usize>>,
}

impl Acks {
    pub fn next(&self) -> Done {
        let mut issued = self.issued.lock().unwrap();
        let number = *issued;
        *issued += 1;
        let results = self.results.clone();
        Box::new(move |result| results.lock().unwrap().push((number, result)))
    }

    /// How many operations were given a callback.
    pub fn issued(&self) -> usize {
        *self.issued.lock().unwrap()
    }

    /// The results; checks that they came in the order of the operations.
    pub fn results(&self) -> Vec<Result<(), String>> {
        let results = self.results.lock().unwrap();
        assert!(
            results
                .iter()
                .map(|(number, _)| *number)
                .eq(0..results.len()),
            "completed in order"
        );
        results
            .iter()
            .map(|(_, result)| result.clone().map_err(|fault| fault.to_string()))
            .collect()
    }

    /// How many operations were acknowledged as durable. None may be after one that was not.
    pub fn acknowledged(&self) -> usize {
        let results = self.results();
        let acknowledged = results.iter().take_while(|result| result.is_ok()).count();
        assert!(
            results[acknowledged..].iter().all(Result::is_err),
            "nothing is acknowledged after a fault"
        );
        acknowledged
    }
}

/// The paths of the segments, oldest first.
pub fn segments(files: &SimFiles) -> Vec<PathBuf> {
    files
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .collect()
}

pub fn watermark() -> PathBuf {
    "data/wal.watermark".into()
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
