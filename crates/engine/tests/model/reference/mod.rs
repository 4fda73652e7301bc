//! The reference model: what the server does, as an executable specification.
//!
//! One world, one step after another, plain maps. It knows no partitions, logs, leases, retries or repeated deliveries:
//! those are how the server keeps these rules, and the rules do not mention them. What an instance or a worker cannot
//! see is not here either.
//!
//! ```text
//! orchestrations.rs   instances: how they begin, what waits for them, when a turn is due
//! turns.rs            a turn handed out and answered: actions, the end, the next generation
//! children.rs         sub-orchestrations and their results
//! time.rs             timers, and operations that are not due
//! entities.rs         operations, batches, signals
//! locks.rs            critical sections
//! management.rs       suspend, resume, terminate, purge, restart
//! rewind.rs           failed instances that go on
//! post.rs             letters between all of them
//! slip.rs             mistakes on purpose
//! ```
//!
//! Ids that the server makes up are written `«7»`. Which text the server chooses is its own affair, as long as it is
//! one text for one name.

mod children;
mod entities;
mod locks;
mod management;
mod orchestrations;
mod post;
mod rewind;
mod slip;
mod time;
mod turns;

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

pub(crate) use entities::BatchItem;
use entities::Entity;
use orchestrations::Instance;
pub(crate) use post::Map;
use post::Post;
pub(crate) use slip::Slip;
pub(crate) use turns::{TaskItem, TurnItem};

use crate::values::{EntityView, Event, Id, InstanceView};

/// Everything there is.
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    instances: BTreeMap<Id, Instance>,
    entities: BTreeMap<Id, Entity>,
    post: Post,
    numbers: u64,
    slip: Option<Slip>,
}

impl Model {
    pub(crate) fn new(now: Timestamp, map: Map, slip: Option<Slip>) -> Self {
        Self {
            now,
            instances: BTreeMap::new(),
            entities: BTreeMap::new(),
            post: Post::new(map),
            numbers: 0,
            slip,
        }
    }

    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    /// A number that was never used.
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// An id that the server makes up.
    fn made_up(&mut self) -> Id {
        format!("«{}»", self.number())
    }

    pub(crate) fn instance_ids(&self) -> Vec<Id> {
        self.instances.keys().cloned().collect()
    }

    /// Entities that were ever heard of and not forgotten.
    pub(crate) fn entity_ids(&self) -> Vec<Id> {
        self.entities.keys().cloned().collect()
    }

    /// What GetInstance and QueryInstances show.
    pub(crate) fn view(&self, id: &str) -> Option<InstanceView> {
        self.instances.get(id).map(|instance| instance.view(id))
    }

    /// What StreamInstanceHistory shows.
    pub(crate) fn history(&self, id: &str) -> Option<&[Event]> {
        self.instances.get(id).map(|it| it.history.as_slice())
    }

    /// What GetEntity and QueryEntities show. An entity exists for clients while it has a state; those that ask for
    /// transient ones also see those that are locked or have a queue.
    pub(crate) fn entity_view(&self, id: &str) -> Option<EntityView> {
        self.entities.get(id).and_then(|entity| entity.view(id))
    }
}
