//! Instances: how they begin, what waits for them, and when a turn is due.

use std::collections::{BTreeMap, VecDeque};

use longhaul_types::Timestamp;

use super::Model;
use super::children::{ParentLink, Waiting};
use super::locks::Inside;
use super::post::Says;
use super::slip::Slip;
use super::time::Timer;
use super::turns::Task;
use crate::values::{
    Event, Failure, Id, InstanceView, NewInstance, Parent, Reply, Reuse, Started, Status, Tags,
    Text, What,
};

/// One orchestration instance.
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) version: Text,
    pub(super) execution: Id,
    /// As of the last committed turn.
    pub(super) status: Status,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) completed: Option<Timestamp>,
    pub(super) start: Option<Timestamp>,
    pub(super) input: Text,
    pub(super) output: Text,
    pub(super) failure: Option<Failure>,
    pub(super) custom_status: Text,
    /// The custom status is an earlier generation's.
    pub(super) custom_status_inherited: bool,
    pub(super) tags: Tags,
    pub(super) parent: Option<ParentLink>,
    /// The request that created it.
    pub(super) request: Option<u64>,
    /// What waits to be handed to the orchestrator, in order of arrival.
    pub(super) inbox: VecDeque<Pending>,
    /// A turn is due although nothing may wait: it goes on after a rewind.
    pub(super) kicked: bool,
    /// Of this generation.
    pub(super) history: Vec<Event>,
    /// Changes with whatever makes a turn that is out pointless.
    pub(super) episode: u64,
    /// The orchestrator's clock in its last turn.
    pub(super) clock: Option<Timestamp>,
    /// Activities without a result; they may outlive the execution that scheduled them.
    pub(super) tasks: BTreeMap<u64, Task>,
    pub(super) timers: BTreeMap<u64, Timer>,
    pub(super) children: BTreeMap<u64, Waiting>,
    /// Critical sections that were asked for and not left.
    pub(super) sections: BTreeMap<Id, Inside>,
}

/// A message that waits for a turn.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) event: Event,
    /// The execution it is for; absent is whichever is current.
    pub(super) execution: Option<Id>,
}

/// An orchestration about to begin.
pub(super) struct Beginning {
    pub(super) name: String,
    pub(super) version: Text,
    pub(super) input: Text,
    pub(super) start: Option<Timestamp>,
    pub(super) tags: Tags,
    pub(super) request: Option<u64>,
    pub(super) parent: Option<ParentLink>,
}

impl From<NewInstance> for Beginning {
    fn from(new: NewInstance) -> Self {
        Self {
            name: new.name,
            version: new.version,
            input: new.input,
            start: new.start,
            tags: new.tags,
            request: new.request,
            parent: None,
        }
    }
}

impl Instance {
    /// A queued suspend or resume already counts for one that has begun; PENDING stays until the first turn.
    pub(super) fn visible_status(&self) -> Status {
        match self.status {
            Status::Running | Status::Suspended if self.will_be_suspended() => Status::Suspended,
            Status::Running | Status::Suspended => Status::Running,
            status => status,
        }
    }

    /// Whether it is suspended once everything in the inbox has been taken: the last word counts.
    pub(super) fn will_be_suspended(&self) -> bool {
        let events = self.inbox.iter().rev();
        let mut words = events.filter_map(|it| match it.event.what {
            What::ExecutionSuspended(_) => Some(true),
            What::ExecutionResumed(_) => Some(false),
            _ => None,
        });
        words.next().unwrap_or(self.status == Status::Suspended)
    }

    fn wakes_a_suspended_one(&self) -> bool {
        self.inbox.iter().any(|it| {
            matches!(
                it.event.what,
                What::ExecutionResumed(_) | What::ExecutionTerminated { .. }
            )
        })
    }

    pub(super) fn is_live(&self) -> bool {
        !self.status.is_terminal()
    }

    pub(super) fn view(&self, id: &str) -> InstanceView {
        InstanceView {
            id: id.to_owned(),
            name: self.name.clone(),
            version: self.version.clone(),
            execution: self.execution.clone(),
            status: self.visible_status(),
            created: self.created,
            updated: self.updated,
            completed: self.completed,
            start: self.start,
            input: self.input.clone(),
            output: self.output.clone(),
            failure: self.failure.clone(),
            custom_status: self.custom_status.clone(),
            tags: self.tags.clone(),
            parent: self.parent.as_ref().map(|it| it.parent.instance.clone()),
        }
    }

    /// The first event of an execution. Only the first generation has waited for a start time.
    pub(super) fn started(&self, id: &str, start: Option<Timestamp>) -> Event {
        Event::inbound(What::ExecutionStarted(Started {
            name: self.name.clone(),
            version: self.version.clone(),
            input: self.input.clone(),
            instance: id.to_owned(),
            execution: self.execution.clone(),
            parent: self.parent.as_ref().map(|it| it.parent.clone()),
            start,
            tags: self.tags.clone(),
        }))
    }

    /// The instance as its children are told of it.
    pub(super) fn as_parent(&self, id: &str, task: i32) -> Parent {
        Parent {
            instance: id.to_owned(),
            execution: self.execution.clone(),
            task,
            name: self.name.clone(),
            version: self.version.clone(),
        }
    }
}

impl Model {
    /// StartInstance. The same request again is answered as before. An id that is taken is a matter of the reuse policy:
    /// without one, ended instances are replaced and live ones are not; with one, exactly those in a listed status.
    /// A policy that would end a live instance but keep terminated ones contradicts itself.
    pub(crate) fn start(&mut self, id: &str, new: NewInstance, reuse: &Reuse) -> Reply {
        if let Some(old) = self.instances.get(id) {
            if new.request.is_some() && new.request == old.request {
                return Reply::Done;
            }
            let status = old.visible_status();
            let replaceable = match reuse {
                Reuse::Unsaid => status.is_terminal(),
                Reuse::Replaces(statuses) => statuses.contains(&status),
            };
            if !replaceable {
                return Reply::AlreadyExists(status);
            }
            let keeps_terminated =
                matches!(reuse, Reuse::Replaces(it) if !it.contains(&Status::Terminated));
            if !status.is_terminal() && keeps_terminated {
                return Reply::Contradiction;
            }
        }
        self.replace(id, new.into());
        self.settle();
        Reply::Done
    }

    /// An entity starts an orchestration as a client without a policy would, except that nobody learns that the id is
    /// taken.
    pub(super) fn start_for_an_entity(&mut self, id: &str, beginning: Beginning) {
        if self.instances.get(id).is_none_or(|old| !old.is_live()) {
            self.replace(id, beginning);
        }
    }

    /// Whatever has the id goes, after an end if it is live, and the new one begins with nothing of it. It is PENDING,
    /// and stays so until its first turn is committed.
    pub(super) fn replace(&mut self, id: &str, beginning: Beginning) {
        if self.instances.get(id).is_some_and(Instance::is_live) {
            if self.slips(Slip::ParentsOfTheReplacedWait) {
                self.instance(id).parent = None;
            }
            self.end_by_force(id, None, false);
        }
        let mut instance = Instance {
            name: beginning.name,
            version: beginning.version,
            execution: self.made_up(),
            status: Status::Pending,
            created: self.now,
            updated: self.now,
            completed: None,
            start: beginning.start,
            input: beginning.input,
            output: None,
            failure: None,
            custom_status: None,
            custom_status_inherited: false,
            tags: beginning.tags,
            parent: beginning.parent,
            request: beginning.request,
            inbox: VecDeque::new(),
            kicked: false,
            history: Vec::new(),
            episode: self.number(),
            clock: None,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            children: BTreeMap::new(),
            sections: BTreeMap::new(),
        };
        instance.inbox.push_back(Pending {
            event: instance.started(id, instance.start),
            execution: Some(instance.execution.clone()),
        });
        self.instances.insert(id.to_owned(), instance);
    }

    /// RaiseEvent: into the inbox of a live instance, whatever it is doing; an ended one takes no notice.
    pub(crate) fn raise(&mut self, id: &str, name: &str, input: Text) -> Reply {
        if !self.instances.contains_key(id) {
            return Reply::NotFound;
        }
        let name = name.to_owned();
        let event = Event::inbound(What::EventRaised { name, input });
        if self.slips(Slip::EventsArriveTwice) {
            self.event_arrives(id, event.clone());
        }
        self.event_arrives(id, event);
        Reply::Done
    }

    /// An external event is for whichever generation is current. One sent to nobody is lost without a word.
    pub(super) fn event_arrives(&mut self, id: &str, event: Event) {
        self.tell(id, None, event);
    }

    /// Puts a message into an inbox. What is for another execution than the current one, for an ended instance or for
    /// nobody is dropped.
    pub(super) fn tell(&mut self, id: &str, execution: Option<&Id>, event: Event) {
        let forgiving = self.slips(Slip::OldResultsArrive);
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id).filter(|it| it.is_live()) else {
            return;
        };
        let is_for_another = execution.is_some_and(|it| *it != instance.execution);
        if is_for_another && !forgiving {
            return;
        }
        instance.updated = now;
        instance.inbox.push_back(Pending {
            event,
            execution: execution.map(|_| instance.execution.clone()),
        });
    }

    /// A turn is due if something waits and the start time has come; a suspended instance takes one only to be resumed
    /// or terminated.
    pub(super) fn is_turn_due(&self, instance: &Instance) -> bool {
        let begun = instance.start.is_none_or(|start| start <= self.now);
        let held = instance.status == Status::Suspended
            && !instance.wakes_a_suspended_one()
            && !self.slips(Slip::SuspensionHoldsNothing);
        let has_reason = !instance.inbox.is_empty() || instance.kicked;
        instance.is_live() && begun && has_reason && !held
    }

    /// Instances with a turn to hand out.
    pub(crate) fn turns_due(&self) -> Vec<Id> {
        let all = self.instances.iter();
        all.filter(|(_, instance)| self.is_turn_due(instance))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Instances that wait for their start time.
    pub(crate) fn starts_planned(&self) -> Vec<(Id, Timestamp)> {
        let all = self.instances.iter().filter(|(_, it)| it.is_live());
        all.filter_map(|(id, it)| Some((id.clone(), it.start.filter(|start| *start > self.now)?)))
            .collect()
    }

    pub(super) fn instance(&mut self, id: &str) -> &mut Instance {
        self.instances.get_mut(id).expect("the caller looked")
    }

    pub(super) fn tell_parent(&mut self, id: &str) {
        let instance = &self.instances[id];
        let Some(link) = instance.parent.clone() else {
            return;
        };
        let says = Says::ChildEnded {
            execution: link.parent.execution,
            number: link.number,
            end: instance.result_for_parent(),
        };
        self.send(id, &link.parent.instance, says);
    }
}
