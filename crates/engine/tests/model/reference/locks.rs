//! Critical sections: several entities locked by one orchestration.
//!
//! A request goes from entity to entity, in ascending order and to each once, so that nobody waits in a circle. At each
//! it stands in line with everybody else, and when its turn comes the entity is locked and the request goes on. After
//! the last one the owner is told.

use std::collections::BTreeSet;

use super::Model;
use super::entities::{Entity, Queued};
use super::post::Says;
use super::slip::Slip;
use crate::values::{Event, Id, What};

/// A critical section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) id: Id,
    /// The instance and the execution.
    pub(super) owner: (Id, Id),
    /// In the order in which they are locked.
    pub(super) entities: Vec<Id>,
}

/// A critical section as its owner knows it.
#[derive(Default)]
pub(super) struct Inside {
    /// The entities that were not left.
    entities: BTreeSet<Id>,
    /// All were locked; until then some may be.
    pub(super) entered: bool,
}

/// `@name@key`, the name in lower case; nothing else is an entity.
pub(super) fn entity_id(text: &str) -> Option<Id> {
    let (name, key) = text.strip_prefix('@')?.split_once('@')?;
    let id = format!("@{}@{key}", name.to_lowercase());
    (!name.is_empty() && id.chars().count() <= 100).then_some(id)
}

impl Model {
    /// A section of no entities is entered at once.
    pub(super) fn enter_section(&mut self, id: &str, section: Id, lock_set: &[Id]) {
        let entities: BTreeSet<Id> = lock_set.iter().filter_map(|it| entity_id(it)).collect();
        let execution = self.instances[id].execution.clone();
        let section = Section {
            id: section,
            owner: (id.to_owned(), execution.clone()),
            entities: entities.into_iter().collect(),
        };
        let Some(first) = section.entities.first().cloned() else {
            self.tell(id, Some(&execution), granted(section.id));
            return;
        };
        let inside = Inside {
            entities: section.entities.iter().cloned().collect(),
            entered: false,
        };
        self.instance(id)
            .sections
            .insert(section.id.clone(), inside);
        let position = 0;
        self.send(id, &first, Says::Lock { section, position });
    }

    pub(super) fn lock_wanted(&mut self, entity: &str, section: Section, position: usize) {
        let queued = Queued::Lock(section, position);
        self.entity(entity).queue.push_back(queued);
        self.let_in(entity);
    }

    /// A request at the head of the line of a free entity locks it, and goes on to the next entity.
    pub(super) fn let_in(&mut self, id: &str) {
        let entity = self.entity(id);
        if entity.lock.is_some() || !matches!(entity.queue.front(), Some(Queued::Lock(..))) {
            return;
        }
        let Some(Queued::Lock(section, position)) = entity.queue.pop_front() else {
            unreachable!("just seen");
        };
        entity.lock = Some(section.clone());
        let position = position + 1;
        match section.entities.get(position).cloned() {
            Some(next) => self.send(id, &next, Says::Lock { section, position }),
            None => {
                let owner = section.owner.0.clone();
                self.send(id, &owner, Says::Granted(section));
            }
        }
    }

    /// A grant that does not find its owner in the execution that asked is undone.
    pub(super) fn lock_granted(&mut self, owner: &str, section: Section) {
        let instance = self.instances.get_mut(owner);
        let instance = instance.filter(|it| it.is_live() && it.execution == section.owner.1);
        if let Some(inside) = instance.and_then(|it| it.sections.get_mut(&section.id)) {
            inside.entered = true;
            self.tell(owner, Some(&section.owner.1), granted(section.id));
        } else {
            self.release_all(owner, &section.id, &section.owner, &section.entities);
        }
    }

    /// EntityUnlockSent: one entity is left.
    pub(super) fn leave_entity(&mut self, id: &str, section: &str, target: &str) {
        let Some(entity) = entity_id(target) else {
            return;
        };
        let instance = self.instance(id);
        let execution = instance.execution.clone();
        if let Some(inside) = instance.sections.get_mut(section) {
            inside.entities.remove(&entity);
            if inside.entities.is_empty() {
                instance.sections.remove(section);
            }
        }
        let owner = (id.to_owned(), execution);
        self.release_all(id, section, &owner, &[entity]);
    }

    /// Whoever ends, for good or as a generation, leaves all its critical sections and asks for none any more.
    pub(super) fn leave_all_sections(&mut self, id: &str) {
        let instance = self.instance(id);
        let owner = (id.to_owned(), instance.execution.clone());
        let sections = std::mem::take(&mut instance.sections);
        if self.slips(Slip::LocksOutliveTheirOwner) {
            return;
        }
        for (section, inside) in sections {
            let entities: Vec<Id> = inside.entities.into_iter().collect();
            self.release_all(id, &section, &owner, &entities);
        }
    }

    fn release_all(&mut self, from: &str, section: &str, owner: &(Id, Id), entities: &[Id]) {
        for entity in entities {
            let says = Says::Unlock {
                section: section.to_owned(),
                owner: owner.clone(),
            };
            self.send(from, entity, says);
        }
    }

    /// Releases the entity if this section has it. If the request waits in line here it comes to nothing, and what it has
    /// locked on its way is released too, since an earlier release may have missed it there. What the owner had asked
    /// for is done before anything else. To unlock what is not locked does no harm.
    pub(super) fn unlock(&mut self, id: &str, section: &str, owner: &(Id, Id)) {
        let Some(entity) = self.entities.get_mut(id) else {
            return;
        };
        let is_this = |it: &Section| it.id == section && it.owner == *owner;
        let mut locked_before = Vec::new();
        entity.queue.retain(|queued| match queued {
            Queued::Lock(it, position) if is_this(it) => {
                locked_before.extend_from_slice(&it.entities[..*position]);
                false
            }
            _ => true,
        });
        if entity.lock.as_ref().is_some_and(is_this) {
            entity.free();
        }
        self.release_all(id, section, owner, &locked_before);
        self.let_in(id);
    }
}

impl Entity {
    fn free(&mut self) {
        self.lock = None;
        for operation in self.lane.drain(..).rev() {
            self.queue.push_front(Queued::Operation(operation));
        }
    }
}

fn granted(section: Id) -> Event {
    Event::inbound(What::LockGranted { section })
}
