//! Bugs put into what a node of a cluster is given: its store, and its way to other partitions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_engine::message::Message;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::{InstanceKey, InstanceView, TableFault};
use longhaul_partition::{Courier, ProposeError};
use longhaul_storage::PartitionTables;
use longhaul_storage::keys::Kind;
use longhaul_storage::rows::{CompleteRows, Rows, StagedRows, Store};
use longhaul_types::{NodeId, PartitionCount, PartitionId};
use parking_lot::Mutex;

use super::Sabotage;
use crate::moment::Moment;
use crate::node::sabotaged;
use crate::world::World;

/// The way to other partitions that a node is given.
pub(crate) fn courier(sabotage: Sabotage, courier: Arc<dyn Courier>) -> Arc<dyn Courier> {
    match sabotage {
        Sabotage::SentAgain | Sabotage::NeverSent | Sabotage::SentInReverse => {
            Arc::new(BadCourier {
                sabotage,
                courier,
                ways: Arc::default(),
            })
        }
        _ => courier,
    }
}

/// A courier who numbers anew what he delivers.
struct BadCourier {
    sabotage: Sabotage,
    courier: Arc<dyn Courier>,
    ways: Arc<Mutex<BTreeMap<(PartitionId, PartitionId), Way>>>,
}

#[derive(Clone, Copy, Default)]
struct Way {
    deliveries: u64,
    /// By how much the target's numbers are ahead of the source's.
    ahead: i64,
}

/// One delivery in so many is not what it should be.
const BAD_ONE_IN: u64 = 3;

impl Courier for BadCourier {
    fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        mut messages: Vec<Message>,
    ) -> BoxFuture<'static, Result<u64, ProposeError>> {
        let (sabotage, courier) = (self.sabotage, self.courier.clone());
        let ways = self.ways.clone();
        async move {
            let mut way = ways
                .lock()
                .get(&(source, target))
                .copied()
                .unwrap_or_default();
            way.deliveries += 1;
            let count = i64::try_from(messages.len()).expect("few");
            let bad = way.deliveries.is_multiple_of(BAD_ONE_IN);
            if sabotage == Sabotage::SentInReverse {
                messages.reverse();
            }
            let through = first + messages.len() as u64 - 1;
            let answer = match sabotage {
                Sabotage::NeverSent if bad => {
                    way.ahead -= count;
                    through
                }
                _ => {
                    let at = first.saturating_add_signed(way.ahead);
                    let received = courier
                        .deliver(source, target, at, messages.clone())
                        .await?;
                    let answer = received.saturating_add_signed(-way.ahead);
                    if sabotage == Sabotage::SentAgain && bad {
                        let again = courier
                            .deliver(source, target, received + 1, messages)
                            .await;
                        way.ahead += again.map_or(0, |_| count);
                    }
                    answer
                }
            };
            ways.lock().insert((source, target), way);
            Ok(answer)
        }
        .boxed()
    }
}

/// An instance as the stored rows of a replica have it that does not lead.
pub(crate) fn view_of_a_follower(world: &World, key: &InstanceKey) -> Option<InstanceView> {
    let count = PartitionCount::new(world.plan().partitions)?;
    let id = count.partition_of(key.hub, &key.id);
    let leader = world.leader(id)?.node;
    let follower = if leader == 1 { 1 } else { 0 };
    let rows = world.machine(follower).disk.store.partition(id).ok()?;
    let tables = PartitionTables::open(rows, PartitionState::new(id, count), 0).ok()?;
    tables.read(key).view().ok()?
}

/// A store that may take over only some of what another replica sends.
pub(crate) struct SabotagedStore {
    pub(crate) world: World,
    /// The node it is of.
    pub(crate) node: NodeId,
    pub(crate) inner: Arc<dyn Store>,
}

impl Store for SabotagedStore {
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault> {
        let rows = self.inner.partition(partition)?;
        Ok(sabotaged(self.world.sabotage(), rows))
    }

    fn import(&self, partition: PartitionId, dir: &Path) -> Result<Arc<dyn Rows>, TableFault> {
        self.inner.import(partition, dir)
    }

    fn stage(&self, partition: PartitionId) -> Result<Box<dyn StagedRows>, TableFault> {
        Ok(Box::new(Staged {
            world: self.world.clone(),
            replica: (self.node, partition),
            inner: self.inner.stage(partition)?,
            taken: 0,
        }))
    }

    fn partitions(&self) -> Result<Vec<PartitionId>, TableFault> {
        self.inner.partitions()
    }

    fn remove(&self, partition: PartitionId) -> Result<(), TableFault> {
        self.inner.remove(partition)
    }

    fn node_fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.inner.node_fact(key)
    }

    fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.inner.put_node_fact(key, value)
    }
}

struct Staged {
    world: World,
    replica: (NodeId, PartitionId),
    inner: Box<dyn StagedRows>,
    taken: u64,
}

impl StagedRows for Staged {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.taken += 1;
        let lost = match (self.world.sabotage(), Kind::of(key)) {
            (_, Some(Kind::Partition)) => false,
            (Sabotage::HalfSnapshot, _) => self.taken.is_multiple_of(2),
            (Sabotage::SnapshotWithoutTimers, Some(Kind::Active)) => true,
            _ => false,
        };
        match lost {
            true => Ok(()),
            false => self.inner.put(key, value),
        }
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn CompleteRows>, TableFault> {
        let Self {
            world,
            replica,
            inner,
            ..
        } = *self;
        Ok(Box::new(Complete {
            world,
            replica,
            inner: inner.finish()?,
        }))
    }
}

struct Complete {
    world: World,
    replica: (NodeId, PartitionId),
    inner: Box<dyn CompleteRows>,
}

impl CompleteRows for Complete {
    fn install(self: Box<Self>) -> Result<Arc<dyn Rows>, TableFault> {
        let rows = self.inner.install()?;
        let (node, partition) = self.replica;
        self.world.note(Moment::Installed {
            node: node.0,
            partition: partition.0,
        });
        Ok(sabotaged(self.world.sabotage(), rows))
    }
}
