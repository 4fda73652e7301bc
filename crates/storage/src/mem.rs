//! The in-memory twin of the store on disk, for tests and simulation.
//!
//! Like a disk it forgets what was not flushed when the node crashes, only that the test says when.

mod rows;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use parking_lot::Mutex;
pub use rows::MemRows;

use crate::records::FileFormat;
use crate::rows::{CompleteRows, Rows, StagedRows, Store};
use crate::snapshot;

/// Rows of all partitions of a node; clones share them, as processes started after another share a disk.
#[derive(Clone, Default)]
pub struct MemStore {
    node: Arc<Mutex<Node>>,
}

#[derive(Default)]
struct Node {
    facts: BTreeMap<Vec<u8>, Bytes>,
    partitions: BTreeMap<PartitionId, Arc<MemRows>>,
}

impl MemStore {
    /// A store in which nothing is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything that was not flushed, as a crash of the node would.
    pub fn crash(&self) {
        for rows in self.node.lock().partitions.values() {
            rows.crash();
        }
    }

    /// As [`Store::partition`], with the type of this store.
    #[must_use]
    pub fn rows(&self, partition: PartitionId) -> Arc<MemRows> {
        let mut node = self.node.lock();
        let rows = node.partitions.entry(partition);
        Arc::clone(rows.or_insert_with(|| Arc::new(MemRows::new(1))))
    }

    fn replace(
        &self,
        partition: PartitionId,
        make: impl FnOnce(u64) -> Result<MemRows, TableFault>,
    ) -> Result<Arc<dyn Rows>, TableFault> {
        let mut node = self.node.lock();
        let old = node.partitions.get(&partition);
        let incarnation = old.map_or(1, |rows| rows.incarnation() + 1);
        let new = Arc::new(make(incarnation)?);
        if let Some(old) = node.partitions.insert(partition, Arc::clone(&new)) {
            old.retire();
        }
        Ok(new)
    }
}

impl Store for MemStore {
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault> {
        Ok(self.rows(partition))
    }

    fn import(&self, partition: PartitionId, dir: &Path) -> Result<Arc<dyn Rows>, TableFault> {
        let manifest = snapshot::verify(dir, partition, FileFormat::Rows)?;
        self.replace(partition, |incarnation| {
            MemRows::import(incarnation, dir, &manifest)
        })
    }

    fn stage(&self, partition: PartitionId) -> Result<Box<dyn StagedRows>, TableFault> {
        Ok(Box::new(MemStaged {
            store: self.clone(),
            partition,
            rows: BTreeMap::new(),
        }))
    }

    fn partitions(&self) -> Result<Vec<PartitionId>, TableFault> {
        Ok(self.node.lock().partitions.keys().copied().collect())
    }

    fn remove(&self, partition: PartitionId) -> Result<(), TableFault> {
        if let Some(old) = self.node.lock().partitions.remove(&partition) {
            old.retire();
        }
        Ok(())
    }

    fn node_fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        Ok(self.node.lock().facts.get(key).cloned())
    }

    fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.node
            .lock()
            .facts
            .insert(key.to_vec(), Bytes::copy_from_slice(value));
        Ok(())
    }
}

/// Rows from another node.
struct MemStaged {
    store: MemStore,
    partition: PartitionId,
    rows: BTreeMap<Vec<u8>, Bytes>,
}

impl StagedRows for MemStaged {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.rows
            .insert(key.to_vec(), Bytes::copy_from_slice(value));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn CompleteRows>, TableFault> {
        Ok(self)
    }
}

impl CompleteRows for MemStaged {
    fn install(self: Box<Self>) -> Result<Arc<dyn Rows>, TableFault> {
        let Self {
            store,
            partition,
            rows,
        } = *self;
        store.replace(partition, |incarnation| Ok(MemRows::of(incarnation, rows)))
    }
}
