//! Task hubs by name; their ids are part of every key on disk and never given again.
//!
//! ```text
//!   no such hub ──create──► listed ──delete──► doomed: its content is being removed ──forget──► nothing
//!                             └──recreate──► doomed, and a new id is listed under the name
//! ```

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::{HubId, HubName, limits};

use super::Refusal;

/// A task hub that exists.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Its id.
    pub id: HubId,
    /// As it was first written.
    pub name: HubName,
}

impl PartialEq for Hub {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name.as_str() == other.name.as_str()
    }
}

impl Eq for Hub {}

/// The hubs there are, and those whose content is still being removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hubs {
    pub(crate) last_id: u32,
    pub(crate) by_folded_name: BTreeMap<String, Hub>,
    pub(crate) doomed: BTreeSet<HubId>,
}

impl Hubs {
    pub(super) fn create(&mut self, name: HubName) -> Result<HubId, Refusal> {
        match self.get(&name) {
            Some(hub) => Ok(hub.id),
            None => self.add(name),
        }
    }

    pub(super) fn recreate(&mut self, name: HubName) -> Result<HubId, Refusal> {
        // One listed becomes one doomed: there is room if there was room before.
        let listed = self.get(&name).is_some();
        if self.len() + usize::from(listed) > limits::HUBS_MAX {
            return Err(full(&name));
        }
        self.delete(&name);
        self.add(name)
    }

    pub(super) fn delete(&mut self, name: &HubName) {
        if let Some(hub) = self.by_folded_name.remove(&name.folded()) {
            self.doomed.insert(hub.id);
        }
    }

    pub(super) fn forget(&mut self, hub: HubId) {
        self.doomed.remove(&hub);
    }

    /// The hub called `name`, in any case.
    #[must_use]
    pub fn get(&self, name: &HubName) -> Option<&Hub> {
        self.by_folded_name.get(&name.folded())
    }

    /// Every hub, by name.
    pub fn list(&self) -> impl Iterator<Item = &Hub> {
        self.by_folded_name.values()
    }

    /// Ids up to this one have been given.
    #[must_use]
    pub fn last_id(&self) -> HubId {
        HubId(self.last_id)
    }

    /// Deleted hubs of which something may be left.
    pub fn doomed(&self) -> impl Iterator<Item = HubId> {
        self.doomed.iter().copied()
    }

    fn len(&self) -> usize {
        self.by_folded_name.len() + self.doomed.len()
    }

    fn add(&mut self, name: HubName) -> Result<HubId, Refusal> {
        if self.len() >= limits::HUBS_MAX {
            return Err(full(&name));
        }
        self.last_id += 1;
        let id = HubId(self.last_id);
        self.by_folded_name.insert(name.folded(), Hub { id, name });
        Ok(id)
    }
}

fn full(name: &HubName) -> Refusal {
    Refusal::HubsFull {
        name: name.as_str().into(),
    }
}
