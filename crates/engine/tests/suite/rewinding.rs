//! Rewinding where it touches rows that transcripts do not show.

use bytes::Bytes;
use longhaul_engine::history::event;
use longhaul_engine::turn::Action;
use longhaul_engine::{Command, Reply, Status, dispatch};
use longhaul_types::limits;

use crate::support::{Cluster, decode_framed, kind_name};

fn complete(status: Status) -> Action {
    Action::Complete {
        status,
        result: None,
        failure: None,
    }
}

fn rewind(cluster: &mut Cluster, id: &str) {
    let command = Command::Rewind {
        key: Cluster::key(id),
        execution: cluster.fresh(),
        reason: None,
    };
    assert_eq!(cluster.apply(0, command).reply, Reply::Done);
}

/// An instance that failed after some events, each as long as half a sealed row.
fn failed_after(events: usize) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.create("long", "Job");
    cluster.turn("long", vec![]);
    let payload = vec![b'x'; limits::HISTORY_SEAL_BYTES / 2];
    for at in 0..events {
        let event = event::event_raised(cluster.now, &at.to_string(), Some(&payload));
        let key = Cluster::key("long");
        cluster.apply(0, Command::RaiseEvent { key, event });
        cluster.turn("long", vec![]);
    }
    let event = event::event_raised(cluster.now, "last", None);
    let key = Cluster::key("long");
    cluster.apply(0, Command::RaiseEvent { key, event });
    cluster.turn("long", vec![(1, complete(Status::Failed))]);
    cluster
}

#[test]
fn a_history_of_several_rows_is_written_anew_under_the_new_execution() {
    let mut cluster = failed_after(7);
    let before = cluster.history("long");
    let old = cluster.live("long").execution.clone();
    assert!(cluster.live("long").history.sealed > 1);

    rewind(&mut cluster, "long");
    let instance = cluster.live("long").clone();
    assert!(instance.history.sealed > 1);
    let rows = cluster.partitions[0].history.keys();
    let executions: Vec<_> = rows.map(|(_, execution, _)| execution.clone()).collect();
    assert_eq!(executions.len(), instance.history.sealed as usize);
    assert!(
        executions
            .iter()
            .all(|it| *it == instance.execution && *it != old)
    );

    let after = cluster.history("long");
    assert_eq!(instance.history.events, after.len() as u64);
    let (end, kept) = before.split_last().expect("it ended");
    assert_eq!(kind_name(end), "ExecutionCompleted");
    let (rewound, rest) = after.split_last().expect("it was rewound");
    assert_eq!(kind_name(rewound), "ExecutionRewound");
    // OrchestratorStarted and ExecutionStarted come first; the latter names its execution.
    assert_eq!(rest[0], kept[0]);
    assert_eq!(rest[2..], kept[2..]);

    // It grows on from there, and goes as a whole.
    cluster.turn("long", vec![(1, complete(Status::Completed))]);
    assert_eq!(cluster.history("long").len(), after.len() + 2);
    let targets = vec![longhaul_engine::command::PurgeTarget {
        key: Cluster::key("long"),
        completed_at: None,
    }];
    cluster.apply(0, Command::Purge { targets });
    assert!(cluster.partitions[0].history.is_empty());
}

#[test]
fn workers_never_see_that_a_history_was_rewound() {
    let mut cluster = failed_after(3);
    rewind(&mut cluster, "long");
    let whole = cluster.history("long");
    let turn = cluster.take("long").expect("a turn out of nothing");
    assert!(turn.new.is_empty() && turn.context.dispatched == 0);
    let past: Vec<_> = turn
        .past
        .inline()
        .iter()
        .cloned()
        .flat_map(decode_framed)
        .collect();
    assert_eq!(past, whole[..whole.len() - 1]);

    // Nor that it was rewound long ago, whatever has come since; the next generation knows nothing of it.
    cluster.turn("long", vec![]);
    let key = Cluster::key("long");
    let event = event::event_raised(cluster.now, "Go", None);
    cluster.apply(0, Command::RaiseEvent { key, event });
    let turn = cluster.take("long").expect("ready");
    let past: Vec<_> = turn
        .past
        .inline()
        .iter()
        .cloned()
        .flat_map(decode_framed)
        .collect();
    assert!(
        past.iter()
            .all(|event| kind_name(event) != "ExecutionRewound")
    );
    assert_eq!(
        kind_name(past.last().expect("not empty")),
        "OrchestratorStarted"
    );
    let next = Action::ContinueAsNew {
        input: None,
        version: None,
        carryover: Vec::new(),
    };
    cluster.turn("long", vec![(1, next)]);
    assert!(!cluster.live("long").rewound);
}

#[test]
fn hiding_a_rewind_finds_damage_instead_of_hiding_that_too() {
    let damaged = dispatch::without_rewinds(vec![Bytes::from_static(b"no frame")]);
    assert!(damaged.is_err());
}
