//! Bugs put into what the node is given, to see that an invariant notices. The node's own code stays as it is.

pub(crate) mod cluster;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::{Command, TableFault};
use longhaul_partition::{Clock, Randomness};
use longhaul_storage::keys;
use longhaul_storage::records::SnapshotManifest;
use longhaul_storage::rows::{Operation, Row, RowBatch, Rows, RowsView};
use longhaul_types::Timestamp;
use longhaul_wal::{File, Files, Lock};
use parking_lot::Mutex;

/// A bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// The disk says that a sync is done without doing it, now and then.
    DeafDisk,
    /// The store loses a row now and then.
    LeakyStore,
    /// The store says that its rows are durable without making them so.
    LazyStore,
    /// The clock shows a time that has not come yet.
    HastyClock,
    /// Randomness repeats itself.
    StuckRandomness,
    /// Clients are told that it is done when it was only asked for.
    EarlyAnswer,
    /// An activity's result is taken and thrown away.
    LostResult,
    /// So is what a worker made of a batch.
    LostBatch,
    /// Callers are told another result than the worker's.
    WrongAnswer,
    /// The store keeps an older record of an entity now and then.
    StaleEntities,
    /// A signal is acknowledged and thrown away.
    LostSignal,
    /// A signal that is sent again is taken for another one.
    ForgottenRequest,
    /// A signal's time is ignored.
    HastySignal,
    /// A critical section locks its first entity only.
    LooseLock,
    /// A query leaves out a row between two pages.
    SkippedRow,
    /// Retention deletes what it should keep.
    HastyRetention,
    /// An answer is taken for whatever is out of the same instance now.
    AnyToken,
    /// A read asks a replica that does not lead.
    LocalRead,
    /// Of a turn with several actions the last is committed without the others.
    TornTurn,
    /// Messages between partitions are delivered twice, under new numbers.
    SentAgain,
    /// Messages between partitions are acknowledged and thrown away.
    NeverSent,
    /// Messages between partitions are delivered in reverse.
    SentInReverse,
    /// A node that has lost everything comes back under its id.
    ReusedNodeId,
    /// Every replica is a group of its own.
    ClustersOfOne,
    /// Half of another replica's state is taken for the whole.
    HalfSnapshot,
    /// What is to be done later is not part of what replicas send each other.
    SnapshotWithoutTimers,
}

/// Files that are not always synced.
#[derive(Debug)]
pub(crate) struct DeafFiles {
    inner: Arc<dyn Files>,
    syncs: Arc<AtomicU64>,
}

/// One sync in so many is done.
const HEARD_ONE_IN: u64 = 3;

#[derive(Debug)]
struct DeafFile {
    inner: Arc<dyn File>,
    syncs: Arc<AtomicU64>,
}

impl DeafFiles {
    pub(crate) fn new(inner: Arc<dyn Files>) -> Self {
        Self {
            inner,
            syncs: Arc::default(),
        }
    }

    fn deafen(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(DeafFile {
            inner,
            syncs: self.syncs.clone(),
        })
    }
}

impl Files for DeafFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.deafen(self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.deafen(self.inner.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
}

impl File for DeafFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.inner.write_at(bytes, at)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        match self.syncs.fetch_add(1, Ordering::Relaxed) % HEARD_ONE_IN {
            0 => self.inner.sync(),
            _ => Ok(()),
        }
    }
}

/// Rows of which some never arrive.
pub(crate) struct LeakyRows {
    pub(crate) inner: Arc<dyn Rows>,
    pub(crate) written: Mutex<u64>,
}

/// One row in so many is lost.
const LOST_ONE_IN: u64 = 5;

impl Rows for LeakyRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.get(key)
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.get_durable(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        self.inner.scan(prefix, after, limit)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        self.inner.view()
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        let mut kept = RowBatch::default();
        for operation in batch.operations() {
            match operation {
                Operation::Put { key, value } => {
                    let mut written = self.written.lock();
                    *written += 1;
                    if key == keys::PARTITION || !written.is_multiple_of(LOST_ONE_IN) {
                        kept.put(key, value);
                    }
                }
                Operation::Delete { key } => kept.delete(key),
                Operation::DeleteRange { from, to } => kept.delete_range(from, to),
            }
        }
        self.inner.write(kept)
    }

    fn flush(&self) -> Result<(), TableFault> {
        self.inner.flush()
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        self.inner.export(dir)
    }
}

/// Rows that are durable in word only.
pub(crate) struct LazyRows(pub(crate) Arc<dyn Rows>);

impl Rows for LazyRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.0.get(key)
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.0.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        self.0.scan(prefix, after, limit)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        self.0.view()
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        self.0.write(batch)
    }

    fn flush(&self) -> Result<(), TableFault> {
        Ok(())
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        self.0.export(dir)
    }
}

/// Rows of which those of entities are not always replaced.
pub(crate) struct StaleRows {
    pub(crate) inner: Arc<dyn Rows>,
    pub(crate) written: Mutex<u64>,
}

impl Rows for StaleRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.get(key)
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.get_durable(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        self.inner.scan(prefix, after, limit)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        self.inner.view()
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        let mut kept = RowBatch::default();
        for operation in batch.operations() {
            match operation {
                Operation::Put { key, value } => {
                    let is_entity = keys::Kind::of(key) == Some(keys::Kind::Entity);
                    let mut written = self.written.lock();
                    *written += u64::from(is_entity);
                    let known = self.inner.get(key)?.is_some();
                    if !(is_entity && known && written.is_multiple_of(LOST_ONE_IN)) {
                        kept.put(key, value);
                    }
                }
                Operation::Delete { key } => kept.delete(key),
                Operation::DeleteRange { from, to } => kept.delete_range(from, to),
            }
        }
        self.inner.write(kept)
    }

    fn flush(&self) -> Result<(), TableFault> {
        self.inner.flush()
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        self.inner.export(dir)
    }
}

/// A signal as if nobody had sent it before.
pub(crate) fn as_another_request(command: Command, call: u64) -> Command {
    match command {
        Command::SignalEntity {
            key, event, due, ..
        } => Command::SignalEntity {
            key,
            request_id: call.to_string().into(),
            event,
            due,
        },
        other => other,
    }
}

/// A signal as if it were due.
pub(crate) fn due_at_once(command: Command) -> Command {
    match command {
        Command::SignalEntity {
            key,
            request_id,
            event,
            ..
        } => Command::SignalEntity {
            key,
            request_id,
            event,
            due: None,
        },
        other => other,
    }
}

/// A clock that is ahead of the one it reads.
pub(crate) struct HastyClock(pub(crate) Arc<dyn Clock>);

impl Clock for HastyClock {
    fn now(&self) -> Timestamp {
        self.0.now() + Duration::from_millis(50)
    }
}

/// The same bytes every time.
pub(crate) struct StuckRandomness;

impl Randomness for StuckRandomness {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}
