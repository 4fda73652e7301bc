//! Commands and their answers.

use super::*;

fn catalog() -> Catalog {
    Catalog::new(Founding {
        cluster_id: [1; 16],
        partitions: PartitionCount::new(2).expect("a power of two"),
        replicas: 3,
        token_key: [2; 32],
    })
}

fn join(directory: u8, name: &str) -> Join {
    Join {
        directory: [directory; 16],
        name: name.into(),
        addresses: Addresses {
            peers: format!("{name}:8083").into(),
            clients: format!("{name}:8080").into(),
        },
        zone: None,
    }
}

fn hub(name: &str) -> HubName {
    HubName::parse(name).expect("a valid name")
}

#[test]
fn a_directory_is_a_node_and_a_name_belongs_to_one_at_a_time() {
    let mut catalog = catalog();
    let mut joined = |directory, name| catalog.apply(Command::Join(join(directory, name)));
    assert_eq!(joined(1, "a"), Reply::Joined(NodeId(1)));
    assert_eq!(joined(2, "b"), Reply::Joined(NodeId(2)));
    // The same directory is the same node, wherever it is now.
    assert_eq!(joined(1, "a"), Reply::Joined(NodeId(1)));
    assert_eq!(joined(1, "elsewhere"), Reply::Joined(NodeId(1)));
    // Another directory is another node, and needs a name of its own.
    let taken = Refusal::NameTaken {
        name: "b".into(),
        node: NodeId(2),
    };
    assert_eq!(joined(3, "b"), Reply::Refused(taken));
    assert_eq!(joined(3, "a"), Reply::Joined(NodeId(3)));
}

#[test]
fn an_id_is_never_given_again_and_who_is_gone_stays_gone() {
    let mut catalog = catalog();
    let mut apply = |command| catalog.apply(command);
    let node = NodeId(1);
    let set = |state| Command::SetState { node, state };
    apply(Command::Join(join(1, "a")));
    let refused = Refusal::State {
        node,
        from: MemberState::Active,
        to: MemberState::Gone,
    };
    assert_eq!(apply(set(MemberState::Gone)), Reply::Refused(refused));
    for state in [MemberState::Leaving, MemberState::Gone, MemberState::Gone] {
        assert_eq!(apply(set(state)), Reply::Done, "{state}");
    }
    let gone = Reply::Refused(Refusal::NoMember(node));
    assert_eq!(apply(Command::Join(join(1, "a"))), gone);
    assert_eq!(apply(Command::Join(join(2, "a"))), Reply::Joined(NodeId(2)));
    let nobody = Command::SetState {
        node: NodeId(9),
        state: MemberState::Draining,
    };
    let nobody = apply(nobody);
    assert_eq!(nobody, Reply::Refused(Refusal::NoMember(NodeId(9))));
}

#[test]
fn a_node_with_replicas_does_not_go() {
    let mut catalog = catalog();
    let node = NodeId(1);
    catalog.apply(Command::Join(join(1, "a")));
    let replicas = vec![vec![node]; 2];
    catalog.apply(Command::Want { replicas });
    let set = |state| Command::SetState { node, state };
    assert_eq!(catalog.apply(set(MemberState::Leaving)), Reply::Done);
    let held = Refusal::HoldsReplicas { node, left: 2 };
    assert_eq!(catalog.apply(set(MemberState::Gone)), Reply::Refused(held));
}

#[test]
fn a_move_takes_its_three_steps_in_order_and_each_may_be_repeated() {
    let mut catalog = catalog();
    let partition = PartitionId(0);
    let [a, b, c] = [1, 2, 3].map(NodeId);
    let want = |nodes: &[NodeId]| Command::Want {
        replicas: vec![nodes.to_vec(), vec![]],
    };
    catalog.apply(want(&[a, b]));
    assert_eq!(
        catalog.plans[0].voters,
        [a, b],
        "it begins with all of them"
    );
    catalog.apply(want(&[c, b]));
    assert_eq!(catalog.plans[0].voters, [a, b]);

    let change = catalog.plans[0].next_move().expect("one is missing");
    let (add, remove) = (Some(c), Some(a));
    assert_eq!(change, Move { add, remove });
    let switch = Command::Switch { partition, add };
    let settle = |voters: &[NodeId]| Command::Settle {
        partition,
        voters: voters.to_vec(),
    };
    let outdated = Reply::Refused(Refusal::Outdated(partition));
    let other = Move { add, remove: None };
    let step = |change| Command::Move { partition, change };
    assert_eq!(catalog.apply(switch.clone()), outdated);
    assert_eq!(catalog.apply(step(other)), outdated);
    for command in [step(change), switch] {
        assert_eq!(catalog.apply(settle(&[b, c])), outdated);
        for _ in 0..2 {
            assert_eq!(catalog.apply(command.clone()), Reply::Done);
        }
        assert!(catalog.plans[0].holds(a) && catalog.plans[0].holds(c));
    }
    assert_eq!(catalog.apply(settle(&[a, b])), outdated);
    for _ in 0..2 {
        assert_eq!(catalog.apply(settle(&[c, b])), Reply::Done);
    }
    assert_eq!(catalog.plans[0].voters, [b, c]);
    assert_eq!(catalog.plans[0].next_move(), None);
    assert_eq!(catalog.apply(step(change)), outdated);
    let nowhere = Command::Move {
        partition: PartitionId(2),
        change,
    };
    assert_eq!(
        catalog.apply(nowhere),
        Reply::Refused(Refusal::Outdated(PartitionId(2)))
    );
}

#[test]
fn ids_of_hubs_are_never_given_again() {
    let mut catalog = catalog();
    let mut apply = |command| catalog.apply(command);
    assert_eq!(
        apply(Command::CreateHub(hub("Orders"))),
        Reply::Hub(HubId(1))
    );
    assert_eq!(
        apply(Command::CreateHub(hub("orders"))),
        Reply::Hub(HubId(1))
    );
    assert_eq!(
        apply(Command::RecreateHub(hub("ORDERS"))),
        Reply::Hub(HubId(2))
    );
    assert_eq!(apply(Command::DeleteHub(hub("orders"))), Reply::Done);
    assert_eq!(apply(Command::DeleteHub(hub("orders"))), Reply::Done);
    assert_eq!(
        apply(Command::CreateHub(hub("orders"))),
        Reply::Hub(HubId(3))
    );
    assert_eq!(apply(Command::ForgetHub(HubId(1))), Reply::Done);
    let doomed: Vec<_> = catalog.hubs.doomed().collect();
    assert_eq!(doomed, [HubId(2)]);
    let names: Vec<_> = catalog.hubs.list().map(|hub| hub.name.as_str()).collect();
    assert_eq!(names, ["orders"]);
}

#[test]
fn hubs_are_limited_and_doomed_ones_count() {
    let mut hubs = Hubs::default();
    for number in 0..longhaul_types::limits::HUBS_MAX {
        hubs.create(hub(&format!("h{number}"))).expect("room");
    }
    let full = |result: Result<HubId, Refusal>| {
        assert!(
            matches!(result, Err(Refusal::HubsFull { .. })),
            "{result:?}"
        );
    };
    full(hubs.create(hub("more")));
    full(hubs.recreate(hub("h1")));
    hubs.delete(&hub("h1"));
    full(hubs.create(hub("more")));
    let doomed: Vec<_> = hubs.doomed().collect();
    hubs.forget(doomed[0]);
    hubs.create(hub("more")).expect("room again");
}
