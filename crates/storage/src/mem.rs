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
use crate::rows::{Rows, Store};
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
}

impl Store for MemStore {
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault> {
        Ok(self.rows(partition))
    }

    fn import(&self, partition: PartitionId, dir: &Path) -> Result<Arc<dyn Rows>, TableFault> {
        let manifest = snapshot::verify(dir, partition, FileFormat::Rows)?;
        let mut node = self.node.lock();
        let incarnation = node
            .partitions
            .get(&partition)
            .map_or(1, |rows| rows.incarnation() + 1);
        let new = Arc::new(MemRows::import(incarnation, dir, &manifest)?);
        if let Some(old) = node.partitions.insert(partition, Arc::clone(&new)) {
            old.retire();
        }
        Ok(new)
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
