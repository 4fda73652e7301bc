//! What an orchestrator asks of entities.

use longhaul_engine::turn::{Action, OperationRequest};
use xxhash_rust::xxh3::xxh3_128;

use super::Replay;
use crate::history::{Operation, What};

impl Replay {
    /// A GUID that is the same whenever this action is replayed, and that no other action has.
    fn request_id(&self) -> String {
        let text = format!("{} {}", self.generation, self.next);
        guid(xxh3_128(text.as_bytes()))
    }

    /// The result of an operation once there is one; within, `None` if it failed.
    fn call(&mut self, target: &str, name: &str, input: &str) -> Option<Option<String>> {
        let request = self.request_id();
        self.operation(target, name, input, true);
        self.answers.get(&request).cloned()
    }

    pub(crate) fn call_until_it_succeeds(
        &mut self,
        target: &str,
        name: &str,
        input: &str,
    ) -> Option<()> {
        while self.call(target, name, input)?.is_none() {}
        Some(())
    }

    pub(crate) fn signal(&mut self, target: &str, name: &str, input: &str) {
        self.operation(target, name, input, false);
    }

    fn operation(&mut self, target: &str, name: &str, input: &str, call: bool) {
        let request = self.request_id();
        let expected = What::Operation(Operation {
            request: request.clone(),
            name: name.to_owned(),
            input: input.to_owned(),
            scheduled: None,
            target: target.to_owned(),
            caller: call.then(|| self.instance.clone()),
        });
        self.ask(&expected, |_| {
            Action::EntityOperation(OperationRequest {
                call,
                target: target.to_owned(),
                request_id: request,
                operation: name.to_owned(),
                input: Some(input.to_owned().into()),
                scheduled: None,
            })
        });
    }

    /// The critical section once all its entities are locked.
    pub(crate) fn lock(&mut self, entities: &[&str]) -> Option<String> {
        let section = self.request_id();
        let expected = What::LockRequested {
            section: section.clone(),
        };
        let parent = self.instance.clone();
        self.ask(&expected, |_| Action::LockEntities {
            section: section.clone(),
            lock_set: entities.iter().map(|&it| it.to_owned()).collect(),
            position: 0,
            parent: Some(parent.into()),
        });
        self.answers.contains_key(&section).then_some(section)
    }

    pub(crate) fn unlock(&mut self, section: &str, entity: &str) {
        let expected = What::UnlockSent {
            target: entity.to_owned(),
        };
        let parent = self.instance.clone();
        self.ask(&expected, |_| Action::UnlockEntity {
            section: section.to_owned(),
            parent: Some(parent.into()),
            target: entity.to_owned(),
        });
    }
}

/// A number in the form that SDKs parse ids of requests in.
#[must_use]
pub(crate) fn guid(number: u128) -> String {
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    parts.join("-")
}
