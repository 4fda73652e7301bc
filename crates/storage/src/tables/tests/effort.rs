//! What pages cost, counted in rows, whatever the machine does.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use longhaul_engine::Status;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::{InstanceFilter, Span, StatusSet, TimePosition};
use longhaul_engine::tables::{TableFault, Tables};
use longhaul_engine::view::InstanceView;
use longhaul_types::{HubId, InstanceId};

use super::super::PartitionTables;
use super::super::look::page::{ENTRIES, RECORDS};
use super::world::{PARTITION, state};
use crate::conformance::Subject;
use crate::keys::Kind;
use crate::records::{Position, SnapshotManifest, samples};
use crate::rows::{Cursor, Row, RowBatch, Rows, RowsView};
use crate::testing::InMemory;

const INSTANCES: usize = 20_000;
const PAGE: usize = 100;
const HUB: HubId = HubId(1);

/// Rows visited since the last time somebody asked.
#[derive(Default)]
struct Visits {
    entries: AtomicUsize,
    records: AtomicUsize,
}

/// What a page cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    entries: usize,
    records: usize,
}

impl Visits {
    fn count(&self, row: Option<(&[u8], &[u8])>) {
        match row.and_then(|(key, _)| Kind::of(key)) {
            Some(Kind::Created) => self.entries.fetch_add(1, Ordering::Relaxed),
            Some(Kind::Instance) => self.records.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn take(&self) -> Cost {
        Cost {
            entries: self.entries.swap(0, Ordering::Relaxed),
            records: self.records.swap(0, Ordering::Relaxed),
        }
    }
}

impl Cost {
    /// In index entries: a record counts as many as are passed while one is read.
    fn units(self) -> usize {
        self.entries + self.records * (ENTRIES / RECORDS)
    }
}

/// Rows that count how many of them are visited.
struct Counted {
    rows: Arc<dyn Rows>,
    visits: Arc<Visits>,
}

struct CountedView {
    view: Box<dyn RowsView>,
    visits: Arc<Visits>,
}

struct CountedCursor<'a> {
    cursor: Box<dyn Cursor + 'a>,
    visits: &'a Visits,
}

impl Rows for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.rows.get(key)
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.rows.get_durable(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, TableFault> {
        self.rows.scan(prefix, after, limit)
    }

    fn view(&self) -> Result<Box<dyn RowsView>, TableFault> {
        Ok(Box::new(CountedView {
            view: self.rows.view()?,
            visits: Arc::clone(&self.visits),
        }))
    }

    fn write(&self, batch: RowBatch) -> Result<(), TableFault> {
        self.rows.write(batch)
    }

    fn flush(&self) -> Result<(), TableFault> {
        self.rows.flush()
    }

    fn export(&self, dir: &Path) -> Result<SnapshotManifest, TableFault> {
        self.rows.export(dir)
    }
}

impl RowsView for CountedView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableFault> {
        self.visits.count(Some((key, &[])));
        self.view.get(key)
    }

    fn walk(&self, range: Range<Vec<u8>>) -> Result<Box<dyn Cursor + '_>, TableFault> {
        let cursor = self.view.walk(range)?;
        self.visits.count(cursor.row());
        Ok(Box::new(CountedCursor {
            cursor,
            visits: &self.visits,
        }))
    }
}

impl Cursor for CountedCursor<'_> {
    fn row(&self) -> Option<(&[u8], &[u8])> {
        self.cursor.row()
    }

    fn advance(&mut self) -> Result<(), TableFault> {
        self.cursor.advance()?;
        self.visits.count(self.cursor.row());
        Ok(())
    }
}

/// Instances created one after the other, each with the prefix that `prefix` gives for its number.
struct Full {
    tables: PartitionTables,
    visits: Arc<Visits>,
    ids: Vec<InstanceId>,
}

impl Full {
    fn new(prefix: impl Fn(usize) -> &'static str) -> Self {
        let visits = Arc::new(Visits::default());
        let rows = Arc::new(Counted {
            rows: InMemory::new()
                .store()
                .partition(PARTITION)
                .expect("opened"),
            visits: Arc::clone(&visits),
        });
        let mut tables = PartitionTables::open(rows, state(), usize::MAX).expect("opened");
        let ids = (0..INSTANCES)
            .map(|number| InstanceId::trusted(format!("{}{number:06}", prefix(number))));
        let ids: Vec<_> = ids.collect();
        for (id, second) in ids.iter().zip(0..) {
            let mut instance = samples::plain_instance();
            instance.status = Status::Running;
            instance.created_at.seconds = second;
            tables.put_instance(InstanceKey::new(HUB, id.clone()), instance);
        }
        tables.set_applied(Position { term: 1, index: 1 });
        tables.write_through().expect("written");
        Self {
            tables,
            visits,
            ids,
        }
    }

    /// The page after the instance with this number, and what it cost.
    fn page(&mut self, prefix: &str, after: Option<usize>) -> (Vec<InstanceView>, Cost) {
        let filter = InstanceFilter {
            hub: HUB,
            statuses: StatusSet::ALL,
            created: Span::default(),
            id_prefix: prefix.to_owned(),
        };
        let after = after.map(|number| TimePosition {
            at: longhaul_types::Timestamp {
                seconds: i64::try_from(number).expect("few"),
                ..samples::plain_instance().created_at
            },
            id: self.ids[number].clone(),
        });
        let look = self.tables.look().expect("looked");
        self.visits.take();
        let found = look.instances(&filter, after.as_ref(), PAGE);
        (found.expect("read"), self.visits.take())
    }

    /// Reads all pages; none may cost more than twice what the better way costs alone.
    fn check_pages(&mut self, prefix: &str) {
        let matching: Vec<usize> = (0..INSTANCES)
            .filter(|number| self.ids[*number].as_str().starts_with(prefix))
            .collect();
        let mut after = None;
        let mut seen = 0;
        loop {
            let (found, cost) = self.page(prefix, after);
            let expected = matching[seen..].iter().take(PAGE).copied();
            let expected: Vec<usize> = expected.collect();
            assert!(
                found
                    .iter()
                    .map(|view| &view.key.id)
                    .eq(expected.iter().map(|it| &self.ids[*it]))
            );
            seen += found.len();

            let begin = after.map_or(0, |number| number + 1);
            let end = match expected.len() == PAGE {
                true => expected[PAGE - 1] + 1,
                false => INSTANCES,
            };
            let page_records = expected.len();
            let by_time = Cost {
                entries: end - begin,
                records: page_records,
            };
            let by_id = Cost {
                entries: 0,
                records: matching.len(),
            };
            let turns = 2 * ENTRIES + 2;
            let bound = 2 * by_time.units().min(by_id.units()) + turns;
            assert!(
                cost.units() <= bound,
                "{prefix:?} after {after:?}: {cost:?}, at most {bound}"
            );

            if expected.len() < PAGE {
                return;
            }
            after = expected.last().copied();
        }
    }
}

#[test]
fn a_page_by_prefix_costs_at_most_twice_the_better_way() {
    let mut full = Full::new(|number| match number {
        19_990.. => "last-",
        number if number < 300 => "first-",
        number if number % 1_000 == 7 => "rare-",
        number if number % 10 == 3 => "some-",
        10_000.. => "late-",
        _ => "most-",
    });
    for prefix in [
        "last-",
        "first-",
        "rare-",
        "some-",
        "late-",
        "most-",
        "none-",
        "rare-001007",
    ] {
        full.check_pages(prefix);
    }
}

#[test]
fn few_ids_cost_what_they_are_wherever_they_are_in_time() {
    let mut full = Full::new(|number| match number {
        19_990.. => "last-",
        _ => "most-",
    });
    let (found, cost) = full.page("last-", None);
    assert_eq!(found.len(), 10);
    assert!(cost.records <= 10 && cost.entries <= 2, "{cost:?}");
    let (found, cost) = full.page("none-", None);
    assert_eq!(found.len(), 0);
    assert!(cost.records == 0 && cost.entries <= 2, "{cost:?}");
}

#[test]
fn a_page_without_a_prefix_visits_what_it_answers() {
    let mut full = Full::new(|_| "order-");
    for after in [None, Some(5_000), Some(INSTANCES - 10)] {
        let (found, cost) = full.page("", after);
        assert_eq!(cost.records, found.len());
        assert!(cost.entries <= found.len() + 1, "{cost:?}");
    }
}
