//! What an orchestration asks of entities.

use std::sync::Arc;

use bytes::Bytes;
use longhaul_types::{InstanceId, InvalidInstanceId, Timestamp};

use super::{Decision, OperationRequest};
use crate::command::Outgoing;
use crate::entity::{Caller, CriticalSection, Operation};
use crate::history::entity_event::{self, OperationText};
use crate::history::event::{self, INBOUND};
use crate::key::InstanceKey;
use crate::message::{Message, MessageBody};

/// The answer to a call of something that is no entity.
pub(crate) fn called_no_entity(
    at: Timestamp,
    request_id: &str,
    invalid: &InvalidInstanceId,
) -> Bytes {
    let failure = event::failure_details("InvalidEntityId", &invalid.to_string());
    entity_event::operation_failed(at, request_id, &failure)
}

impl Decision<'_> {
    fn as_caller(&self) -> Caller {
        Caller {
            instance: self.context.key.id.clone(),
            execution: self.context.execution.clone(),
        }
    }

    /// A call of something that is no entity fails; a signal to it goes nowhere.
    pub(super) fn entity_operation(&mut self, id: i32, request: &OperationRequest) {
        let written = self.write(id, request, &request.target);
        self.fact(&written);
        let target = match InstanceId::parse_entity(&request.target) {
            Ok(target) => target,
            Err(invalid) if request.call => {
                let failed = called_no_entity(self.at, &request.request_id, &invalid);
                self.tell_self(failed);
                return;
            }
            Err(_) => return,
        };
        let operation = Operation {
            caller: request.call.then(|| self.as_caller()),
            request_id: request.request_id.as_str().into(),
            event: self.write(INBOUND, request, target.as_str()),
        };
        let body = MessageBody::Operation {
            operation,
            sender: Some(self.as_caller()),
            due: request.scheduled,
        };
        let target = InstanceKey::new(self.context.key.hub, target);
        self.messages
            .push(Outgoing::Message(Message { target, body }));
    }

    fn write(&self, id: i32, request: &OperationRequest, target: &str) -> Bytes {
        let text = OperationText {
            request_id: &request.request_id,
            operation: &request.operation,
            scheduled: request.scheduled,
            input: request.input.as_deref(),
            target,
        };
        if request.call {
            let parent = (&self.context.key.id, &self.context.execution);
            entity_event::operation_called(id, self.at, text, parent)
        } else {
            entity_event::operation_signaled(id, self.at, text)
        }
    }

    /// The history keeps the request as it was sent; the locks are taken in ascending order, each once.
    pub(super) fn lock_entities(
        &mut self,
        id: i32,
        section: &str,
        lock_set: &[String],
        position: i32,
        parent: Option<&[u8]>,
    ) {
        let requested =
            entity_event::lock_requested(id, self.at, section, lock_set, position, parent);
        self.fact(&requested);
        let entities = CriticalSection::order(lock_set);
        if entities.is_empty() {
            self.tell_self(entity_event::lock_granted(self.at, section));
            return;
        }
        let Caller {
            instance,
            execution,
        } = self.as_caller();
        self.messages.push(Outgoing::Lock(Arc::new(CriticalSection {
            id: section.into(),
            owner: instance,
            execution,
            entities,
        })));
    }

    pub(super) fn unlock_entity(
        &mut self,
        id: i32,
        section: &str,
        parent: Option<&[u8]>,
        target: &str,
    ) {
        let sent = entity_event::unlock_sent(id, self.at, section, parent, target);
        self.fact(&sent);
        if let Ok(entity) = InstanceId::parse_entity(target) {
            self.messages.push(Outgoing::Unlock {
                section: section.into(),
                entity,
            });
        }
    }
}
