//! Rows of one partition replica as of one moment: a snapshot of the database.
//!
//! A snapshot borrows its database. Views outlive whoever made them, so they own both.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::tables::TableFault;
use rocksdb::{
    DBRawIteratorWithThreadMode, DBWithThreadMode, MultiThreaded, ReadOptions,
    SnapshotWithThreadMode,
};
use self_cell::self_cell;

use super::{Database, RocksRows};
use crate::fault::fault;
use crate::rows::{Cursor, RowsView};

type Db = DBWithThreadMode<MultiThreaded>;
type Snapshot<'a> = SnapshotWithThreadMode<'a, Db>;

self_cell! {
    /// A database as of one moment.
    struct Moment {
        owner: Arc<Database>,
        #[covariant]
        dependent: Snapshot,
    }
}

/// Rows of one copy of a partition as of one moment.
pub(super) struct RocksView {
    moment: Moment,
    family: String,
}

struct RocksCursor<'a> {
    rows: DBRawIteratorWithThreadMode<'a, Db>,
    family: &'a str,
}

impl RocksView {
    pub(super) fn open(rows: &RocksRows) -> Result<Self, TableFault> {
        rows.family()?;
        Ok(Self {
            moment: Moment::new(Arc::clone(&rows.database), |database| {
                database.db.snapshot()
            }),
            family: rows.family.clone(),
        })
    }
}

impl RowsView for RocksView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        let family = self.moment.borrow_owner().family(&self.family)?;
        let found = self.moment.borrow_dependent().get_cf(&family, key);
        let found = found.map_err(|error| fault(&self.family, error))?;
        Ok(found.map(Bytes::from))
    }

    fn walk(&self, range: Range<Vec<u8>>) -> Result<Box<dyn Cursor + '_>, TableFault> {
        let family = self.moment.borrow_owner().family(&self.family)?;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(range.end);
        let snapshot = self.moment.borrow_dependent();
        let mut cursor = RocksCursor {
            rows: snapshot.raw_iterator_cf_opt(&family, options),
            family: &self.family,
        };
        cursor.rows.seek(&range.start);
        cursor.check()?;
        Ok(Box::new(cursor))
    }
}

impl RocksCursor<'_> {
    /// A cursor that met an error looks like one that met the end.
    fn check(&self) -> Result<(), TableFault> {
        match self.rows.valid() {
            true => Ok(()),
            false => self
                .rows
                .status()
                .map_err(|error| fault(self.family, error)),
        }
    }
}

impl Cursor for RocksCursor<'_> {
    fn row(&self) -> Option<(&[u8], &[u8])> {
        self.rows.item()
    }

    fn advance(&mut self) -> Result<(), TableFault> {
        if self.rows.valid() {
            self.rows.next();
        }
        self.check()
    }
}
