//! A call of an entity has one answer, and it is that of the batch whose outcome stands.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::entities::applied;
use crate::history::{Entry, Operation, What};
use crate::moment::Moment;

#[derive(Default)]
pub(super) struct Calls {
    /// By request: its entity.
    asked: BTreeMap<String, String>,
    /// By request: the answers of workers.
    sent: BTreeMap<String, BTreeSet<Option<String>>>,
    /// By request: the answer that the caller has.
    heard: BTreeMap<String, Option<String>>,
    deliveries: BTreeMap<u64, Vec<Operation>>,
    states: BTreeMap<String, String>,
}

impl Calls {
    fn read(&mut self, history: &[Entry]) -> Result<(), String> {
        for entry in history {
            match &entry.what {
                What::Operation(operation) if operation.caller.is_some() => {
                    let entity = operation.target.clone();
                    self.asked.insert(operation.request.clone(), entity);
                }
                What::OperationAnswered { request, result } => self.answered(request, result)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn answered(&mut self, request: &str, result: &Option<String>) -> Result<(), String> {
        let sent = self.sent.get(request);
        if !sent.is_some_and(|sent| sent.contains(result)) {
            return Err(format!(
                "{request} is answered with {result:?}, of those sent: {sent:?}"
            ));
        }
        let heard = self.heard.insert(request.to_owned(), result.clone());
        match heard {
            Some(before) if before != *result => Err(format!(
                "{request} is answered with {result:?}, and was with {before:?}"
            )),
            _ => Ok(()),
        }
    }

    /// The entities agree with what callers have heard.
    fn compare(&self) -> Result<(), String> {
        for (request, result) in &self.heard {
            let (Some(entity), Some(result)) = (self.asked.get(request), result) else {
                continue;
            };
            let state = self.states.get(entity).map_or("", String::as_str);
            let stands = applied(state).any(|it| format!("{}#{}", it.tag, it.delivery) == *result);
            if !stands {
                return Err(format!(
                    "{request} was answered with {result}, and {entity} has {state:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for Calls {
    fn name(&self) -> &'static str {
        "calls are answered by the batch that was committed"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::BatchOut {
                delivery,
                operations,
                ..
            } => {
                self.deliveries.insert(*delivery, operations.clone());
                Ok(())
            }
            Moment::BatchDone {
                delivery, results, ..
            } => {
                for (operation, result) in self.deliveries[delivery].iter().zip(results) {
                    let sent = self.sent.entry(operation.request.clone()).or_default();
                    sent.insert(result.clone());
                }
                Ok(())
            }
            Moment::TurnOut { past, new, .. } => {
                self.read(past)?;
                self.read(new)
            }
            Moment::Read { history, .. } => self.read(history),
            Moment::EntitySeen { entity, view } => {
                let state = view.as_ref().and_then(|view| view.state.clone());
                self.states
                    .insert(entity.clone(), state.unwrap_or_default());
                Ok(())
            }
            Moment::Rest { .. } => self.compare(),
            _ => Ok(()),
        }
    }
}
