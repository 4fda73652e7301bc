//! The one writer: drains the queue, writes one batch, syncs once, completes in order.
//!
//! ```text
//!  take ─► encode ─► write ─► sync ─► note watermark ─► index ─► callbacks ─► free segments
//!                      │        │            │                                      │
//!                      └────────┴────────────┴───────── any error ──────────────────┘
//! ```
//!
//! An error anywhere is a fault: every waiting and later callback gets it, and nothing is ever
//! written again.
//!
//! It is a plain state machine: a thread loops on [`Writer::run_once`], and so does a simulation.

use std::sync::Arc;
use std::time::Instant;

use crate::batch::{Builder, Position};
use crate::cache::Cache;
use crate::config::{Config, Identity};
use crate::error::{FileError, WalFault};
use crate::files::Lock;
use crate::queue::{Op, Queued, Taken, lock};
use crate::reader::{Wanted, read_payloads};
use crate::record::{Kind, Record};
use crate::recovery::Recovered;
use crate::segment::{Header, SEGMENT_HEADER_BYTES, Segment};
use crate::stats::BatchStats;
use crate::volume::{Spare, Volume, write_at};
use crate::wal::Shared;
use crate::watermark::{Mark, Watermark};

/// What one step of the writer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something; there may be more.
    Worked,
    /// Nothing was waiting.
    Idle,
    /// The log is closed and everything is settled.
    Closed,
}

/// Writes the log. Dropping it without closing is what a crash of the process does.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    config: Config,
    identity: Identity,
    volume: Volume,
    segment: Arc<Segment>,
    salt: u32,
    /// Where the next batch goes in `segment`.
    at: u64,
    position: Position,
    watermark: Watermark,
    /// Batches since the watermark was settled.
    unsettled: u32,
    spares: Vec<Spare>,
    /// Spares created so far; names them.
    created: u64,
    builder: Builder,
    cache: Cache,
    /// Live records of the oldest segment are being moved to the tail.
    moving: bool,
    _lock: Box<dyn Lock>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: Config,
        identity: Identity,
        volume: Volume,
        recovered: Recovered,
        held: Box<dyn Lock>,
    ) -> Writer {
        let Recovered {
            watermark,
            segment,
            salt,
            at,
            position,
            ..
        } = recovered;
        Writer {
            shared,
            cache: Cache::new(config.cache_bytes),
            config,
            identity,
            volume,
            segment,
            salt,
            at,
            position,
            watermark,
            unsettled: 0,
            spares: vec![],
            created: 0,
            builder: Builder::default(),
            moving: false,
            _lock: held,
        }
    }

    /// Takes what is queued, makes it durable and completes it. Never blocks on anything but the
    /// disk.
    pub fn run_once(&mut self) -> Progress {
        let taken = self.shared.queue.take(self.config.batch_bytes);
        if let Some(fault) = self.shared.fault() {
            return self.refuse(taken, &fault);
        }
        if taken.is_empty() && !self.moving {
            return if taken.closing {
                self.finish()
            } else {
                Progress::Idle
            };
        }
        match self.commit(&taken) {
            Ok(()) => {
                self.complete(taken.ops);
                self.shared.queue.completed();
            }
            Err(fault) => {
                self.shared.set_fault(&fault);
                return self.refuse(taken, &fault);
            }
        }
        if let Err(fault) = self.tidy() {
            self.shared.set_fault(&fault);
        }
        Progress::Worked
    }

    /// Makes the watermark durable and prepares for the next segment. For when there is nothing
    /// else to do.
    pub fn settle(&mut self) {
        if self.shared.fault().is_some() {
            return;
        }
        let settled = self.settle_watermark().and_then(|()| self.prepare_spare());
        if let Err(error) = settled {
            self.shared.set_fault(&error.into());
        }
    }

    /// Whether [`Writer::settle`] would do something about the watermark.
    pub fn is_settled(&self) -> bool {
        self.unsettled == 0 || self.shared.fault().is_some()
    }

    /// Writes and syncs one batch; what it holds is durable when this returns.
    fn commit(&mut self, taken: &Taken) -> Result<(), WalFault> {
        self.builder
            .begin(usize::try_from(self.config.batch_bytes).unwrap_or(usize::MAX));
        let moved = if self.moving {
            self.push_laggards()?
        } else {
            0
        };
        let mut entries = 0;
        for queued in &taken.ops {
            queued.for_each_record(|record| self.builder.push(&record));
            if let Op::Append(appended) = &queued.op {
                entries += appended.len() as u64;
            }
        }
        for (group, committed) in &taken.committed {
            self.builder
                .push(&Record::of_group(*group, Kind::Committed, committed));
        }
        if self.builder.records() == 0 {
            return Ok(());
        }
        let bytes = self.builder.sealed_len();
        if self.at + bytes > self.segment.bytes {
            self.next_segment(bytes)?;
        }
        let position = self.builder.seal(self.position, self.salt);
        let Segment { file, path, .. } = &*self.segment;
        let started = Instant::now();
        write_at(&**file, path, self.builder.bytes(), self.at)?;
        let written = Instant::now();
        self.volume.sync(&**file, path)?;
        let synced = Instant::now();

        let at = self.at;
        self.at += bytes;
        self.position = position;
        self.unsettled += 1;
        self.watermark.note(&self.mark())?;
        self.apply(at);
        let batch = BatchStats {
            records: u64::from(self.builder.records()),
            entries,
            bytes,
            write: written - started,
            sync: synced - written,
        };
        self.shared.committed(&batch, position, moved);
        self.config.hooks.observer.batch(&batch);
        Ok(())
    }

    /// Puts live records of the oldest segment at the head of the batch: before everything that may
    /// replace them.
    fn push_laggards(&mut self) -> Result<u64, WalFault> {
        let chunk_bytes = (self.config.segment_bytes / 4).min(1 << 20);
        let (laggards, mut wanted) = (lock(&self.shared.index).laggards(chunk_bytes), vec![]);
        for laggard in laggards.iter().filter(|laggard| laggard.payload.is_none()) {
            let found = lock(&self.shared.index).locate(laggard.group, laggard.index);
            let (location, segment) = found.expect("only the writer changes the index");
            wanted.push(Wanted {
                group: laggard.group,
                index: laggard.index,
                location,
                segment,
            });
        }
        let mut read = read_payloads(&wanted)?.into_iter();
        for laggard in &laggards {
            let payload = laggard.payload.clone().or_else(|| read.next());
            let payload = payload.expect("one was read for each that was missing");
            self.builder.push(&Record {
                group: laggard.group,
                kind: laggard.kind,
                index: laggard.index,
                term: laggard.location.term,
                payload: &payload,
            });
        }
        Ok(laggards.len() as u64)
    }

    /// Brings the index up to the batch that was written at `at`.
    fn apply(&self, at: u64) {
        let mut index = lock(&self.shared.index);
        for record in self.builder.sealed_records() {
            let (offset, record) = record.expect("it was encoded just before");
            index.apply(&record, self.segment.seq, at + offset as u64);
        }
    }

    /// Tells the callers, in order, and lets go of what no longer fits into memory.
    fn complete(&mut self, ops: Vec<Queued>) {
        for queued in &ops {
            queued.group.completed(queued.epoch, queued.reaches);
        }
        for queued in ops {
            if let Op::Append(entries) = &queued.op
                && let (Some(first), Some(last)) = (entries.first(), entries.last())
            {
                let bytes = entries.iter().map(|entry| entry.payload.len() as u64).sum();
                self.cache
                    .keep(queued.group.clone(), first.index, last.index, bytes);
            }
            queued.complete(Ok(()));
        }
    }

    /// Frees segments, decides whether to move records, and keeps the watermark from lagging too
    /// far behind.
    fn tidy(&mut self) -> Result<(), WalFault> {
        let (dead, in_use) = {
            let mut index = lock(&self.shared.index);
            let dead = index.take_dead();
            self.moving = index.worth_moving();
            (dead, index.in_use())
        };
        self.shared.set_in_use(in_use);
        if !dead.is_empty() {
            // From here on recovery does not miss them.
            self.settle_watermark_now()?;
            for segment in dead {
                self.free(segment)?;
            }
            self.volume.sync_dir()?;
        }
        if self.unsettled >= self.config.watermark_batches {
            self.settle_watermark()?;
        }
        Ok(())
    }

    /// Recycles a segment's file, unless someone still reads it or there are enough.
    fn free(&mut self, segment: Arc<Segment>) -> Result<(), FileError> {
        let wanted = segment.bytes == self.config.segment_bytes
            && self.spares.len() < self.config.spare_segments_max;
        match Arc::try_unwrap(segment) {
            Ok(segment) if wanted => {
                self.spares.push(
                    self.volume
                        .recycle(segment.seq, segment.file, segment.bytes)?,
                );
                Ok(())
            }
            Ok(segment) => self.volume.remove(&segment.path),
            Err(shared) => self.volume.remove(&shared.path),
        }
    }

    /// Begins a segment with room for a batch of `batch_bytes`.
    fn next_segment(&mut self, batch_bytes: u64) -> Result<(), FileError> {
        let bytes = self
            .config
            .segment_bytes
            .max(SEGMENT_HEADER_BYTES + batch_bytes);
        let spare = match self.spares.pop_if(|spare| spare.bytes == bytes) {
            Some(spare) => spare,
            None => self.create_spare(bytes)?,
        };
        let (seq, begins_after, identity) = (self.segment.seq + 1, self.position, self.identity);
        let header = Header {
            seq,
            segment_bytes: bytes,
            identity,
            begins_after,
        };
        self.segment = Segment::install(&self.volume, spare, &header)?;
        self.salt = header.salt();
        self.at = SEGMENT_HEADER_BYTES;
        lock(&self.shared.index).add_segment(self.segment.clone());
        self.settle_watermark_now()
    }

    fn create_spare(&mut self, bytes: u64) -> Result<Spare, FileError> {
        self.created += 1;
        self.volume
            .create_spare(self.created, bytes, self.config.prewrite)
    }

    /// Has a file ready before the segment is full.
    fn prepare_spare(&mut self) -> Result<(), FileError> {
        if self.spares.is_empty()
            && self.config.spare_segments_max > 0
            && self.at > self.segment.bytes / 2
        {
            let spare = self.create_spare(self.config.segment_bytes)?;
            self.spares.push(spare);
        }
        Ok(())
    }

    fn mark(&self) -> Mark {
        let first_segment = lock(&self.shared.index)
            .first_segment()
            .expect("the newest segment is never freed");
        Mark {
            position: self.position,
            first_segment,
            last_segment: self.segment.seq,
        }
    }

    fn settle_watermark(&mut self) -> Result<(), FileError> {
        if self.unsettled > 0 {
            self.settle_watermark_now()
        } else {
            Ok(())
        }
    }

    fn settle_watermark_now(&mut self) -> Result<(), FileError> {
        let mark = self.mark();
        self.watermark.settle(&mark)?;
        self.unsettled = 0;
        self.shared.watermark_synced();
        Ok(())
    }

    /// The end of a log that is being closed.
    fn finish(&mut self) -> Progress {
        if let Err(error) = self.settle_watermark() {
            self.shared.set_fault(&error.into());
        }
        if self.shared.queue.closed() {
            Progress::Closed
        } else {
            Progress::Worked
        }
    }

    /// Fails operations that came after the fault.
    fn refuse(&mut self, taken: Taken, fault: &WalFault) -> Progress {
        let nothing = taken.ops.is_empty();
        for queued in taken.ops {
            queued.complete(Err(fault.clone()));
        }
        match (nothing, taken.closing) {
            (true, true) if self.shared.queue.closed() => Progress::Closed,
            (true, false) => Progress::Idle,
            _ => Progress::Worked,
        }
    }
}
