//! A record without fault, and one fault at a time put into it: each promise must notice its own.

use longhaul_proto::sidecar::{
    EntityLockGrantedEvent, EntityLockRequestedEvent, EntityOperationCalledEvent,
    EntityOperationCompletedEvent, ExecutionCompletedEvent, ExecutionStartedEvent, HistoryEvent,
    OrchestrationState, OrchestrationStatus, TaskCompletedEvent, TaskScheduledEvent,
    TimerCreatedEvent, TimerFiredEvent, history_event::EventType,
};
use prost_types::Timestamp;

use super::broken;
use crate::{
    record::{Addition, Effect, Instance, Raised, Record, Sighting, Signal, Tally},
    workload::shapes::{LAST_EVENT, Shape},
};

fn event(event_id: i32, second: i64, kind: EventType) -> HistoryEvent {
    HistoryEvent {
        event_id,
        timestamp: Some(Timestamp {
            seconds: second,
            nanos: 0,
        }),
        event_type: Some(kind),
    }
}

fn scheduled(id: i32) -> HistoryEvent {
    event(
        id,
        1,
        EventType::TaskScheduled(TaskScheduledEvent::default()),
    )
}

fn done(id: i32, number: u64, nonce: &str) -> HistoryEvent {
    let result = format!(r#"{{"number":{number},"nonce":"{nonce}"}}"#);
    let completed = TaskCompletedEvent {
        task_scheduled_id: id,
        result: Some(result),
    };
    event(-1, 2, EventType::TaskCompleted(completed))
}

/// An instance that completed with this output, and these events between its first and its last.
fn instance(id: &str, shape: Shape, output: &str, between: Vec<HistoryEvent>) -> Instance {
    let execution_id = Some(format!("execution of {id}"));
    let started = ExecutionStartedEvent::default();
    let mut history = vec![event(-1, 0, EventType::ExecutionStarted(started))];
    history.extend(between);
    let completed = ExecutionCompletedEvent::default();
    history.push(event(99, 9, EventType::ExecutionCompleted(completed)));
    Instance {
        id: id.to_owned(),
        shape,
        state: Some(OrchestrationState {
            orchestration_status: OrchestrationStatus::Completed.into(),
            output: Some(output.to_owned()),
            execution_id: execution_id.clone(),
            ..OrchestrationState::default()
        }),
        execution_id,
        history,
    }
}

fn fan() -> Instance {
    let output = r#"[{"number":0,"nonce":"a"},{"number":1,"nonce":"b"}]"#;
    let between = vec![scheduled(1), scheduled(2), done(2, 1, "b"), done(1, 0, "a")];
    instance("fan", Shape::Fan(2), output, between)
}

fn naps() -> Instance {
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let created = TimerCreatedEvent { fire_at: at(5) };
    let fired = TimerFiredEvent {
        fire_at: at(5),
        timer_id: 1,
    };
    let between = vec![
        event(1, 1, EventType::TimerCreated(created)),
        event(-1, 5, EventType::TimerFired(fired)),
        scheduled(2),
        done(2, 0, "c"),
    ];
    let output = r#"[{"number":0,"nonce":"c"}]"#;
    instance("naps", Shape::Naps(vec![4_000]), output, between)
}

fn transfer() -> Instance {
    let section = "section".to_owned();
    let requested = EntityLockRequestedEvent {
        critical_section_id: section.clone(),
        ..EntityLockRequestedEvent::default()
    };
    let granted = EntityLockGrantedEvent {
        critical_section_id: section,
    };
    let called = EntityOperationCalledEvent {
        request_id: "call".to_owned(),
        ..EntityOperationCalledEvent::default()
    };
    let answered = EntityOperationCompletedEvent {
        request_id: "call".to_owned(),
        ..EntityOperationCompletedEvent::default()
    };
    let between = vec![
        event(1, 1, EventType::EntityLockRequested(requested)),
        event(-1, 1, EventType::EntityLockGranted(granted)),
        event(2, 1, EventType::EntityOperationCalled(called)),
        event(-1, 1, EventType::EntityOperationCompleted(answered)),
    ];
    let shape = Shape::Transfer {
        from: "@account@a".to_owned(),
        to: "@account@b".to_owned(),
        amount: 3,
    };
    instance("transfer", shape, r#"{"before":10,"after":7}"#, between)
}

fn effect(instance_id: &str, task_id: i32, number: u64, nonce: &str) -> Effect {
    Effect {
        instance_id: instance_id.to_owned(),
        task_id,
        number,
        nonce: nonce.to_owned(),
        worker: "w".to_owned(),
    }
}

fn raised(event: &str, acknowledged: bool) -> Raised {
    Raised {
        instance_id: "counter".to_owned(),
        event: event.to_owned(),
        acknowledged,
    }
}

fn tally(additions: &[Addition]) -> Option<Tally> {
    Some(additions.iter().fold(Tally::default(), Tally::with))
}

/// A record in which every promise was kept and had something to keep.
fn sound() -> Record {
    let counter = instance("counter", Shape::Counter, r#"["1","2","3"]"#, vec![]);
    let signal = Addition {
        tag: "signal".to_owned(),
        amount: 10,
    };
    let transfer = transfer();
    let mut moved = transfer.shape.additions(&transfer.id).into_iter();
    let (out, into) = (moved.next().unwrap().1, moved.next().unwrap().1);
    let mut child = instance("family.0", Shape::Fan(0), "[]", vec![]);
    child.execution_id = None;
    let fan = fan();
    let sighting = Sighting {
        instance_id: fan.id.clone(),
        history: fan.history[..2].to_vec(),
    };
    Record {
        instances: vec![
            fan,
            naps(),
            counter,
            transfer,
            instance("family", Shape::Family(vec![0]), "1", vec![]),
        ],
        children: vec![child],
        raised: vec![
            raised("1", true),
            raised("2", false),
            raised("lost", false),
            raised("3", true),
            raised(LAST_EVENT, true),
        ],
        signals: vec![Signal {
            entity_id: "@account@a".to_owned(),
            addition: signal.clone(),
        }],
        effects: vec![
            effect("fan", 1, 0, "a"),
            effect("fan", 1, 0, "a, unanswered"),
            effect("fan", 2, 1, "b"),
            effect("naps", 2, 0, "c"),
        ],
        entities: [
            ("@account@a".to_owned(), tally(&[signal, out])),
            ("@account@b".to_owned(), tally(&[into])),
        ]
        .into(),
        sightings: vec![sighting],
        ..Record::default()
    }
}

/// The promises broken once this has been done to a sound record.
fn after(fault: impl FnOnce(&mut Record)) -> Vec<&'static str> {
    let mut record = sound();
    fault(&mut record);
    let broken = broken(&record).into_iter();
    broken.map(|(promise, _)| promise.says).collect()
}

fn with_output(record: &mut Record, nth: usize, output: &str) {
    let state = record.instances[nth].state.as_mut().expect("it exists");
    state.output = Some(output.to_owned());
}

const FAN: usize = 0;
const NAPS: usize = 1;
const COUNTER: usize = 2;
const TRANSFER: usize = 3;

#[test]
fn a_sound_record_breaks_nothing() {
    assert_eq!(after(|_| ()), Vec::<&str>::new());
}

#[test]
fn what_the_run_noticed_itself_is_passed_on() {
    assert_eq!(
        after(|record| record.unfinished.push("a driver".into())),
        ["the workload comes to its end"]
    );
    assert_eq!(
        after(|record| record.refusals.push("INTERNAL".into())),
        ["no call gets an answer that SDKs do not hide"]
    );
    assert_eq!(
        after(|record| record.stale_reads.push("not there".into())),
        ["reads see what was acknowledged before"]
    );
}

#[test]
fn lost_starts_are_noticed() {
    let broken = after(|record| {
        record.instances[FAN].state = None;
        record.instances[FAN].history.clear();
    });
    assert!(
        broken.contains(&"an acknowledged start is never lost"),
        "{broken:?}"
    );
    assert!(
        broken.contains(&"every orchestration completes"),
        "{broken:?}"
    );
    assert!(broken.contains(&"histories only grow"), "{broken:?}");
}

#[test]
fn second_executions_are_noticed() {
    let broken = after(|record| {
        let state = record.instances[FAN].state.as_mut().expect("it exists");
        state.execution_id = Some("another".into());
    });
    assert_eq!(broken, ["a start is applied once"]);
}

#[test]
fn whatever_does_not_complete_is_noticed() {
    for status in [OrchestrationStatus::Running, OrchestrationStatus::Failed] {
        let broken = after(|record| {
            let family = record.children[0].state.as_mut().expect("it exists");
            family.orchestration_status = status.into();
        });
        assert!(
            broken.contains(&"every orchestration completes"),
            "{broken:?}"
        );
    }
}

#[test]
fn wrong_outputs_are_noticed() {
    let swapped = r#"[{"number":1,"nonce":"b"},{"number":0,"nonce":"a"}]"#;
    for output in ["7", "[]", "null", swapped] {
        let broken = after(|record| with_output(record, FAN, output));
        assert!(
            broken.contains(&"every output is the right one"),
            "{output}"
        );
    }
    let baseless = r#"[{"number":0,"nonce":"z"},{"number":1,"nonce":"b"}]"#;
    assert_eq!(
        after(|record| with_output(record, FAN, baseless)),
        ["outputs rest on their histories"]
    );
}

#[test]
fn events_lost_repeated_invented_or_disordered_are_noticed() {
    let counted = |output: &'static str| after(|record| with_output(record, COUNTER, output));
    assert_eq!(counted(r#"["1","3"]"#), Vec::<&str>::new(), "2 may be lost");
    assert_eq!(counted(r#"["1","2"]"#), ["an acknowledged event arrives"]);
    for output in [r#"["1","2","2","3"]"#, r#"["1","3","4"]"#] {
        assert_eq!(counted(output), ["no event arrives twice, or from nowhere"]);
    }
    assert_eq!(counted(r#"["3","1"]"#), ["events keep their order"]);
    assert_eq!(
        counted(r#"["1","3","2"]"#),
        Vec::<&str>::new(),
        "2 may be late"
    );
}

#[test]
fn results_that_no_worker_gave_are_noticed() {
    let nobody = after(|record| record.effects.retain(|effect| effect.nonce != "a"));
    assert_eq!(nobody, ["results come from runs of their activity"]);
    let another = after(|record| record.effects[0].task_id = 2);
    assert_eq!(another, ["results come from runs of their activity"]);
}

#[test]
fn results_that_count_twice_are_noticed() {
    let broken = after(|record| {
        let naps = &mut record.instances[NAPS];
        naps.history[4] = done(2, 0, "a");
        let state = naps.state.as_mut().expect("it exists");
        state.output = Some(r#"[{"number":0,"nonce":"a"}]"#.into());
    });
    assert!(
        broken.contains(&"no run of an activity counts twice"),
        "{broken:?}"
    );
}

#[test]
fn histories_with_two_ends_or_none_are_noticed() {
    let twice = after(|record| {
        let history = &mut record.instances[TRANSFER].history;
        history.push(history.last().expect("an end").clone());
    });
    assert_eq!(twice, ["histories begin and end once"]);
    let endless = after(|record| drop(record.instances[TRANSFER].history.pop()));
    assert_eq!(endless, ["histories begin and end once"]);
}

#[test]
fn missing_and_second_outcomes_are_noticed() {
    // The results of the fan and of the nap, the timer, the lock and the call.
    for (instance, outcome) in [(FAN, 3), (NAPS, 4), (NAPS, 2), (TRANSFER, 2), (TRANSFER, 4)] {
        let missing = after(|record| drop(record.instances[instance].history.remove(outcome)));
        assert!(
            missing.contains(&"whatever was asked for has one outcome"),
            "{instance} {outcome}: {missing:?}"
        );
        let second = after(|record| {
            let history = &mut record.instances[instance].history;
            history.insert(outcome, history[outcome].clone());
        });
        assert!(
            second.contains(&"whatever was asked for has one outcome"),
            "{instance} {outcome}: {second:?}"
        );
    }
}

#[test]
fn early_timers_are_noticed() {
    let broken = after(|record| {
        let fired = &mut record.instances[NAPS].history[2];
        fired.timestamp = Some(Timestamp {
            seconds: 4,
            nanos: 999_999_999,
        });
    });
    assert_eq!(broken, ["no timer is early"]);
}

#[test]
fn histories_that_change_or_shrink_are_noticed() {
    let changed = after(|record| record.sightings[0].history[1].event_id = 7);
    assert_eq!(changed, ["histories only grow"]);
    let shrunk = after(|record| {
        let mut longer = record.sightings[0].clone();
        longer.history = record.instances[FAN].history[..4].to_vec();
        record.sightings.insert(0, longer);
    });
    assert_eq!(shrunk, ["histories only grow"]);
}

#[test]
fn additions_lost_repeated_or_forgotten_are_noticed() {
    let promise = ["entities hold what was added to them, once each"];
    let lost = after(|record| drop(record.signals.pop()));
    assert_eq!(lost, promise);
    let repeated = after(|record| record.signals.push(record.signals[0].clone()));
    assert_eq!(repeated, promise);
    let exchanged = after(|record| record.signals[0].addition.tag = "another".into());
    assert_eq!(exchanged, promise);
    let stateless = after(|record| _ = record.entities.insert("@account@b".into(), None));
    assert_eq!(stateless, promise);
    let unread = after(|record| _ = record.entities.remove("@account@b"));
    assert_eq!(unread, promise);
}

#[test]
fn strangers_in_critical_sections_are_noticed() {
    let broken = after(|record| with_output(record, TRANSFER, r#"{"before":10,"after":8}"#));
    assert_eq!(broken, ["critical sections are their owner's alone"]);
}
