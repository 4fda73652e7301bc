//! What a key stands for, and the rows that follow from it.
//!
//! ```text
//!             record   marker (while it makes work)   by creation   by completion (once it ended)
//! instance      i              l                           s              f
//! entity        e              l
//! ```
//!
//! A checkpoint writes the record and corrects the others; what they were is known for most records in memory, and
//! follows from the old record otherwise.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_engine::key::InstanceKey;
use longhaul_engine::tables::TableFault;
use longhaul_engine::{Entity, Instance, Status};

use crate::fault::fault;
use crate::keys::index::SortableTime;
use crate::keys::{self, Kind};
use crate::records;

/// An instance or an entity; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Instance(Arc<Instance>),
    Entity(Arc<Entity>),
}

/// What the rows that follow from a record are made of. Small, since every record in memory has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Derived {
    active: bool,
    indexed: Option<Indexed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Indexed {
    status: Status,
    created_at: SortableTime,
    /// Of one that ended.
    completed_at: Option<SortableTime>,
}

impl Record {
    /// Decodes what the row of `key` holds.
    pub(super) fn decode(key: &InstanceKey, record: Bytes) -> Result<Self, TableFault> {
        let (what, decoded) = match keys::instance::kind(key) {
            Kind::Entity => (
                "entity",
                records::decode_entity(record).map(|entity| Self::Entity(Arc::new(entity))),
            ),
            _ => (
                "instance",
                records::decode_instance(record).map(|instance| Self::Instance(Arc::new(instance))),
            ),
        };
        decoded.map_err(|corrupt| fault(format!("{what} {key:?}"), corrupt))
    }

    /// Appends what the row is to hold.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Instance(instance) => records::put_instance(instance, out),
            Self::Entity(entity) => records::put_entity(entity, out),
        }
    }

    /// Whether it is an instance that is over.
    pub(super) fn has_ended(&self) -> bool {
        self.as_instance().is_some_and(|it| it.status.is_terminal())
    }

    /// Whether it makes work.
    pub(super) fn is_active(&self) -> bool {
        match self {
            Self::Instance(instance) => instance.is_active(),
            Self::Entity(entity) => entity.is_active(),
        }
    }

    pub(super) fn as_instance(&self) -> Option<&Instance> {
        match self {
            Self::Instance(instance) => Some(instance),
            Self::Entity(_) => None,
        }
    }

    /// To be changed; while the record is shared, a copy is.
    pub(super) fn as_instance_mut(&mut self) -> Option<&mut Instance> {
        match self {
            Self::Instance(instance) => Some(Arc::make_mut(instance)),
            Self::Entity(_) => None,
        }
    }

    pub(super) fn as_entity(&self) -> Option<&Entity> {
        match self {
            Self::Entity(entity) => Some(entity),
            Self::Instance(_) => None,
        }
    }

    /// To be changed; while the record is shared, a copy is.
    pub(super) fn as_entity_mut(&mut self) -> Option<&mut Entity> {
        match self {
            Self::Entity(entity) => Some(Arc::make_mut(entity)),
            Self::Instance(_) => None,
        }
    }

    /// What the structure itself takes in memory.
    pub(super) fn structure_bytes(&self) -> usize {
        match self {
            Self::Instance(_) => size_of::<Instance>(),
            Self::Entity(_) => size_of::<Entity>(),
        }
    }
}

impl Derived {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            active: record.is_active(),
            indexed: record.as_instance().map(Indexed::of),
        }
    }

    /// Keys of the rows that follow from the record of `key`.
    pub(super) fn rows(self, key: &InstanceKey) -> impl Iterator<Item = Vec<u8>> {
        let marker = self
            .active
            .then(|| keys::instance::encode(Kind::Active, key));
        marker.into_iter().chain(self.index_entries(key))
    }

    /// Keys of the index entries among them.
    pub(super) fn index_entries(self, key: &InstanceKey) -> impl Iterator<Item = Vec<u8>> {
        let indexed = self.indexed.into_iter();
        indexed.flat_map(|indexed| indexed.entries(key))
    }
}

impl Indexed {
    fn of(instance: &Instance) -> Self {
        let status = instance.effective_status();
        let ended = instance.completed_at.filter(|_| status.is_terminal());
        Self {
            status,
            created_at: instance.created_at.into(),
            completed_at: ended.map(SortableTime::from),
        }
    }

    fn entries(self, key: &InstanceKey) -> impl Iterator<Item = Vec<u8>> {
        let entry = move |kind, at| keys::index::encode(kind, key.hub, self.status, at, &key.id);
        let finished = self.completed_at.map(|at| entry(Kind::Finished, at));
        finished
            .into_iter()
            .chain([entry(Kind::Created, self.created_at)])
    }
}
