//! Sub-orchestrations: how they are started, what happens if the id is taken, and how the result comes back.

use super::Model;
use super::orchestrations::{Beginning, Instance};
use super::post::Says;
use crate::values::{Event, Failure, Id, Parent, Status, Text, What};

/// What a child knows of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParentLink {
    pub(super) parent: Parent,
    /// The parent's number for this child: every start of a child has its own.
    pub(super) number: u64,
}

/// A child that the parent waits for.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) task: i32,
    pub(super) instance: Id,
}

/// A child about to begin.
pub(super) struct NewChild {
    pub(super) beginning: Beginning,
    pub(super) link: ParentLink,
}

/// How a child ended.
#[derive(Clone)]
pub(super) enum ChildEnd {
    Completed(Text),
    Failed(Failure),
}

impl Instance {
    /// Whoever did not complete has failed for its parent, with its own words or else with some of the server's.
    pub(super) fn result_for_parent(&self) -> ChildEnd {
        match self.status {
            Status::Completed => ChildEnd::Completed(self.output.clone()),
            _ => ChildEnd::Failed(self.failure.clone().unwrap_or(Failure::ByServer)),
        }
    }

    /// Whether it is the child that was started under this number.
    pub(super) fn is_child_of(&self, (instance, execution, number): &(Id, Id, u64)) -> bool {
        self.parent.as_ref().is_some_and(|link| {
            link.number == *number
                && link.parent.instance == *instance
                && link.parent.execution == *execution
        })
    }
}

/// What an orchestration instance may be called: 1 to 100 characters, none of them a control character, no `@` first.
pub(super) fn may_be_an_instance(id: &str) -> bool {
    let chars = id.chars().count();
    (1..=100).contains(&chars) && !id.starts_with('@') && !id.chars().any(char::is_control)
}

impl Model {
    /// An ended instance with the id is replaced, so that a child can be tried again under one id. A live one is either
    /// the very child, started before by the same action of the same execution, and then nothing needs to be done; or
    /// somebody else's, and then the parent's task fails instead of waiting for ever.
    pub(super) fn start_child(&mut self, id: &str, child: NewChild) {
        let NewChild {
            mut beginning,
            link,
        } = child;
        let parent = link.parent.clone();
        let taken = self.instances.get(id).filter(|old| old.is_live());
        let Some(old) = taken else {
            beginning.parent = Some(link);
            self.replace(id, beginning);
            return;
        };
        let started_before = old.parent.as_ref().is_some_and(|it| {
            it.parent.instance == parent.instance
                && it.parent.execution == parent.execution
                && it.parent.task == parent.task
        });
        if started_before {
            return;
        }
        let says = Says::ChildEnded {
            execution: parent.execution,
            number: link.number,
            end: ChildEnd::Failed(Failure::ByServer),
        };
        self.send(id, &parent.instance, says);
    }

    /// Nothing can be started under such an id.
    pub(super) fn refuse_child(&mut self, parent: &str, of: i32) {
        let execution = self.instances[parent].execution.clone();
        let failure = Failure::ByServer;
        let failed = Event::inbound(What::ChildFailed { of, failure });
        self.tell(parent, Some(&execution), failed);
    }

    /// The result of a child reaches the execution that started it, once.
    pub(super) fn child_ended(&mut self, parent: &str, execution: &Id, number: u64, end: ChildEnd) {
        let Some(instance) = self.instances.get_mut(parent) else {
            return;
        };
        if instance.execution != *execution {
            return;
        }
        let Some(Waiting { task: of, .. }) = instance.children.remove(&number) else {
            return;
        };
        let what = match end {
            ChildEnd::Completed(result) => What::ChildCompleted { of, result },
            ChildEnd::Failed(failure) => What::ChildFailed { of, failure },
        };
        self.tell(parent, Some(execution), Event::inbound(what));
    }
}
