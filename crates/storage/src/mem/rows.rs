//! Rows of one partition replica in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use longhaul_engine::tables::TableFault;
use parking_lot::{MappedRwLockReadGuard, MappedRwLockWriteGuard};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::fault::fault;
use crate::keys;
use crate::records::{FileFormat, SnapshotManifest, decode_partition_row};
use crate::rows::{Cursor, Operation, Row, RowBatch, Rows, RowsView};
use crate::snapshot;

const FILE: &str = "000000.rows";

/// Rows of one partition replica in memory.
pub struct MemRows {
    incarnation: u64,
    /// `None` once other rows were put in place of these. Copied before a change while there are views of them.
    layers: RwLock<Option<Arc<Layers>>>,
}

/// Rows as of one moment.
struct MemView(Arc<Layers>);

struct MemCursor<'a> {
    row: Option<Row>,
    rest: Box<dyn Iterator<Item = Row> + 'a>,
}

/// What a crash leaves, and what was written since.
#[derive(Clone, Default)]
struct Layers {
    durable: BTreeMap<Vec<u8>, Bytes>,
    /// `None` is a row removed.
    fresh: BTreeMap<Vec<u8>, Option<Bytes>>,
}

impl MemRows {
    pub(super) fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            layers: RwLock::new(Some(Arc::default())),
        }
    }

    /// Rows read from an export; durable.
    pub(super) fn import(
        incarnation: u64,
        dir: &Path,
        manifest: &SnapshotManifest,
    ) -> Result<Self, TableFault> {
        let mut durable = BTreeMap::new();
        for file in &manifest.files {
            let path = dir.join(&file.name);
            let content = std::fs::read(&path).map_err(|error| fault(path.display(), error))?;
            let mut rest = Bytes::from(content);
            while rest.has_remaining() {
                let malformed = || fault(path.display(), "the file is malformed");
                let key = take_part(&mut rest).ok_or_else(malformed)?;
                let value = take_part(&mut rest).ok_or_else(malformed)?;
                durable.insert(key.to_vec(), value);
            }
        }
        Ok(Self::of(incarnation, durable))
    }

    /// These rows, durable.
    pub(super) fn of(incarnation: u64, durable: BTreeMap<Vec<u8>, Bytes>) -> Self {
        let layers = Layers {
            durable,
            fresh: BTreeMap::new(),
        };
        Self {
            incarnation,
            layers: RwLock::new(Some(Arc::new(layers))),
        }
    }

    /// Which copy of the partition this is.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Forgets what was not flushed.
    pub(super) fn crash(&self) {
        if let Some(layers) = &mut *self.layers.write() {
            Arc::make_mut(layers).fresh.clear();
        }
    }

    /// Other rows were put in place of these.
    pub(super) fn retire(&self) {
        *self.layers.write() = None;
    }

    fn read(&self) -> Result<MappedRwLockReadGuard<'_, Arc<Layers>>, TableFault> {
        RwLockReadGuard::try_map(self.layers.read(), Option::as_ref).map_err(|_| self.retired())
    }

    fn change(&self) -> Result<MappedRwLockWriteGuard<'_, Layers>, TableFault> {
        let layers = RwLockWriteGuard::try_map(self.layers.write(), |layers| {
            layers.as_mut().map(Arc::make_mut)
        });
        layers.map_err(|_| self.retired())
    }

    fn retired(&self) -> TableFault {
        let place = format!("incarnation {}", self.incarnation);
        fault(place, "other rows were put in place of these")
    }
}

impl Rows for MemRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        Ok(self.read()?.get(key))
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        Ok(self.read()?.durable.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(self
            .read()?
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .collect())
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        Ok(Box::new(MemView(Arc::clone(&*self.read()?))))
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        let mut layers = self.change()?;
        for operation in batch.operations() {
            layers.perform(operation);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), TableFault> {
        let mut layers = self.change()?;
        let Layers { durable, fresh } = &mut *layers;
        for (key, value) in std::mem::take(fresh) {
            match value {
                Some(value) => drop(durable.insert(key, value)),
                None => drop(durable.remove(&key)),
            }
        }
        Ok(())
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        let layers = Arc::clone(&*self.read()?);
        let mut content = Vec::new();
        let mut row = None;
        for (key, value) in layers.range((Bound::Unbounded, Bound::Unbounded)) {
            if key == keys::PARTITION {
                let decoded = decode_partition_row(value.clone());
                row = Some(decoded.map_err(|corrupt| fault("partition row", corrupt))?);
            }
            put_part(&key, &mut content);
            put_part(&value, &mut content);
        }
        snapshot::write_synced(&dir.join(FILE), &content)?;
        let files = vec![snapshot::describe(dir, FILE)?];
        snapshot::write_manifest(dir, row, self.incarnation, FileFormat::Rows, files)
    }
}

impl RowsView for MemView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        Ok(self.0.get(key))
    }

    fn walk(&self, range: Range<Vec<u8>>) -> Result<Box<dyn Cursor + '_>, TableFault> {
        let rows = (!range.is_empty()).then(|| {
            let from = Bound::Included(&range.start[..]);
            self.0.range((from, Bound::Excluded(&range.end[..])))
        });
        let mut rest = rows.into_iter().flatten();
        Ok(Box::new(MemCursor {
            row: rest.next(),
            rest: Box::new(rest),
        }))
    }
}

impl Cursor for MemCursor<'_> {
    fn row(&self) -> Option<(&[u8], &[u8])> {
        self.row.as_ref().map(|(key, value)| (&key[..], &value[..]))
    }

    fn advance(&mut self) -> Result<(), TableFault> {
        self.row = self.rest.next();
        Ok(())
    }
}

impl Layers {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.fresh.get(key) {
            Some(fresh) => fresh.clone(),
            None => self.durable.get(key).cloned(),
        }
    }

    fn perform(&mut self, operation: Operation<'_>) {
        match operation {
            Operation::Put { key, value } => {
                self.fresh
                    .insert(key.to_vec(), Some(Bytes::copy_from_slice(value)));
            }
            Operation::Delete { key } => {
                self.fresh.insert(key.to_vec(), None);
            }
            Operation::DeleteRange { from, to } => {
                let range = (Bound::Included(from), Bound::Excluded(to));
                let stored: Vec<Vec<u8>> = self
                    .durable
                    .range::<[u8], _>(range)
                    .map(|(key, _)| key.clone())
                    .collect();
                self.fresh.extend(stored.into_iter().map(|key| (key, None)));
                self.fresh
                    .range_mut::<[u8], _>(range)
                    .for_each(|(_, value)| *value = None);
            }
        }
    }

    /// The rows of a range that is not reversed, in order.
    fn range<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = Row> + use<'a> {
        let mut durable = self.durable.range::<[u8], _>(range).peekable();
        let mut fresh = self.fresh.range::<[u8], _>(range).peekable();
        std::iter::from_fn(move || {
            loop {
                let key = match (durable.peek(), fresh.peek()) {
                    (None, None) => return None,
                    (Some((key, _)), None) | (None, Some((key, _))) => *key,
                    (Some((durable, _)), Some((fresh, _))) => (*durable).min(*fresh),
                };
                let below = durable
                    .next_if(|(durable, _)| *durable == key)
                    .map(|(_, value)| value);
                let value = match fresh.next_if(|(fresh, _)| *fresh == key) {
                    Some((_, fresh)) => fresh.as_ref(),
                    None => below,
                };
                if let Some(value) = value {
                    return Some((Bytes::copy_from_slice(key), value.clone()));
                }
            }
        })
    }
}

fn put_part(part: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(part.len()).expect("a row is far below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(part);
}

fn take_part(rest: &mut Bytes) -> Option<Bytes> {
    let len = rest.try_get_u32_le().ok()? as usize;
    (len <= rest.len()).then(|| rest.split_to(len))
}
