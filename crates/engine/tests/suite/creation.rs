//! Who may have an id: reuse policies, row by row, and requests that come twice.

use std::time::Duration;

use longhaul_engine::command::ReusePolicy;
use longhaul_engine::turn::Action;
use longhaul_engine::{Reply, Status};

use crate::support::Cluster;

const ALL: [Status; 7] = [
    Status::Running,
    Status::Completed,
    Status::Failed,
    Status::Canceled,
    Status::Terminated,
    Status::Pending,
    Status::Suspended,
];

/// An instance that has (or shows) the status.
fn existing(status: Status) -> Cluster {
    let mut cluster = Cluster::new(1);
    assert_eq!(cluster.create("x", "Old"), Reply::Done);
    let key = Cluster::key("x");
    match status {
        Status::Pending => {}
        Status::Running => drop(cluster.turn("x", vec![])),
        Status::Suspended => {
            cluster.turn("x", vec![]);
            let suspend = longhaul_engine::Command::Suspend { key, reason: None };
            cluster.apply(0, suspend);
        }
        ended => {
            let complete = Action::Complete {
                status: ended,
                result: None,
                failure: None,
            };
            cluster.turn("x", vec![(1, complete)]);
        }
    }
    assert_eq!(cluster.live("x").effective_status(), status);
    cluster
}

/// Starts an instance with the id of an existing one, and checks that exactly a replacement replaces.
fn start_again(status: Status, reuse: ReusePolicy) -> Reply {
    let mut cluster = existing(status);
    let before = cluster.partitions[0].clone();
    let creation = cluster.creation("New");
    let reply = cluster.create_as("x", creation, reuse);
    if reply == Reply::Done {
        let instance = cluster.live("x");
        assert_eq!((&*instance.name, instance.status), ("New", Status::Pending));
        assert_eq!(instance.inbox.len(), 1, "only ExecutionStarted");
    } else {
        assert_eq!(cluster.partitions[0], before, "a refusal changes nothing");
    }
    reply
}

#[test]
fn trap_13_without_a_policy_what_has_ended_makes_way() {
    for status in ALL {
        let expected = if status.is_terminal() {
            Reply::Done
        } else {
            Reply::AlreadyExists(status)
        };
        assert_eq!(
            start_again(status, ReusePolicy::Default),
            expected,
            "{status:?}"
        );
    }
}

#[test]
fn trap_14_an_empty_policy_lets_nothing_go() {
    for status in ALL {
        let reply = start_again(status, ReusePolicy::Replace(vec![]));
        assert_eq!(reply, Reply::AlreadyExists(status));
    }
}

#[test]
fn trap_15_exactly_the_listed_statuses_are_replaced() {
    for status in ALL {
        for listed in ALL {
            let list = vec![listed, Status::Terminated];
            let expected = if list.contains(&status) {
                Reply::Done
            } else {
                Reply::AlreadyExists(status)
            };
            let reply = start_again(status, ReusePolicy::Replace(list));
            assert_eq!(reply, expected, "{status:?} with {listed:?}");
        }
    }
}

/// Users deduplicate on TERMINATED while live instances may be replaced: replacing would terminate.
#[test]
fn trap_16_a_live_instance_is_not_replaced_if_terminated_ones_must_stay() {
    for status in ALL {
        let list = ALL.into_iter().filter(|it| *it != Status::Terminated);
        let expected = match status {
            Status::Running | Status::Pending | Status::Suspended => Reply::ContradictoryReuse,
            Status::Terminated => Reply::AlreadyExists(status),
            Status::Completed | Status::Failed | Status::Canceled => Reply::Done,
        };
        let reply = start_again(status, ReusePolicy::Replace(list.collect()));
        assert_eq!(reply, expected, "{status:?}");
    }
    // An instance that is not to be replaced anyway is not a contradiction.
    let list = ReusePolicy::Replace(vec![Status::Suspended]);
    assert_eq!(
        start_again(Status::Running, list),
        Reply::AlreadyExists(Status::Running)
    );
}

#[test]
fn a_contradictory_policy_is_no_obstacle_to_a_new_id() {
    let mut cluster = Cluster::new(1);
    let creation = cluster.creation("New");
    let reply = cluster.create_as("x", creation, ReusePolicy::Replace(vec![Status::Running]));
    assert_eq!(reply, Reply::Done);
}

#[test]
fn a_repeated_request_is_recognised_for_a_day_in_every_state() {
    for status in ALL {
        let mut cluster = existing(status);
        let key = Cluster::key("x");
        cluster.partitions[0]
            .instances
            .get_mut(&key)
            .expect("exists")
            .request_fingerprint = 7;
        let before = cluster.partitions[0].instances.clone();

        cluster.pass(Duration::from_secs(24 * 3600));
        let mut creation = cluster.creation("New");
        creation.request_fingerprint = 7;
        let reply = cluster.create_as("x", creation.clone(), ReusePolicy::Replace(vec![]));
        assert_eq!(reply, Reply::Done);
        assert_eq!(cluster.partitions[0].instances, before);

        cluster.pass(Duration::from_nanos(1));
        let reply = cluster.create_as("x", creation, ReusePolicy::Replace(vec![]));
        assert_eq!(reply, Reply::AlreadyExists(status));
    }
}

#[test]
fn requests_that_cannot_be_recognised_are_never_taken_for_repeats() {
    let mut cluster = existing(Status::Running);
    assert_eq!(cluster.live("x").request_fingerprint, 0);
    assert_eq!(
        cluster.create("x", "Old"),
        Reply::AlreadyExists(Status::Running)
    );
}

#[test]
fn trap_23_a_new_record_sees_no_ghosts_of_the_old_one() {
    let mut cluster = Cluster::new(1);
    cluster.create("x", "Old");
    let input = "y".repeat(longhaul_types::limits::HISTORY_SEAL_BYTES);
    let schedule = Action::ScheduleTask {
        name: "Work".into(),
        version: None,
        input: Some(input.into()),
        tags: Default::default(),
        trace: None,
    };
    cluster.turn("x", vec![(1, schedule)]);
    assert_eq!(cluster.partitions[0].history.len(), 1, "a run was sealed");

    let creation = cluster.creation("New");
    let live = ReusePolicy::Replace(vec![Status::Running, Status::Terminated]);
    assert_eq!(cluster.create_as("x", creation, live), Reply::Done);
    assert!(
        cluster.partitions[0].history.is_empty(),
        "nothing is keyed by the old execution"
    );
    let instance = cluster.live("x");
    assert!(instance.activities.is_empty() && instance.timers.is_empty());
    assert_eq!(instance.history, Default::default());
}
