//! Rules of histories and statuses that SDKs check or rely on, over one history with everything in it.

use std::time::Duration;

use longhaul_engine::command::DueTimer;
use longhaul_engine::history::event;
use longhaul_engine::turn::Action;
use longhaul_engine::{Command, Reply, Status};
use longhaul_proto::sidecar::HistoryEvent;
use longhaul_proto::sidecar::history_event::EventType;

use crate::support::{Cluster, kind_name};

fn schedule() -> Action {
    Action::ScheduleTask {
        name: "Work".into(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    }
}

fn complete() -> Action {
    Action::Complete {
        status: Status::Completed,
        result: None,
        failure: None,
    }
}

/// Activity, timer, child, event sent and raised, suspension and resumption, then the end.
fn everything() -> (Cluster, Vec<HistoryEvent>) {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.turn("x", vec![(1, schedule())]);
    let key = Cluster::key("x");
    let execution = cluster.live("x").execution.clone();
    let finish = Command::CompleteActivity {
        key: key.clone(),
        execution: execution.clone(),
        seq: 1,
        event: event::task_completed(cluster.now, 1, None),
    };
    cluster.apply(0, finish);
    let fire_at = cluster.now + Duration::from_secs(5);
    cluster.turn("x", vec![(2, Action::CreateTimer { fire_at })]);
    cluster.pass(Duration::from_secs(6));
    let due = DueTimer {
        key: key.clone(),
        execution,
        seq: 2,
    };
    cluster.apply(0, Command::FireTimers(vec![due]));
    let child = Action::CreateChild {
        instance: "kid".into(),
        name: "Child".into(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    };
    let send = Action::SendEvent {
        instance: "x".into(),
        name: "Self".into(),
        data: None,
    };
    cluster.turn("x", vec![(3, child), (4, send)]);
    cluster.turn("kid", vec![(1, complete())]);
    let reason = None;
    for command in [
        Command::Suspend {
            key: key.clone(),
            reason: reason.clone(),
        },
        Command::Resume { key, reason },
    ] {
        assert_eq!(cluster.apply(0, command).reply, Reply::Done);
    }
    cluster.turn("x", vec![(5, complete())]);
    let history = cluster.history("x");
    (cluster, history)
}

fn seconds(at: Option<prost_types::Timestamp>) -> (i64, i32) {
    let at = at.expect("SDKs read it unchecked");
    (at.seconds, at.nanos)
}

#[test]
fn trap_01_handing_out_a_turn_changes_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let before = cluster.partitions.clone();
    for _ in 0..3 {
        let turn = cluster.take("x").expect("ready, also for the next worker");
        assert_eq!(turn.context.dispatched, 1);
    }
    assert_eq!(cluster.partitions, before);
    assert_eq!(cluster.live("x").effective_status(), Status::Pending);

    cluster.turn("x", vec![]);
    assert_eq!(cluster.live("x").effective_status(), Status::Running);
}

#[test]
fn trap_17_statuses_have_the_numbers_of_the_wire() {
    let numbers = [
        (0, Status::Running),
        (1, Status::Completed),
        (3, Status::Failed),
        (4, Status::Canceled),
        (5, Status::Terminated),
        (6, Status::Pending),
        (7, Status::Suspended),
    ];
    for (number, status) in numbers {
        assert_eq!(
            (status.to_wire(), Status::from_wire(number)),
            (number, Some(status))
        );
    }
    // CONTINUED_AS_NEW is never shown; the rest does not exist.
    for number in [2, -1, 8] {
        assert_eq!(Status::from_wire(number), None);
    }
}

#[test]
fn trap_25_event_ids_increase_and_every_event_has_a_time() {
    let (_, history) = everything();
    let ids: Vec<i32> = history
        .iter()
        .map(|event| event.event_id)
        .filter(|id| *id >= 0)
        .collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    for event in &history {
        seconds(event.timestamp);
        let decided = matches!(
            event.event_type,
            Some(
                EventType::TaskScheduled(_)
                    | EventType::TimerCreated(_)
                    | EventType::SubOrchestrationInstanceCreated(_)
                    | EventType::EventSent(_)
                    | EventType::ExecutionCompleted(_)
            )
        );
        assert_eq!(event.event_id >= 0, decided, "{event:?}");
    }
}

#[test]
fn trap_26_the_last_event_has_the_id_of_the_complete_action() {
    let (_, history) = everything();
    let last = history.last().expect("not empty");
    assert_eq!((kind_name(last), last.event_id), ("ExecutionCompleted", 5));

    // An end that the server forced came from no action.
    let mut cluster = Cluster::new(1);
    cluster.create("y", "Job");
    let terminate = Command::Terminate {
        key: Cluster::key("y"),
        output: None,
        recurse: false,
    };
    cluster.apply(0, terminate);
    let history = cluster.history("y");
    let kinds: Vec<_> = history.iter().map(kind_name).collect();
    assert_eq!(
        kinds,
        [
            "OrchestratorStarted",
            "ExecutionStarted",
            "ExecutionTerminated",
            "ExecutionCompleted"
        ]
    );
    assert!(history.iter().all(|event| event.event_id == -1));
}

#[test]
fn trap_29_a_fired_timer_repeats_its_due_time() {
    let (_, history) = everything();
    let times = |wanted: &str| {
        let mut events = history.iter().filter(|event| kind_name(event) == wanted);
        events
            .next()
            .and_then(|event| event.event_type.clone())
            .expect("there is one")
    };
    let (EventType::TimerCreated(created), EventType::TimerFired(fired)) =
        (times("TimerCreated"), times("TimerFired"))
    else {
        panic!("other events");
    };
    assert_eq!(seconds(created.fire_at), seconds(fired.fire_at));
    assert_eq!(fired.timer_id, 2);
}

/// `kind_name` panics for every kind that a worker would reject in a replayed history.
#[test]
fn trap_31_a_live_history_has_nothing_that_a_worker_rejects() {
    let (_, history) = everything();
    let kinds: Vec<_> = history.iter().map(kind_name).collect();
    assert_eq!(
        kinds,
        [
            "OrchestratorStarted",
            "ExecutionStarted",
            "TaskScheduled",
            "OrchestratorStarted",
            "TaskCompleted",
            "TimerCreated",
            "OrchestratorStarted",
            "TimerFired",
            "SubOrchestrationInstanceCreated",
            "EventSent",
            "OrchestratorStarted",
            "EventRaised",
            "SubOrchestrationInstanceCompleted",
            "ExecutionSuspended",
            "ExecutionResumed",
            "ExecutionCompleted",
        ]
    );
}
