//! What is found, and what is not.

use std::collections::BTreeMap;

use longhaul_cluster::catalog::{Command, MemberState, Move};
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use longhaul_types::PartitionId;
use wire::Severity::{Critical, Note, Warning};

use super::super::health::{Report, findings};
use super::super::view::Seen;
use super::{MadeUp, of_nodes};

fn view(made_up: &MadeUp, confirmed: bool) -> wire::Cluster {
    Seen {
        catalog: &made_up.catalog,
        status: &made_up.status,
        leaders: &BTreeMap::new(),
        answered_by: NodeId(1),
        confirmed,
    }
    .cluster()
}

fn report(free_percent: u64, ahead_ms: i64) -> Report {
    Report {
        told: wire::NodeReport {
            version: "1.0.0".to_owned(),
            disk_bytes: 100 << 30,
            disk_free_bytes: free_percent << 30,
            clock_ms: 0,
        },
        ahead_ms,
    }
}

fn check(
    cluster: &wire::Cluster,
    reports: &[(u64, Report)],
    expected: &[(wire::Severity, &str, &str)],
) {
    let reports = reports.iter().cloned().collect();
    let found = findings(cluster, &reports);
    let shown: Vec<String> = found
        .iter()
        .map(|it| format!("{} {}", it.kind, it.what))
        .collect();
    assert_eq!(found.len(), expected.len(), "{shown:#?}");
    for (found, (severity, kind, says)) in found.iter().zip(expected) {
        assert_eq!(
            (found.severity(), &*found.kind),
            (*severity, *kind),
            "{shown:#?}"
        );
        assert!(found.what.contains(says), "{says}: {}", found.what);
        assert!(!found.advice.is_empty());
    }
}

#[test]
fn a_whole_cluster_needs_nothing() {
    let reports = [
        (1, report(50, 0)),
        (2, report(15, 900)),
        (3, report(99, -900)),
    ];
    check(&view(&of_nodes(3), true), &reports, &[]);
    check(&view(&of_nodes(1), true), &[], &[]);
}

#[test]
fn nodes_that_are_down_put_replicas_at_risk() {
    let mut made_up = of_nodes(3);
    made_up.goes_down(3);
    let expected = [
        (Warning, "replica-down", "partitions 0, 1 are served"),
        (Warning, "node-down", "n3 has been down for 1m 30s"),
    ];
    check(&view(&made_up, true), &[], &expected);
}

#[test]
fn without_a_leader_nothing_is_served() {
    let mut made_up = of_nodes(3);
    made_up.status.groups.remove(&PartitionId(1));
    let expected = [(
        Critical,
        "partition-without-leader",
        "partition 1 is without",
    )];
    check(&view(&made_up, true), &[], &expected);

    // Of one that is down nobody believes that it leads.
    let mut made_up = of_nodes(3);
    made_up.goes_down(1);
    let expected = [
        (Critical, "no-majority", "may be old"),
        (
            Critical,
            "partition-without-leader",
            "partitions 0, 1 are without",
        ),
        (Warning, "node-down", "n1"),
    ];
    check(&view(&made_up, false), &[], &expected);
}

#[test]
fn moves_to_nodes_that_are_down_are_stuck() {
    let mut made_up = of_nodes(4);
    let change = Move {
        add: Some(NodeId(4)),
        remove: Some(NodeId(3)),
    };
    made_up.moves([1, 2, 4], change);
    check(&view(&made_up, true), &[], &[]);
    made_up.goes_down(4);
    let expected = [
        (Warning, "node-down", "n4"),
        (
            Warning,
            "move-stuck",
            "a new replica of partition 1 waits for n4, which is down",
        ),
    ];
    check(&view(&made_up, true), &[], &expected);
}

#[test]
fn fewer_replicas_than_wanted_are_found() {
    let mut made_up = of_nodes(1);
    made_up.apply(Command::Want {
        replicas: vec![vec![NodeId(1), NodeId(2)], vec![NodeId(1)]],
    });
    let expected = [(Warning, "under-replicated", "partition 0 is served")];
    check(&view(&made_up, true), &[], &expected);
}

#[test]
fn disks_clocks_and_releases_are_compared() {
    let cluster = view(&of_nodes(3), true);
    let mut newer = report(50, 0);
    newer.told.version = "2.0.0".to_owned();
    let reports = [(1, newer), (2, report(4, -1_500)), (3, report(14, 61_000))];
    let expected = [
        (
            Critical,
            "disk-nearly-full",
            "the disk of n2 has 4 % (4096 MiB) left",
        ),
        (Warning, "disk-nearly-full", "the disk of n3 has 14 %"),
        (Warning, "clocks-apart", "n2 is 1s 500ms behind that of n1"),
        (Warning, "clocks-apart", "n3 is 1m 1s ahead of that of n1"),
        (Note, "several-releases", "1.0.0, 2.0.0"),
    ];
    check(&cluster, &reports, &expected);
    let mut unknown = report(0, 0);
    unknown.told.disk_bytes = 0;
    check(&cluster, &[(2, unknown)], &[]);
}

#[test]
fn what_was_done_on_purpose_is_a_note() {
    let mut made_up = of_nodes(2);
    made_up.apply(Command::SetState {
        node: NodeId(2),
        state: MemberState::Draining,
    });
    let expected = [
        (Note, "few-nodes", "2 nodes cannot hold 3 replicas"),
        (Note, "node-drained", "n2 is drained"),
    ];
    check(&view(&made_up, true), &[], &expected);
}
