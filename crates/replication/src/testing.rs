//! What tests of a replica need around it: a machine that remembers what it was given, and a disk
//! for the log.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use longhaul_wal::{Config, GroupId, GroupLog, Identity, Progress, Wal, testing::SimFiles};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    machine::{
        Applied, Checkpoint, Machine, MachineFault, Snapshot, SnapshotReader, Stage, StagedState,
        Staging,
    },
    types::Position,
};

/// Everything applied, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) applied: Applied,
    pub(crate) commands: Vec<(Position, Bytes)>,
}

/// What the newest of a node's machines has on disk and in memory; clones are the same node's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    newest: Arc<Mutex<Process>>,
    staged: Staged,
    unordered: bool,
    odd: Arc<AtomicBool>,
}

/// One life of a machine. A later one has the disk's content, and nothing else, in common with it.
#[derive(Debug, Clone, Default)]
struct Process {
    disk: Arc<Mutex<State>>,
    memory: Arc<Mutex<State>>,
}

impl Ledger {
    /// A ledger for those who apply entries in any order.
    pub(crate) fn unordered() -> Self {
        Self {
            unordered: true,
            ..Self::default()
        }
    }

    /// A ledger with a state on its disk.
    pub(crate) fn holding(state: State) -> Self {
        let ledger = Self::default();
        *ledger.newest.lock().disk.lock() = state;
        ledger
    }

    /// A machine, as after a start of the process.
    pub(crate) fn machine(&self) -> Box<LedgerMachine> {
        let found = self.disk();
        let process = Process {
            disk: Arc::new(Mutex::new(found.clone())),
            memory: Arc::new(Mutex::new(found)),
        };
        *self.newest.lock() = process.clone();
        Box::new(LedgerMachine {
            process,
            staged: self.staged.clone(),
            unordered: self.unordered,
            odd: self.odd.clone(),
        })
    }

    /// Whether its machines, from now on, make something else of entries than others do.
    pub(crate) fn set_odd(&self, odd: bool) {
        self.odd.store(odd, Ordering::Release);
    }

    /// A copy of what is on disk, for a node that is set back.
    pub(crate) fn fork(&self) -> Self {
        let process = Process {
            disk: Arc::new(Mutex::new(self.disk())),
            memory: Arc::default(),
        };
        Self {
            newest: Arc::new(Mutex::new(process)),
            staged: self.staged.clone(),
            unordered: self.unordered,
            odd: Arc::default(),
        }
    }

    /// Whether the newest machine has not been dropped.
    pub(crate) fn has_machine(&self) -> bool {
        Arc::strong_count(&self.newest.lock().memory) > 1
    }

    /// Snapshots that have arrived.
    pub(crate) fn staged(&self) -> StagedCounts {
        self.staged.counts()
    }

    pub(crate) fn disk(&self) -> State {
        self.newest.lock().disk.lock().clone()
    }

    /// The commands in memory.
    pub(crate) fn commands(&self) -> Vec<Bytes> {
        let newest = self.newest.lock();
        let commands = newest.memory.lock().commands.clone();
        commands.into_iter().map(|(_, commands)| commands).collect()
    }
}

/// The machine: breaks on [`FAULT`], panics on [`PANIC`], and refuses to go backwards.
pub(crate) struct LedgerMachine {
    process: Process,
    staged: Staged,
    unordered: bool,
    odd: Arc<AtomicBool>,
}

/// Commands that break the machine.
pub(crate) const FAULT: &[u8] = b"fault";

/// Commands that make the machine panic.
pub(crate) const PANIC: &[u8] = b"panic";

impl LedgerMachine {
    fn change(
        &mut self,
        position: Position,
        change: impl FnOnce(&mut State),
    ) -> Result<(), MachineFault> {
        let mut state = self.process.memory.lock();
        let before = state.applied.position.replace(position);
        if !self.unordered && before.is_some_and(|before| before.index >= position.index) {
            return Err(MachineFault::new(format!("{position} after {before:?}")));
        }
        change(&mut state);
        Ok(())
    }
}

impl Machine for LedgerMachine {
    fn applied(&self) -> Applied {
        self.process.memory.lock().applied.clone()
    }

    fn apply(&mut self, position: Position, commands: Bytes) -> Result<(), MachineFault> {
        if commands == FAULT {
            return Err(MachineFault::new("asked to break"));
        }
        assert_ne!(commands, PANIC, "asked to panic");
        self.change(position, |state| state.commands.push((position, commands)))
    }

    fn apply_membership(
        &mut self,
        position: Position,
        membership: Bytes,
    ) -> Result<(), MachineFault> {
        self.change(position, |state| {
            state.applied.membership = Some(membership)
        })
    }

    fn advance(&mut self, position: Position) -> Result<(), MachineFault> {
        self.change(position, |_| ())
    }

    fn outcome(&self) -> u64 {
        u64::from(self.odd.load(Ordering::Acquire))
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, MachineFault> {
        let state = self.process.memory.lock().clone();
        let disk = self.process.disk.clone();
        Ok(Box::new(move || {
            *disk.lock() = state;
            Ok(())
        }))
    }

    fn export(&mut self) -> Result<Option<Snapshot>, MachineFault> {
        let state = self.process.disk.lock().clone();
        let applied = state.applied.clone();
        Ok(applied.position.is_some().then(|| Snapshot {
            applied,
            chunks: Box::new(Chunks::of(&state)),
        }))
    }

    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.staged.clone())
    }

    fn install(&mut self, applied: Applied, state: StagedState) -> Result<(), MachineFault> {
        let commands = state
            .0
            .downcast::<Vec<(Position, Bytes)>>()
            .map_err(|_| MachineFault::new("not a ledger"))?;
        let state = State {
            applied,
            commands: *commands,
        };
        *self.process.disk.lock() = state.clone();
        *self.process.memory.lock() = state;
        Ok(())
    }
}

/// A ledger as chunks: one for each of its entries, `term index commands`.
struct Chunks(VecDeque<Bytes>);

impl Chunks {
    fn of(state: &State) -> Self {
        let chunks = state.commands.iter().map(|(position, commands)| {
            let mut chunk = Vec::with_capacity(16 + commands.len());
            chunk.extend(position.term.to_be_bytes());
            chunk.extend(position.index.to_be_bytes());
            chunk.extend(commands);
            chunk.into()
        });
        Self(chunks.collect())
    }
}

impl SnapshotReader for Chunks {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.0.pop_front())
    }
}

/// The snapshots that arrive at a node; clones are the same node's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Staged {
    counts: Arc<Mutex<StagedCounts>>,
}

/// How many snapshots there have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StagedCounts {
    pub(crate) begun: usize,
    pub(crate) finished: usize,
    pub(crate) dropped_early: usize,
}

impl Staged {
    pub(crate) fn counts(&self) -> StagedCounts {
        *self.counts.lock()
    }
}

impl Staging for Staged {
    fn begin(&self) -> io::Result<Box<dyn Stage>> {
        self.counts.lock().begun += 1;
        Ok(Box::new(LedgerStage {
            commands: Vec::new(),
            counts: self.counts.clone(),
            finished: false,
        }))
    }
}

struct LedgerStage {
    commands: Vec<(Position, Bytes)>,
    counts: Arc<Mutex<StagedCounts>>,
    finished: bool,
}

impl Stage for LedgerStage {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        let number = |range: Range<usize>| {
            let bytes = chunk.get(range).and_then(|part| part.try_into().ok());
            bytes
                .map(u64::from_be_bytes)
                .ok_or(io::Error::from(io::ErrorKind::InvalidData))
        };
        let position = Position {
            term: number(0..8)?,
            index: number(8..16)?,
        };
        self.commands.push((position, chunk.slice(16..)));
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<StagedState> {
        self.finished = true;
        self.counts.lock().finished += 1;
        Ok(StagedState(Box::new(std::mem::take(&mut self.commands))))
    }
}

impl Drop for LedgerStage {
    fn drop(&mut self) {
        if !self.finished {
            self.counts.lock().dropped_early += 1;
        }
    }
}

/// A simulated disk with a node's write-ahead log. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogDisk {
    files: SimFiles,
    crashes: Arc<AtomicU64>,
    hangs: Arc<watch::Sender<bool>>,
}

impl LogDisk {
    /// Opens the log, written to by a job of the current runtime: in an order that can be repeated,
    /// and without another thread that a paused clock would not wait for.
    pub(crate) fn open(&self, group: GroupId) -> GroupLog {
        let work = Arc::new(Notify::new());
        let mut config = Config::new("/wal");
        config.segment_bytes = 64 << 10;
        let wake = work.clone();
        config.hooks.wake = Arc::new(move || wake.notify_one());
        let identity = Identity {
            cluster_id: [7; 16],
            node_id: 1,
        };
        let (wal, mut writer) =
            Wal::open_unthreaded(config, identity, Arc::new(self.files.clone()))
                .expect("a log that was only crashed");
        let log = wal.group(group);
        let mut hangs = self.hangs.subscribe();
        tokio::spawn(async move {
            loop {
                // What a disk takes to sync, so that there is a time in which power can be lost.
                tokio::time::sleep(Duration::from_millis(2)).await;
                // Without the disk there is nothing that could hang.
                let _ = hangs.wait_for(|hangs| !hangs).await;
                match writer.run_once() {
                    Progress::Worked => {}
                    Progress::Idle => {
                        writer.settle();
                        work.notified().await;
                    }
                    Progress::Closed => break drop(wal),
                }
            }
        });
        log
    }

    /// Whether the disk, from now on, answers nothing.
    pub(crate) fn set_hanging(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// A copy, for a node that is set back.
    pub(crate) fn fork(&self) -> Self {
        let files = self.files.fork();
        files.kill();
        Self {
            files,
            crashes: Arc::default(),
            hangs: Arc::default(),
        }
    }

    /// Loses power: of what was not synced, some is lost. Open logs are dead.
    pub(crate) fn crash(&self) {
        self.files
            .crash(self.crashes.fetch_add(1, Ordering::Relaxed));
    }

    /// Lets the next sync fail.
    pub(crate) fn fail(&self) {
        self.files.fail_sync(1);
    }
}
