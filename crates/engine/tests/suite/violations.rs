//! Each invariant of an instance is really noticed when it is broken.

use longhaul_engine::instance::{Child, InboxKind, InboxMessage, Timer};
use longhaul_engine::{Instance, Status, invariants};
use longhaul_types::{ExecutionId, InstanceId};

use crate::support::{Cluster, START};

fn pending() -> Instance {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.live("x").clone()
}

fn running() -> Instance {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.turn("x", vec![]);
    cluster.live("x").clone()
}

fn ended() -> Instance {
    let mut instance = running();
    instance.status = Status::Completed;
    instance.completed_at = Some(START);
    instance
}

fn message(kind: InboxKind, execution: Option<&str>) -> InboxMessage {
    InboxMessage {
        kind,
        execution: execution.map(ExecutionId::new),
        event: Default::default(),
    }
}

/// Breaks `instance` and expects the violation that says so.
fn check(id: &str, mut instance: Instance, break_it: impl FnOnce(&mut Instance)) {
    assert_eq!(invariants::check(&instance), Ok(()));
    break_it(&mut instance);
    let violation = invariants::check(&instance).expect_err(id);
    assert_eq!(violation.id, id, "{violation}");
}

#[test]
fn every_broken_invariant_is_named() {
    let timer = Timer {
        timer_id: 1,
        fire_at: START,
    };
    let child = Child {
        task_id: 1,
        instance: InstanceId::trusted("kid"),
    };
    let later = START + std::time::Duration::from_secs(1);

    check("INV-1", running(), |it| it.completed_at = Some(START));
    check("INV-1", ended(), |it| it.completed_at = None);
    check("INV-2", ended(), |it| {
        it.inbox.push_back(message(InboxKind::Other, None))
    });
    check("INV-2", ended(), |it| {
        _ = it.timers.insert(0, timer.clone());
    });
    check("INV-2", ended(), |it| {
        _ = it.children.insert(0, child.clone());
    });
    check("INV-3", pending(), |it| it.inbox.clear());
    check("INV-3", pending(), |it| {
        it.inbox.push_front(message(InboxKind::Other, None))
    });
    check("INV-3", running(), |it| it.status = Status::Pending);
    check("INV-4", running(), |it| {
        it.inbox.push_back(message(InboxKind::Started, None))
    });
    check("INV-4", pending(), |it| {
        it.inbox.push_back(message(InboxKind::Started, None))
    });
    check("INV-5", running(), |it| {
        it.inbox
            .push_back(message(InboxKind::Other, Some("another")))
    });
    check("INV-6", running(), |it| {
        _ = it.timers.insert(1, timer.clone());
    });
    check("INV-6", running(), |it| {
        _ = it.children.insert(1, child.clone());
    });
    check("INV-7", running(), |it| it.history.bytes += 1);
    check("INV-7", running(), |it| it.history.tail.clear());
    check("INV-8", running(), |it| it.output = Some("early".into()));
    check("INV-8", running(), |it| it.failure = Some("early".into()));
    check("INV-9", running(), |it| it.created_at = later);
    check("INV-9", ended(), |it| it.completed_at = Some(later));
}
