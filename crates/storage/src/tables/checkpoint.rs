//! A frozen generation on its way to the rows.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;

use super::PartitionTables;
use super::look::Version;
use super::outbox::{self, LaneChanges};
use super::record::{Derived, Record};
use super::residents::{FrozenRecord, Stored, WrittenRecord};
use super::runs::{self, RunChanges};
use crate::keys;
use crate::records::{self, PartitionRow, Position};
use crate::rows::{RowBatch, Rows};

/// Everything that changed in one generation, as of one log entry. Must be written, unless the replica stops.
#[must_use = "nothing is written until `write` is called"]
pub struct Checkpoint {
    rows: Arc<dyn Rows>,
    generation: u64,
    row: PartitionRow,
    records: Vec<FrozenRecord>,
    runs: Arc<RunChanges>,
    lanes: Vec<LaneChanges>,
}

/// A checkpoint that has become rows; to be handed to [`PartitionTables::complete`].
#[must_use = "the tables must be told"]
pub struct Written {
    generation: u64,
    applied: Option<Position>,
    records: Vec<WrittenRecord>,
}

/// What was in memory and is not needed any more.
pub struct Replaced {
    _records: (Vec<WrittenRecord>, Option<Arc<Version>>),
    _runs: Arc<RunChanges>,
}

/// Capacity is set aside for this much per record; buffers grow when records are larger.
const RECORD_BYTES_GUESS: usize = 1024;

impl PartitionTables {
    /// Sets everything that changed since the last time aside to be written; `None` if nothing did, or if the last
    /// checkpoint is not completed yet.
    ///
    /// To be called between two log entries, after [`PartitionTables::set_applied`]. The caller makes sure that the
    /// log holds the applied entry durably before the checkpoint is written: rows must never be ahead of the log.
    #[must_use = "nothing is written until the checkpoint is"]
    pub fn freeze(&mut self) -> Option<Checkpoint> {
        if self.checkpointing || !self.changed {
            return None;
        }
        self.checkpointing = true;
        self.changed = false;
        let (generation, records) = self.residents.freeze();
        Some(Checkpoint {
            rows: Arc::clone(&self.rows),
            generation,
            row: self.row.clone(),
            records,
            runs: self.runs.freeze(),
            lanes: self.outbox.freeze(),
        })
    }

    /// A checkpoint has been written: what did not change since may be forgotten, and is, to keep within the limit.
    ///
    /// What is answered may be dropped at once, but freeing so much memory takes a while and is better done on the
    /// thread that wrote.
    pub fn complete(&mut self, written: Written) -> Replaced {
        self.checkpointing = false;
        self.outbox.complete();
        let Written {
            generation,
            records,
            ..
        } = written;
        Replaced {
            _runs: self.runs.complete(),
            _records: self.residents.complete(generation, records),
        }
    }

    /// Writes what changed at once; not durable yet.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn write_through(&mut self) -> Result<(), TableFault> {
        if let Some(checkpoint) = self.freeze() {
            let written = checkpoint.write()?;
            self.complete(written);
        }
        Ok(())
    }
}

impl Checkpoint {
    /// The log entry that the rows will be the state of.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.row.applied
    }

    /// How many instances and entities changed.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Encodes and writes everything in one atomic batch, each kind of row sorted by key. Blocks; meant for a thread of
    /// its own.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken; nothing was written then and the replica must stop.
    pub fn write(mut self) -> Result<Written, TableFault> {
        self.records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut batch = RowBatch::with_capacity(self.records.len() * RECORD_BYTES_GUESS);
        batch.put_with(keys::PARTITION, |out| {
            records::put_partition_row(&self.row, out)
        });
        runs::put_changes(&self.runs, &mut batch);
        let written = self
            .records
            .iter()
            .map(|frozen| put_record(frozen, &mut batch));
        let written = written.collect::<Result<_, _>>()?;
        put_derived(&self.records, &*self.rows, &mut batch)?;
        for lane in &self.lanes {
            outbox::put_changes(lane, &mut batch);
        }
        self.rows.write(batch)?;
        Ok(Written {
            generation: self.generation,
            applied: self.row.applied,
            records: written,
        })
    }
}

impl Written {
    /// The log entry that the rows are the state of.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.applied
    }
}

/// Encodes a changed record, and decodes it again.
///
/// What the engine left in memory consists of slices of log entries, and a slice of a few bytes keeps a whole entry
/// alive. What is decoded consists of slices of its own record and nothing else. And a record that could not be read
/// is noticed before it replaces one that can.
fn put_record(frozen: &FrozenRecord, batch: &mut RowBatch) -> Result<WrittenRecord, TableFault> {
    let Some(record) = &frozen.record else {
        if frozen.before != Stored::Nothing {
            batch.delete(&keys::instance::record(&frozen.key));
        }
        return Ok(WrittenRecord {
            place: frozen.place,
            record_bytes: 0,
            compact: None,
        });
    };
    let key = keys::instance::record(&frozen.key);
    let bytes = batch.put_with(&key, |out| record.encode(out));
    let record_bytes = bytes.len();
    let compact = Record::decode(&frozen.key, Bytes::copy_from_slice(bytes))?;
    debug_assert_eq!(*record, compact, "a row says what the record was");
    Ok(WrittenRecord {
        place: frozen.place,
        record_bytes,
        compact: Some(compact),
    })
}

/// Corrects the rows that follow from records.
fn put_derived(
    records: &[FrozenRecord],
    rows: &dyn Rows,
    batch: &mut RowBatch,
) -> Result<(), TableFault> {
    let mut removed = Vec::new();
    let mut added = Vec::new();
    for frozen in records {
        let before = match frozen.before {
            Stored::Unknown => read_stored(frozen, rows)?,
            known => known,
        };
        if before != frozen.after {
            let (before, after) = (
                before.derived(&frozen.key),
                frozen.after.derived(&frozen.key),
            );
            removed.extend(before.iter().filter(|row| !after.contains(row)).cloned());
            added.extend(after.into_iter().filter(|row| !before.contains(row)));
        }
    }
    removed.sort_unstable();
    added.sort_unstable();
    removed.iter().for_each(|row| batch.delete(row));
    added.iter().for_each(|row| batch.put(row, &[]));
    Ok(())
}

/// Nobody has read the old record yet. It is still there: one checkpoint is written at a time.
fn read_stored(frozen: &FrozenRecord, rows: &dyn Rows) -> Result<Stored, TableFault> {
    let old = rows.get(&keys::instance::record(&frozen.key))?;
    let Some(old) = old else {
        return Ok(Stored::Nothing);
    };
    let old = Record::decode(&frozen.key, old)?;
    Ok(Stored::Record(Derived::of(&old)))
}
