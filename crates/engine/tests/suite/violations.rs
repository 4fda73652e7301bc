//! Each invariant of an instance and of an entity is really noticed when it is broken.

use std::sync::Arc;

use longhaul_engine::entity::{CriticalSection, LockRequest, Operation, Queued, Scheduled};
use longhaul_engine::instance::{Child, Hold, InboxKind, InboxMessage, SectionLocks, Timer};
use longhaul_engine::{Entity, Instance, Status, invariants};
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
    check("INV-13", ended(), |it| {
        let locks = SectionLocks {
            entities: vec![InstanceId::trusted("@a@1")],
            hold: Hold::Wanted,
        };
        _ = it.locks.insert("section".into(), locks);
    });
    let locks = |hold| SectionLocks {
        entities: vec![InstanceId::trusted("@a@1")],
        hold,
    };
    check("INV-14", running(), |it| it.kicked = true);
    check("INV-14", ended(), |it| {
        (it.rewound, it.kicked) = (true, true)
    });
    check("INV-14", running(), |it| {
        it.rewound = true;
        _ = it.locks.insert("section".into(), locks(Hold::Regained));
    });
    check("INV-14", running(), |it| {
        (it.rewound, it.kicked) = (true, true);
        _ = it.locks.insert("section".into(), locks(Hold::Postponed));
    });
}

fn operation() -> Operation {
    Operation {
        caller: None,
        request_id: "request".into(),
        event: Default::default(),
    }
}

/// Breaks an entity and expects the violation that says so.
fn check_entity(id: &str, break_it: impl FnOnce(&mut Entity)) {
    let mut entity = Entity::new(START);
    assert_eq!(invariants::check_entity(&entity), Ok(()));
    break_it(&mut entity);
    let violation = invariants::check_entity(&entity).expect_err(id);
    assert_eq!(violation.id, id, "{violation}");
}

#[test]
fn every_broken_invariant_of_an_entity_is_named() {
    let section = Arc::new(CriticalSection {
        id: "section".into(),
        owner: InstanceId::trusted("owner"),
        execution: ExecutionId::new("execution"),
        entities: vec![InstanceId::trusted("@a@1")],
    });
    let request = LockRequest {
        section: section.clone(),
        position: 0,
    };
    check_entity("INV-10", |it| {
        it.queue.push_back(Queued::Lock(request.clone()));
    });
    check_entity("INV-11", |it| it.owner_lane.push_back(operation()));
    check_entity("INV-12", |it| {
        let scheduled = Scheduled {
            due: START,
            operation: operation(),
            sender: None,
        };
        it.scheduled.insert(1, scheduled);
    });

    // A request may wait behind an operation or a lock, and its owner have a lane.
    let mut locked = Entity::new(START);
    locked.lock = Some(section);
    locked.owner_lane.push_back(operation());
    locked.queue.push_back(Queued::Lock(request.clone()));
    assert_eq!(invariants::check_entity(&locked), Ok(()));
    let mut behind = Entity::new(START);
    behind.queue.push_back(Queued::Operation(operation()));
    behind.queue.push_back(Queued::Lock(request));
    assert_eq!(invariants::check_entity(&behind), Ok(()));
}
