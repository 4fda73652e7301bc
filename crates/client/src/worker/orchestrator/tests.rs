//! Tables of histories and the actions they must lead to.

use longhaul_proto::sidecar::{
    EventRaisedEvent, ExecutionResumedEvent, ExecutionStartedEvent, ExecutionSuspendedEvent,
    ExecutionTerminatedEvent, HistoryEvent, OrchestratorStartedEvent, TaskScheduledEvent,
    history_event::EventType,
};
use prost_types::Timestamp;

use super::*;

fn event(event_id: i32, event_type: EventType) -> HistoryEvent {
    let timestamp = Some(Timestamp {
        seconds: 100,
        nanos: 0,
    });
    HistoryEvent {
        event_id,
        timestamp,
        event_type: Some(event_type),
    }
}

fn turn_started(seconds: i64) -> HistoryEvent {
    HistoryEvent {
        event_id: -1,
        timestamp: Some(Timestamp { seconds, nanos: 0 }),
        event_type: Some(EventType::OrchestratorStarted(OrchestratorStartedEvent {})),
    }
}

fn started(input: &str) -> HistoryEvent {
    let started = ExecutionStartedEvent {
        input: Some(input.to_owned()),
        ..Default::default()
    };
    event(-1, EventType::ExecutionStarted(started))
}

fn scheduled(id: i32) -> HistoryEvent {
    event(id, EventType::TaskScheduled(TaskScheduledEvent::default()))
}

fn raised() -> HistoryEvent {
    event(-1, EventType::EventRaised(EventRaisedEvent::default()))
}

fn suspended() -> HistoryEvent {
    event(
        -1,
        EventType::ExecutionSuspended(ExecutionSuspendedEvent::default()),
    )
}

fn resumed() -> HistoryEvent {
    event(
        -1,
        EventType::ExecutionResumed(ExecutionResumedEvent::default()),
    )
}

fn terminated(output: &str) -> HistoryEvent {
    event(
        -1,
        EventType::ExecutionTerminated(ExecutionTerminatedEvent {
            input: Some(output.to_owned()),
            recurse: true,
        }),
    )
}

/// Completes as soon as one event was raised.
fn wait_for_one(turn: &Turn<'_>) -> Vec<OrchestratorAction> {
    let progress = Progress::of(turn);
    match progress.events_raised {
        0 => Vec::new(),
        _ => vec![actions::complete(
            progress.next_action_id(),
            turn.input().map(str::to_owned),
        )],
    }
}

#[test]
fn waits_terminates_and_resumes() {
    let completed = |id| vec![actions::complete(id, Some("in".to_owned()))];
    let ended = |id| vec![actions::terminate(id, Some("out".to_owned()))];
    for (case, past, new, expected) in [
        (
            "first turn waits",
            vec![],
            vec![turn_started(1), started("in")],
            vec![],
        ),
        (
            "event completes",
            vec![started("in")],
            vec![turn_started(2), raised()],
            completed(1),
        ),
        (
            "ids go on",
            vec![started("in"), scheduled(1), scheduled(7)],
            vec![raised()],
            completed(8),
        ),
        (
            "suspended holds",
            vec![started("in")],
            vec![suspended(), raised()],
            vec![],
        ),
        (
            "held event counts once resumed",
            vec![started("in"), suspended(), raised()],
            vec![resumed()],
            completed(1),
        ),
        (
            "termination wins over suspension",
            vec![started("in"), scheduled(3), suspended()],
            vec![terminated("out")],
            ended(4),
        ),
        (
            "the first termination wins",
            vec![started("in")],
            vec![terminated("out"), terminated("late")],
            ended(1),
        ),
    ] {
        let turn = Turn {
            instance_id: "i",
            past: &past,
            new: &new,
        };
        assert_eq!(decide(&wait_for_one, &turn), expected, "{case}");
    }
}

#[test]
fn a_panic_fails_the_orchestration() {
    let new = [started("in")];
    let broken = |_: &Turn<'_>| -> Vec<OrchestratorAction> { panic!("broken") };
    let actions = decide(
        &broken,
        &Turn {
            instance_id: "i",
            past: &[],
            new: &new,
        },
    );
    assert_eq!(
        actions,
        vec![actions::fail(
            1,
            actions::failure("Panic", "the orchestrator panicked")
        )]
    );
}

#[test]
fn time_is_that_of_the_newest_turn() {
    let (past, new) = (
        [turn_started(1), started("in"), turn_started(2)],
        [turn_started(3), raised()],
    );
    let seconds = |past: &[HistoryEvent], new: &[HistoryEvent]| {
        Turn {
            instance_id: "i",
            past,
            new,
        }
        .now()
        .map(|now| now.seconds)
    };
    assert_eq!(seconds(&past, &new), Some(3));
    assert_eq!(seconds(&past, &[]), Some(2));
    assert_eq!(seconds(&[], &[]), None);
}
