//! The partition as of one moment, searched while it goes on changing.
//!
//! ```text
//!   under the partition's lock     a view of the rows, and what they do not hold yet: pointers only
//!   without it                     rows whose keys are unwritten are left out, the unwritten put in their place
//! ```
//!
//! | search | walks | reads |
//! |---|---|---|
//! | instances | index by creation, a lane per status; the rows of the ids if these are few | records it answers |
//! | ended instances | index by completion, a lane per status | nothing else |
//! | entities | rows of entities | those it walks |
//! | keys | rows of instances and of entities | nothing else |

mod merge;
mod order;

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::{
    EndedFilter, EntityQuery, EntityView, InstanceFilter, Span, StatusSet, TimePosition,
};
use longhaul_engine::tables::TableFault;
use longhaul_engine::view::InstanceView;
use longhaul_engine::{Instance, Status};
use longhaul_types::{HubId, InstanceId};

use super::PartitionTables;
use super::record::{Derived, Record};
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::rows::RowsView;
use merge::{Merge, Next};
use order::{ById, ByTime};

/// The partition as of one moment. To be dropped soon: it keeps alive what has changed since.
pub struct Look {
    rows: Box<dyn RowsView>,
    /// What the rows do not hold yet, each key once; `None` is removed.
    unwritten: Vec<Unwritten>,
    pub(super) effort: Effort,
}

type Unwritten = (InstanceKey, Option<Record>);

/// When instances are searched for by their ids instead of by their times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// So many index entries with other ids were passed over.
    pub(super) passed_over_max: usize,
    /// There are not more instances with such ids than this.
    pub(super) ids_max: usize,
    /// Nor are there more bytes of them.
    pub(super) id_bytes_max: usize,
}

impl Default for Effort {
    /// Bounds what a page costs beyond one pass over the index.
    fn default() -> Self {
        Self {
            passed_over_max: 10_000,
            ids_max: 10_000,
            id_bytes_max: 16 << 20,
        }
    }
}

impl PartitionTables {
    /// The partition as it is now, to be searched on any thread. Takes a pointer per record that is not written yet.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn look(&self) -> Result<Look, TableFault> {
        let unwritten = self.residents.iter_unwritten();
        Ok(Look {
            rows: self.rows.view()?,
            unwritten: unwritten
                .map(|(key, record)| (key.clone(), record.cloned()))
                .collect(),
            effort: Effort::default(),
        })
    }
}

impl Look {
    /// Up to `limit` instances that match, after a position, by creation time and id.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn instances(
        &self,
        filter: &InstanceFilter,
        after: Option<&TimePosition>,
        limit: usize,
    ) -> Result<Vec<InstanceView>, TableFault> {
        let order = ByTime {
            kind: Kind::Created,
            hub: filter.hub,
            statuses: filter.statuses,
            span: filter.created,
            id_prefix: &filter.id_prefix,
            after,
        };
        let mut merge = Merge::by_time(self, &order)?;
        merge.patience = Some(self.effort.passed_over_max);
        let mut found = Vec::new();
        while found.len() < limit {
            match merge.next()? {
                Next::Row { key, .. } => found.push(self.read_indexed(key)?),
                Next::Unwritten { key, record } => {
                    let instance = record.as_instance();
                    found.extend(instance.map(|instance| InstanceView::of(key, instance)));
                }
                Next::OutOfPatience => {
                    if let Some(found) = self.instances_by_id(&order, limit)? {
                        return Ok(found);
                    }
                }
                Next::End => break,
            }
        }
        Ok(found)
    }

    /// Up to `limit` ended instances that match, after a position, by completion time and id.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn ended(
        &self,
        filter: &EndedFilter,
        after: Option<&TimePosition>,
        limit: usize,
    ) -> Result<Vec<TimePosition>, TableFault> {
        let order = ByTime {
            kind: Kind::Finished,
            hub: filter.hub,
            statuses: filter.statuses.terminal(),
            span: filter.completed,
            id_prefix: "",
            after,
        };
        let mut merge = Merge::by_time(self, &order)?;
        let mut found = Vec::new();
        while found.len() < limit {
            match merge.next()? {
                Next::Row { key, .. } => {
                    let entry = decode_entry(Kind::Finished, key)?;
                    found.push(TimePosition {
                        at: entry.at,
                        id: entry.id,
                    });
                }
                Next::Unwritten { key, record } => found.extend(order.position(key, record)),
                Next::OutOfPatience => {}
                Next::End => break,
            }
        }
        Ok(found)
    }

    /// Up to `limit` entities that match, after an id, by id.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn entities(
        &self,
        query: &EntityQuery,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<EntityView>, TableFault> {
        let after = after.map(|after| InstanceKey::new(query.hub, after.clone()));
        let order = ById {
            kinds: &[Kind::Entity],
            hub: query.hub,
            id_prefix: &query.id_prefix,
            after: after.as_ref(),
        };
        let mut merge = Merge::by_id(self, &order)?;
        let mut found = Vec::new();
        while found.len() < limit {
            let view = match merge.next()? {
                Next::Row { key, value } => {
                    let key = decode_key(Kind::Entity, key)?;
                    let record = Record::decode(&key, Bytes::copy_from_slice(value))?;
                    view_entity(&key, &record, query)
                }
                Next::Unwritten { key, record } => view_entity(key, record, query),
                Next::OutOfPatience => None,
                Next::End => break,
            };
            found.extend(view);
        }
        Ok(found)
    }

    /// Up to `limit` keys of instances and entities of a hub, after a key, in order.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn keys(
        &self,
        hub: HubId,
        after: Option<&InstanceKey>,
        limit: usize,
    ) -> Result<Vec<InstanceKey>, TableFault> {
        let order = ById {
            kinds: &[Kind::Entity, Kind::Instance],
            hub,
            id_prefix: "",
            after,
        };
        let mut merge = Merge::by_id(self, &order)?;
        let mut found = Vec::new();
        while found.len() < limit {
            match merge.next()? {
                Next::Row { key, .. } => {
                    let kind = Kind::of(key).unwrap_or(Kind::Instance);
                    found.push(decode_key(kind, key)?);
                }
                Next::Unwritten { key, .. } => found.push(key.clone()),
                Next::OutOfPatience => {}
                Next::End => break,
            }
        }
        Ok(found)
    }

    /// How many instances of a hub there are, by status; statuses without any are left out. Walks the whole index.
    ///
    /// # Errors
    /// [`TableFault`] if rows cannot be read.
    pub fn count(&self, hub: HubId) -> Result<BTreeMap<Status, u64>, TableFault> {
        let order = ByTime {
            kind: Kind::Created,
            hub,
            statuses: StatusSet::ALL,
            span: Span::default(),
            id_prefix: "",
            after: None,
        };
        let mut merge = Merge::by_time(self, &order)?;
        let mut counts = BTreeMap::new();
        loop {
            let status = match merge.next()? {
                Next::Row { key, .. } => Some(decode_entry(Kind::Created, key)?.status),
                Next::Unwritten { record, .. } => {
                    record.as_instance().map(Instance::effective_status)
                }
                Next::OutOfPatience => None,
                Next::End => return Ok(counts),
            };
            if let Some(status) = status {
                *counts.entry(status).or_default() += 1;
            }
        }
    }

    /// The instance that an entry of the index by creation names.
    fn read_indexed(&self, entry: &[u8]) -> Result<InstanceView, TableFault> {
        let named = decode_entry(Kind::Created, entry)?;
        let key = InstanceKey::new(named.hub, named.id);
        let wrong = |reason| fault(format!("index entry of {key:?}"), reason);
        let record = self.rows.get(&keys::instance::record(&key))?;
        let record = record.ok_or_else(|| wrong("the record is missing"))?;
        let record = Record::decode(&key, record)?;
        let mut entries = Derived::of(&record).index_entries(&key);
        match record.as_instance() {
            Some(instance) if entries.any(|right| right == entry) => {
                Ok(InstanceView::of(&key, instance))
            }
            _ => Err(wrong("the record says something else")),
        }
    }

    /// Reads all instances whose ids match and keeps those that come first; `None` if there are too many.
    fn instances_by_id(
        &self,
        order: &ByTime<'_>,
        limit: usize,
    ) -> Result<Option<Vec<InstanceView>>, TableFault> {
        let ids = ById {
            kinds: &[Kind::Instance],
            hub: order.hub,
            id_prefix: order.id_prefix,
            after: None,
        };
        let mut merge = Merge::by_id(self, &ids)?;
        let mut first = BTreeMap::new();
        let mut keep = |key: &InstanceKey, record: &Record| {
            if let (Some(instance), Some(place)) =
                (record.as_instance(), order.position(key, record))
            {
                first.insert(place, InstanceView::of(key, instance));
            }
            if first.len() > limit {
                first.pop_last();
            }
        };
        let (mut rows, mut bytes) = (0, 0);
        loop {
            match merge.next()? {
                Next::Row { key, value } => {
                    rows += 1;
                    bytes += value.len();
                    if rows > self.effort.ids_max || bytes > self.effort.id_bytes_max {
                        return Ok(None);
                    }
                    let key = decode_key(Kind::Instance, key)?;
                    keep(&key, &Record::decode(&key, Bytes::copy_from_slice(value))?);
                }
                Next::Unwritten { key, record } => keep(key, record),
                Next::OutOfPatience => {}
                Next::End => break,
            }
        }
        Ok(Some(first.into_values().collect()))
    }
}

fn view_entity(key: &InstanceKey, record: &Record, query: &EntityQuery) -> Option<EntityView> {
    let view = record.as_entity()?.view(key, query.transient)?;
    query.modified.contains(view.modified_at).then_some(view)
}

fn decode_entry(kind: Kind, key: &[u8]) -> Result<keys::index::Entry, TableFault> {
    keys::index::decode(kind, key).map_err(|corrupt| fault("index entry", corrupt))
}

fn decode_key(kind: Kind, key: &[u8]) -> Result<InstanceKey, TableFault> {
    keys::instance::decode(kind, key).map_err(|corrupt| fault("instance", corrupt))
}
