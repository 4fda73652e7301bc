//! The state of a partition as the engine sees it: typed rows, never bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_types::{ExecutionId, PartitionCount, PartitionId, Timestamp};

use crate::entity::Entity;
use crate::instance::Instance;
use crate::key::InstanceKey;
use crate::message::Message;
use crate::requests::RecentRequests;

/// The storage under a partition is broken; the replica must stop.
#[derive(Debug, Clone, thiserror::Error)]
#[error("partition storage is broken at {place}: {reason}")]
pub struct TableFault {
    /// Which row or operation.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The one row that every partition has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// This partition.
    pub id: PartitionId,
    /// How many there are.
    pub count: PartitionCount,
    /// Time of the last batch; never goes back.
    pub clock: Timestamp,
    /// Number of the last message put into the outbox, by target.
    pub sent: BTreeMap<PartitionId, u64>,
    /// Number of the last message received, by source.
    pub received: BTreeMap<PartitionId, u64>,
    /// Requests of [`crate::Command::Once`] that took effect.
    pub requests: RecentRequests,
}

impl PartitionState {
    /// A partition that nothing has happened to.
    #[must_use]
    pub fn new(id: PartitionId, count: PartitionCount) -> Self {
        Self {
            id,
            count,
            clock: Timestamp::EPOCH,
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            requests: RecentRequests::default(),
        }
    }
}

/// Rows of one partition. Synchronous; a read may go to disk.
///
/// A mutable borrow marks the row as changed. Range reads take a limit and are ordered.
pub trait Tables {
    /// The partition's own row.
    fn partition(&self) -> &PartitionState;

    /// The partition's own row, to be changed.
    fn partition_mut(&mut self) -> &mut PartitionState;

    /// An instance, to be read. Keys of entities name none.
    ///
    /// # Errors
    /// [`TableFault`] if the row cannot be read.
    fn instance(&mut self, key: &InstanceKey) -> Result<Option<&Instance>, TableFault>;

    /// An instance, to be changed.
    ///
    /// # Errors
    /// [`TableFault`] if the row cannot be read.
    fn instance_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Instance>, TableFault>;

    /// Puts an instance in place of whatever had the key.
    fn put_instance(&mut self, key: InstanceKey, instance: Instance);

    /// Removes an instance; its history rows are removed by [`Tables::remove_history`].
    fn remove_instance(&mut self, key: &InstanceKey);

    /// An entity, to be read.
    ///
    /// # Errors
    /// [`TableFault`] if the row cannot be read.
    fn entity(&mut self, key: &InstanceKey) -> Result<Option<&Entity>, TableFault>;

    /// An entity, to be changed.
    ///
    /// # Errors
    /// [`TableFault`] if the row cannot be read.
    fn entity_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Entity>, TableFault>;

    /// Puts an entity in place of whatever had the key.
    fn put_entity(&mut self, key: InstanceKey, entity: Entity);

    /// Removes an entity.
    fn remove_entity(&mut self, key: &InstanceKey);

    /// Keys of instances and entities for which [`Instance::is_active`] or [`Entity::is_active`] is true, in order,
    /// after `after`.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    fn active(
        &mut self,
        after: Option<&InstanceKey>,
        limit: usize,
    ) -> Result<Vec<InstanceKey>, TableFault>;

    /// Stores a sealed run of history; `number` counts from 0 within the execution.
    fn put_history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
        framed: Bytes,
    );

    /// A sealed run of history.
    ///
    /// # Errors
    /// [`TableFault`] if the row cannot be read or is missing.
    fn history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
    ) -> Result<Bytes, TableFault>;

    /// Removes the sealed runs 0 to `count` (exclusive) of an execution.
    fn remove_history(&mut self, key: &InstanceKey, execution: &ExecutionId, count: u32);

    /// Puts a message into the outbox.
    fn put_outbox(&mut self, target: PartitionId, number: u64, message: Message);

    /// Messages for `target` numbered after `after`, in order.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    fn outbox(
        &mut self,
        target: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Message)>, TableFault>;

    /// Removes messages for `target` numbered up to and including `through`.
    fn remove_outbox(&mut self, target: PartitionId, through: u64);
}
