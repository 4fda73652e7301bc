//! What is taken out of a history, and what it still waited for.

use longhaul_types::{ExecutionId, InstanceId};

use super::*;
use crate::history::entity_event::{self, OperationText};
use crate::history::event;
use crate::instance::{Status, Tags};
use crate::message::Creation;

const NOW: Timestamp = Timestamp::EPOCH;

fn scheduled(id: i32, name: &str) -> Bytes {
    event::task_scheduled(id, NOW, name, None, None, None, &Tags::new())
}

fn done(id: i32) -> Bytes {
    event::task_completed(NOW, id, None)
}

fn failed(id: i32) -> Bytes {
    event::task_failed(NOW, id, &event::failure_details("Oops", "no luck"))
}

fn creation(name: &str) -> Creation {
    Creation {
        execution: ExecutionId::new("execution"),
        name: name.into(),
        version: None,
        input: None,
        scheduled_start: None,
        tags: None,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    }
}

fn child(id: i32, instance: &str) -> Bytes {
    let instance = InstanceId::trusted(instance);
    event::child_created(id, NOW, &instance, &creation("Child"))
}

fn child_failed(id: i32) -> Bytes {
    event::child_failed(NOW, id, &event::failure_details("Oops", "no luck"))
}

fn called(id: i32, request_id: &str) -> Bytes {
    let text = OperationText {
        request_id,
        operation: "get",
        scheduled: None,
        input: None,
        target: "@a@1",
    };
    let parent = InstanceId::trusted("parent");
    entity_event::operation_called(id, NOW, text, (&parent, &ExecutionId::new("e")))
}

/// Places of the events that stay.
fn kept(events: &[Bytes]) -> Vec<usize> {
    let past = Past::of(events);
    let places = 0..events.len();
    places
        .filter(|place| !past.removed.contains(place))
        .collect()
}

/// Places of what was scheduled and has no result.
fn open(events: &[Bytes]) -> Vec<usize> {
    let past = Past::of(events);
    let open = past.activities.into_values().flatten();
    let mut places: Vec<usize> = open.map(|it| it.place).collect();
    places.sort_unstable();
    places
}

#[test]
fn a_failure_goes_with_the_closest_scheduling_before_it_that_has_no_result() {
    // Retried under one id until it succeeds: the success keeps its own scheduling.
    let retried = [
        scheduled(1, "A"),
        failed(1),
        scheduled(1, "A"),
        failed(1),
        scheduled(1, "A"),
        done(1),
    ];
    assert_eq!(kept(&retried), [4, 5]);
    assert_eq!(open(&retried), []);

    // Scheduled twice at once under one id.
    let twice = [scheduled(1, "A"), scheduled(1, "B"), failed(1), done(1)];
    assert_eq!(kept(&twice), [0, 3]);
    let twice = [scheduled(1, "A"), scheduled(1, "B"), done(1), failed(1)];
    assert_eq!(kept(&twice), [1, 2]);
    let half = [scheduled(1, "A"), scheduled(1, "B"), failed(1)];
    assert_eq!(kept(&half), [0]);
    assert_eq!(open(&half), [0]);

    // Ids are not mixed up, and a failure of nothing is a failure all the same.
    let others = [
        scheduled(1, "A"),
        scheduled(2, "B"),
        failed(1),
        failed(7),
        scheduled(3, "C"),
    ];
    assert_eq!(kept(&others), [1, 4]);
    assert_eq!(open(&others), [1, 4]);
}

#[test]
fn the_end_goes_and_everything_else_stays() {
    let start = event::execution_started(NOW, &InstanceId::trusted("it"), &creation("Job"));
    let events = [
        event::orchestrator_started(NOW),
        start,
        event::timer_created(1, NOW, NOW),
        event::event_raised(NOW, "Go", None),
        event::execution_rewound(NOW, None),
        event::execution_completed(2, NOW, Status::Failed, None, None),
    ];
    assert_eq!(kept(&events), [0, 1, 2, 3, 4]);
    let past = Past::of(&events);
    let written: Vec<Bytes> = past
        .kept(&events, |at, scheduled_start| {
            assert_eq!((at, scheduled_start), (NOW, None));
            Bytes::from_static(b"anew")
        })
        .collect();
    assert_eq!(written[1], "anew");
    assert_eq!(written[2..], events[2..5]);
}

#[test]
fn a_child_is_waited_for_again_if_it_failed_or_was_not_heard_of() {
    let completed = event::child_completed(NOW, 2, None);
    let events = [
        child(1, "failed"),
        child(2, "completed"),
        child(3, "lives"),
        child(4, "retried"),
        child_failed(4),
        child(4, "retried"),
        child_failed(1),
        completed,
    ];
    assert_eq!(kept(&events), [0, 1, 2, 3, 5, 7]);
    let past = Past::of(&events);
    let waits: Vec<(i32, &str, bool)> = past
        .children
        .iter()
        .map(|(id, (child, failed))| (*id, child.instance.as_str(), *failed))
        .collect();
    let expected = [
        (1, "failed", true),
        (3, "lives", false),
        (4, "retried", false),
    ];
    assert_eq!(waits, expected);
}

fn locked(section: &str, lock_set: &[&str]) -> [Bytes; 2] {
    let lock_set: Vec<String> = lock_set.iter().map(|it| (*it).to_owned()).collect();
    [
        entity_event::lock_requested(1, NOW, section, &lock_set, 0, None),
        entity_event::lock_granted(NOW, section),
    ]
}

fn left(section: &str, target: &str) -> Bytes {
    entity_event::unlock_sent(2, NOW, section, None, target)
}

/// Critical sections that the execution was inside when it ended, with their entities.
fn inside(events: &[Bytes]) -> Vec<(String, Vec<String>)> {
    let sections = Past::of(events).sections.into_iter();
    let names = |entities: Vec<InstanceId>| entities.iter().map(ToString::to_string).collect();
    sections
        .map(|(id, entities)| (id.to_string(), names(entities)))
        .collect()
}

fn section(id: &str, entities: &[&str]) -> (String, Vec<String>) {
    let entities = entities.iter().map(|it| (*it).to_owned());
    (id.to_owned(), entities.collect())
}

#[test]
fn a_section_is_what_was_granted_and_not_left_in_a_turn_that_went_on() {
    let turn = || event::orchestrator_started(NOW);
    let end = || event::execution_completed(9, NOW, Status::Failed, None, None);
    let mut events = locked("s", &["@B@2", "@a@1", "@c@3"]).to_vec();
    assert_eq!(inside(&events[..1]), [], "not granted");
    assert_eq!(inside(&events), [section("s", &["@a@1", "@b@2", "@c@3"])]);

    events.extend([
        left("s", "@a@1"),
        left("other", "@b@2"),
        left("s", "nothing"),
        turn(),
    ]);
    assert_eq!(inside(&events), [section("s", &["@b@2", "@c@3"])]);
    let named: Vec<Bytes> = [&events[..], &[left("", "@b@2"), left("s", "@C@3"), turn()]].concat();
    assert_eq!(inside(&named), [], "left as a whole");

    // What the last turn left goes with the end.
    events.extend([left("s", "@b@2"), called(3, "r"), left("s", "@c@3"), end()]);
    assert_eq!(inside(&events), [section("s", &["@b@2", "@c@3"])]);
    assert_eq!(kept(&events), [0, 1, 2, 3, 4, 5, 7]);

    // Rewound, it goes on: what it leaves then is left.
    let kept = kept(&events).into_iter().map(|place| events[place].clone());
    let mut again: Vec<Bytes> = kept.collect();
    again.extend([turn(), left("s", "@b@2"), turn(), end()]);
    assert_eq!(inside(&again), [section("s", &["@c@3"])]);
    assert_eq!(inside(&locked("empty", &[])), []);
}

#[test]
fn timers_calls_and_locks_without_an_answer_are_found_in_their_places() {
    let lock = |section: &str| {
        let lock_set = ["@a@1".to_owned()];
        entity_event::lock_requested(9, NOW, section, &lock_set, 0, None)
    };
    let details = event::failure_details("Oops", "no luck");
    let events = [
        event::timer_created(1, NOW, NOW),
        event::timer_created(2, NOW, NOW),
        called(3, "z"),
        called(4, "answered"),
        lock("granted"),
        lock("wanted"),
        called(5, "failed"),
        called(6, "a"),
        event::timer_fired(NOW, 1, NOW),
        entity_event::operation_completed(NOW, "answered", None),
        entity_event::operation_failed(NOW, "failed", &details),
        entity_event::lock_granted(NOW, "granted"),
    ];
    assert_eq!(kept(&events), (0..events.len()).collect::<Vec<_>>());
    let past = Past::of(&events);
    assert_eq!(past.timers.into_keys().collect::<Vec<_>>(), [2]);
    let mut open: Vec<(usize, &str)> = past
        .requests
        .iter()
        .map(|(id, (place, _))| (*place, &**id))
        .collect();
    open.sort_unstable();
    assert_eq!(open, [(2, "z"), (5, "wanted"), (7, "a")]);
}
