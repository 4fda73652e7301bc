//! One instance, read without holding up what changes it.

use std::sync::Arc;

use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;
use longhaul_engine::view::InstanceView;

use super::PartitionTables;
use super::record::Record;
use crate::keys;
use crate::rows::Rows;

/// An instance as it was when this was taken, or at a moment between then and being read.
#[must_use = "nothing is read until `view` is called"]
pub struct Reading {
    key: InstanceKey,
    source: Source,
}

enum Source {
    Memory(Option<Record>),
    Rows(Arc<dyn Rows>),
}

impl PartitionTables {
    /// The instance, to be read on any thread. Takes a pointer; what is not in memory stays where it is.
    ///
    /// Whatever was applied before is in it: what is not in memory is written.
    pub fn read(&self, key: &InstanceKey) -> Reading {
        let source = match self.residents.find(key) {
            Some(place) => Source::Memory(self.residents.peek(place).1.cloned()),
            None if self.residents.has_all() => Source::Memory(None),
            None => Source::Rows(Arc::clone(&self.rows)),
        };
        Reading {
            key: key.clone(),
            source,
        }
    }
}

impl Reading {
    /// What clients see of it; `None` if it does not exist. May wait for the disk.
    ///
    /// # Errors
    /// [`TableFault`] if its row cannot be read.
    pub fn view(self) -> Result<Option<InstanceView>, TableFault> {
        let record = match self.source {
            Source::Memory(record) => record,
            Source::Rows(rows) => {
                let row = rows.get(&keys::instance::record(&self.key))?;
                row.map(|row| Record::decode(&self.key, row)).transpose()?
            }
        };
        let instance = record.as_ref().and_then(Record::as_instance);
        Ok(instance.map(|instance| InstanceView::of(&self.key, instance)))
    }
}
