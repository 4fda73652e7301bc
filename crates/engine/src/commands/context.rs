//! What every command works with: the tables, the time, the effects so far, and messages on their way.

use std::collections::VecDeque;

use bytes::Bytes;
use longhaul_types::{ExecutionId, Timestamp};

use super::delivery;
use crate::dispatch;
use crate::effects::{Effect, Outcome, Reply};
use crate::instance::{InboxKind, InboxMessage};
use crate::invariants;
use crate::key::InstanceKey;
use crate::message::{Message, MessageBody};
use crate::tables::{TableFault, Tables};

pub(crate) struct Context<'a> {
    pub(crate) tables: &'a mut dyn Tables,
    pub(crate) at: Timestamp,
    pub(crate) effects: Vec<Effect>,
    /// Messages for this partition, delivered before the command ends.
    local: VecDeque<Message>,
    touched: Vec<InstanceKey>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(tables: &'a mut dyn Tables, at: Timestamp) -> Self {
        Self {
            tables,
            at,
            effects: Vec::new(),
            local: VecDeque::new(),
            touched: Vec::new(),
        }
    }

    /// Delivers what is on its way within the partition, then checks what was touched (debug builds).
    pub(crate) fn finish(mut self, reply: Reply) -> Result<Outcome, TableFault> {
        while let Some(message) = self.local.pop_front() {
            delivery::deliver(&mut self, message)?;
        }
        if cfg!(debug_assertions) {
            for key in &self.touched {
                let checked = if key.id.is_entity() {
                    self.tables.entity(key)?.map(invariants::check_entity)
                } else {
                    self.tables.instance(key)?.map(invariants::check)
                };
                checked
                    .unwrap_or(Ok(()))
                    .unwrap_or_else(|violation| panic!("{key:?} after {reply:?}: {violation}"));
            }
        }
        Ok(Outcome {
            reply,
            effects: self.effects,
        })
    }

    pub(crate) fn touch(&mut self, key: &InstanceKey) {
        if cfg!(debug_assertions) {
            self.touched.push(key.clone());
        }
    }

    /// Sends to an instance anywhere: through the outbox, or straight if it lives here.
    pub(crate) fn send(&mut self, target: InstanceKey, body: MessageBody) {
        let partition = self.tables.partition();
        let home = partition.count.partition_of(target.hub, &target.id);
        let message = Message { target, body };
        if home == partition.id {
            self.local.push_back(message);
            return;
        }
        let last = self.tables.partition_mut().sent.entry(home).or_default();
        *last += 1;
        let number = *last;
        self.tables.put_outbox(home, number, message);
        if !self.effects.contains(&Effect::OutboxGrew { target: home }) {
            self.effects.push(Effect::OutboxGrew { target: home });
        }
    }

    /// Puts an untargeted message into the inbox of a live instance; a client's call.
    pub(crate) fn push_from_client(
        &mut self,
        key: &InstanceKey,
        kind: InboxKind,
        event: Bytes,
    ) -> Result<Reply, TableFault> {
        let at = self.at;
        let Some(instance) = self.tables.instance_mut(key)? else {
            return Ok(Reply::NotFound);
        };
        if !instance.status.is_terminal() {
            instance.inbox.push_back(InboxMessage {
                kind,
                execution: None,
                event,
            });
            instance.updated_at = at;
            self.offer_turn(key)?;
        }
        Ok(Reply::Done)
    }

    /// Puts a message into the inbox of the execution it is for; dropped if that has ended.
    pub(crate) fn push_result(
        &mut self,
        key: &InstanceKey,
        execution: &ExecutionId,
        event: Bytes,
    ) -> Result<(), TableFault> {
        let at = self.at;
        let target = self
            .tables
            .instance_mut(key)?
            .filter(|it| !it.status.is_terminal() && it.execution == *execution);
        let Some(instance) = target else {
            return Ok(());
        };
        let result = InboxMessage::result(execution.clone(), event);
        instance.inbox.push_back(result);
        instance.updated_at = at;
        self.offer_turn(key)
    }

    /// Says that the instance has a turn to offer, if it has.
    pub(crate) fn offer_turn(&mut self, key: &InstanceKey) -> Result<(), TableFault> {
        self.touch(key);
        if let Some(instance) = self.tables.instance(key)? {
            self.effects
                .extend(dispatch::turn_effect(key, instance, self.at));
        }
        Ok(())
    }
}
