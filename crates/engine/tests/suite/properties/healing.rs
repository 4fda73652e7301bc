//! After the last step: heals the network, resumes what is suspended, lets everything finish, and looks what is left.

use std::time::Duration;

use longhaul_engine::history::event;
use longhaul_engine::instance::Hold;
use longhaul_engine::{Command, Instance, Status, outstanding};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;

use super::checks;
use super::step::Choice;
use super::world::World;

/// Rounds after which everything that comes to rest by itself has done so.
const PATIENCE: usize = 60;

impl World {
    /// Nothing is lost any more and workers only wait; ends when there is nothing left to do.
    pub(crate) fn heal(&mut self) {
        for round in 0..120 {
            if self.nothing_outstanding() {
                return;
            }
            self.cluster.pass(Duration::from_secs(70));
            for from in 0..2 {
                self.deliver_next(from);
                self.ack(from);
            }
            self.resume_all();
            self.fire_due();
            self.release_due();
            self.expire_all();
            self.work_off_batches();
            self.wake_owners();
            if round == PATIENCE {
                self.end_nested();
            }
            for activity in self.activities.clone() {
                self.finish(activity, false);
            }
            for key in self.ready() {
                // One before it may have ended it.
                if let Some(turn) = self.cluster.take(key.id.as_str()) {
                    self.answer(&turn, &[Choice::UnlockAll], None);
                }
            }
        }
        panic!("never comes to rest");
    }

    fn resume_all(&mut self) {
        let all = self
            .cluster
            .partitions
            .iter()
            .flat_map(|tables| &tables.instances);
        let suspended = all.filter(|(_, it)| it.effective_status() == Status::Suspended);
        for key in suspended.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let command = Command::Resume {
                key: key.clone(),
                reason: None,
            };
            self.apply_at_home(command, &key);
        }
    }

    /// A rewound owner that was inside several sections at once, as no SDK lets it be, may wait in a circle with another.
    fn end_nested(&mut self) {
        let partitions = self.cluster.partitions.iter();
        let all = partitions.flat_map(|tables| &tables.instances);
        let nested = all.filter(|(_, it)| {
            let inside = it.locks.values().filter(|it| it.hold != Hold::Postponed);
            it.regains_locks() && inside.count() > 1
        });
        for key in nested.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let command = Command::Terminate {
                key: key.clone(),
                output: None,
                recurse: false,
            };
            self.apply_at_home(command, &key);
        }
    }

    /// Whoever has locked something, or wants to, gets a turn in which to leave.
    fn wake_owners(&mut self) {
        let partitions = self.cluster.partitions.iter();
        let all = partitions.flat_map(|tables| &tables.instances);
        let owners = all.filter(|(_, it)| !it.locks.is_empty() && it.inbox.is_empty());
        for key in owners.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let event = event::event_raised(self.cluster.now, "Leave", None);
            let command = Command::RaiseEvent {
                key: key.clone(),
                event,
            };
            self.apply_at_home(command, &key);
        }
    }

    fn nothing_outstanding(&mut self) -> bool {
        let now = self.cluster.now;
        let busy = |it: &Instance| it.status == Status::Suspended || !it.locks.is_empty();
        self.cluster.partitions.iter_mut().all(|tables| {
            let page = outstanding(tables, None, 10_000, now).expect("memory does not fail");
            page.effects.is_empty() && !tables.instances.values().any(busy)
        })
    }

    /// SYS-3: at rest, everything that a live execution scheduled has had exactly one result, children apart that
    /// are alive themselves.
    pub(crate) fn check_quiescence(&self) {
        for tables in &self.cluster.partitions {
            assert!(tables.outbox.is_empty());
            for (key, instance) in &tables.instances {
                if instance.status.is_terminal() {
                    assert!(instance.activities.is_empty());
                    continue;
                }
                assert!(instance.inbox.is_empty() && instance.activities.is_empty());
                assert!(instance.timers.is_empty());
                for (seq, child) in &instance.children {
                    let child = self.cluster.live(child.instance.as_str());
                    let link = child.parent.as_ref().expect("has a parent");
                    assert!(
                        !child.status.is_terminal(),
                        "{key:?}: an ended child told nothing"
                    );
                    assert_eq!((&link.execution, link.seq), (&instance.execution, *seq));
                }
                let (causes, results) = causes_and_results(&checks::history(tables, key));
                assert_eq!(causes, results + instance.children.len(), "{key:?}");
            }
            for (key, entity) in &tables.entities {
                assert!(entity.lock.is_none(), "{key:?} is locked by nobody");
                assert!(entity.queue.is_empty() && entity.owner_lane.is_empty());
                assert!(entity.scheduled.is_empty() && entity.state.is_some());
            }
        }
    }
}

/// How many things were asked for whose result a worker waits for, and how many of the results there are.
fn causes_and_results(history: &[HistoryEvent]) -> (usize, usize) {
    let (mut causes, mut results) = (0, 0);
    for event in history {
        match event.event_type.as_ref().expect("has a type") {
            EventType::TaskScheduled(_)
            | EventType::TimerCreated(_)
            | EventType::SubOrchestrationInstanceCreated(_)
            | EventType::EntityOperationCalled(_)
            | EventType::EntityLockRequested(_) => causes += 1,
            EventType::TaskCompleted(_)
            | EventType::TaskFailed(_)
            | EventType::TimerFired(_)
            | EventType::SubOrchestrationInstanceCompleted(_)
            | EventType::SubOrchestrationInstanceFailed(_)
            | EventType::EntityOperationCompleted(_)
            | EventType::EntityOperationFailed(_)
            | EventType::EntityLockGranted(_) => results += 1,
            _ => {}
        }
    }
    (causes, results)
}
