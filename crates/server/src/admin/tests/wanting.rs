//! What may be wanted, and what the refusals say.

use longhaul_cluster::catalog::{Command, MemberState};
use longhaul_replication::NodeId;

use super::super::wishes::{Called, Cluster, Refused};
use super::{MadeUp, of_nodes};
use MemberState::{Active, Draining, Gone, Leaving};

fn set(made_up: &mut MadeUp, node: u64, state: MemberState) {
    let node = NodeId(node);
    made_up.apply(Command::SetState { node, state });
    assert_eq!(
        made_up.catalog.members.get(node).expect("a member").state,
        state
    );
}

fn wish(
    made_up: &MadeUp,
    node: u64,
    wanted: MemberState,
    only_if_down: bool,
) -> Result<(), Refused> {
    let cluster = Cluster {
        catalog: &made_up.catalog,
        status: &made_up.status,
    };
    let node = cluster.find(&Called::Id(node))?;
    cluster.may_become(node, wanted, only_if_down)
}

fn check_refused(made_up: &MadeUp, node: u64, wanted: MemberState, says: &str) {
    match wish(made_up, node, wanted, false) {
        Err(Refused::NotNow(text)) => assert!(text.contains(says), "{text}"),
        other => panic!("{wanted}: {other:?}"),
    }
}

#[test]
fn nodes_are_found_by_id_and_name() {
    let made_up = of_nodes(3);
    let cluster = Cluster {
        catalog: &made_up.catalog,
        status: &made_up.status,
    };
    for called in [Called::Id(2), Called::Name("n2".to_owned())] {
        assert_eq!(cluster.find(&called).expect("found").0, NodeId(2));
    }
    for called in [Called::Id(4), Called::Name("n4".to_owned())] {
        assert!(matches!(cluster.find(&called), Err(Refused::Unknown(_))));
    }
}

#[test]
fn what_is_so_already_is_granted() {
    let mut made_up = of_nodes(1);
    assert_eq!(wish(&made_up, 1, Active, false), Ok(()));
    made_up.apply(Command::SetState {
        node: NodeId(1),
        state: Leaving,
    });
    assert_eq!(wish(&made_up, 1, Leaving, true), Ok(()));
}

#[test]
fn the_last_that_can_lead_is_not_drained() {
    let mut made_up = of_nodes(3);
    assert_eq!(wish(&made_up, 1, Draining, false), Ok(()));
    set(&mut made_up, 2, Draining);
    assert_eq!(wish(&made_up, 1, Draining, false), Ok(()));
    made_up.goes_down(3);
    check_refused(&made_up, 1, Draining, "no other node is active and up");
    assert_eq!(wish(&made_up, 2, Active, false), Ok(()));
}

#[test]
fn replicas_leave_only_for_nodes_that_can_hold_them() {
    let mut made_up = of_nodes(3);
    check_refused(
        &made_up,
        3,
        Leaving,
        "1 node must join, or come back, first",
    );
    made_up.goes_down(2);
    check_refused(
        &made_up,
        3,
        Leaving,
        "2 nodes must join, or come back, first",
    );

    let mut made_up = of_nodes(5);
    assert_eq!(wish(&made_up, 3, Leaving, false), Ok(()));
    made_up.goes_down(4);
    assert_eq!(wish(&made_up, 3, Leaving, false), Ok(()));
    made_up.goes_down(2);
    check_refused(&made_up, 3, Leaving, "1 node must join");
    // One that holds nothing leaves nobody worse off.
    assert_eq!(wish(&made_up, 5, Leaving, false), Ok(()));
}

#[test]
fn leaving_is_final() {
    let mut made_up = of_nodes(4);
    set(&mut made_up, 1, Leaving);
    check_refused(&made_up, 1, Active, "which is final");
    check_refused(&made_up, 1, Draining, "which is final");
}

#[test]
fn nobody_is_gone_with_replicas() {
    let mut made_up = of_nodes(4);
    check_refused(&made_up, 1, Gone, "still holds replicas of 2 partitions");
    check_refused(&made_up, 4, Gone, "n4 is active; decommission it");
    set(&mut made_up, 4, Leaving);
    assert_eq!(wish(&made_up, 4, Gone, false), Ok(()));
}

#[test]
fn who_is_up_is_not_replaced() {
    let mut made_up = of_nodes(4);
    let up = wish(&made_up, 1, Leaving, true).expect_err("refused");
    assert!(
        matches!(&up, Refused::NotNow(text) if text.contains("n1 is up")),
        "{up:?}"
    );
    made_up.status.contacts.remove(&NodeId(1));
    assert!(wish(&made_up, 1, Leaving, true).is_err(), "nobody knows");
    made_up.goes_down(1);
    assert_eq!(wish(&made_up, 1, Leaving, true), Ok(()));
}

#[test]
fn partitions_are_led_by_voters_that_may_and_can() {
    let mut made_up = of_nodes(4);
    set(&mut made_up, 2, Draining);
    made_up.goes_down(3);
    let cluster = Cluster {
        catalog: &made_up.catalog,
        status: &made_up.status,
    };
    let may_lead = |partition, node| {
        let node = cluster.find(&Called::Id(node)).expect("a member");
        cluster.may_lead(partition, node)
    };
    assert!(may_lead(1, 1).is_ok());
    for (partition, node, says) in [
        (1, 4, "no voting replica"),
        (1, 2, "is to lead nothing"),
        (1, 3, "n3 is down"),
        (2, 1, "only 0 to 1"),
    ] {
        let (Refused::Unknown(text) | Refused::NotNow(text)) =
            may_lead(partition, node).expect_err("refused");
        assert!(text.contains(says), "{text}");
    }
}
