//! RewindInstance: a failed instance goes on from where it failed.
//!
//! The history is rewritten as if the failures had not been: successful results stay, failed activities are asked for
//! again by the orchestrator, failed children go on themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::Model;
use super::children::{ChildEnd, ParentLink, Waiting, may_be_an_instance};
use super::orchestrations::{Beginning, Instance};
use super::post::Says;
use super::slip::Slip;
use super::time::Timer;
use crate::values::{Event, Failure, Id, Reply, Status, Text, What};

/// What a rewound parent says to a child that it waits for.
pub(super) struct RewoundChild {
    reason: Text,
    /// The child as it was created, should it be gone.
    beginning: Beginning,
    /// Names the parent's new execution.
    link: ParentLink,
    /// The parent's execution before.
    old_execution: Id,
    /// Whether the parent had seen it fail.
    failed: bool,
}

impl Model {
    pub(crate) fn rewind(&mut self, id: &str, reason: Text) -> Reply {
        let Some(instance) = self.instances.get(id) else {
            return Reply::NotFound;
        };
        if instance.status != Status::Failed {
            return Reply::NotFailed(instance.visible_status());
        }
        self.go_back(id, reason);
        self.settle();
        Reply::Done
    }

    /// The instance runs again under a new execution, and a turn without a message lets its orchestrator go on. What
    /// it still waits for it waits for again: timers that did not fire, and children.
    fn go_back(&mut self, id: &str, reason: Text) {
        let (now, execution, episode) = (self.now, self.made_up(), self.number());
        let keeps = self.slips(Slip::RewindKeepsFailures);
        let instance = self.instance(id);
        let failed_children = failed_children(&instance.history);
        let old_execution = std::mem::replace(&mut instance.execution, execution);
        let kept = match keeps {
            true => without(&instance.history, &[]),
            false => without(&instance.history, &failed_tasks(&instance.history)),
        };
        instance.history = kept;
        for event in &mut instance.history {
            if let What::ExecutionStarted(started) = &mut event.what {
                started.execution.clone_from(&instance.execution);
                started.parent = instance.parent.as_ref().map(|it| it.parent.clone());
            }
        }
        instance
            .history
            .push(Event::inbound(What::ExecutionRewound(reason.clone())));
        instance.status = Status::Running;
        instance.output = None;
        instance.failure = None;
        instance.completed = None;
        instance.updated = now;
        instance.episode = episode;
        instance.inbox.clear();
        instance.kicked = true;
        let made_after = self.number();
        for timer in unfired(&self.instances[id].history) {
            let number = self.number();
            self.instance(id).timers.insert(number, timer);
        }
        self.fire_if_due(id, made_after);
        for (action, created) in waited_for(&self.instances[id].history) {
            let failed = failed_children.contains(&action);
            self.wait_again(id, action, created, &old_execution, &reason, failed);
        }
    }

    fn wait_again(
        &mut self,
        id: &str,
        task: i32,
        created: What,
        old_execution: &str,
        reason: &Text,
        failed: bool,
    ) {
        let What::ChildCreated {
            instance: child,
            name,
            version,
            input,
            tags,
        } = created
        else {
            unreachable!("only children are waited for");
        };
        if !may_be_an_instance(&child) {
            self.refuse_child(id, task);
            return;
        }
        let number = self.number();
        let parent = self.instance(id);
        let waiting = Waiting {
            task,
            instance: child.clone(),
        };
        parent.children.insert(number, waiting);
        let link = ParentLink {
            parent: parent.as_parent(id, task),
            number,
        };
        let beginning = Beginning {
            name,
            version,
            input,
            start: None,
            tags,
            request: None,
            parent: Some(link.clone()),
        };
        let says = Says::Rewind(RewoundChild {
            reason: reason.clone(),
            beginning,
            link,
            old_execution: old_execution.to_owned(),
            failed,
        });
        self.send(id, &child, says);
    }

    /// A child that failed is rewound too, whether or not its parent came to know. One that is gone, or ended in another way, runs afresh. One that is live
    /// reports to the parent's new execution. One whose end the parent has missed says it again. And an id that
    /// somebody else has by now is taken as ever.
    pub(super) fn rewind_child(&mut self, id: &str, child: RewoundChild) {
        let Some(record) = self.instances.get_mut(id) else {
            self.replace(id, child.beginning);
            return;
        };
        let parent = &child.link.parent;
        let is_ours = record.parent.as_ref().is_some_and(|it| {
            it.parent.instance == parent.instance
                && it.parent.execution == child.old_execution
                && it.parent.task == parent.task
        });
        let (live, status) = (record.is_live(), record.status);
        let is_known = live || status == Status::Failed || !child.failed;
        if is_ours && is_known {
            record.parent = Some(child.link);
            match status {
                Status::Failed => self.go_back(id, child.reason),
                _ if live => {}
                _ => self.tell_parent(id),
            }
        } else if live {
            let says = Says::ChildEnded {
                execution: parent.execution.clone(),
                number: child.link.number,
                end: ChildEnd::Failed(Failure::ByServer),
            };
            let parent = parent.instance.clone();
            self.send(id, &parent, says);
        } else {
            self.replace(id, child.beginning);
        }
    }

    /// Whether a rewind of the instance goes on to children.
    pub(crate) fn waits_for_children(&self, id: &str) -> bool {
        let instance = self.instances.get(id);
        instance.is_some_and(|it| !waited_for(&without(&it.history, &[])).is_empty())
    }

    /// Whether everything that a rewind of the instance leads to is described here. Left open: activities without a
    /// result, calls without an answer, critical sections, and several starts of one child.
    pub(crate) fn describes_rewind_of(&self, id: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id.to_owned()]);
        while let Some(id) = open.pop() {
            let Some(instance) = self.instances.get(&id) else {
                continue;
            };
            let children = waited_for(&without(&instance.history, &[]));
            let children: Vec<Id> = children.iter().map(|(_, it)| child_id(it)).collect();
            let distinct: BTreeSet<&Id> = children.iter().collect();
            if distinct.len() < children.len() || !is_plain(instance) || !seen.insert(id) {
                return false;
            }
            open.extend(children);
        }
        true
    }
}

fn is_plain(instance: &Instance) -> bool {
    let history = instance.history.iter();
    let (mut tasks, mut calls) = (0, 0);
    for event in history {
        match &event.what {
            What::TaskScheduled { .. } => tasks += 1,
            What::TaskCompleted { .. } | What::TaskFailed { .. } => tasks -= 1,
            What::Operation(request) if request.caller.is_some() => calls += 1,
            What::OperationCompleted { .. } | What::OperationFailed { .. } => calls -= 1,
            What::LockRequested { .. } => return false,
            _ => {}
        }
    }
    tasks == 0 && calls == 0 && instance.tasks.is_empty()
}

fn child_id(what: &What) -> Id {
    match what {
        What::ChildCreated { instance, .. } => instance.clone(),
        _ => unreachable!("only children are waited for"),
    }
}

/// Ids of actions whose child failed.
fn failed_children(history: &[Event]) -> Vec<i32> {
    let failed = history.iter().filter_map(|event| match event.what {
        What::ChildFailed { of, .. } => Some(of),
        _ => None,
    });
    failed.collect()
}

/// Places of failures of activities, and of what scheduled them: each result belongs to the closest schedule before it
/// that has none.
fn failed_tasks(history: &[Event]) -> Vec<usize> {
    let mut open: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    let mut gone = Vec::new();
    for (at, event) in history.iter().enumerate() {
        match event.what {
            What::TaskScheduled { .. } => open.entry(event.id).or_default().push(at),
            What::TaskCompleted { of, .. } => drop(open.entry(of).or_default().pop()),
            What::TaskFailed { of, .. } => {
                gone.push(at);
                gone.extend(open.entry(of).or_default().pop());
            }
            _ => {}
        }
    }
    gone
}

/// The history without these places, failures of children and the end.
fn without(history: &[Event], gone: &[usize]) -> Vec<Event> {
    let all = history.iter().enumerate();
    let kept = all.filter(|(at, event)| {
        let ends = matches!(
            event.what,
            What::ChildFailed { .. } | What::ExecutionCompleted { .. }
        );
        !ends && !gone.contains(at)
    });
    kept.map(|(_, event)| event.clone()).collect()
}

/// Children that were created and have no result, with the action's id.
fn waited_for(history: &[Event]) -> Vec<(i32, What)> {
    let mut waiting: Vec<(i32, What)> = Vec::new();
    for event in history {
        match &event.what {
            What::ChildCreated { .. } => waiting.push((event.id, event.what.clone())),
            What::ChildCompleted { of, .. } => {
                let created = waiting.iter().rposition(|(action, _)| action == of);
                created.map(|at| waiting.remove(at));
            }
            _ => {}
        }
    }
    waiting
}

/// Timers that were made and did not fire.
fn unfired(history: &[Event]) -> Vec<Timer> {
    let mut timers: Vec<Timer> = Vec::new();
    for event in history {
        match event.what {
            What::TimerCreated { due } => timers.push(Timer {
                task: event.id,
                due,
            }),
            What::TimerFired { of, .. } => {
                let made = timers.iter().position(|timer| timer.task == of);
                made.map(|at| timers.remove(at));
            }
            _ => {}
        }
    }
    timers
}
