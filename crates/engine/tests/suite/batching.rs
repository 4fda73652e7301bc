//! How much of an inbox one turn gets, and where a long history goes.

use longhaul_engine::dispatch::{Past, take_turn};
use longhaul_engine::history::event;
use longhaul_engine::turn::{Action, Answer};
use longhaul_engine::{Command, Reply};
use longhaul_types::limits;

use crate::support::{Cluster, kind_name};

fn raise(cluster: &mut Cluster, id: &str, name: &str, input: Option<&[u8]>) {
    let event = event::event_raised(cluster.now, name, input);
    let command = Command::RaiseEvent {
        key: Cluster::key(id),
        event,
    };
    assert_eq!(cluster.apply(0, command).reply, Reply::Done);
}

#[test]
fn a_turn_gets_a_limited_number_of_events_and_the_rest_follows() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    for number in 0..=limits::TURN_EVENTS_MAX {
        raise(&mut cluster, "x", &format!("n{number}"), None);
    }
    let turn = cluster.take("x").expect("ready");
    assert_eq!(turn.new.len(), limits::TURN_EVENTS_MAX);
    assert_eq!(turn.context.dispatched as usize, limits::TURN_EVENTS_MAX);

    cluster.answer(&turn, Answer::default());
    let turn = cluster.take("x").expect("two are left");
    assert_eq!(turn.new.len(), 2);
}

#[test]
fn a_turn_gets_a_limited_number_of_bytes_but_at_least_one_event() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.turn("x", vec![]);
    let large = vec![b'1'; limits::WORK_ITEM_BYTES_MAX];
    raise(&mut cluster, "x", "large", Some(&large));
    raise(&mut cluster, "x", "small", None);
    let turn = cluster.take("x").expect("ready");
    assert_eq!(turn.new.len(), 1);
    cluster.answer(&turn, Answer::default());
    assert_eq!(cluster.take("x").expect("one is left").new.len(), 1);
}

#[test]
fn a_batch_that_is_out_never_grows() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let turn = cluster.take("x").expect("ready");
    raise(&mut cluster, "x", "late", None);
    cluster.answer(&turn, Answer::default());
    let kinds: Vec<_> = cluster.inbox("x").iter().map(kind_name).collect();
    assert_eq!(kinds, ["EventRaised"]);
    assert_eq!(cluster.history("x").len(), 2);
}

#[test]
fn a_long_history_is_sealed_into_rows_and_reads_as_one() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let input = "y".repeat(limits::HISTORY_SEAL_BYTES / 3);
    let mut expected = vec!["OrchestratorStarted", "ExecutionStarted"];
    for id in 1..=10 {
        let send = Action::SendEvent {
            instance: "missing".into(),
            name: "Ping".into(),
            data: Some(input.clone().into()),
        };
        cluster.turn("x", vec![(id, send)]);
        expected.push("EventSent");
        raise(&mut cluster, "x", "Next", None);
        expected.extend(["OrchestratorStarted", "EventRaised"]);
    }
    cluster.turn("x", vec![]);

    let history = cluster.history("x");
    let kinds: Vec<_> = history.iter().map(kind_name).collect();
    assert_eq!(kinds, expected);
    let instance = cluster.live("x");
    assert_eq!(instance.history.events, history.len() as u64);
    assert_eq!(
        instance.history.sealed as usize,
        cluster.partitions[0].history.len()
    );
    assert!(instance.history.sealed >= 3);

    // A new generation leaves no row of the old one behind.
    raise(&mut cluster, "x", "Next", None);
    let continue_as_new = Action::ContinueAsNew {
        input: None,
        version: None,
        carryover: vec![],
    };
    cluster.turn("x", vec![(11, continue_as_new)]);
    assert!(cluster.partitions[0].history.is_empty());
    assert!(cluster.history("x").is_empty());
}

#[test]
fn a_long_history_stays_unread_for_workers_that_stream_it_and_for_no_others() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    cluster.turn("x", vec![]);
    let limit = limits::INLINE_HISTORY_BYTES_MAX;
    raise(&mut cluster, "x", "Next", Some(&vec![b'1'; limit / 2]));
    cluster.turn("x", vec![]);
    raise(&mut cluster, "x", "Next", Some(&vec![b'1'; limit / 4]));
    let key = Cluster::key("x");
    let now = cluster.now;
    let short = take_turn(&mut cluster.partitions[0], &key, now, true).expect("readable");
    let short = short.expect("ready");
    let bytes: usize = short.past.inline().iter().map(bytes::Bytes::len).sum();
    assert_eq!(bytes as u64, short.context.history_bytes);

    cluster.answer(&short, Answer::default());
    raise(&mut cluster, "x", "Next", Some(&vec![b'1'; limit / 2]));
    cluster.turn("x", vec![]);
    raise(&mut cluster, "x", "Next", None);
    cluster.partitions[0].history.clear();
    let mut take = |streaming| take_turn(&mut cluster.partitions[0], &key, now, streaming);
    let long = take(true).expect("its rows are not read").expect("ready");
    assert!(long.context.history_bytes > limit as u64);
    assert_eq!(long.past, Past::Streamed);
    assert_eq!(long.new.len(), 1);
    take(false).expect_err("its rows are read");
}

#[test]
fn a_turn_of_an_instance_with_a_damaged_history_is_a_fault() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Job");
    let send = Action::SendEvent {
        instance: "missing".into(),
        name: "Ping".into(),
        data: Some("y".repeat(limits::HISTORY_SEAL_BYTES).into()),
    };
    cluster.turn("x", vec![(1, send)]);
    raise(&mut cluster, "x", "Next", None);
    cluster.partitions[0].history.clear();
    let key = Cluster::key("x");
    let now = cluster.now;
    let taken = take_turn(&mut cluster.partitions[0], &key, now, false);
    let fault = taken.expect_err("a row is missing");
    assert!(fault.to_string().contains("history"), "{fault}");
}
