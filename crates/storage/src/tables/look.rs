//! The partition as of one moment, searched while it goes on changing.
//!
//! ```text
//!   under the partition's lock     a view of the rows, and pointers to what changed since the last look
//!   without it                     what the rows do not hold yet becomes layers over them, to be searched like rows
//! ```
//!
//! | search | walks | reads |
//! |---|---|---|
//! | instances | index by creation, a lane per status; by prefix also the rows of the ids | records it answers |
//! | ended instances | index by completion, a lane per status | nothing else |
//! | entities | rows of entities | those it walks |
//! | keys | rows of instances and of entities | nothing else |

mod layer;
mod merge;
mod order;
pub(super) mod page;
mod sorted;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::query::{
    EndedFilter, EntityQuery, EntityView, InstanceFilter, Span, StatusSet, TimePosition,
};
use longhaul_engine::tables::TableFault;
use longhaul_engine::view::InstanceView;
use longhaul_engine::{Instance, Status};
use longhaul_types::{HubId, InstanceId, limits};

use super::PartitionTables;
use super::record::{Derived, Record};
use crate::fault::fault;
use crate::keys::{self, Kind};
use crate::rows::RowsView;
use layer::Layer;
pub(super) use layer::{Change, Version};
use merge::{Merge, Next};
use order::{ById, ByTime};

/// The partition as of one moment. To be dropped soon: it keeps alive what has changed since.
pub struct Look {
    rows: Box<dyn RowsView>,
    /// What the rows do not hold yet.
    unwritten: Unwritten,
    layers: OnceLock<[Layer; 2]>,
}

/// What changed up to one moment and was not known then to be written.
#[derive(Clone, Default)]
pub(super) struct Unwritten {
    /// In the generation that is on its way to the rows.
    pub(super) frozen: Option<Arc<Version>>,
    /// In the one after it.
    pub(super) current: Option<Arc<Version>>,
}

impl PartitionTables {
    /// The partition as it is now, to be searched on any thread. Takes a pointer per record that has changed since the
    /// last look.
    ///
    /// # Errors
    /// [`TableFault`] if the store is broken.
    pub fn look(&mut self) -> Result<Look, TableFault> {
        Ok(Look {
            rows: self.rows.view()?,
            unwritten: self.residents.look(),
            layers: OnceLock::new(),
        })
    }
}

impl Look {
    /// What is unwritten, the newer above the older.
    fn layers(&self) -> &[Layer] {
        let Unwritten { frozen, current } = &self.unwritten;
        self.layers.get_or_init(|| {
            [frozen, current]
                .map(|version| version.as_ref().map(|it| it.layer()).unwrap_or_default())
        })
    }

    /// Up to `limit` instances that match, after a position, by creation time and id; fewer only if there are no more, or
    /// with [`limits::SEARCH_BYTES_MAX`] bytes of payloads.
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
        page::first(self, &order, limit)
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
                Next::Paused => {}
                Next::End => break,
            }
        }
        Ok(found)
    }

    /// Up to `limit` entities that match, after an id, by id; fewer only if there are no more, or with
    /// [`limits::SEARCH_BYTES_MAX`] bytes of states.
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
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < limit && bytes < limits::SEARCH_BYTES_MAX {
            let view = match merge.next()? {
                Next::Row { key, value } => {
                    let key = decode_key(Kind::Entity, key)?;
                    let record = Record::decode(&key, Bytes::copy_from_slice(value))?;
                    view_entity(&key, &record, query)
                }
                Next::Unwritten { key, record } => view_entity(key, record, query),
                Next::Paused => None,
                Next::End => break,
            };
            bytes += view.as_ref().map_or(0, EntityView::payload_bytes);
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
                Next::Paused => {}
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
                Next::Paused => None,
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
