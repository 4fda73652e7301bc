//! A query finds each instance and entity that fits and that nobody changed meanwhile, once and as it is; nothing that
//! does not fit; and every page goes on behind the one before.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::{Answer, Found, Moment, Request, View, Wanted};

#[derive(Default)]
pub(super) struct Queries {
    instances: BTreeMap<String, Known>,
    /// States of entities that were seen to have one and are never purged.
    entities: BTreeMap<String, String>,
    open: BTreeMap<u64, Query>,
}

/// What is known of an instance.
#[derive(Clone, Default)]
struct Known {
    /// Calls on their way that may change it.
    calls: u32,
    exists: Option<bool>,
    /// As it was seen when it had ended.
    ended: Option<View>,
}

struct Query {
    wanted: Wanted,
    /// What was known when it began; what is changed meanwhile is taken out.
    instances: BTreeMap<String, Known>,
    entities: BTreeMap<String, String>,
    changed: BTreeSet<String>,
    found: BTreeSet<String>,
}

impl Query {
    fn wants(&self, known: &Known) -> Option<bool> {
        match (known.exists?, &known.ended) {
            (false, _) => Some(false),
            (true, _) if self.wanted.statuses.is_empty() => Some(true),
            (true, Some(view)) => Some(self.wanted.statuses.contains(&view.status)),
            (true, None) => None,
        }
    }

    fn found(&mut self, found: &Found) -> Result<(), String> {
        let id = &found.id;
        let is_entity = id.starts_with('@');
        if !id.starts_with(&self.wanted.prefix) || is_entity != self.wanted.entities {
            return Err(format!("{id} does not fit {:?}", self.wanted));
        }
        if !self.found.insert(id.clone()) && !self.changed.contains(id) {
            return Err(format!("{id} was found twice"));
        }
        if is_entity {
            let state = found.state.as_deref().unwrap_or_default();
            let before = self.entities.get(id);
            return match before.is_some_and(|before| !state.starts_with(before)) {
                true => Err(format!("{id} was {before:?} and is {state:?}")),
                false => Ok(()),
            };
        }
        let statuses = &self.wanted.statuses;
        let view = found.view.as_ref().ok_or("an instance without a state")?;
        if !statuses.is_empty() && !statuses.contains(&view.status) {
            return Err(format!("{id} is {view:?}, wanted: {:?}", self.wanted));
        }
        let Some(known) = self.instances.get(id) else {
            return Ok(());
        };
        if known.exists == Some(false) {
            return Err(format!("{id} was deleted and is {view:?}"));
        }
        match &known.ended {
            Some(ended) if ended != view => Err(format!("{id} ended as {ended:?} and is {view:?}")),
            _ => Ok(()),
        }
    }

    fn complete(&self) -> Result<(), String> {
        let instances = self.instances.iter();
        let instances = instances
            .filter(|(_, known)| !self.wanted.entities && self.wants(known) == Some(true))
            .map(|(id, _)| id);
        let entities = self.entities.keys().filter(|_| self.wanted.entities);
        let mut all = instances.chain(entities);
        let missing =
            all.find(|id| id.starts_with(&self.wanted.prefix) && !self.found.contains(*id));
        match missing {
            Some(missing) => Err(format!("{missing} was not found: {:?}", self.wanted)),
            None => Ok(()),
        }
    }
}

impl Queries {
    fn changes(&mut self, instance: &str) {
        let known = self.instances.entry(instance.to_owned()).or_default();
        known.calls += 1;
        known.ended = None;
        for query in self.open.values_mut() {
            query.instances.remove(instance);
            query.entities.remove(instance);
            query.changed.insert(instance.to_owned());
        }
    }

    fn answered(&mut self, request: &Request, answer: Answer) {
        let known = self.instances.entry(request.instance().to_owned());
        let known = known.or_default();
        let is_purge = matches!(request, Request::Purge { .. });
        let exists = match answer {
            // It may have been done, or be done yet.
            Answer::Unknown => {
                known.exists = None;
                return;
            }
            Answer::Done => Some(!is_purge),
            Answer::NotFound => Some(false),
            Answer::Exists(_) => Some(true),
            Answer::NotDone => known.exists,
        };
        known.calls -= 1;
        known.exists = exists;
    }

    fn seen(&mut self, instance: &str, view: Option<&View>) {
        let known = self.instances.entry(instance.to_owned()).or_default();
        // Whoever is started by another instance is started again with it.
        let is_its_own = !instance.contains('.');
        if known.calls == 0 && is_its_own {
            known.exists = Some(view.is_some());
            known.ended = view.filter(|view| view.status.is_terminal()).cloned();
        }
    }

    fn read(&mut self, query: u64, found: &[Found]) -> Result<(), String> {
        let place = |found: &Found| (found.at, found.id.clone());
        let query = self.open.get_mut(&query).expect("asked");
        if let Some(pair) = found.windows(2).find(|it| place(&it[0]) >= place(&it[1])) {
            return Err(format!("out of order: {pair:?}"));
        }
        found.iter().try_for_each(|found| query.found(found))
    }
}

/// Whether it makes an instance another one. Ends are not among them: what runs is only sure to exist.
fn changes(request: &Request) -> bool {
    matches!(
        request,
        Request::Start { .. }
            | Request::Restart { .. }
            | Request::Rewind { .. }
            | Request::Purge { .. }
    )
}

impl Invariant for Queries {
    fn name(&self) -> &'static str {
        "queries find what they should"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            // Whatever had no outcome was done by now, or never will be.
            Moment::Up { .. } => {
                for known in self.instances.values_mut().filter(|it| it.calls > 0) {
                    *known = Known::default();
                }
                self.open.clear();
            }
            Moment::Asked { request, .. } if changes(request) => self.changes(request.instance()),
            Moment::Answered {
                request, answer, ..
            } if changes(request) => self.answered(request, *answer),
            Moment::Seen { instance, view } => self.seen(instance, view.as_ref()),
            Moment::EntitySeen {
                entity,
                view: Some(view),
            } if entity.starts_with("@ledger@") => {
                self.entities
                    .extend(view.state.clone().map(|state| (entity.clone(), state)));
            }
            Moment::Aged { .. } => {
                for known in self.instances.values_mut() {
                    *known = Known::default();
                }
            }
            Moment::QueryAsked { query, wanted } => {
                let settled = self.instances.iter().filter(|(_, it)| it.calls == 0);
                let begun = Query {
                    wanted: wanted.clone(),
                    instances: settled.map(|(id, it)| (id.clone(), it.clone())).collect(),
                    entities: self.entities.clone(),
                    changed: BTreeSet::new(),
                    found: BTreeSet::new(),
                };
                self.open.insert(*query, begun);
            }
            Moment::PartitionRead { query, found } => return self.read(*query, found),
            Moment::QueryAnswered { query, complete } => {
                let query = self.open.remove(query).expect("asked");
                if *complete {
                    return query.complete();
                }
            }
            _ => {}
        }
        Ok(())
    }
}
