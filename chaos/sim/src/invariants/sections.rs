//! Critical sections: between the grant and the release of an entity nobody but its owner has it, nobody runs anything
//! else in it, and nobody is ended by force. In the end no entity is locked and none has anything left to do.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::entities::sender_of;
use crate::history::{Entry, Operation, What};
use crate::moment::{Answer, EntityView, Moment, Request};

type Execution = (String, String);

#[derive(Default)]
pub(super) struct Sections {
    /// What executions want to lock, by critical section.
    wanted: BTreeMap<(Execution, String), Vec<String>>,
    /// Who has an entity.
    owners: BTreeMap<String, Execution>,
    /// Calls for an end by force during which the instance was in a critical section all the time.
    forced: BTreeMap<u64, String>,
    views: BTreeMap<String, Option<EntityView>>,
}

impl Sections {
    fn granted(&mut self, owner: &Execution, new: &[Entry]) -> Result<(), String> {
        for entry in new {
            let What::LockGranted { section } = &entry.what else {
                continue;
            };
            let wanted = self.wanted.get(&(owner.clone(), section.clone()));
            let Some(entities) = wanted else {
                continue;
            };
            for entity in entities {
                let before = self.owners.insert(entity.clone(), owner.clone());
                if before.as_ref().is_some_and(|before| before != owner) {
                    return Err(format!("{owner:?} has {entity}, and so has {before:?}"));
                }
            }
        }
        Ok(())
    }

    /// Only what its owner asked for runs in an entity.
    fn runs(&self, entity: &str, operations: &[Operation]) -> Result<(), String> {
        let Some((owner, execution)) = self.owners.get(entity) else {
            return Ok(());
        };
        let foreign = operations.iter().find(|operation| {
            let sender = sender_of(operation.tag()).map(|(sender, _)| sender);
            sender != Some(owner.as_str())
        });
        match foreign {
            Some(foreign) => Err(format!(
                "{entity} is to run {foreign:?} and belongs to {owner} {execution}"
            )),
            None => Ok(()),
        }
    }

    fn leave(&mut self, owner: &Execution, which: impl Fn(&str) -> bool) {
        self.owners
            .retain(|entity, it| it != owner || !which(entity));
        let free: BTreeSet<String> = self.forced.values().cloned().collect();
        let still = |instance: &str| self.owners.values().any(|(owner, _)| owner == instance);
        let left: Vec<String> = free.into_iter().filter(|it| !still(it)).collect();
        self.forced.retain(|_, instance| !left.contains(instance));
    }

    /// Whoever replaces an instance ends what it was.
    fn replaced(&mut self, instance: &str) {
        self.owners.retain(|_, (owner, _)| owner != instance);
        self.forced.retain(|_, it| it != instance);
    }

    fn at_rest(&self) -> Result<(), String> {
        let busy = self.views.iter().find(|(_, view)| {
            view.as_ref()
                .is_some_and(|view| view.locked_by.is_some() || view.backlog > 0)
        });
        match busy {
            Some((entity, view)) => Err(format!("{entity} has not come to rest: {view:?}")),
            None => Ok(()),
        }
    }
}

impl Invariant for Sections {
    fn name(&self) -> &'static str {
        "critical sections are their owner's alone, and end"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::TurnAnswered {
                instance,
                execution,
                locks,
                unlocks,
                ends,
            } => {
                let owner = (instance.clone(), execution.clone());
                for (section, entities) in locks {
                    let key = (owner.clone(), section.clone());
                    self.wanted.insert(key, entities.clone());
                }
                self.leave(&owner, |entity| {
                    *ends || unlocks.iter().any(|it| it == entity)
                });
            }
            Moment::TurnOut {
                instance,
                execution,
                new,
                ..
            } => return self.granted(&(instance.clone(), execution.clone()), new),
            Moment::BatchOut {
                entity, operations, ..
            } => return self.runs(entity, operations),
            Moment::Asked { call, request } => match request {
                Request::Force { instance }
                    if self.owners.values().any(|(owner, _)| owner == instance) =>
                {
                    self.forced.insert(*call, instance.clone());
                }
                Request::Start { instance, .. } => self.replaced(instance),
                _ => {}
            },
            Moment::Answered {
                call,
                answer: Answer::Done,
                request: Request::Force { instance },
            } if self.forced.contains_key(call) => {
                return Err(format!("{instance} was ended inside a critical section"));
            }
            Moment::EntitySeen { entity, view } => {
                self.views.insert(entity.clone(), view.clone());
                let locked_by = view.as_ref().and_then(|view| view.locked_by.as_ref());
                if let Some((owner, _)) = self.owners.get(entity)
                    && locked_by != Some(owner)
                {
                    return Err(format!("{entity} belongs to {owner} and is {view:?}"));
                }
            }
            Moment::Rest { .. } => return self.at_rest(),
            _ => {}
        }
        Ok(())
    }
}
