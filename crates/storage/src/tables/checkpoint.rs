//! A frozen generation on its way to the rows.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;

use super::PartitionTables;
use super::outbox::{self, LaneChanges};
use super::residents::{FrozenInstance, WrittenInstance};
use super::runs::{self, RunChanges};
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::records::{self, PartitionRow, Position};
use crate::rows::{RowBatch, Rows};

/// Everything that changed in one generation, as of one log entry. Must be written, unless the replica stops.
#[must_use = "nothing is written until `write` is called"]
pub struct Checkpoint {
    rows: Arc<dyn Rows>,
    generation: u64,
    row: PartitionRow,
    instances: Vec<FrozenInstance>,
    runs: Arc<RunChanges>,
    lanes: Vec<LaneChanges>,
}

/// A checkpoint that has become rows; to be handed to [`PartitionTables::complete`].
#[must_use = "the tables must be told"]
pub struct Written {
    generation: u64,
    applied: Option<Position>,
    instances: Vec<WrittenInstance>,
}

/// What was in memory and is not needed any more.
pub struct Replaced {
    _instances: Vec<WrittenInstance>,
    _runs: Arc<RunChanges>,
}

/// Capacity is set aside for this much per instance; buffers grow when records are larger.
const INSTANCE_BYTES_GUESS: usize = 1024;

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
        let (generation, instances) = self.residents.freeze();
        Some(Checkpoint {
            rows: Arc::clone(&self.rows),
            generation,
            row: self.row.clone(),
            instances,
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
            instances,
            ..
        } = written;
        Replaced {
            _runs: self.runs.complete(),
            _instances: self.residents.complete(generation, instances),
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

    /// How many instances changed.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Encodes and writes everything in one atomic batch, sorted by key. Blocks; meant for a thread of its own.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken; nothing was written then and the replica must stop.
    pub fn write(mut self) -> Result<Written, TableFault> {
        self.instances.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut batch = RowBatch::with_capacity(self.instances.len() * INSTANCE_BYTES_GUESS);
        batch.put_with(keys::PARTITION, |out| {
            records::put_partition_row(&self.row, out)
        });
        runs::put_changes(&self.runs, &mut batch);
        let written = self
            .instances
            .iter()
            .map(|frozen| put_record(frozen, &mut batch));
        let instances = written.collect::<Result<_, _>>()?;
        for frozen in &self.instances {
            put_marker(frozen, &mut batch);
        }
        for lane in &self.lanes {
            outbox::put_changes(lane, &mut batch);
        }
        self.rows.write(batch)?;
        Ok(Written {
            generation: self.generation,
            applied: self.row.applied,
            instances,
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

/// Encodes a changed instance, and decodes it again.
///
/// What the engine left in memory consists of slices of log entries, and a slice of a few bytes keeps a whole entry
/// alive. What is decoded consists of slices of its own record and nothing else. And a record that could not be read
/// is noticed before it replaces one that can.
fn put_record(
    frozen: &FrozenInstance,
    batch: &mut RowBatch,
) -> Result<WrittenInstance, TableFault> {
    let key = keys::instance::encode(Kind::Instance, &frozen.key);
    let Some(instance) = &frozen.instance else {
        batch.delete(&key);
        return Ok(WrittenInstance {
            place: frozen.place,
            record_bytes: 0,
            compact: None,
        });
    };
    let record = batch.put_with(&key, |out| records::put_instance(instance, out));
    let record_bytes = record.len();
    let compact = records::decode_instance(Bytes::copy_from_slice(record))
        .map_err(|corrupt| fault(format!("instance {:?}", frozen.key), corrupt))?;
    debug_assert_eq!(**instance, compact, "a record says what the instance was");
    Ok(WrittenInstance {
        place: frozen.place,
        record_bytes,
        compact: Some(Arc::new(compact)),
    })
}

fn put_marker(frozen: &FrozenInstance, batch: &mut RowBatch) {
    let key = || keys::instance::encode(Kind::Active, &frozen.key);
    match frozen.mark {
        Some(true) => batch.put(&key(), &[]),
        Some(false) => batch.delete(&key()),
        None => {}
    }
}
