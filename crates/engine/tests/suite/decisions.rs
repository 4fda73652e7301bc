//! What a worker's answer becomes: cases of `turn::decide`.

use longhaul_engine::command::{CompleteTurn, Ending, Outgoing};
use longhaul_engine::history::Frames;
use longhaul_engine::instance::Tags;
use longhaul_engine::message::MessageBody;
use longhaul_engine::turn::{Action, Answer, Decided, decide};
use longhaul_engine::{Reply, Status};
use longhaul_types::{ExecutionId, Timestamp};

use crate::support::{Cluster, START, decode, decode_framed, event_text, failure};

/// Decides the first turn of a PENDING instance.
fn decided(actions: Vec<(i32, Action)>) -> CompleteTurn {
    let (mut cluster, turn) = pending();
    let answer = Answer {
        actions: actions
            .into_iter()
            .map(|(id, action)| Decided { id, action })
            .collect(),
        ..Answer::default()
    };
    decide(&turn.context, answer, START, &mut || cluster.fresh())
}

fn pending() -> (Cluster, longhaul_engine::dispatch::Turn) {
    let mut cluster = Cluster::new(1);
    assert_eq!(cluster.create("x", "Job"), Reply::Done);
    let turn = cluster.take("x").expect("ready");
    (cluster, turn)
}

fn facts(turn: &CompleteTurn) -> Vec<String> {
    decode_framed(turn.facts.clone())
        .iter()
        .map(event_text)
        .collect()
}

fn schedule(name: &str) -> Action {
    Action::ScheduleTask {
        name: name.into(),
        version: None,
        input: None,
        tags: Tags::new(),
        trace: None,
    }
}

fn child(instance: &str, name: &str) -> Action {
    Action::CreateChild {
        instance: instance.into(),
        name: name.into(),
        version: None,
        input: None,
        tags: Tags::new(),
        trace: None,
    }
}

fn complete(status: Status, result: &'static str) -> Action {
    Action::Complete {
        status,
        result: Some(result.into()),
        failure: None,
    }
}

fn continue_as_new() -> Action {
    Action::ContinueAsNew {
        input: None,
        version: None,
        carryover: vec![],
    }
}

fn timer() -> Action {
    Action::CreateTimer { fire_at: START }
}

fn status_of(turn: &CompleteTurn) -> Option<Status> {
    match turn.ending.as_ref()? {
        Ending::Terminal { status, .. } => Some(*status),
        Ending::ContinuedAsNew { .. } => None,
    }
}

#[test]
fn the_complete_action_comes_last_wherever_it_stood() {
    let turn = decided(vec![
        (3, complete(Status::Completed, "r")),
        (1, schedule("A")),
        (2, timer()),
    ]);
    assert_eq!(
        facts(&turn),
        [
            "TaskScheduled#1 @0 A",
            "TimerCreated#2 @0 due=@0",
            "ExecutionCompleted#3 @0 COMPLETED result=r"
        ]
    );
    assert_eq!(turn.fact_count, 3);
}

#[test]
fn trap_34_of_two_complete_actions_the_first_wins() {
    let turn = decided(vec![
        (1, complete(Status::Failed, "first")),
        (2, complete(Status::Completed, "second")),
        (3, continue_as_new()),
    ]);
    assert_eq!(
        facts(&turn),
        ["ExecutionCompleted#1 @0 FAILED result=first"]
    );
    assert_eq!(status_of(&turn), Some(Status::Failed));

    let turn = decided(vec![
        (1, continue_as_new()),
        (2, complete(Status::Completed, "late")),
    ]);
    assert!(matches!(turn.ending, Some(Ending::ContinuedAsNew { .. })));
    assert_eq!(turn.fact_count, 0);
}

#[test]
fn no_action_is_a_turn_that_waits() {
    let turn = decided(vec![]);
    assert_eq!((turn.fact_count, turn.consumed), (0, 1));
    assert!(turn.ending.is_none() && turn.facts.is_empty());
}

#[test]
fn actions_of_one_kind_keep_their_order() {
    let actions = (1..=20)
        .map(|id| (id, schedule(&format!("A{id}"))))
        .collect();
    let turn = decided(actions);
    let ids: Vec<i32> = turn.activities.iter().map(|it| it.task_id).collect();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
}

#[test]
fn each_activity_points_at_its_own_event() {
    let turn = decided(vec![
        (1, schedule("A")),
        (2, timer()),
        (3, schedule(&"B".repeat(300))),
    ]);
    let events: Vec<_> = Frames::new(turn.facts.clone())
        .map(Result::unwrap)
        .collect();
    for (activity, event) in turn.activities.iter().zip([&events[0], &events[2]]) {
        let start = activity.event_offset as usize;
        let end = start + activity.event_len as usize;
        assert_eq!(turn.facts.slice(start..end), *event);
        assert_eq!(decode(event).event_id, activity.task_id);
    }
}

#[test]
fn an_activity_without_a_name_fails_for_good() {
    let turn = decided(vec![(4, schedule(""))]);
    assert!(turn.activities.is_empty());
    let told: Vec<_> = turn
        .own_inbox
        .iter()
        .map(|it| event_text(&decode(&it.event)))
        .collect();
    assert_eq!(
        told,
        ["TaskFailed @0 of=#4 failure=InvalidActivity:'an activity needs a name'!"]
    );
    assert_eq!(turn.own_inbox[0].execution, Some(turn.execution.clone()));
}

#[test]
fn children_with_impossible_ids_fail_instead_of_starting() {
    let long = "x".repeat(101);
    for (id, name) in [
        ("@counter@a", "Child"),
        (long.as_str(), "Child"),
        ("a\tb", "Child"),
        ("ok", ""),
    ] {
        let turn = decided(vec![(4, child(id, name))]);
        assert!(turn.messages.is_empty(), "{id:?}");
        let told = event_text(&decode(&turn.own_inbox[0].event));
        assert!(
            told.starts_with("SubOrchestrationInstanceFailed @0 of=#4 failure=Invalid"),
            "{told}"
        );
        assert!(told.ends_with('!'), "not worth a retry: {told}");
        assert_eq!(turn.fact_count, 1, "the attempt is in the history");
    }
}

#[test]
fn trap_40_a_child_without_an_id_gets_the_executions_and_the_actions() {
    for (action, suffix) in [(0, "0000"), (1, "0001"), (255, "00ff"), (70_000, "11170")] {
        let turn = decided(vec![(action, child("", "Child"))]);
        let [Outgoing::Child { key, .. }] = &turn.messages[..] else {
            panic!("one child: {:?}", turn.messages);
        };
        assert_eq!(key.id.as_str(), format!("{}:{suffix}", turn.execution));
    }
}

#[test]
fn trap_41_ids_of_nested_children_stay_short() {
    let turn = decided(vec![(1, child("", "Child"))]);
    let [Outgoing::Child { key, creation, .. }] = &turn.messages[..] else {
        panic!("one child");
    };
    // A grandchild's id is made of the child's execution, not of its id.
    assert_eq!(creation.execution.as_str().len(), 32);
    assert_eq!(key.id.as_str().len(), 37);
}

#[test]
fn a_refused_action_fails_the_orchestration_and_nothing_else_happens() {
    let turn = decided(vec![
        (1, schedule("A")),
        (2, child("kid", "Child")),
        (3, complete(Status::Completed, "r")),
        (4, Action::Refused("no such action".into())),
        (5, Action::Refused("nor this".into())),
    ]);
    assert_eq!(
        facts(&turn),
        ["ExecutionCompleted#4 @0 FAILED failure=UnsupportedAction:'no such action'!"]
    );
    assert!(turn.activities.is_empty() && turn.messages.is_empty());
    assert_eq!(turn.consumed, 1, "what was handed out is consumed");
    let Some(Ending::Terminal {
        failure: Some(details),
        ..
    }) = &turn.ending
    else {
        panic!("ends with details");
    };
    assert!(failure(details).is_non_retriable);
}

#[test]
fn messages_to_impossible_ids_are_dropped() {
    let send = |instance: &str| Action::SendEvent {
        instance: instance.into(),
        name: "Ping".into(),
        data: None,
    };
    let terminate = |instance: &str| Action::Terminate {
        instance: instance.into(),
        reason: None,
        recurse: true,
    };
    let turn = decided(vec![
        (1, send("")),
        (2, send("@a@b")),
        (3, terminate("")),
        (4, terminate("@a@b")),
        (5, send("to")),
        (6, terminate("to")),
    ]);
    assert_eq!(turn.messages.len(), 2);
    assert_eq!(
        turn.fact_count, 3,
        "a termination leaves no trace in the history"
    );
    let bodies = turn.messages.iter().map(|it| match it {
        Outgoing::Message(message) => message.body.clone(),
        other => panic!("no message: {other:?}"),
    });
    assert!(matches!(
        &bodies.collect::<Vec<_>>()[..],
        [
            MessageBody::Event(_),
            MessageBody::Terminate {
                recurse: true,
                only_child_of: None,
                ..
            }
        ]
    ));
}

#[test]
fn facts_are_never_older_than_the_turn_they_are_of() {
    let (mut cluster, turn) = pending();
    let earlier = Timestamp {
        seconds: START.seconds - 60,
        nanos: 0,
    };
    let answer = Answer {
        actions: vec![Decided {
            id: 1,
            action: schedule("A"),
        }],
        ..Answer::default()
    };
    let turn = decide(&turn.context, answer, earlier, &mut || cluster.fresh());
    assert_eq!(facts(&turn), ["TaskScheduled#1 @0 A"]);
}

#[test]
fn fresh_ids_are_drawn_only_for_what_needs_them() {
    let draws = |actions: Vec<Action>| {
        let (_, turn) = pending();
        let actions = actions.into_iter().map(|action| Decided { id: 1, action });
        let answer = Answer {
            actions: actions.collect(),
            ..Answer::default()
        };
        let mut drawn = 0;
        let _ = decide(&turn.context, answer, START, &mut || {
            drawn += 1;
            ExecutionId::from_random([drawn; 16])
        });
        drawn
    };
    assert_eq!(draws(vec![schedule("A"), timer()]), 0);
    assert_eq!(draws(vec![child("a", "C"), child("b", "C")]), 2);
    assert_eq!(draws(vec![continue_as_new(), continue_as_new()]), 1);
}

#[test]
fn what_a_worker_says_it_consumed_is_kept_within_what_it_got() {
    let consumed = |events_processed| {
        let (mut cluster, turn) = pending();
        let answer = Answer {
            events_processed,
            ..Answer::default()
        };
        decide(&turn.context, answer, START, &mut || cluster.fresh()).consumed
    };
    assert_eq!(consumed(None), 1);
    assert_eq!(consumed(Some(7)), 1);
    assert_eq!(
        consumed(Some(0)),
        1,
        "an execution's history begins with its start"
    );
}
