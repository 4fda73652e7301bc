//! Texts and encoded parts go through unchanged, byte by byte; absent and empty are different values.

use bytes::Bytes;
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Answer, Decided};
use longhaul_engine::{Command, InstanceView, Reply, Status};
use longhaul_proto::sidecar::history_event::EventType;
use longhaul_proto::sidecar::{HistoryEvent, TaskFailureDetails};
use prost::Message;
use prost_types::{Value, value::Kind};

use crate::support::{Cluster, failure};

/// Everything that programs take for "nothing", and some that is hard to carry.
const TEXTS: [Option<&str>; 9] = [
    None,
    Some(""),
    Some("\"\""),
    Some("null"),
    Some("0"),
    Some("false"),
    Some("{\"a\": [1,\n 2]}"),
    Some("  kept as it is \u{0}"),
    Some("ünï 🦀"),
];

fn bytes(text: Option<&str>) -> Option<Bytes> {
    text.map(|text| Bytes::copy_from_slice(text.as_bytes()))
}

fn complete(result: Option<Bytes>) -> Action {
    Action::Complete {
        status: Status::Completed,
        result,
        failure: None,
    }
}

fn view(cluster: &Cluster, id: &str) -> InstanceView {
    InstanceView::of(&Cluster::key(id), cluster.live(id))
}

fn last(history: &[HistoryEvent]) -> &EventType {
    let event = history.last().expect("not empty");
    event.event_type.as_ref().expect("has a type")
}

#[test]
fn trap_05_inputs_and_results_survive_as_they_are() {
    for text in TEXTS {
        let mut cluster = Cluster::new(1);
        let mut creation = cluster.creation("Parent");
        creation.input = bytes(text);
        cluster.create_as(
            "parent",
            creation,
            longhaul_engine::command::ReusePolicy::Default,
        );
        assert_eq!(view(&cluster, "parent").input, bytes(text));

        let child = Action::CreateChild {
            instance: "kid".into(),
            name: "Child".into(),
            version: None,
            input: bytes(text),
            tags: Default::default(),
            trace: None,
        };
        cluster.turn("parent", vec![(1, child)]);
        assert_eq!(view(&cluster, "kid").input, bytes(text));

        let again = Action::ContinueAsNew {
            input: bytes(text),
            version: None,
            carryover: vec![event::event_raised(
                cluster.now,
                "E",
                text.map(str::as_bytes),
            )],
        };
        cluster.turn("kid", vec![(1, again)]);
        assert_eq!(view(&cluster, "kid").input, bytes(text));
        assert_eq!(view(&cluster, "kid").output, None, "nothing has ended");

        cluster.turn("kid", vec![(1, complete(bytes(text)))]);
        assert_eq!(view(&cluster, "kid").output, bytes(text));
        let inbox = cluster.inbox("parent");
        let EventType::SubOrchestrationInstanceCompleted(told) = last(&inbox) else {
            panic!("the parent was told: {inbox:?}");
        };
        assert_eq!(told.result.as_deref(), text);

        cluster.turn("parent", vec![(2, complete(bytes(text)))]);
        let history = cluster.history("parent");
        let EventType::ExecutionCompleted(end) = last(&history) else {
            panic!("ended: {history:?}");
        };
        assert_eq!(end.result.as_deref(), text);
    }
}

#[test]
fn trap_04_what_was_not_given_is_absent() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.turn("x", vec![(1, complete(None))]);
    let view = view(&cluster, "x");
    assert_eq!(
        (
            view.input,
            view.output,
            view.custom_status,
            view.failure,
            view.tags,
            view.version
        ),
        (None, None, None, None, None, None)
    );
    assert_eq!((view.parent, view.scheduled_start), (None, None));
}

#[test]
fn trap_03_the_custom_status_of_two_quotes_is_a_status() {
    for (sent, stored) in [
        (Some("\"\""), Some("\"\"")),
        (Some(""), None),
        (None, None),
        (Some("0"), Some("0")),
    ] {
        let mut cluster = Cluster::new(1);
        cluster.create("x", "Job");
        let turn = cluster.take("x").expect("ready");
        let answer = Answer {
            custom_status: bytes(sent),
            ..Answer::default()
        };
        cluster.answer(&turn, answer);
        assert_eq!(view(&cluster, "x").custom_status, bytes(stored), "{sent:?}");
    }
}

#[test]
fn trap_07_the_output_of_a_terminated_instance_is_what_was_given() {
    for text in TEXTS {
        let mut cluster = Cluster::new(1);
        cluster.create("x", "Job");
        let terminate = Command::Terminate {
            key: Cluster::key("x"),
            output: bytes(text),
            recurse: false,
        };
        assert_eq!(cluster.apply(0, terminate).reply, Reply::Done);
        let view = view(&cluster, "x");
        assert_eq!(
            (view.status, view.output),
            (Status::Terminated, bytes(text))
        );
        assert_eq!(view.completed_at, Some(cluster.now));
    }
}

fn deep_failure() -> TaskFailureDetails {
    let property = |kind| Value { kind: Some(kind) };
    let inner = TaskFailureDetails {
        error_type: "Inner".into(),
        error_message: "why\nindeed".into(),
        stack_trace: Some(String::new()),
        ..Default::default()
    };
    TaskFailureDetails {
        error_type: "Outer".into(),
        error_message: String::new(),
        stack_trace: Some("at a\nat b".into()),
        inner_failure: Some(Box::new(inner)),
        is_non_retriable: true,
        properties: [
            ("code".to_owned(), property(Kind::NumberValue(7.5))),
            ("none".to_owned(), property(Kind::NullValue(0))),
        ]
        .into(),
    }
}

#[test]
fn trap_48_failure_details_survive_verbatim_through_children() {
    let details = deep_failure();
    // Fields that this server does not know survive too.
    let mut encoded = details.encode_to_vec();
    encoded.extend([0xA2, 0x06, 0x02, b'h', b'i']);
    let encoded = Bytes::from(encoded);
    let fail = |failure: &Bytes| Action::Complete {
        status: Status::Failed,
        result: Some("text".into()),
        failure: Some(failure.clone()),
    };

    let mut cluster = Cluster::new(1);
    cluster.create("top", "Job");
    for (parent, child) in [("top", "middle"), ("middle", "leaf")] {
        let create = Action::CreateChild {
            instance: child.into(),
            name: "Child".into(),
            version: None,
            input: None,
            tags: Default::default(),
            trace: None,
        };
        cluster.turn(parent, vec![(1, create)]);
    }
    cluster.turn("leaf", vec![(1, fail(&encoded))]);
    cluster.turn("middle", vec![(2, fail(&encoded))]);
    let view = view(&cluster, "leaf");
    assert_eq!(
        (view.failure, view.output),
        (Some(encoded.clone()), Some("text".into()))
    );
    assert_eq!(
        failure(&cluster.live("middle").failure.clone().expect("failed")),
        details
    );

    let inbox = &cluster.live("top").inbox;
    let told = &inbox.back().expect("the parent was told").event;
    assert!(
        told.windows(encoded.len()).any(|part| part == encoded),
        "the details are the very bytes of the child's"
    );
    let inbox = cluster.inbox("top");
    let EventType::SubOrchestrationInstanceFailed(told) = last(&inbox) else {
        panic!("failed: {inbox:?}");
    };
    assert_eq!(told.failure_details.as_ref(), Some(&details));
}

#[test]
fn trap_48_a_failed_activitys_details_reach_the_history_verbatim() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let schedule = Action::ScheduleTask {
        name: "Work".into(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    };
    cluster.turn("x", vec![(5, schedule)]);
    let event = event::task_failed(cluster.now, 5, &deep_failure().encode_to_vec());
    let finish = Command::CompleteActivity {
        key: Cluster::key("x"),
        execution: cluster.live("x").execution.clone(),
        seq: 1,
        event,
    };
    cluster.apply(0, finish);
    cluster.turn("x", vec![]);
    let history = cluster.history("x");
    let EventType::TaskFailed(failed) = last(&history) else {
        panic!("failed: {history:?}");
    };
    assert_eq!(failed.failure_details, Some(deep_failure()));
}

#[test]
fn trap_46_a_child_knows_its_parent_over_generations() {
    let mut cluster = Cluster::new(1);
    let mut creation = cluster.creation("Parent");
    creation.version = Some("2".into());
    cluster.create_as(
        "parent",
        creation,
        longhaul_engine::command::ReusePolicy::Default,
    );
    let parent_execution = cluster.live("parent").execution.to_string();
    let child = Action::CreateChild {
        instance: "kid".into(),
        name: "Child".into(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    };
    cluster.turn("parent", vec![(7, child)]);
    for _ in 0..2 {
        let inbox = cluster.inbox("kid");
        let Some(EventType::ExecutionStarted(started)) = &inbox[0].event_type else {
            panic!("starts: {inbox:?}");
        };
        let parent = started.parent_instance.as_ref().expect("a child");
        assert_eq!(parent.task_scheduled_id, 7);
        assert_eq!(parent.name.as_deref(), Some("Parent"));
        assert_eq!(parent.version.as_deref(), Some("2"));
        let id = parent
            .orchestration_instance
            .as_ref()
            .expect("SDKs read it unchecked");
        assert_eq!(id.instance_id, "parent");
        assert_eq!(id.execution_id.as_deref(), Some(parent_execution.as_str()));
        let again = Action::ContinueAsNew {
            input: None,
            version: None,
            carryover: vec![],
        };
        cluster.turn("kid", vec![(1, again)]);
    }
    assert_eq!(
        view(&cluster, "kid").parent,
        Some(Cluster::key("parent").id)
    );
}

#[test]
fn contexts_of_traces_are_the_bytes_that_came() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let context = Bytes::from_static(&[0x0A, 0x01, b's', 0xA2, 0x06, 0x00]);
    let turn = cluster.take("x").expect("ready");
    assert_eq!(turn.trace, None);
    let send = Action::SendEvent {
        instance: "x".into(),
        name: "Next".into(),
        data: None,
    };
    let answer = Answer {
        actions: vec![Decided {
            id: 1,
            action: send,
        }],
        trace: Some(context.clone()),
        ..Answer::default()
    };
    cluster.answer(&turn, answer);
    assert_eq!(cluster.take("x").expect("ready").trace, Some(context));
}
