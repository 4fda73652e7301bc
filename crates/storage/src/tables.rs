//! The engine's tables of one partition: memory first, rows behind it.
//!
//! ```text
//!   apply ──► current generation ──freeze──► frozen generation ──write──► rows ──flush──► durable
//!                    │                             │                        │
//!   reads look here first ───────── then here ───────────────── then here ──┘
//! ```
//!
//! Changes stay in memory until a checkpoint. Between two log entries the caller freezes them, which costs a pointer
//! per changed row; a thread of the caller's encodes and writes them in one atomic batch together with the applied
//! position, while applying goes on; then the caller completes the checkpoint, which makes room in memory. After a
//! crash the rows are those of the last checkpoint that was flushed, and the log is applied from there.
//!
//! Freezing, writing and completing after every entry is write-through: the same rows by the plainest route.

mod active;
mod checkpoint;
mod digest;
mod indexes;
mod look;
mod outbox;
mod reading;
mod record;
mod residents;
mod runs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
pub use checkpoint::{Checkpoint, Replaced, Written};
use longhaul_engine::key::InstanceKey;
use longhaul_engine::message::Message;
use longhaul_engine::tables::{PartitionState, TableFault, Tables};
use longhaul_engine::{Entity, Instance};
use longhaul_types::{ExecutionId, PartitionId};
pub use look::Look;
pub use reading::Reading;

use crate::fault::fault;
use crate::keys;
use crate::records::{self, PartitionRow, Position};
use crate::rows::Rows;
use outbox::Outbox;
use record::Record;
use residents::Residents;
use runs::Runs;

/// The tables of one partition.
pub struct PartitionTables {
    rows: Arc<dyn Rows>,
    row: PartitionRow,
    residents: Residents,
    runs: Runs,
    outbox: Outbox,
    /// Whether there is anything to freeze.
    changed: bool,
    /// Whether a checkpoint is frozen and not completed.
    checkpointing: bool,
    /// A key that is neither in memory nor a row: creating what it stands for asks for it several times.
    absent: Option<InstanceKey>,
}

/// What the tables keep in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Instances and entities in memory.
    pub resident_instances: usize,
    /// Estimated bytes of them; those that changed since they were last written count as they were then.
    pub resident_bytes: usize,
    /// Instances and entities that changed since the last checkpoint was frozen.
    pub dirty_instances: usize,
}

/// Tells how far rows are durable, on any thread.
#[derive(Clone)]
pub struct Durability {
    rows: Arc<dyn Rows>,
}

impl PartitionTables {
    /// Takes over what `rows` hold; `new` is the partition's own row if nothing was ever written.
    ///
    /// `resident_bytes_max` bounds the instances and entities kept in memory, after a checkpoint. Rows of a version
    /// that had other indexes are indexed anew, which takes a while.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read or are another partition's.
    pub fn open(
        rows: Arc<dyn Rows>,
        new: PartitionState,
        resident_bytes_max: usize,
    ) -> Result<Self, TableFault> {
        let stored = rows.get(keys::PARTITION)?;
        let is_new = stored.is_none();
        let mut row = match stored {
            Some(record) => decode_partition(record)?,
            None => PartitionRow {
                applied: None,
                membership: None,
                state: new.clone(),
                indexes_version: keys::index::VERSION,
            },
        };
        if (row.state.id, row.state.count) != (new.id, new.count) {
            let found = format!("{} of {}", row.state.id, row.state.count.get());
            let expected = format!("{} of {}", new.id, new.count.get());
            return Err(fault(
                "partition row",
                format!("rows of {found}, not of {expected}"),
            ));
        }
        if row.indexes_version != keys::index::VERSION {
            row.indexes_version = keys::index::VERSION;
            indexes::rebuild(&*rows, &row, indexes::BATCH_BYTES)?;
        }
        Ok(Self {
            residents: Residents::new(resident_bytes_max, is_new),
            runs: Runs::default(),
            outbox: Outbox::open(&*rows, &row.state)?,
            rows,
            row,
            changed: false,
            checkpointing: false,
            absent: None,
        })
    }

    /// The same partition over other rows, with the same limits: what another replica had, put in place of these by
    /// [`crate::Arrived::install`].
    ///
    /// # Errors
    /// As [`PartitionTables::open`].
    pub fn reopen(&self, rows: Arc<dyn Rows>) -> Result<Self, TableFault> {
        let PartitionState { id, count, .. } = self.row.state;
        let new = PartitionState::new(id, count);
        Self::open(rows, new, self.residents.bytes_max())
    }

    /// The last entry that was applied; `None` before the first.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.row.applied
    }

    /// Everything up to this entry has been applied. To be called after each one, before anything is frozen.
    pub fn set_applied(&mut self, position: Position) {
        debug_assert!(
            self.row.applied < Some(position),
            "entries are applied in order"
        );
        self.row.applied = Some(position);
        self.changed = true;
    }

    /// The group's membership as of the last applied entry, opaque here.
    #[must_use]
    pub fn membership(&self) -> Option<&Bytes> {
        self.row.membership.as_ref()
    }

    /// An entry changed the group's membership. To be called before [`PartitionTables::set_applied`] with it.
    pub fn set_membership(&mut self, membership: &[u8]) {
        // A copy: a slice would keep the whole log entry in memory.
        self.row.membership = Some(Bytes::copy_from_slice(membership));
        self.changed = true;
    }

    /// What the tables keep in memory.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.residents.statistics()
    }

    /// Whether a checkpoint is frozen and not completed yet, so that nothing can be frozen.
    #[must_use]
    pub fn is_checkpointing(&self) -> bool {
        self.checkpointing
    }

    /// The rows behind the tables: the state as of the last written checkpoint, to be exported.
    #[must_use]
    pub fn rows(&self) -> &Arc<dyn Rows> {
        &self.rows
    }

    /// Tells how far rows are durable.
    #[must_use]
    pub fn durability(&self) -> Durability {
        Durability {
            rows: Arc::clone(&self.rows),
        }
    }

    /// Finds a record in memory, or reads it into memory.
    fn locate(&mut self, key: &InstanceKey) -> Result<Option<residents::Place>, TableFault> {
        let known = self.residents.find(key);
        if known.is_some() || self.residents.has_all() || self.absent.as_ref() == Some(key) {
            return Ok(known);
        }
        let Some(record) = self.rows.get(&keys::instance::record(key))? else {
            self.absent = Some(key.clone());
            return Ok(None);
        };
        let bytes = record.len();
        let record = Record::decode(key, record)?;
        Ok(Some(self.residents.load(key.clone(), record, bytes)))
    }

    fn record(&mut self, key: &InstanceKey) -> Result<Option<&Record>, TableFault> {
        let place = self.locate(key)?;
        Ok(place.and_then(|place| self.residents.get(place)))
    }

    fn record_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Record>, TableFault> {
        let place = self.locate(key)?;
        self.changed |= place.is_some();
        Ok(place.and_then(|place| self.residents.get_mut(place)))
    }

    fn put_record(&mut self, key: InstanceKey, record: Record) {
        debug_assert_eq!(
            key.id.is_entity(),
            record.as_entity().is_some(),
            "the id of {key:?} says what it stands for"
        );
        let was_absent = self.absent.take_if(|absent| *absent == key).is_some();
        self.changed = true;
        self.residents.put(key, record, was_absent);
    }

    fn remove_record(&mut self, key: &InstanceKey) {
        self.changed = true;
        self.residents.remove(key);
    }
}

impl Tables for PartitionTables {
    fn partition(&self) -> &PartitionState {
        &self.row.state
    }

    fn partition_mut(&mut self) -> &mut PartitionState {
        self.changed = true;
        &mut self.row.state
    }

    fn instance(&mut self, key: &InstanceKey) -> Result<Option<&Instance>, TableFault> {
        if key.id.is_entity() {
            return Ok(None);
        }
        Ok(self.record(key)?.and_then(Record::as_instance))
    }

    fn instance_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Instance>, TableFault> {
        if key.id.is_entity() {
            return Ok(None);
        }
        Ok(self.record_mut(key)?.and_then(Record::as_instance_mut))
    }

    fn put_instance(&mut self, key: InstanceKey, instance: Instance) {
        self.put_record(key, Record::Instance(Arc::new(instance)));
    }

    fn remove_instance(&mut self, key: &InstanceKey) {
        if !key.id.is_entity() {
            self.remove_record(key);
        }
    }

    fn entity(&mut self, key: &InstanceKey) -> Result<Option<&Entity>, TableFault> {
        if !key.id.is_entity() {
            return Ok(None);
        }
        Ok(self.record(key)?.and_then(Record::as_entity))
    }

    fn entity_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Entity>, TableFault> {
        if !key.id.is_entity() {
            return Ok(None);
        }
        Ok(self.record_mut(key)?.and_then(Record::as_entity_mut))
    }

    fn put_entity(&mut self, key: InstanceKey, entity: Entity) {
        self.put_record(key, Record::Entity(Arc::new(entity)));
    }

    fn remove_entity(&mut self, key: &InstanceKey) {
        if key.id.is_entity() {
            self.remove_record(key);
        }
    }

    fn active(
        &mut self,
        after: Option<&InstanceKey>,
        limit: usize,
    ) -> Result<Vec<InstanceKey>, TableFault> {
        active::page(&*self.rows, &mut self.residents, after, limit)
    }

    fn put_history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
        framed: Bytes,
    ) {
        self.changed = true;
        self.runs.put(key, execution, number, framed);
    }

    fn history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
    ) -> Result<Bytes, TableFault> {
        self.runs.get(&*self.rows, key, execution, number)
    }

    fn remove_history(&mut self, key: &InstanceKey, execution: &ExecutionId, count: u32) {
        self.changed |= count > 0;
        self.runs.remove(key, execution, count);
    }

    fn put_outbox(&mut self, target: PartitionId, number: u64, message: Message) {
        self.changed = true;
        self.outbox.put(target, number, message);
    }

    fn outbox(
        &mut self,
        target: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Message)>, TableFault> {
        self.outbox.read(&*self.rows, target, after, limit)
    }

    fn remove_outbox(&mut self, target: PartitionId, through: u64) {
        self.changed = true;
        self.outbox.remove(target, through);
    }
}

impl Durability {
    /// Makes all written checkpoints durable; answers the applied position that a crash now would leave.
    ///
    /// Slow: syncs files.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn flush(&self) -> Result<Option<Position>, TableFault> {
        self.rows.flush()?;
        self.applied()
    }

    /// The applied position that a crash now would leave. The log must be kept from there on.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn applied(&self) -> Result<Option<Position>, TableFault> {
        match self.rows.get_durable(keys::PARTITION)? {
            Some(record) => Ok(decode_partition(record)?.applied),
            None => Ok(None),
        }
    }
}

fn decode_partition(record: Bytes) -> Result<PartitionRow, TableFault> {
    records::decode_partition_row(record).map_err(|corrupt| fault("partition row", corrupt))
}
