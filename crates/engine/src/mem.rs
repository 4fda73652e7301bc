//! [`Tables`] in memory: for tests, simulation and as the model that the real tables are compared with.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use longhaul_types::{ExecutionId, PartitionId};

use crate::entity::Entity;
use crate::instance::Instance;
use crate::key::InstanceKey;
use crate::message::Message;
use crate::tables::{PartitionState, TableFault, Tables};

/// Ordered maps, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemTables {
    /// The partition's own row.
    pub partition: PartitionState,
    /// Instances.
    pub instances: BTreeMap<InstanceKey, Instance>,
    /// Entities.
    pub entities: BTreeMap<InstanceKey, Entity>,
    /// Sealed runs of history.
    pub history: BTreeMap<(InstanceKey, ExecutionId, u32), Bytes>,
    /// Outbox.
    pub outbox: BTreeMap<(PartitionId, u64), Message>,
}

impl MemTables {
    /// An empty partition.
    #[must_use]
    pub fn new(partition: PartitionState) -> Self {
        Self {
            partition,
            instances: BTreeMap::new(),
            entities: BTreeMap::new(),
            history: BTreeMap::new(),
            outbox: BTreeMap::new(),
        }
    }
}

impl Tables for MemTables {
    fn partition(&self) -> &PartitionState {
        &self.partition
    }

    fn partition_mut(&mut self) -> &mut PartitionState {
        &mut self.partition
    }

    fn instance(&mut self, key: &InstanceKey) -> Result<Option<&Instance>, TableFault> {
        Ok(self.instances.get(key))
    }

    fn instance_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Instance>, TableFault> {
        Ok(self.instances.get_mut(key))
    }

    fn put_instance(&mut self, key: InstanceKey, instance: Instance) {
        self.instances.insert(key, instance);
    }

    fn remove_instance(&mut self, key: &InstanceKey) {
        self.instances.remove(key);
    }

    fn entity(&mut self, key: &InstanceKey) -> Result<Option<&Entity>, TableFault> {
        Ok(self.entities.get(key))
    }

    fn entity_mut(&mut self, key: &InstanceKey) -> Result<Option<&mut Entity>, TableFault> {
        Ok(self.entities.get_mut(key))
    }

    fn put_entity(&mut self, key: InstanceKey, entity: Entity) {
        self.entities.insert(key, entity);
    }

    fn remove_entity(&mut self, key: &InstanceKey) {
        self.entities.remove(key);
    }

    fn active(
        &mut self,
        after: Option<&InstanceKey>,
        limit: usize,
    ) -> Result<Vec<InstanceKey>, TableFault> {
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let instances = self
            .instances
            .range::<InstanceKey, _>(range)
            .filter(|(_, instance)| instance.is_active())
            .map(|(key, _)| key);
        let entities = self
            .entities
            .range::<InstanceKey, _>(range)
            .filter(|(_, entity)| entity.is_active())
            .map(|(key, _)| key);
        let mut keys: Vec<InstanceKey> = instances
            .take(limit)
            .chain(entities.take(limit))
            .cloned()
            .collect();
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    fn put_history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
        framed: Bytes,
    ) {
        self.history
            .insert((key.clone(), execution.clone(), number), framed);
    }

    fn history(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        number: u32,
    ) -> Result<Bytes, TableFault> {
        self.history
            .get(&(key.clone(), execution.clone(), number))
            .cloned()
            .ok_or_else(|| TableFault {
                place: format!("history {key:?} {execution} {number}"),
                reason: "the row is missing".to_owned(),
            })
    }

    fn remove_history(&mut self, key: &InstanceKey, execution: &ExecutionId, count: u32) {
        for number in 0..count {
            self.history
                .remove(&(key.clone(), execution.clone(), number));
        }
    }

    fn put_outbox(&mut self, target: PartitionId, number: u64, message: Message) {
        self.outbox.insert((target, number), message);
    }

    fn outbox(
        &mut self,
        target: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Message)>, TableFault> {
        let range = self.outbox.range((
            Bound::Excluded((target, after)),
            Bound::Included((target, u64::MAX)),
        ));
        Ok(range
            .map(|((_, number), message)| (*number, message.clone()))
            .take(limit)
            .collect())
    }

    fn remove_outbox(&mut self, target: PartitionId, through: u64) {
        self.outbox
            .retain(|(to, number), _| *to != target || *number > through);
    }
}
