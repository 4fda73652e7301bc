//! Every operation on an entity is applied once: all that were acknowledged, those of one sender in their order, and what
//! an entity sends exactly as often as it was applied there. What was applied stays applied.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_engine::Status;
use longhaul_types::Timestamp;

use super::Invariant;
use crate::entities::{self, Applied, applied, sender_of};
use crate::moment::{Answer, Moment, Request, Said};
use crate::orchestrations;
use crate::plan::Plan;

pub(super) struct Operations {
    /// Calls that had no answer are over when the next one has one.
    alone: bool,
    ledgers: BTreeMap<String, Ledger>,
    /// Inputs that orchestrations were started with, by instance.
    inputs: BTreeMap<String, BTreeSet<String>>,
    /// Instances that were seen to exist.
    exist: BTreeSet<String>,
}

#[derive(Default)]
struct Ledger {
    /// The state seen last.
    state: String,
    /// What clients said, by tag.
    said: BTreeMap<String, Said>,
    acknowledged: BTreeSet<String>,
    /// Tags that orchestrations sent before they completed.
    due: BTreeSet<String>,
    /// What a purge that was acknowledged has swept away.
    gone: BTreeSet<String>,
    /// Purges that are on their way.
    purging: u64,
    /// One was answered since the state was seen.
    purged: bool,
}

impl Ledger {
    fn seen(&mut self, state: &str) -> Result<(), String> {
        let grows = state.starts_with(&self.state);
        if !grows && self.purging == 0 && !self.purged {
            return Err(format!("{:?} became {state:?}", self.state));
        }
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut tags = BTreeSet::new();
        for Applied { tag, .. } in applied(state) {
            let (sender, number) = sender_of(tag).ok_or_else(|| format!("{tag} was applied"))?;
            if !tags.insert(tag) {
                return Err(format!("{tag} was applied twice: {state:?}"));
            }
            let before = last.insert(sender, number);
            if before.is_some_and(|before| before > number) {
                return Err(format!("{tag} was applied out of order: {state:?}"));
            }
            if self.gone.contains(tag) {
                return Err(format!("{tag} was applied after a purge: {state:?}"));
            }
        }
        state.clone_into(&mut self.state);
        self.purged = false;
        Ok(())
    }

    fn has(&self, tag: &str) -> bool {
        applied(&self.state).any(|it| it.tag == tag)
    }

    /// Everything that must have been applied in the end. Purges that nobody has heard of again may have come last.
    fn complete(&self) -> Result<(), String> {
        if self.purging > 0 {
            return Ok(());
        }
        let acknowledged = self.acknowledged.iter();
        let expected = acknowledged.filter(|tag| self.said[*tag].name != "fail");
        let mut expected = expected.chain(&self.due);
        match expected.find(|tag| !self.gone.contains(*tag) && !self.has(tag)) {
            Some(missing) => Err(format!("{missing} was not applied: {:?}", self.state)),
            None => Ok(()),
        }
    }
}

impl Operations {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            alone: plan.alone,
            ledgers: BTreeMap::new(),
            inputs: BTreeMap::new(),
            exist: BTreeSet::new(),
        }
    }

    fn ledger(&mut self, entity: &str) -> &mut Ledger {
        self.ledgers.entry(entity.to_owned()).or_default()
    }

    fn seen(&mut self, entity: &str, state: Option<&str>) -> Result<(), String> {
        let state = state.unwrap_or_default();
        let ledger = self.ledger(entity);
        if ledger.state == state {
            return Ok(());
        }
        let seen = ledger.seen(state);
        seen.map_err(|problem| format!("{entity}: {problem}"))?;
        for Applied { tag, .. } in applied(state) {
            if !self.was_sent(entity, tag) {
                return Err(format!("{entity}: nobody sent {tag}"));
            }
        }
        Ok(())
    }

    fn was_sent(&self, entity: &str, tag: &str) -> bool {
        let said = |entity: &str, tag: &str| self.ledgers.get(entity)?.said.get(tag);
        if said(entity, tag).is_some() {
            return true;
        }
        let Some((sender, _)) = sender_of(tag) else {
            return false;
        };
        let Some((first, source)) = sender.split_once('>') else {
            let inputs = self.inputs.get(sender);
            return inputs.is_some_and(|inputs| inputs.iter().any(|it| it.contains(entity)));
        };
        let number = tag.rsplit('/').next().unwrap_or_default();
        let (number, _) = number.split_once('@').unwrap_or((number, ""));
        let source = said(source, &format!("{first}/{number}"));
        source.is_some_and(|said| said.name == "pass" && said.whom.as_deref() == Some(entity))
    }

    /// What entities sent has arrived, as often as it was sent.
    fn judge_sent(&self, entity: &str, ledger: &Ledger) -> Result<(), String> {
        let mut passed: BTreeSet<(&str, String)> = BTreeSet::new();
        for entry in applied(&ledger.state) {
            let Some(said) = ledger.said.get(entry.tag) else {
                continue;
            };
            let Some(whom) = said.whom.as_deref() else {
                continue;
            };
            if said.name == "start" {
                if !self.exist.contains(whom) {
                    return Err(format!("{entity} did not start {whom}"));
                }
                continue;
            }
            passed.extend(entities::derived(entity, entry).map(|tag| (whom, tag)));
        }
        let from = format!(">{entity}/");
        let arrived = self.ledgers.iter().flat_map(|(target, ledger)| {
            let entries = applied(&ledger.state).filter(|it| it.tag.contains(&from));
            entries.map(move |it| (target.as_str(), it.tag.to_owned()))
        });
        let arrived: BTreeSet<(&str, String)> = arrived.collect();
        if passed != arrived {
            return Err(format!("{entity} passed on {passed:?}, heard: {arrived:?}"));
        }
        Ok(())
    }
}

impl Invariant for Operations {
    fn name(&self) -> &'static str {
        "operations of entities are applied once and in order"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked { request, .. } => match request {
                Request::Signal { entity, said, .. } => {
                    let ledger = self.ledger(entity);
                    ledger.said.insert(said.tag.clone(), said.clone());
                }
                Request::Purge { instance } => {
                    if let Some(ledger) = self.ledgers.get_mut(instance) {
                        ledger.purging += 1;
                    }
                }
                Request::Start {
                    instance, input, ..
                } => {
                    let inputs = self.inputs.entry(instance.clone()).or_default();
                    inputs.insert(input.clone());
                }
                _ => {}
            },
            Moment::Answered {
                request, answer, ..
            } => match (request, answer) {
                (Request::Signal { entity, said, .. }, Answer::Done) => {
                    let ledger = self.ledger(entity);
                    ledger.acknowledged.insert(said.tag.clone());
                }
                (Request::Purge { instance }, Answer::Done | Answer::NotFound) => {
                    if let Some(ledger) = self.ledgers.get_mut(instance) {
                        ledger.gone.extend(ledger.acknowledged.iter().cloned());
                        ledger.purging = if self.alone { 0 } else { ledger.purging - 1 };
                        ledger.purged = true;
                    }
                }
                _ => {}
            },
            Moment::Seen {
                instance,
                view: Some(view),
            } => {
                self.exist.insert(instance.clone());
                if view.status == Status::Completed {
                    for (entity, tag) in orchestrations::operations(instance, &view.input) {
                        self.ledger(&entity).due.insert(tag);
                    }
                }
            }
            Moment::BatchOut { entity, state, .. } => return self.seen(entity, state.as_deref()),
            Moment::EntitySeen { entity, view } => {
                let state = view.as_ref().and_then(|view| view.state.as_deref());
                return self.seen(entity, state);
            }
            Moment::Rest { .. } => {
                for (entity, ledger) in &self.ledgers {
                    let complete = ledger.complete();
                    complete.map_err(|problem| format!("{entity}: {problem}"))?;
                    self.judge_sent(entity, ledger)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
