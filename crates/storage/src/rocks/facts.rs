//! The column family `node`: facts of the node itself, durable as soon as they are written.
//!
//! | key | value |
//! |---|---|
//! | `f`, any bytes | what the caller stores |
//! | `p`, partition u16 | `CurrentIncarnation` |

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use longhaul_types::PartitionId;
use rocksdb::{Direction, IteratorMode, WriteBatch, WriteOptions};

use super::{Database, Incarnation};
use crate::fault::fault;
use crate::records::{decode_incarnation, encode_incarnation};

const FAMILY: &str = "node";

/// The key of a fact that a caller names.
pub(super) fn key(name: &[u8]) -> Vec<u8> {
    [b"f", name].concat()
}

fn incarnation_key(partition: PartitionId) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [b'p', high, low]
}

impl Database {
    /// Makes the column family if the database is new.
    pub(super) fn prepare_facts(&self) -> Result<(), TableFault> {
        if self.db.cf_handle(FAMILY).is_some() {
            return Ok(());
        }
        self.db
            .create_cf(FAMILY, &self.tuning.facts())
            .map_err(|error| fault(FAMILY, error))
    }

    pub(super) fn fact(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        let found = self.db.get_cf(&self.family(FAMILY)?, key);
        Ok(found
            .map_err(|error| fault(FAMILY, error))?
            .map(Bytes::from))
    }

    pub(super) fn put_fact(&self, key: &[u8], value: &[u8]) -> Result<(), TableFault> {
        let mut batch = WriteBatch::new();
        batch.put_cf(&self.family(FAMILY)?, key, value);
        self.write_facts(batch)
    }

    fn write_facts(&self, batch: WriteBatch) -> Result<(), TableFault> {
        let family = self.family(FAMILY)?;
        let mut unlogged = WriteOptions::new();
        unlogged.disable_wal(true);
        let written = self
            .db
            .write_opt(batch, &unlogged)
            .and_then(|()| self.db.flush_cf(&family));
        written.map_err(|error| fault(FAMILY, error))
    }

    /// The copy of a partition that is in use.
    pub(super) fn current(
        &self,
        partition: PartitionId,
    ) -> Result<Option<Incarnation>, TableFault> {
        let Some(record) = self.fact(&incarnation_key(partition))? else {
            return Ok(None);
        };
        let number = decode_incarnation(record).map_err(|corrupt| fault(FAMILY, corrupt))?;
        Ok(Some(Incarnation { partition, number }))
    }

    /// From now on, and after a crash, `copy` is the partition.
    pub(super) fn make_current(&self, copy: Incarnation) -> Result<(), TableFault> {
        self.put_fact(
            &incarnation_key(copy.partition),
            &encode_incarnation(copy.number),
        )
    }

    /// From now on, and after a crash, there are no rows of this partition.
    pub(super) fn make_none_current(&self, partition: PartitionId) -> Result<(), TableFault> {
        let mut batch = WriteBatch::new();
        batch.delete_cf(&self.family(FAMILY)?, incarnation_key(partition));
        self.write_facts(batch)
    }

    /// The partitions that have a copy in use, ascending.
    pub(super) fn all_current(&self) -> Result<Vec<PartitionId>, TableFault> {
        let family = self.family(FAMILY)?;
        let prefix = b"p";
        let found = self
            .db
            .iterator_cf(&family, IteratorMode::From(prefix, Direction::Forward));
        let mut partitions = Vec::new();
        for item in found {
            let (key, _) = item.map_err(|error| fault(FAMILY, error))?;
            match key[..] {
                [b'p', high, low] => partitions.push(PartitionId(u16::from_be_bytes([high, low]))),
                _ => break,
            }
        }
        Ok(partitions)
    }
}
