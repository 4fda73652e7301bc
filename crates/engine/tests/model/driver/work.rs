//! Work handed out, and answers: in time, late, repeated, or never.
//!
//! A leader hands a turn or a batch to one worker at a time, and forgets that it did when it crashes or the worker gives
//! it back. The worker does not know; its answer may still come.

use longhaul_engine::batch::{self, Verdict};
use longhaul_engine::history::event;
use longhaul_engine::turn;
use longhaul_engine::{Command, dispatch};
use longhaul_types::Timestamp;

use super::engine::{home, key, worker_failure};
use super::steps::{BatchWork, TurnWork};
use super::{BatchOut, Difference, TurnOut, World, observe, pick_from, worker};
use crate::reference::TaskItem;
use crate::values::{Event, Finish, Id, Reply, Request, Text, What};

/// What of a turn both sides have to agree on.
type TurnSeen = (Id, Id, Vec<Event>, Vec<Event>);

impl World {
    /// A turn that no worker has.
    pub(super) fn take_turn(&mut self, pick: usize) -> Result<Option<TurnOut>, Difference> {
        let mut due = self.model.turns_due();
        due.retain(|id| !self.turns_out.contains_key(id));
        pick_from(&due, pick)
            .map(|id| self.take_turn_of(&id))
            .transpose()
    }

    pub(super) fn take_turn_of(&mut self, id: &str) -> Result<TurnOut, Difference> {
        let text = self.spelled(id);
        let now = self.engine.now;
        let engine = dispatch::take_turn(self.engine.tables(&text), &key(&text), now, false);
        let engine = engine.expect("readable").expect("it is due");
        let model = self.model.take_turn(id).expect("it is due");
        let expected: TurnSeen = (
            model.instance.clone(),
            model.execution.clone(),
            model.past.clone(),
            model.new.clone(),
        );
        let new = engine.new.iter().map(|event| observe::event(event));
        let seen: TurnSeen = (
            engine.context.key.id.to_string(),
            engine.context.execution.to_string(),
            observe::framed(engine.past.inline()),
            new.collect(),
        );
        self.agree("a turn", &expected, &seen)?;
        if !self.model.may_begin_at(&model, engine.context.started_at) {
            let at = engine.context.started_at;
            return Err(format!("a turn of {text} begins at {at}"));
        }
        let out = TurnOut { model, engine };
        self.turns_out.insert(id.to_owned(), out.clone());
        self.old_turns.push(out.clone());
        Ok(out)
    }

    pub(super) fn answer_turn(&mut self, out: &TurnOut, work: &TurnWork) -> Result<(), Difference> {
        let now = self.model.now;
        self.turns_out.remove(&out.model.instance);
        let answer = worker::decide(&out.model, work, now, &mut self.fresh);
        let for_engine = worker::for_engine(&answer, now, &self.names.borrow());
        let command = {
            let engine = &mut self.engine;
            turn::decide(&out.engine.context, for_engine, now, &mut || engine.fresh())
        };
        let text = out.engine.context.key.id.to_string();
        let seen = self
            .engine
            .ask(&text, |_| Command::CompleteTurn(Box::new(command)));
        let started = out.engine.context.started_at;
        let expected = self.model.answer_turn(&out.model, started, &answer);
        self.agree("the answer to a turn", &expected, &seen)
    }

    /// An activity is done by whoever has it.
    pub(super) fn finish_task(&mut self, pick: usize, fails: bool) -> Result<(), Difference> {
        let tasks = self.model.tasks();
        let Some(task) = pick_from(&tasks, pick) else {
            return Ok(());
        };
        let siblings = tasks.iter().filter(|it| it.instance == task.instance);
        let place = siblings.take_while(|it| it.number != task.number).count();
        let text = self.spelled(&task.instance);
        let instance = self.engine.instance(&text).expect("it has activities");
        let (seq, activity) = instance.activities.iter().nth(place).expect("as many");
        let (seq, activity) = (*seq, activity.clone());
        self.agree("an activity", &task.event, &observe::event(&activity.event))?;
        let item = (task, activity.execution, seq);
        self.old_tasks.push(item.clone());
        self.send_result(item, fails)
    }

    pub(super) fn repeat_result(&mut self, pick: usize) -> Result<(), Difference> {
        match pick_from(&self.old_tasks, pick) {
            Some(item) => self.send_result(item, pick.is_multiple_of(2)),
            None => Ok(()),
        }
    }

    fn send_result(
        &mut self,
        (task, execution, seq): (TaskItem, longhaul_types::ExecutionId, u64),
        fails: bool,
    ) -> Result<(), Difference> {
        let (now, of) = (self.model.now, task.event.id);
        let event = match fails {
            true => event::task_failed(now, of, &worker_failure("no luck")),
            false => event::task_completed(now, of, Some(b"done")),
        };
        let text = self.spelled(&task.instance);
        let seen = self.engine.ask(&text, |key| Command::CompleteActivity {
            key,
            execution,
            seq,
            event,
        });
        let finish = match fails {
            true => Finish::Failed("no luck".to_owned()),
            false => Finish::Succeeded(Some("done".to_owned())),
        };
        let expected = self.model.finish_task(&task, finish);
        self.agree("the result of an activity", &expected, &seen)
    }

    pub(super) fn take_batch(&mut self, pick: usize) -> Result<Option<BatchOut>, Difference> {
        let mut due = self.model.batches_due();
        due.retain(|id| !self.batches_out.contains_key(id));
        pick_from(&due, pick)
            .map(|id| self.take_batch_of(&id))
            .transpose()
    }

    pub(super) fn take_batch_of(&mut self, id: &str) -> Result<BatchOut, Difference> {
        let engine = batch::take_batch(self.engine.tables(id), &key(id));
        let engine = engine.expect("readable").expect("it is due");
        let model = self.model.take_batch(id).expect("it is due");
        let requests = engine.events.iter().map(|event| observe::request(event));
        let seen: (Text, Vec<Request>) = (observe::text(engine.state.as_ref()), requests.collect());
        let expected = (model.state.clone(), model.operations.clone());
        self.agree(&format!("a batch of {id}"), &expected, &seen)?;
        let out = BatchOut { model, engine };
        self.batches_out.insert(id.to_owned(), out.clone());
        self.old_batches.push(out.clone());
        Ok(out)
    }

    pub(super) fn answer_batch(
        &mut self,
        out: &BatchOut,
        work: &BatchWork,
    ) -> Result<(), Difference> {
        let now = self.model.now;
        self.batches_out.remove(&out.model.entity);
        let answer = worker::work_off(&out.model, work, now);
        let verdict = {
            let engine = &mut self.engine;
            let answer = worker::batch_for_engine(&answer);
            batch::decide(&out.engine.context, answer, now, &mut || engine.fresh())
        };
        let Verdict::Commit(complete) = verdict else {
            return Err(format!(
                "an answer with results is to be committed, not {verdict:?}"
            ));
        };
        let id = out.model.entity.as_str();
        let seen = self.engine.ask(id, |_| Command::CompleteBatch(complete));
        let expected = self.model.answer_batch(&out.model, &answer);
        self.agree("the answer to a batch", &expected, &seen)
    }

    pub(super) fn give_up_batch(&mut self, pick: usize) -> Result<(), Difference> {
        let Some(out) = pick_from(&self.old_batches, pick) else {
            return Ok(());
        };
        self.batches_out.remove(&out.model.entity);
        let failure = batch::unexplained_failure();
        let complete = batch::give_up(&out.engine.context, &failure, self.model.now);
        let id = out.model.entity.as_str();
        let seen = self
            .engine
            .ask(id, |_| Command::CompleteBatch(Box::new(complete)));
        let expected = self.model.give_up_batch(&out.model);
        self.agree("a batch that is given up", &expected, &seen)
    }

    /// Whatever a worker still has of what was replaced, ended or committed is no longer its own.
    pub(super) fn forget_what_is_over(&mut self) {
        let model = &self.model;
        self.turns_out.retain(|_, out| model.is_current(&out.model));
        self.batches_out
            .retain(|_, out| model.is_current_batch(&out.model));
    }

    pub(super) fn abandon(&mut self, pick: usize) {
        let turns: Vec<Id> = self.turns_out.keys().cloned().collect();
        pick_from(&turns, pick).map(|id| self.turns_out.remove(&id));
        let batches: Vec<Id> = self.batches_out.keys().cloned().collect();
        pick_from(&batches, pick).map(|id| self.batches_out.remove(&id));
    }

    /// What a leader keeps in memory is gone; what it had sent and not heard of again it sends again.
    pub(super) fn crash(&mut self) {
        self.turns_out.clear();
        self.batches_out.clear();
        let roads: Vec<_> = self.engine.sent.keys().copied().collect();
        for road in roads {
            let received = self.engine.received(road);
            self.engine.deliver(road, 0, received);
        }
    }

    pub(super) fn fire(&mut self, id: &str, number: u64, due: Timestamp) {
        let text = self.spelled(id);
        let mut timers: Vec<_> = self.model.timers();
        timers.retain(|(of, _, at)| of == id && *at == due);
        let place = timers.iter().position(|(_, it, _)| *it == number);
        let mut seen = self.engine.timers(&text);
        seen.retain(|(at, ..)| *at == due);
        let Some((_, _, timer)) = place.and_then(|place| seen.get(place)) else {
            return;
        };
        self.old_timers.push((id.to_owned(), number, timer.clone()));
        let fire = Command::FireTimers(vec![timer.clone()]);
        self.engine.apply(home(&text), fire);
        self.model.fire(id, number);
    }
}

impl TaskItem {
    pub(super) fn name(&self) -> &str {
        match &self.event.what {
            What::TaskScheduled { name, .. } => name,
            other => unreachable!("not scheduled by {other:?}"),
        }
    }
}

/// What a client is told: the same on both sides.
pub(super) fn told(world: &World, expected: &Reply, seen: &Reply) -> Result<(), Difference> {
    world.agree("the reply", expected, seen)
}
