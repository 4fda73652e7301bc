//! Turns: what a worker is handed, and what becomes of its answer.
//!
//! A history is the concatenation of committed turns: OrchestratorStarted, the messages that were taken, the events of
//! the actions. All of an answer is done, or nothing.

use std::collections::BTreeMap;

use longhaul_types::Timestamp;

use super::Model;
use super::children::{NewChild, ParentLink, Waiting, may_be_an_instance};
use super::entities::Operation;
use super::locks::entity_id;
use super::orchestrations::{Beginning, Pending};
use super::post::Says;
use super::slip::Slip;
use super::time::Timer;
use crate::values::{
    Act, Deed, Event, Failure, Finish, Id, Reply, Request, Status, Text, TurnAnswer, What,
};

/// An activity without a result.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) execution: Id,
    /// What it was scheduled by.
    pub(super) event: Event,
}

/// A turn as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TurnItem {
    pub(crate) instance: Id,
    pub(crate) execution: Id,
    /// Without marks of a rewind, which some workers refuse.
    pub(crate) past: Vec<Event>,
    /// After OrchestratorStarted.
    pub(crate) new: Vec<Event>,
    episode: u64,
}

/// An activity as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskItem {
    pub(crate) instance: Id,
    pub(crate) number: u64,
    pub(crate) event: Event,
}

impl Model {
    /// The turn that is due: the whole inbox, ExecutionStarted first. Handing it out changes nothing, least of all the
    /// status.
    pub(crate) fn take_turn(&self, id: &str) -> Option<TurnItem> {
        let instance = self.instances.get(id)?;
        if !self.is_turn_due(instance) {
            return None;
        }
        let past = instance.history.iter();
        let past = past.filter(|event| !matches!(event.what, What::ExecutionRewound(_)));
        let new = instance.inbox.iter().map(|it| it.event.clone());
        Some(TurnItem {
            instance: id.to_owned(),
            execution: instance.execution.clone(),
            past: past.cloned().collect(),
            new: new.collect(),
            episode: instance.episode,
        })
    }

    /// Whether the turn began at a time that is allowed: not before now, after the last turn, and not before any timer
    /// that it brings was due.
    pub(crate) fn may_begin_at(&self, turn: &TurnItem, started: Timestamp) -> bool {
        let clock = self.instances.get(&turn.instance).and_then(|it| it.clock);
        let timers = turn.new.iter().filter_map(|event| match event.what {
            What::TimerFired { due, .. } => Some(due),
            _ => None,
        });
        started >= self.now
            && clock.is_none_or(|last| last < started)
            && timers.into_iter().all(|due| due <= started)
    }

    /// Whether an answer to the turn would still count: nothing was committed or ended since it was handed out.
    pub(crate) fn is_current(&self, turn: &TurnItem) -> bool {
        let instance = self.instances.get(&turn.instance);
        instance.is_some_and(|it| it.is_live() && it.episode == turn.episode)
    }

    /// CompleteOrchestratorTask.
    ///
    /// A worker that says how many messages it took leaves the rest where it was, in front of what arrived later; the
    /// start of an execution is always taken.
    pub(crate) fn answer_turn(
        &mut self,
        turn: &TurnItem,
        started: Timestamp,
        answer: &TurnAnswer,
    ) -> Reply {
        let counts = self.slips(Slip::StaleTurnsCount) && self.could_be_taken(turn);
        if !counts && !self.is_current(turn) {
            return Reply::Stale;
        }
        let (id, now) = (turn.instance.as_str(), self.now);
        let instance = self.instance(id);
        let fewest = usize::from(instance.history.is_empty());
        let taken = answer.processed.map_or(turn.new.len(), |processed| {
            (processed as usize).clamp(fewest, turn.new.len())
        });
        let taken = instance.inbox.drain(..taken).map(|it| it.event);
        let taken: Vec<Event> = taken.collect();
        instance.kicked = false;
        instance.history.push(Event {
            id: -1,
            at: Some(started),
            what: What::OrchestratorStarted,
        });
        instance.history.extend(taken.iter().cloned());
        instance.clock = Some(started);
        instance.updated = now;
        instance.status = status_after(instance.status, &taken);
        instance.set_custom_status(answer.custom_status.as_deref());
        self.act(id, answer, &taken);
        let episode = self.number();
        if let Some(instance) = self.instances.get_mut(id) {
            instance.episode = episode;
        }
        self.settle();
        Reply::Done
    }

    fn could_be_taken(&self, turn: &TurnItem) -> bool {
        let instance = self.instances.get(&turn.instance);
        instance.is_some_and(|it| it.is_live() && it.inbox.len() >= turn.new.len())
    }

    /// Actions in their order, and the one that ends the execution last. Of several of these the first counts.
    fn act(&mut self, id: &str, answer: &TurnAnswer, taken: &[Event]) {
        let ends =
            |act: &&Act| matches!(act.deed, Deed::Complete { .. } | Deed::ContinueAsNew { .. });
        let made_after = self.number();
        let ending = answer.acts.iter().find(ends);
        let goes_on = matches!(ending, Some(act) if matches!(act.deed, Deed::ContinueAsNew { .. }));
        for act in answer.acts.iter().filter(|act| !ends(act)) {
            // A timer of a generation that is over before it fires has no point.
            if !(goes_on && matches!(act.deed, Deed::Timer { .. })) {
                self.do_one(id, act);
            }
        }
        self.fire_if_due(id, made_after);
        match ending.map(|act| (act.id, &act.deed)) {
            Some((
                action,
                Deed::Complete {
                    status,
                    result,
                    failure,
                },
            )) => {
                let failure = failure.clone().map(Failure::ByWorker);
                self.complete(id, action, *status, result.clone(), failure, taken);
            }
            Some((
                _,
                Deed::ContinueAsNew {
                    input,
                    version,
                    carried,
                },
            )) => self.continue_as_new(id, input.clone(), version.clone(), carried),
            _ => {}
        }
    }

    /// What was decided bears the time of its commit, which is not before the turn began.
    fn decided_at(&self, id: &str) -> Timestamp {
        let began = self.instances[id].clock;
        began.map_or(self.now, |began| began.max(self.now))
    }

    fn do_one(&mut self, id: &str, Act { id: action, deed }: &Act) {
        let at = self.decided_at(id);
        let record = |model: &mut Self, what: What| {
            let event = Event::decided(*action, at, what);
            model.instance(id).history.push(event.clone());
            event
        };
        match deed {
            Deed::Schedule { name, input } => {
                let (name, input) = (name.clone(), input.clone());
                let event = record(self, What::TaskScheduled { name, input });
                self.schedule(id, event);
            }
            Deed::Timer { due } => {
                record(self, What::TimerCreated { due: *due });
                let (task, due) = (*action, *due);
                let number = self.number();
                let timer = Timer { task, due };
                self.instance(id).timers.insert(number, timer);
            }
            Deed::Child { .. } => self.create_child(id, *action, deed),
            Deed::Send { to, name, input } => {
                let (to, name, input) = (to.clone(), name.clone(), input.clone());
                let raised = Event::inbound(What::EventRaised {
                    name: name.clone(),
                    input: input.clone(),
                });
                record(
                    self,
                    What::EventSent {
                        to: to.clone(),
                        name,
                        input,
                    },
                );
                if may_be_an_instance(&to) {
                    self.send(id, &to, Says::Event(raised));
                }
            }
            Deed::Terminate {
                to,
                output,
                recurse,
            } => {
                if may_be_an_instance(to) {
                    let (output, recurse) = (output.clone(), *recurse);
                    self.send(id, to, Says::Terminate { output, recurse });
                }
            }
            Deed::Operation {
                call,
                id: request,
                operation,
                input,
                due,
                target,
            } => {
                let execution = self.instances[id].execution.clone();
                let sender = (id.to_owned(), execution);
                let request = Request {
                    id: request.clone(),
                    operation: operation.clone(),
                    input: input.clone(),
                    due: *due,
                    target: target.clone(),
                    caller: call.then(|| sender.clone()),
                };
                record(self, What::Operation(request.clone()));
                self.ask_entity(id, request, sender);
            }
            Deed::Lock { section, lock_set } => {
                let (section, lock_set) = (section.clone(), lock_set.clone());
                record(
                    self,
                    What::LockRequested {
                        section: section.clone(),
                        lock_set: lock_set.clone(),
                    },
                );
                self.enter_section(id, section, &lock_set);
            }
            Deed::Unlock { section, target } => {
                let (section, target) = (section.clone(), target.clone());
                record(
                    self,
                    What::UnlockSent {
                        section: section.clone(),
                        target: target.clone(),
                    },
                );
                self.leave_entity(id, &section, &target);
            }
            Deed::Complete { .. } | Deed::ContinueAsNew { .. } => unreachable!("comes last"),
        }
    }

    /// An activity without a name fails at once.
    fn schedule(&mut self, id: &str, event: Event) {
        let number = self.number();
        let of = event.id;
        let nameless = matches!(&event.what, What::TaskScheduled { name, .. } if name.is_empty());
        let execution = self.instances[id].execution.clone();
        if nameless {
            let failure = Failure::ByServer;
            let failed = Event::inbound(What::TaskFailed { of, failure });
            self.tell(id, Some(&execution), failed);
        } else {
            let task = Task { execution, event };
            self.instance(id).tasks.insert(number, task);
        }
    }

    /// A child has its parent's tags with its own laid over them. If it is given no id, it has its parent's execution
    /// and the action's id in hex.
    fn create_child(&mut self, id: &str, action: i32, deed: &Deed) {
        let Deed::Child {
            instance,
            name,
            input,
            tags,
        } = deed
        else {
            unreachable!("only children are created");
        };
        let number = self.number();
        let (at, forgets) = (self.decided_at(id), self.slips(Slip::ChildrenForgetTags));
        let parent = self.instance(id);
        let execution = parent.execution.clone();
        let mut all_tags = parent.tags.clone();
        if forgets {
            all_tags.clear();
        }
        all_tags.extend(tags.clone());
        let child = match instance.as_str() {
            "" => format!("{execution}:{action:04x}"),
            given => given.to_owned(),
        };
        let created = What::ChildCreated {
            instance: child.clone(),
            name: name.clone(),
            version: None,
            input: input.clone(),
            tags: all_tags.clone(),
        };
        parent.history.push(Event::decided(action, at, created));
        if !may_be_an_instance(&child) {
            self.refuse_child(id, action);
            return;
        }
        let waiting = Waiting {
            task: action,
            instance: child.clone(),
        };
        parent.children.insert(number, waiting);
        let link = ParentLink {
            parent: parent.as_parent(id, action),
            number,
        };
        let beginning = Beginning {
            name: name.clone(),
            version: None,
            input: input.clone(),
            start: None,
            tags: all_tags,
            request: None,
            parent: None,
        };
        self.send(id, &child, Says::Child(NewChild { beginning, link }));
    }

    /// A call of something that cannot be an entity fails; a signal to it goes nowhere. Names of entities have no case.
    fn ask_entity(&mut self, id: &str, request: Request, sender: (Id, Id)) {
        match entity_id(&request.target) {
            Some(target) => {
                let request = Request {
                    target: target.clone(),
                    ..request
                };
                let sender = Some(sender);
                let operation = Operation { request, sender };
                self.send(id, &target, Says::Operation(operation));
            }
            None if request.caller.is_some() => {
                let failed = Event::inbound(What::OperationFailed {
                    request: request.id,
                    failure: Failure::ByServer,
                });
                self.tell(id, Some(&sender.1), failed);
            }
            None => {}
        }
    }

    /// The execution ends for good. The parent is told, children end too if the termination that was obeyed said so,
    /// locks are released, and what waits goes. Activities go on for nobody, except those of a terminated instance.
    fn complete(
        &mut self,
        id: &str,
        action: i32,
        status: Status,
        result: Text,
        failure: Option<Failure>,
        taken: &[Event],
    ) {
        let at = self.decided_at(id);
        let instance = self.instance(id);
        instance.history.push(Event::decided(
            action,
            at,
            What::ExecutionCompleted {
                status,
                result: result.clone(),
                failure: failure.clone(),
            },
        ));
        instance.status = status;
        instance.output = result;
        instance.failure = failure;
        if status == Status::Terminated {
            self.terminate_children(id, taken);
        }
        self.after_the_end(id);
    }

    /// What follows from every end, however it came about.
    pub(super) fn after_the_end(&mut self, id: &str) {
        let now = self.now;
        let keeps_tasks = self.slips(Slip::ActivitiesOutliveTermination);
        self.tell_parent(id);
        self.leave_all_sections(id);
        let episode = self.number();
        let instance = self.instance(id);
        instance.episode = episode;
        instance.updated = now;
        instance.completed = Some(now);
        instance.inbox.clear();
        instance.kicked = false;
        instance.timers.clear();
        instance.children.clear();
        if instance.status == Status::Terminated && !keeps_tasks {
            instance.tasks.clear();
        }
    }

    /// A new generation of the same instance: an empty history, a new execution, the given input, and in the inbox the
    /// start, what was carried over, and what no turn had taken unless it was meant for the old execution. Locks are
    /// released and timers go; results that still come are dropped. Clients see none of it but the new input.
    fn continue_as_new(
        &mut self,
        id: &str,
        input: Text,
        version: Text,
        carried: &[(String, Text)],
    ) {
        self.leave_all_sections(id);
        let execution = self.made_up();
        let old = self.instance(id);
        let mut inbox = std::mem::take(&mut old.inbox);
        inbox.retain(|it| it.execution.is_none());
        old.execution = execution.clone();
        old.input = input;
        old.version = version.or(old.version.take());
        old.custom_status_inherited = old.custom_status.is_some();
        old.history.clear();
        old.children = BTreeMap::new();
        let timers = std::mem::take(&mut old.timers);
        old.inbox.push_back(Pending {
            event: old.started(id, None),
            execution: Some(execution),
        });
        if self.slips(Slip::TimersOutliveTheirGeneration) {
            self.instance(id).timers = timers;
        }
        if self.slips(Slip::CustomStatusEndsWithItsGeneration) {
            self.instance(id).custom_status = None;
        }
        let carried = carried.iter().cloned().map(|(name, input)| Pending {
            event: Event::inbound(What::EventRaised { name, input }),
            execution: None,
        });
        if !self.slips(Slip::CarriedEventsAreForgotten) {
            self.instance(id).inbox.extend(carried);
        }
        if !self.slips(Slip::WaitingEventsAreForgotten) {
            self.instance(id).inbox.extend(inbox);
        }
    }

    /// Activities without a result, those of ended instances included.
    pub(crate) fn tasks(&self) -> Vec<TaskItem> {
        let all = self.instances.iter();
        all.flat_map(|(id, instance)| {
            let tasks = instance.tasks.iter();
            tasks.map(|(number, task)| TaskItem {
                instance: id.clone(),
                number: *number,
                event: task.event.clone(),
            })
        })
        .collect()
    }

    /// CompleteActivityTask: the result counts once, and reaches the execution that scheduled the activity or nobody.
    pub(crate) fn finish_task(&mut self, item: &TaskItem, finish: Finish) -> Reply {
        let instance = self.instances.get_mut(&item.instance);
        let Some(task) = instance.and_then(|it| it.tasks.remove(&item.number)) else {
            return Reply::Stale;
        };
        let of = task.event.id;
        let what = match finish {
            Finish::Succeeded(result) => What::TaskCompleted { of, result },
            Finish::Failed(text) => What::TaskFailed {
                of,
                failure: Failure::ByWorker(text),
            },
        };
        self.tell(&item.instance, Some(&task.execution), Event::inbound(what));
        Reply::Done
    }
}

impl super::orchestrations::Instance {
    /// Workers send the whole status with every answer, and nothing is nothing; but what an earlier generation left
    /// stays until this one has said something.
    fn set_custom_status(&mut self, status: Option<&str>) {
        match status {
            Some(status) => {
                self.custom_status = Some(status.to_owned());
                self.custom_status_inherited = false;
            }
            None if self.custom_status_inherited => {}
            None => self.custom_status = None,
        }
    }
}

/// The first commit makes it RUNNING; suspensions and resumptions that were taken count in their order.
fn status_after(status: Status, taken: &[Event]) -> Status {
    let begun = match status {
        Status::Pending => Status::Running,
        other => other,
    };
    taken.iter().fold(begun, |status, event| match event.what {
        What::ExecutionSuspended(_) => Status::Suspended,
        What::ExecutionResumed(_) => Status::Running,
        _ => status,
    })
}
