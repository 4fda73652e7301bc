//! What clients and operators do to instances that are there.

use super::Model;
use super::orchestrations::{Beginning, Instance};
use super::post::Says;
use super::slip::Slip;
use crate::values::{Event, Id, Reply, Status, Text, What};

impl Model {
    /// SuspendInstance: a message like any other, seen at once. Suspending twice is suspending once; an ended instance
    /// takes no notice.
    pub(crate) fn suspend(&mut self, id: &str, reason: Text) -> Reply {
        match self.instances.get(id) {
            None => return Reply::NotFound,
            Some(instance) if instance.will_be_suspended() => {}
            Some(_) => self.tell(id, None, Event::inbound(What::ExecutionSuspended(reason))),
        }
        Reply::Done
    }

    /// ResumeInstance: likewise; nothing to do for one that is not suspended and will not be.
    pub(crate) fn resume(&mut self, id: &str, reason: Text) -> Reply {
        match self.instances.get(id) {
            None => return Reply::NotFound,
            Some(instance) if !instance.will_be_suspended() => {}
            Some(_) => self.tell(id, None, Event::inbound(What::ExecutionResumed(reason))),
        }
        Reply::Done
    }

    /// TerminateInstance.
    pub(crate) fn terminate(&mut self, id: &str, output: Text, recurse: bool) -> Reply {
        if !self.instances.contains_key(id) {
            return Reply::NotFound;
        }
        self.terminate_now_or_later(id, output, recurse);
        self.settle();
        Reply::Done
    }

    /// An instance that has not begun ends at once, since no worker may be able to run it. One that has is told, and
    /// its orchestrator obeys.
    pub(super) fn terminate_now_or_later(&mut self, id: &str, output: Text, recurse: bool) {
        match self.instances.get(id).map(|it| it.status) {
            None => {}
            Some(Status::Pending) => self.end_by_force(id, output, recurse),
            Some(_) => {
                let input = output;
                let what = What::ExecutionTerminated { input, recurse };
                self.tell(id, None, Event::inbound(what));
            }
        }
    }

    /// Termination reaches every child that was started and has no result, as of the commit in which the parent obeys.
    /// Two terminations in one turn: the first one counts.
    pub(super) fn terminate_children(&mut self, id: &str, taken: &[Event]) {
        let mut terminations = taken.iter().filter_map(|event| match &event.what {
            What::ExecutionTerminated { input, recurse } => Some((input, *recurse)),
            _ => None,
        });
        let Some((output, true)) = terminations.next() else {
            return;
        };
        if self.slips(Slip::TerminationSparesChildren) {
            return;
        }
        let parent = &self.instances[id];
        let execution = parent.execution.clone();
        for (number, child) in parent.children.clone() {
            let says = Says::TerminateChild {
                parent: (id.to_owned(), execution.clone(), number),
                output: output.clone(),
                recurse: true,
            };
            self.send(id, &child.instance, says);
        }
    }

    pub(super) fn terminate_child(
        &mut self,
        id: &str,
        parent: &(Id, Id, u64),
        output: Text,
        recurse: bool,
    ) {
        if self
            .instances
            .get(id)
            .is_some_and(|it| it.is_child_of(parent))
        {
            self.terminate_now_or_later(id, output, recurse);
        }
    }

    /// SkipGracefulOrchestrationTerminations: the server ends a live instance itself, unless it has entered
    /// a critical section. Its children are not its concern.
    pub(crate) fn force_terminate(&mut self, id: &str, reason: Text) -> Reply {
        let Some(instance) = self.instances.get(id) else {
            return Reply::NotFound;
        };
        if !instance.is_live() || instance.sections.values().any(|inside| inside.entered) {
            return Reply::Refused;
        }
        self.end_by_force(id, reason, false);
        self.settle();
        Reply::Done
    }

    /// The server writes the end of the history. Of a generation that has not begun it also
    /// writes the beginning.
    pub(super) fn end_by_force(&mut self, id: &str, output: Text, recurse: bool) {
        let now = self.now;
        let instance = self.instance(id);
        if instance.history.is_empty() {
            let started = instance.inbox[0].event.clone();
            let turn = Event {
                id: -1,
                at: Some(now),
                what: What::OrchestratorStarted,
            };
            instance.history.extend([turn, started]);
        }
        let input = output.clone();
        instance.history.extend(
            [
                What::ExecutionTerminated { input, recurse },
                What::ExecutionCompleted {
                    status: Status::Terminated,
                    result: output.clone(),
                    failure: None,
                },
            ]
            .map(Event::inbound),
        );
        instance.status = Status::Terminated;
        instance.output = output;
        self.after_the_end(id);
    }

    /// PurgeInstances by id: an ended instance goes with everything that is kept under its id, a live one stays.
    pub(crate) fn purge(&mut self, id: &str) -> Reply {
        let (count, live) = match self.instances.get(id).map(Instance::is_live) {
            None => (0, 0),
            Some(true) => (0, 1),
            Some(false) => (1, 0),
        };
        if count == 1 {
            self.instances.remove(id);
        }
        Reply::Purged { count, live }
    }

    /// RestartInstance under the same id: name, version, tags and the last input are kept, nothing else is.
    pub(crate) fn restart(&mut self, id: &str) -> Reply {
        let Some(old) = self.instances.get(id) else {
            return Reply::NotFound;
        };
        if old.is_live() {
            return Reply::NotEnded(old.visible_status());
        }
        let beginning = Beginning {
            name: old.name.clone(),
            version: old.version.clone(),
            input: old.input.clone(),
            start: None,
            tags: old.tags.clone(),
            request: None,
            parent: None,
        };
        self.replace(id, beginning);
        Reply::Done
    }
}
