//! The store on disk: one RocksDB database for a node.
//!
//! ```text
//! column family   holds                                     written
//! default         nothing
//! node            which incarnation is current, node facts  rarely, flushed at once
//! p<P>-<I>        incarnation I of partition P              by checkpoints, flushed by the caller or when large
//! ```
//!
//! RocksDB's own write-ahead log is never used: the node's log holds everything that is not flushed yet. A partition
//! is one column family because a flush of one is atomic, dropping one is cheap, and a snapshot can be ingested into
//! a new one while the old one is still whole.

mod export;
mod facts;
mod import;
mod options;
mod rows;
mod staging;
mod view;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use parking_lot::Mutex;
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options,
};
pub use rows::RocksRows;

use crate::config::Config;
use crate::fault::fault;
use crate::rows::{Rows, StagedRows, Store};
use options::Tuning;
use staging::RocksStaged;

/// The name of the file that a RocksDB directory always has.
const CURRENT_FILE: &str = "CURRENT";

/// Rows of all partitions of a node, in RocksDB. Clones share the database, which is closed with the last handle.
#[derive(Clone)]
pub struct RocksStore {
    database: Arc<Database>,
}

pub(crate) struct Database {
    db: DBWithThreadMode<MultiThreaded>,
    tuning: Tuning,
    /// Held while column families are made, switched or dropped; the last copy of each partition that was made since the
    /// database was opened, so that a handle to one that is gone never finds another one of the same name.
    families: Mutex<Numbers>,
    /// Stagings begun since the database was opened.
    stagings: AtomicU64,
}

type Numbers = BTreeMap<PartitionId, u64>;

/// One copy of a partition: a column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Incarnation {
    partition: PartitionId,
    number: u64,
}

impl RocksStore {
    /// Opens the database in `dir`, or makes one. Removes what interrupted imports left behind.
    ///
    /// # Errors
    /// [`TableFault`] if the configuration is refused, or the database cannot be opened or is broken.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, TableFault> {
        let place = format!("database {}", dir.display());
        config
            .validate()
            .map_err(|invalid| fault(&place, invalid))?;
        let tuning = Tuning::new(config);
        let options = tuning.database();
        let names = if dir.join(CURRENT_FILE).exists() {
            DBWithThreadMode::<MultiThreaded>::list_cf(&options, dir)
                .map_err(|error| fault(&place, error))?
        } else {
            Vec::new()
        };
        let families: Vec<ColumnFamilyDescriptor> = names
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&tuning, name)))
            .collect();
        let db = DBWithThreadMode::open_cf_descriptors(&options, dir, families)
            .map_err(|error| fault(&place, error))?;
        let database = Database {
            db,
            tuning,
            families: Mutex::default(),
            stagings: AtomicU64::new(0),
        };
        staging::clear(dir)?;
        database.prepare_facts()?;
        let copies = names.iter().filter_map(|name| Incarnation::parse(name));
        for copy in copies {
            if database.current(copy.partition)? != Some(copy) {
                database.drop_copy(copy)?;
            }
        }
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// As [`Store::partition`], with the type of this store.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn rows(&self, partition: PartitionId) -> Result<RocksRows, TableFault> {
        let mut numbers = self.database.families.lock();
        let copy = match self.database.current(partition)? {
            Some(copy) => copy,
            None => {
                let copy = self.database.next(&mut numbers, partition, None);
                self.database.create_copy(copy)?;
                self.database.make_current(copy)?;
                copy
            }
        };
        RocksRows::open(Arc::clone(&self.database), copy)
    }
}

#[cfg(test)]
impl RocksStore {
    /// Removes no file any more.
    pub(crate) fn keep_files(&self) {
        self.database.db.disable_file_deletions().expect("allowed");
    }
}

impl Store for RocksStore {
    fn partition(&self, partition: PartitionId) -> Result<Arc<dyn Rows>, TableFault> {
        Ok(Arc::new(self.rows(partition)?))
    }

    fn import(&self, partition: PartitionId, dir: &Path) -> Result<Arc<dyn Rows>, TableFault> {
        let copy = self.database.import(partition, dir)?;
        Ok(Arc::new(RocksRows::open(Arc::clone(&self.database), copy)?))
    }

    fn stage(&self, partition: PartitionId) -> Result<Box<dyn StagedRows>, TableFault> {
        let number = self.database.stagings.fetch_add(1, Ordering::Relaxed);
        let database = Arc::clone(&self.database);
        Ok(Box::new(RocksStaged::begin(database, partition, number)?))
    }

    fn partitions(&self) -> Result<Vec<PartitionId>, TableFault> {
        self.database.all_current()
    }

    fn remove(&self, partition: PartitionId) -> Result<(), TableFault> {
        let mut numbers = self.database.families.lock();
        let Some(copy) = self.database.current(partition)? else {
            return Ok(());
        };
        self.database.next(&mut numbers, partition, Some(copy));
        self.database.make_none_current(partition)?;
        // If this does not happen any more, the next start does it.
        self.database.drop_copy(copy)
    }

    fn node_fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.database.fact(&facts::key(key))
    }

    fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        self.database.put_fact(&facts::key(key), value)
    }
}

impl Database {
    fn family(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>, TableFault> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| fault(name, "the column family is gone"))
    }

    /// The number of a partition's next copy, after the current one and all that were made before.
    fn next(
        &self,
        numbers: &mut Numbers,
        partition: PartitionId,
        current: Option<Incarnation>,
    ) -> Incarnation {
        let last = numbers.entry(partition).or_default();
        *last = current.map_or(0, |copy| copy.number).max(*last) + 1;
        Incarnation {
            partition,
            number: *last,
        }
    }

    fn create_copy(&self, copy: Incarnation) -> Result<(), TableFault> {
        let name = copy.name();
        self.db
            .create_cf(&name, &self.tuning.partition())
            .map_err(|error| fault(&name, error))
    }

    fn drop_copy(&self, copy: Incarnation) -> Result<(), TableFault> {
        let name = copy.name();
        self.db.drop_cf(&name).map_err(|error| fault(&name, error))
    }
}

impl Incarnation {
    fn name(self) -> String {
        format!("p{}-{}", self.partition, self.number)
    }

    fn parse(name: &str) -> Option<Self> {
        let (partition, number) = name.strip_prefix('p')?.split_once('-')?;
        Some(Self {
            partition: PartitionId(partition.parse().ok()?),
            number: number.parse().ok()?,
        })
    }
}

fn family_options(tuning: &Tuning, name: &str) -> Options {
    if Incarnation::parse(name).is_some() {
        tuning.partition()
    } else {
        tuning.facts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copies_round_trip() {
        let copy = Incarnation {
            partition: PartitionId(12),
            number: 3,
        };
        assert_eq!(copy.name(), "p12-3");
        assert_eq!(Incarnation::parse("p12-3"), Some(copy));
        for other in ["default", "node", "p", "p1", "p-1", "p1-x", "p99999-1"] {
            assert_eq!(Incarnation::parse(other), None);
        }
    }
}
