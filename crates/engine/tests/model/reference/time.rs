//! Timers, and operations of entities that are not due.

use std::time::Duration;

use longhaul_types::Timestamp;

use super::Model;
use super::slip::Slip;
use crate::values::{Event, Id, What};

/// A timer that did not fire.
#[derive(Clone)]
pub(super) struct Timer {
    pub(super) task: i32,
    pub(super) due: Timestamp,
}

impl Model {
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Timers that have not fired, as (instance, number, due).
    pub(crate) fn timers(&self) -> Vec<(Id, u64, Timestamp)> {
        let all = self.instances.iter();
        all.flat_map(|(id, it)| {
            let timers = it.timers.iter();
            timers.map(|(number, timer)| (id.clone(), *number, timer.due))
        })
        .collect()
    }

    /// A timer fires once, and never before it is due. Timers go with the execution that made them.
    pub(crate) fn fire(&mut self, id: &str, number: u64) {
        let (now, early) = (self.now, self.slips(Slip::TimersFireEarly));
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        let timer = instance.timers.get(&number);
        let Some(timer) = timer.filter(|it| it.due <= now || early).cloned() else {
            return;
        };
        instance.timers.remove(&number);
        let execution = instance.execution.clone();
        self.tell(id, Some(&execution), fired(&timer));
    }

    /// A timer whose time has come when it is made fires at once: the next turn knows of it.
    pub(super) fn fire_if_due(&mut self, id: &str, made_after: u64) {
        let (now, timers) = (self.now, self.instances[id].timers.range(made_after..));
        let due = timers.filter(|(_, timer)| timer.due <= now);
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.fire(id, number);
        }
    }

    /// Operations that are not due, as (entity, number, due).
    pub(crate) fn scheduled_operations(&self) -> Vec<(Id, u64, Timestamp)> {
        let all = self.entities.iter();
        all.flat_map(|(id, it)| {
            let scheduled = it.scheduled.iter();
            scheduled.map(|(number, it)| (id.clone(), *number, it.request_due()))
        })
        .collect()
    }

    /// An operation joins the queue when it is due, as if it arrived then.
    pub(crate) fn release(&mut self, entity: &str, number: u64) {
        let now = self.now;
        let Some(it) = self.entities.get_mut(entity) else {
            return;
        };
        let operation = it.scheduled.get(&number);
        if operation.is_some_and(|operation| operation.request_due() <= now) {
            let operation = it.scheduled.remove(&number).expect("it was there");
            self.enqueue(entity, operation);
            self.settle();
        }
    }
}

/// The firing repeats what the timer was made with.
pub(super) fn fired(timer: &Timer) -> Event {
    Event::inbound(What::TimerFired {
        of: timer.task,
        due: timer.due,
    })
}
