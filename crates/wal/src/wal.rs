//! The log as a whole: opening, closing, its groups, and the thread that drives the writer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::batch::Position;
use crate::config::{Config, Hooks, Identity};
use crate::entry::GroupId;
use crate::error::{OpenError, WalFault};
use crate::files::Files;
use crate::group_log::GroupLog;
use crate::index::Index;
use crate::queue::{Queue, lock};
use crate::recovery::{Recovery, recover};
use crate::stall::Stall;
use crate::stats::{BatchStats, Stats};
use crate::view::Group;
use crate::volume::{Volume, failed};
use crate::writer::{Progress, Writer};

/// The node's log. Dropping it closes it.
#[derive(Debug)]
pub struct Wal {
    shared: Arc<Shared>,
    recovery: Recovery,
    thread: Option<JoinHandle<()>>,
}

/// What the handles, the writer and the log itself share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) index: Mutex<Index>,
    pub(crate) batch_bytes: u64,
    pub(crate) stall: Mutex<Stall>,
    pub(crate) is_stalled: AtomicBool,
    groups: Mutex<BTreeMap<GroupId, Arc<Group>>>,
    status: Mutex<Status>,
    hooks: Hooks,
}

#[derive(Debug)]
struct Status {
    stats: Stats,
    position: Position,
    bytes_in_use: u64,
    fault: Option<WalFault>,
}

impl Wal {
    /// Opens the log of `identity`, or creates it, and starts its writer thread.
    ///
    /// Reads every segment: about a second per GiB on a disk of that speed.
    ///
    /// # Errors If the log cannot be used as it is; its records are untouched then. No error is
    /// worth a retry but
    /// [`OpenError::Locked`].
    pub fn open(
        config: Config,
        identity: Identity,
        files: Arc<dyn Files>,
    ) -> Result<Wal, OpenError> {
        let idle = config.watermark_idle;
        let dir = config.dir.clone();
        let (mut wal, mut writer) = Wal::open_unthreaded(config, identity, files)?;
        let shared = wal.shared.clone();
        let drive = move || {
            let mut step = || match writer.run_once() {
                Progress::Idle => {
                    let timeout = (!writer.is_settled()).then_some(idle);
                    if !shared.queue.wait(timeout) {
                        writer.settle();
                    }
                    true
                }
                progress => progress == Progress::Worked,
            };
            while catch_unwind(AssertUnwindSafe(&mut step)).unwrap_or_else(|_| shared.panicked()) {}
        };
        let thread = std::thread::Builder::new()
            .name("wal-writer".into())
            .spawn(drive);
        wal.thread = Some(thread.map_err(failed("start the writer of", &dir))?);
        Ok(wal)
    }

    /// Like [`Wal::open`], for a caller that drives the writer itself, in one thread and in a
    /// repeatable order: call [`Writer::run_once`] when woken ([`crate::Hooks::wake`]) until it is
    /// idle, and now and then [`Writer::settle`].
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_unthreaded(
        config: Config,
        identity: Identity,
        files: Arc<dyn Files>,
    ) -> Result<(Wal, Writer), OpenError> {
        config.validate()?;
        let volume = Volume::new(files, config.dir.clone(), config.sync);
        volume.create_dirs(&config.watermark)?;
        let Some(held) = volume.lock()? else {
            return Err(OpenError::Locked { dir: config.dir });
        };
        let mut recovered = recover(&volume, &config, identity)?;
        let recovery = recovered.report;
        let index = std::mem::take(&mut recovered.index);
        let groups = index
            .groups()
            .map(|(id, group)| (id, Arc::new(Group::recovered(id, group))))
            .collect();
        let (segments, bytes_in_use) = index.in_use();
        let stats = Stats {
            segments: segments as u64,
            ..Stats::default()
        };
        let shared = Arc::new(Shared {
            queue: Queue::new(config.hooks.wake.clone()),
            index: Mutex::new(index),
            batch_bytes: config.batch_bytes,
            stall: Mutex::default(),
            is_stalled: AtomicBool::new(false),
            groups: Mutex::new(groups),
            status: Mutex::new(Status {
                stats,
                position: recovered.position,
                bytes_in_use,
                fault: None,
            }),
            hooks: config.hooks.clone(),
        });
        let writer = Writer::new(shared.clone(), config, identity, volume, recovered, held);
        Ok((
            Wal {
                shared,
                recovery,
                thread: None,
            },
            writer,
        ))
    }

    /// A handle to one group's log, which need not exist yet.
    pub fn group(&self, id: GroupId) -> GroupLog {
        let mut groups = lock(&self.shared.groups);
        let group = groups.entry(id).or_insert_with(|| Arc::new(Group::new(id)));
        GroupLog::new(self.shared.clone(), group.clone())
    }

    /// The groups that have anything in the log, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        lock(&self.shared.groups)
            .values()
            .filter(|group| group.exists())
            .map(|group| group.id)
            .collect()
    }

    /// What opening found.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Up to where the log is durable. Peers that remember it can notice a node whose whole disk
    /// was set back.
    pub fn position(&self) -> Position {
        lock(&self.shared.status).position
    }

    /// Bytes of the segments in use. Purging groups lowers it, a segment at a time.
    pub fn bytes_in_use(&self) -> u64 {
        lock(&self.shared.status).bytes_in_use
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let stats = lock(&self.shared.status).stats;
        Stats {
            queued_bytes: self.shared.queue.bytes(),
            ..stats
        }
    }

    /// Writes and settles everything that was queued, then stops the writer. Operations that come
    /// later get [`WalFault::Closed`]. Without a thread it only asks the writer, which says
    /// [`Progress::Closed`] when done.
    ///
    /// # Errors
    /// The fault that stopped the log, if one did.
    pub fn close(mut self) -> Result<(), WalFault> {
        self.stop();
        self.shared.fault().map_or(Ok(()), Err)
    }

    fn stop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.take() {
            // It catches its panics, so it ends well.
            let _ = thread.join();
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The fault that stopped the log.
    pub(crate) fn fault(&self) -> Option<WalFault> {
        lock(&self.status).fault.clone()
    }

    /// Stops the log for good. Only the first fault counts, and is reported.
    pub(crate) fn set_fault(&self, fault: &WalFault) {
        let mut status = lock(&self.status);
        if status.fault.is_some() {
            return;
        }
        status.fault = Some(fault.clone());
        drop(status);
        (self.hooks.on_fault)(fault.clone());
    }

    /// A callback or hook panicked: nothing more can be promised. The writer goes on, to refuse
    /// what comes.
    fn panicked(&self) -> bool {
        // The hook may panic as well.
        let _ = catch_unwind(AssertUnwindSafe(|| self.set_fault(&WalFault::Panicked)));
        true
    }

    /// Counts a batch that became durable.
    pub(crate) fn committed(&self, batch: &BatchStats, position: Position, moved: u64) {
        let mut status = lock(&self.status);
        status.position = position;
        let stats = &mut status.stats;
        stats.batches += 1;
        stats.bytes += batch.bytes;
        stats.entries += batch.entries;
        stats.moved += moved;
        stats.last_sync_ns = u64::try_from(batch.sync.as_nanos()).unwrap_or(u64::MAX);
    }

    pub(crate) fn watermark_synced(&self) {
        lock(&self.status).stats.watermark_syncs += 1;
    }

    pub(crate) fn set_in_use(&self, (segments, bytes): (usize, u64)) {
        let mut status = lock(&self.status);
        status.stats.segments = segments as u64;
        status.bytes_in_use = bytes;
    }
}
