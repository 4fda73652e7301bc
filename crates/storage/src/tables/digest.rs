//! A fingerprint of the whole state, to compare replicas and routes to the same state.

use longhaul_engine::tables::{TableFault, Tables};
use xxhash_rust::xxh3::xxh3_128;

use super::PartitionTables;
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::records;
use crate::rows::Row;

/// Rows read at a time.
const PAGE_ROWS: usize = 1024;

impl PartitionTables {
    /// A fingerprint of the partition's state, instances, entities, history and outbox, wherever they are. Where in the
    /// log the replica is does not enter it, nor does what follows from other rows. Reads everything: for tests and for comparing replicas.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn state_digest(&mut self) -> Result<u128, TableFault> {
        let mut digest = Digest::default();
        let row = records::PartitionRow {
            applied: None,
            membership: None,
            state: self.row.state.clone(),
            indexes_version: 0,
        };
        digest.add(keys::PARTITION, |out| records::put_partition_row(&row, out));
        self.digest_records(&mut digest)?;
        self.digest_runs(&mut digest)?;
        self.digest_outbox(&mut digest)?;
        Ok(digest.sum)
    }

    fn digest_records(&self, digest: &mut Digest) -> Result<(), TableFault> {
        for (key, record) in self.residents.iter() {
            let Some(record) = record else { continue };
            digest.add(&keys::instance::record(key), |out| record.encode(out));
        }
        for kind in [Kind::Entity, Kind::Instance] {
            self.for_each_row(kind, |(key, record)| {
                let decoded = keys::instance::decode(kind, key);
                let decoded = decoded.map_err(|corrupt| fault("instance", corrupt))?;
                if self.residents.find(&decoded).is_none() {
                    digest.add(key, |out| out.extend_from_slice(record));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn digest_runs(&self, digest: &mut Digest) -> Result<(), TableFault> {
        let in_memory = self.runs.in_memory();
        for (key, run) in &in_memory {
            let Some(framed) = run else { continue };
            digest.add(&key.encode(), |out| records::put_history_run(framed, out));
        }
        self.for_each_row(Kind::History, |(key, record)| {
            let decoded = keys::history::RunKey::decode(key);
            let decoded = decoded.map_err(|corrupt| fault("history", corrupt))?;
            if !in_memory.contains_key(&decoded) {
                digest.add(key, |out| out.extend_from_slice(record));
            }
            Ok(())
        })
    }

    fn digest_outbox(&mut self, digest: &mut Digest) -> Result<(), TableFault> {
        let targets: Vec<_> = self.outbox.targets().collect();
        for target in targets {
            let mut after = 0;
            loop {
                let page = self.outbox(target, after, PAGE_ROWS)?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                for (number, message) in &page {
                    let key = keys::outbox::encode(target, *number);
                    digest.add(&key, |out| records::put_message(message, out));
                }
            }
        }
        Ok(())
    }

    fn for_each_row(
        &self,
        kind: Kind,
        mut visit: impl FnMut(&Row) -> Result<(), TableFault>,
    ) -> Result<(), TableFault> {
        let mut after = None;
        loop {
            let page = self
                .rows
                .scan(&kind.prefix(), after.as_deref(), PAGE_ROWS)?;
            page.iter().try_for_each(&mut visit)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.to_vec());
        }
    }
}

/// A sum of the rows' hashes: the order they come in does not matter.
#[derive(Default)]
struct Digest {
    sum: u128,
    buffer: Vec<u8>,
}

impl Digest {
    /// Key and value are told apart by the key's length.
    fn add(&mut self, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.clear();
        self.buffer
            .extend_from_slice(&(key.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(key);
        encode(&mut self.buffer);
        self.sum = self.sum.wrapping_add(xxh3_128(&self.buffer));
    }
}
