//! Each orchestrator played to its end: the actions of every turn become the history of the next one.

use longhaul_client::worker::Orchestrator;
use longhaul_proto::sidecar::{
    EntityOperationCompletedEvent, EventRaisedEvent, ExecutionStartedEvent, HistoryEvent,
    OrchestratorStartedEvent, SubOrchestrationInstanceCompletedEvent,
    SubOrchestrationInstanceCreatedEvent, TaskCompletedEvent, TaskFailedEvent, TaskScheduledEvent,
    TimerCreatedEvent, TimerFiredEvent, history_event::EventType,
    orchestrator_action::OrchestratorActionType as Action,
    send_entity_message_action::EntityMessageType,
};

use super::*;

const NOW: Timestamp = Timestamp {
    seconds: 1_000,
    nanos: 999_000_000,
};

fn inbound(event: EventType) -> HistoryEvent {
    HistoryEvent {
        event_id: -1,
        timestamp: Some(NOW),
        event_type: Some(event),
    }
}

fn started(name: &str, plan: &Plan<'_>) -> Vec<HistoryEvent> {
    let started = ExecutionStartedEvent {
        name: name.to_owned(),
        input: Some(plan.to_json()),
        ..Default::default()
    };
    vec![
        inbound(EventType::OrchestratorStarted(OrchestratorStartedEvent {})),
        inbound(EventType::ExecutionStarted(started)),
    ]
}

fn raised() -> HistoryEvent {
    inbound(EventType::EventRaised(EventRaisedEvent {
        name: "go".to_owned(),
        input: None,
    }))
}

/// What the server appends for an action, and what it delivers once the step is done.
fn played(action: &OrchestratorAction) -> Option<(HistoryEvent, HistoryEvent)> {
    let (event, done) = match action.orchestrator_action_type.as_ref()? {
        Action::ScheduleTask(task) => (
            EventType::TaskScheduled(TaskScheduledEvent::default()),
            EventType::TaskCompleted(TaskCompletedEvent {
                task_scheduled_id: action.id,
                result: task.input.clone(),
            }),
        ),
        Action::CreateSubOrchestration(_) => (
            EventType::SubOrchestrationInstanceCreated(
                SubOrchestrationInstanceCreatedEvent::default(),
            ),
            EventType::SubOrchestrationInstanceCompleted(
                SubOrchestrationInstanceCompletedEvent::default(),
            ),
        ),
        Action::CreateTimer(timer) => (
            EventType::TimerCreated(TimerCreatedEvent {
                fire_at: timer.fire_at,
            }),
            EventType::TimerFired(TimerFiredEvent {
                fire_at: timer.fire_at,
                timer_id: action.id,
            }),
        ),
        Action::SendEntityMessage(message) => {
            let Some(EntityMessageType::EntityOperationCalled(call)) = &message.entity_message_type
            else {
                return None;
            };
            let done = EntityOperationCompletedEvent {
                request_id: call.request_id.clone(),
                output: Some("1".to_owned()),
            };
            (
                EventType::EntityOperationCalled(call.clone()),
                EventType::EntityOperationCompleted(done),
            )
        }
        _ => return None,
    };
    Some((
        HistoryEvent {
            event_id: action.id,
            timestamp: Some(NOW),
            event_type: Some(event),
        },
        inbound(done),
    ))
}

fn decide(name: &str, past: &[HistoryEvent], new: &[HistoryEvent]) -> Vec<OrchestratorAction> {
    let registry = match name {
        RELAY => relay_registry(),
        _ => registry(),
    };
    let orchestrator: &dyn Orchestrator =
        registry.find_orchestrator(name).expect("it is registered");
    orchestrator.turn(&Turn {
        instance_id: "parent",
        past,
        new,
    })
}

fn describe(actions: &[OrchestratorAction]) -> String {
    let describe = |action: &OrchestratorAction| match action.orchestrator_action_type.as_ref() {
        Some(Action::ScheduleTask(task)) => {
            format!("{} {}", task.name, task.input.as_deref().unwrap_or("-"))
        }
        Some(Action::CreateSubOrchestration(child)) => {
            format!("{} {}", child.name, child.instance_id)
        }
        Some(Action::CreateTimer(timer)) => {
            let at = timer.fire_at.unwrap_or_default();
            format!("timer {}.{:09}", at.seconds, at.nanos)
        }
        Some(Action::SendEntityMessage(message)) => match &message.entity_message_type {
            Some(EntityMessageType::EntityOperationCalled(call)) => format!(
                "{} {} {}",
                call.target_instance_id.as_deref().unwrap_or("-"),
                call.operation,
                call.input.as_deref().unwrap_or("-")
            ),
            other => format!("{other:?}"),
        },
        Some(Action::CompleteOrchestration(complete)) => format!(
            "{:?} {}",
            complete.orchestration_status(),
            complete
                .result
                .as_deref()
                .or(complete
                    .failure_details
                    .as_ref()
                    .map(|f| f.error_type.as_str()))
                .unwrap_or("-")
        ),
        other => format!("{other:?}"),
    };
    actions
        .iter()
        .map(|action| format!("{}: {}", action.id, describe(action)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Plays turns until one decides nothing that the server could do; `extra` arrives with the first of them.
fn play(name: &str, plan: &Plan<'_>) -> Vec<String> {
    let (mut past, mut new) = (Vec::new(), started(name, plan));
    let mut turns = Vec::new();
    for _ in 0..10 {
        let actions = decide(name, &past, &new);
        turns.push(describe(&actions));
        past.append(&mut new);
        for (event, done) in actions.iter().filter_map(played) {
            past.push(event);
            new.push(done);
        }
        if new.is_empty() {
            break;
        }
    }
    turns
}

#[test]
fn scenarios_from_start_to_end() {
    let plan = |count| Plan {
        count,
        delay_ms: 1_500,
        entity: "@bench-counter@1".into(),
        ..Plan::default()
    };
    for (name, count, expected) in [
        (
            SEQUENCE,
            2,
            vec![
                r#"1: bench-echo "hello 1""#,
                r#"2: bench-echo "hello 2""#,
                "3: Completed 2",
            ],
        ),
        (
            FANOUT,
            2,
            vec![
                r#"1: bench-echo "hello 1", 2: bench-echo "hello 2""#,
                "3: Completed 2",
            ],
        ),
        (
            CHILDREN,
            2,
            vec![
                "1: bench-sequence parent:1, 2: bench-sequence parent:2",
                "3: Completed 2",
            ],
        ),
        (
            TIMERS,
            2,
            vec![
                "1: timer 1002.499000000",
                "2: timer 1002.499000000",
                "3: Completed 2",
            ],
        ),
        (
            ENTITY_CALLS,
            2,
            vec![
                "1: @bench-counter@1 add 1",
                "2: @bench-counter@1 add 1",
                "3: Completed 2",
            ],
        ),
        (EVENTS, 1, vec![""]),
        (EVENTS, 0, vec!["1: Completed 0"]),
        (SEQUENCE, 0, vec!["1: Completed 0"]),
        (FANOUT, 0, vec!["1: Completed 0"]),
    ] {
        assert_eq!(play(name, &plan(count)), expected, "{name} {count}");
    }
}

#[test]
fn events_are_counted_over_turns() {
    let plan = Plan {
        count: 3,
        ..Plan::default()
    };
    let mut past = started(EVENTS, &plan);
    assert_eq!(describe(&decide(EVENTS, &past, &[raised()])), "");
    past.push(raised());
    assert_eq!(
        describe(&decide(EVENTS, &past, &[raised(), raised()])),
        "1: Completed 3"
    );
}

#[test]
fn nothing_is_decided_twice() {
    let plan = Plan {
        count: 3,
        ..Plan::default()
    };
    let mut past = started(FANOUT, &plan);
    past.extend(
        decide(FANOUT, &past, &[])
            .iter()
            .filter_map(played)
            .map(|(event, _)| event),
    );
    let done = inbound(EventType::TaskCompleted(TaskCompletedEvent {
        task_scheduled_id: 2,
        result: None,
    }));
    assert_eq!(describe(&decide(FANOUT, &past, &[done])), "");
}

#[test]
fn failures_and_bad_input_fail_the_orchestration() {
    let failed = TaskFailedEvent {
        task_scheduled_id: 1,
        failure_details: Some(actions::failure("Broken", "no")),
    };
    let past = started(
        SEQUENCE,
        &Plan {
            count: 3,
            ..Plan::default()
        },
    );
    assert_eq!(
        describe(&decide(
            SEQUENCE,
            &past,
            &[inbound(EventType::TaskFailed(failed))]
        )),
        "1: Failed Broken"
    );
    let without_input = inbound(EventType::ExecutionStarted(ExecutionStartedEvent::default()));
    assert_eq!(
        describe(&decide(SEQUENCE, &[], &[without_input])),
        "1: Failed BadInput"
    );
}

#[test]
fn payloads_travel_with_every_step() {
    let plan = Plan {
        count: 1,
        payload: "....".into(),
        ..Plan::default()
    };
    assert_eq!(play(SEQUENCE, &plan)[0], r#"1: bench-echo "hello 1 ....""#);
    assert_eq!(
        Plan::from_json(&plan.to_json()).expect("it is our own"),
        plan
    );
}

/// What each of the four turns of a relay of three decides, given as much of the history as `past` lets through.
fn play_relay(past: impl Fn(Vec<HistoryEvent>) -> Vec<HistoryEvent>) -> Vec<String> {
    let plan = Plan {
        count: 3,
        payload: "....".into(),
        ..Plan::default()
    };
    let (mut history, mut new) = (Vec::new(), started(RELAY, &plan));
    let mut turns = Vec::new();
    while !new.is_empty() {
        let actions = decide(RELAY, &past(history.clone()), &new);
        turns.push(describe(&actions));
        history.append(&mut new);
        for (event, done) in actions.iter().filter_map(played) {
            history.push(event);
            new.push(done);
        }
    }
    turns
}

#[test]
fn a_relay_decides_the_same_with_its_history_and_without() {
    let expected = [
        r#"1: bench-echo {"nth":1,"of":3,"ballast":"...."}"#,
        r#"2: bench-echo {"nth":2,"of":3}"#,
        r#"3: bench-echo {"nth":3,"of":3}"#,
        "4: Completed 3",
    ];
    assert_eq!(play_relay(|history| history), expected);
    assert_eq!(play_relay(|_| Vec::new()), expected);
}

#[test]
fn a_relay_fails_with_its_step_and_waits_for_nothing_new() {
    let failed = TaskFailedEvent {
        task_scheduled_id: 1,
        failure_details: Some(actions::failure("Broken", "no")),
    };
    let bad = TaskCompletedEvent {
        task_scheduled_id: 1,
        result: Some("?".to_owned()),
    };
    for (new, expected) in [
        (EventType::TaskFailed(failed), "2147483647: Failed Broken"),
        (EventType::TaskCompleted(bad), "2147483647: Failed BadInput"),
        (
            EventType::OrchestratorStarted(OrchestratorStartedEvent {}),
            "",
        ),
    ] {
        assert_eq!(describe(&decide(RELAY, &[], &[inbound(new)])), expected);
    }
    let without_steps = started(RELAY, &Plan::default());
    assert_eq!(
        describe(&decide(RELAY, &[], &without_steps)),
        "1: Completed 0"
    );
}
