//! Clients, operators, time, and the roads between partitions.

use std::time::Duration;

use longhaul_engine::Command;
use longhaul_engine::Status as EngineStatus;
use longhaul_engine::command::{CreateInstance, DueOperation, PurgeTarget, ReusePolicy};
use longhaul_engine::history::entity_event::{OperationText, operation_signaled};
use longhaul_engine::history::event::{INBOUND, event_raised};
use longhaul_engine::message::Creation;
use longhaul_types::{InstanceId, Timestamp};

use super::engine::{home, key};
use super::steps::{ENTITIES, IDS, Management, Step};
use super::work::told;
use super::{Difference, World, pick_from};
use crate::values::{Id, NewInstance, Request, Reuse, Status, What};

impl World {
    pub(super) fn take(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Pass { millis } => {
                let time = Duration::from_millis(u64::from(*millis));
                self.engine.now = self.engine.now + time;
                self.model.pass(time);
                Ok(())
            }
            Step::Start {
                id,
                reuse,
                delay,
                request,
            } => self.start(IDS[*id], *reuse, *delay, *request),
            Step::Raise { .. }
            | Step::Suspend { .. }
            | Step::Resume { .. }
            | Step::Terminate { .. } => self.tell(step),
            Step::Manage { pick, how } => self.manage(*pick, *how),
            Step::PurgeEntity { pick } => self.purge_entity(*pick),
            Step::Turn { pick, work } => match self.take_turn(*pick)? {
                Some(turn) => self.answer_turn(&turn, work),
                None => Ok(()),
            },
            Step::TakeTurn { pick } => self.take_turn(*pick).map(drop),
            Step::AnswerTurn { pick, work } => {
                let out: Vec<_> = self.turns_out.values().cloned().collect();
                pick_from(&out, *pick).map_or(Ok(()), |turn| self.answer_turn(&turn, work))
            }
            Step::StaleTurn { pick, work } => pick_from(&self.old_turns, *pick)
                .map_or(Ok(()), |turn| self.answer_turn(&turn, work)),
            Step::FinishTask { pick, fails } => self.finish_task(*pick, *fails),
            Step::StaleTask { pick } => self.repeat_result(*pick),
            Step::Fire { pick } => {
                self.fire_one(*pick);
                Ok(())
            }
            Step::FireDue => {
                let now = self.model.now;
                for (id, number, due) in self.model.timers() {
                    if due <= now {
                        self.fire(&id, number, due);
                    }
                }
                Ok(())
            }
            Step::Signal {
                pick,
                request,
                delay,
            } => self.signal(*pick, *request, *delay),
            Step::Batch { pick, work } => match self.take_batch(*pick)? {
                Some(batch) => self.answer_batch(&batch, work),
                None => Ok(()),
            },
            Step::TakeBatch { pick } => self.take_batch(*pick).map(drop),
            Step::AnswerBatch { pick, work } => {
                let out: Vec<_> = self.batches_out.values().cloned().collect();
                pick_from(&out, *pick).map_or(Ok(()), |batch| self.answer_batch(&batch, work))
            }
            Step::StaleBatch { pick, work } => pick_from(&self.old_batches, *pick)
                .map_or(Ok(()), |batch| self.answer_batch(&batch, work)),
            Step::GiveUpBatch { pick } => self.give_up_batch(*pick),
            Step::Release { pick } => {
                self.release_one(*pick);
                Ok(())
            }
            Step::ReleaseDue => {
                let now = self.model.now;
                for (id, number, due) in self.model.scheduled_operations() {
                    if due <= now {
                        self.release(&id, number, due);
                    }
                }
                Ok(())
            }
            Step::Expire => {
                self.expire();
                Ok(())
            }
            Step::Deliver { road, again, count } => self.deliver(*road, *again, *count),
            Step::DeliverTooEarly { road } => {
                self.deliver_too_early(*road);
                Ok(())
            }
            Step::DeliverAll => self.deliver_all(),
            Step::Acknowledge { road, back } => {
                self.acknowledge(*road, *back);
                Ok(())
            }
            Step::Abandon { pick } => {
                self.abandon(*pick);
                Ok(())
            }
            Step::Crash => {
                self.crash();
                Ok(())
            }
        }?;
        self.forget_what_is_over();
        Ok(())
    }

    /// Mostly one that exists.
    fn some_instance(&self, pick: usize) -> Id {
        let all = self.model.instance_ids();
        match pick_from(&all, pick / 8) {
            Some(id) if !pick.is_multiple_of(8) => id,
            _ => IDS[pick % IDS.len()].to_owned(),
        }
    }

    fn later(&self, millis: u32) -> Option<Timestamp> {
        let offset = Duration::from_millis(u64::from(millis));
        (millis > 0).then(|| self.model.now + offset)
    }

    fn start(&mut self, id: &str, reuse: u8, delay: u32, request: u8) -> Result<(), Difference> {
        let start = self.later(delay);
        let request = (request > 0).then_some(u64::from(request));
        let tags = [("who".to_owned(), "parent".to_owned())].into();
        let creation = Creation {
            execution: self.engine.fresh(),
            name: "Job".into(),
            version: Some("1".into()),
            input: Some(id.to_owned().into()),
            scheduled_start: start,
            tags: Some(std::sync::Arc::new(std::collections::BTreeMap::clone(
                &tags,
            ))),
            parent: None,
            parent_trace: None,
            request_fingerprint: request.unwrap_or(0),
        };
        let new = NewInstance {
            name: "Job".to_owned(),
            version: Some("1".to_owned()),
            input: Some(id.to_owned()),
            start,
            tags,
            request,
        };
        let (policy, reuse) = policies(reuse);
        let seen = self.engine.ask(id, |key| {
            Command::CreateInstance(Box::new(CreateInstance {
                key,
                creation,
                reuse: policy,
            }))
        });
        let expected = self.model.start(id, new, &reuse);
        told(self, &expected, &seen)
    }

    fn tell(&mut self, step: &Step) -> Result<(), Difference> {
        let now = self.engine.now;
        let (Step::Raise { pick }
        | Step::Suspend { pick }
        | Step::Resume { pick }
        | Step::Terminate { pick, .. }) = step
        else {
            unreachable!("nothing else is told");
        };
        let id = self.some_instance(*pick);
        let text = self.spelled(&id);
        let reason = || Some("because".into());
        let seen = self.engine.ask(&text, |key| match step {
            Step::Raise { .. } => Command::RaiseEvent {
                key,
                event: event_raised(now, "Ping", Some(b"1")),
            },
            Step::Suspend { .. } => Command::Suspend {
                key,
                reason: reason(),
            },
            Step::Resume { .. } => Command::Resume { key, reason: None },
            _ => Command::Terminate {
                key,
                output: Some("stop".into()),
                recurse: recurse_of(step),
            },
        });
        let expected = match step {
            Step::Raise { .. } => self.model.raise(&id, "Ping", Some("1".to_owned())),
            Step::Suspend { .. } => self.model.suspend(&id, Some("because".to_owned())),
            Step::Resume { .. } => self.model.resume(&id, None),
            _ => {
                let output = Some("stop".to_owned());
                self.model.terminate(&id, output, recurse_of(step))
            }
        };
        told(self, &expected, &seen)
    }

    fn manage(&mut self, pick: usize, how: Management) -> Result<(), Difference> {
        let id = self.some_instance(pick);
        let text = self.spelled(&id);
        match how {
            Management::Rewind => self.rewind(pick),
            Management::Restart => {
                let execution = self.engine.fresh();
                let seen = self
                    .engine
                    .ask(&text, |key| Command::Restart { key, execution });
                let expected = self.model.restart(&id);
                told(self, &expected, &seen)
            }
            Management::ForceTerminate => {
                let reason = Some("enough".into());
                let seen = self
                    .engine
                    .ask(&text, |key| Command::ForceTerminate { key, reason });
                let expected = self.model.force_terminate(&id, Some("enough".to_owned()));
                told(self, &expected, &seen)
            }
            Management::Purge => self.purge(&id),
            Management::PurgeTree => self.purge_tree(&id),
            Management::PurgeAnother => self.purge_another(&id),
        }
    }

    /// One that failed, if there is any, and if what follows is described. Where children are rewound too nothing else
    /// may come between.
    fn rewind(&mut self, pick: usize) -> Result<(), Difference> {
        let mut ids = self.model.instance_ids();
        if ids.iter().any(|id| self.has_failed(id)) && !pick.is_multiple_of(8) {
            ids.retain(|id| self.has_failed(id));
        }
        let Some(id) = pick_from(&ids, pick) else {
            return Ok(());
        };
        let has_children = self.model.waits_for_children(&id);
        if has_children {
            self.deliver_all()?;
        }
        if self.has_failed(&id) && !self.model.describes_rewind_of(&id) {
            return Ok(());
        }
        let (text, execution) = (self.spelled(&id), self.engine.fresh());
        let seen = self.engine.ask(&text, |key| Command::Rewind {
            key,
            execution,
            reason: Some("again".into()),
        });
        let expected = self.model.rewind(&id, Some("again".to_owned()));
        told(self, &expected, &seen)?;
        match has_children {
            true => self.deliver_all(),
            false => Ok(()),
        }
    }

    fn has_failed(&self, id: &str) -> bool {
        let view = self.model.view(id);
        view.is_some_and(|view| view.status == Status::Failed)
    }

    fn purge(&mut self, id: &str) -> Result<(), Difference> {
        let text = self.spelled(id);
        let seen = self.engine.ask(&text, |key| Command::Purge {
            targets: vec![PurgeTarget {
                key,
                completed_at: None,
            }],
        });
        let expected = self.model.purge(id);
        told(self, &expected, &seen)
    }

    /// As an operator's recursive purge goes: children first.
    fn purge_tree(&mut self, id: &str) -> Result<(), Difference> {
        let view = self.model.view(id);
        if view.is_some_and(|view| view.status.is_terminal()) {
            let history = self.model.history(id).unwrap_or_default().to_vec();
            for event in history {
                if let What::ChildCreated { instance, .. } = event.what
                    && instance != id
                {
                    self.purge(&instance)?;
                }
            }
        }
        self.purge(id)
    }

    /// A purge that found an instance which has ended again since leaves it alone.
    fn purge_another(&mut self, id: &str) -> Result<(), Difference> {
        let Some(view) = self.model.view(id).filter(|it| it.status.is_terminal()) else {
            return Ok(());
        };
        let before = view.completed.map(|at| at - Duration::from_nanos(1));
        let text = self.spelled(id);
        self.engine.ask(&text, |key| Command::Purge {
            targets: vec![PurgeTarget {
                key,
                completed_at: before,
            }],
        });
        Ok(())
    }

    fn purge_entity(&mut self, pick: usize) -> Result<(), Difference> {
        let id = entity(pick);
        let seen = self.engine.ask(&id, |key| Command::Purge {
            targets: vec![PurgeTarget {
                key,
                completed_at: None,
            }],
        });
        let expected = self.model.purge_entity(&id);
        told(self, &expected, &seen)
    }

    fn signal(&mut self, pick: usize, request: u8, delay: u32) -> Result<(), Difference> {
        let (id, due, now) = (entity(pick), self.later(delay), self.engine.now);
        let request = Request {
            id: format!("q{request}"),
            operation: "Set".to_owned(),
            input: Some("5".to_owned()),
            due,
            target: id.clone(),
            caller: None,
        };
        let event = operation_signaled(
            INBOUND,
            now,
            OperationText {
                request_id: &request.id,
                operation: &request.operation,
                scheduled: due,
                input: Some(b"5"),
                target: &id,
            },
        );
        let seen = self.engine.ask(&id, |key| Command::SignalEntity {
            key,
            request_id: request.id.as_str().into(),
            event,
            due,
        });
        let expected = self.model.signal(&id, request);
        told(self, &expected, &seen)
    }

    /// One that is armed, or one that fired before.
    fn fire_one(&mut self, pick: usize) {
        let timers = self.model.timers();
        match pick_from(&timers, pick / 2) {
            Some((id, number, due)) if pick.is_multiple_of(2) => self.fire(&id, number, due),
            _ => {
                if let Some((id, number, timer)) = pick_from(&self.old_timers, pick) {
                    let home = home(timer.key.id.as_str());
                    self.engine.apply(home, Command::FireTimers(vec![timer]));
                    self.model.fire(&id, number);
                }
            }
        }
    }

    fn release_one(&mut self, pick: usize) {
        let scheduled = self.model.scheduled_operations();
        match pick_from(&scheduled, pick / 2) {
            Some((id, number, due)) if pick.is_multiple_of(2) => self.release(&id, number, due),
            _ => {
                if let Some((id, number, operation)) = pick_from(&self.old_operations, pick) {
                    let release = Command::ReleaseOperations(vec![operation]);
                    self.engine.apply(home(&id), release);
                    self.model.release(&id, number);
                }
            }
        }
    }

    fn release(&mut self, id: &str, number: u64, due: Timestamp) {
        let mut alike = self.model.scheduled_operations();
        alike.retain(|(of, _, at)| of == id && *at == due);
        let place = alike.iter().position(|(_, it, _)| *it == number);
        let key = key(id);
        let entity = self.engine.tables(id).entities.get(&key);
        let scheduled = entity.map(|it| it.scheduled.iter());
        let mut scheduled = scheduled.into_iter().flatten().filter(|it| it.1.due == due);
        let found = place.and_then(|place| scheduled.nth(place));
        let Some(seq) = found.map(|(seq, _)| *seq) else {
            return;
        };
        let operation = DueOperation { key, seq };
        let old = (id.to_owned(), number, operation.clone());
        self.old_operations.push(old);
        let release = Command::ReleaseOperations(vec![operation]);
        self.engine.apply(home(id), release);
        self.model.release(id, number);
    }

    /// Nobody can tell.
    fn expire(&mut self) {
        for partition in 0..self.engine.partitions.len() {
            let tables = &self.engine.partitions[partition];
            let keys = tables.entities.keys().cloned().collect();
            self.engine.apply(partition, Command::ExpireEntities(keys));
        }
    }

    fn road(&self, pick: usize) -> Option<(usize, usize)> {
        let busy = |road: &&(usize, usize)| self.engine.received(**road) < self.sent_on(**road);
        let roads: Vec<_> = self.engine.sent.keys().filter(busy).copied().collect();
        let all: Vec<_> = self.engine.sent.keys().copied().collect();
        pick_from(&roads, pick).or_else(|| pick_from(&all, pick))
    }

    fn sent_on(&self, road: (usize, usize)) -> usize {
        self.engine.sent.get(&road).map_or(0, Vec::len)
    }

    fn deliver(&mut self, pick: usize, again: usize, count: usize) -> Result<(), Difference> {
        let Some(road) = self.road(pick) else {
            return Ok(());
        };
        let received = self.engine.received(road);
        let first = received.saturating_sub(again);
        let last = (received + count).min(self.sent_on(road));
        if first == last {
            return Ok(());
        }
        self.engine.deliver(road, first, last - first);
        for number in received..last {
            let to = self.engine.sent[&road][number].target.id.to_string();
            self.arrive(road, &to)?;
        }
        self.model.settle();
        Ok(())
    }

    fn arrive(&mut self, (from, to): (usize, usize), receiver: &str) -> Result<(), Difference> {
        let letters = self.model.letters();
        let letter = letters.filter(|(town, _)| *town == from);
        let id = letter
            .map(|(_, id)| id.to_owned())
            .find(|id| self.spelled(id) == receiver);
        match id {
            Some(id) if self.model.arrive(from, &id) => Ok(()),
            _ => Err(format!(
                "nothing is underway from {from} to {receiver} in {to}"
            )),
        }
    }

    /// Messages after a gap are not taken.
    fn deliver_too_early(&mut self, pick: usize) {
        if let Some(road) = self.road(pick) {
            let next = self.engine.received(road) + 1;
            if next < self.sent_on(road) {
                self.engine.deliver(road, next, 1);
            }
        }
    }

    /// Until nothing is underway.
    pub(super) fn deliver_all(&mut self) -> Result<(), Difference> {
        loop {
            let mut roads = self.engine.sent.keys().copied();
            let busy = roads.find(|road| self.engine.received(*road) < self.sent_on(*road));
            let Some(road) = busy else {
                return Ok(());
            };
            let received = self.engine.received(road);
            self.engine.deliver(road, received, 1);
            let to = self.engine.sent[&road][received].target.id.to_string();
            self.arrive(road, &to)?;
            self.model.settle();
            self.compare()?;
        }
    }

    fn acknowledge(&mut self, pick: usize, back: usize) {
        if let Some(road) = self.road(pick) {
            let through = self.engine.received(road).saturating_sub(back);
            self.engine.acknowledge(road, through);
        }
    }
}

fn entity(pick: usize) -> Id {
    let id = InstanceId::parse_entity(ENTITIES[pick % ENTITIES.len()]);
    id.expect("an entity").to_string()
}

fn recurse_of(step: &Step) -> bool {
    matches!(step, Step::Terminate { recurse: true, .. })
}

/// A policy as each side has it.
fn policies(reuse: u8) -> (ReusePolicy, Reuse) {
    let all = [
        (EngineStatus::Running, Status::Running),
        (EngineStatus::Suspended, Status::Suspended),
        (EngineStatus::Terminated, Status::Terminated),
        (EngineStatus::Pending, Status::Pending),
        (EngineStatus::Failed, Status::Failed),
    ];
    let listed = match reuse {
        0..=4 => return (ReusePolicy::Default, Reuse::Unsaid),
        5 => &all[..],
        6 => &all[..2],
        _ => &all[5..],
    };
    let (engine, model) = listed.iter().copied().unzip();
    (ReusePolicy::Replace(engine), Reuse::Replaces(model))
}
