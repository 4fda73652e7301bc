//! Encodings round trip, keep to their golden bytes, and refuse what is damaged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use longhaul_replication::{Applied, Position};
use longhaul_types::HubId;
use proptest::{collection, option, prelude::*};

use super::*;
use crate::catalog::{
    Addresses, Catalog, Command, Founding, Hub, Hubs, Join, Member, MemberState, Members, Move,
    Phase, Plan, Refusal, Reply,
};
use crate::meta::{RequestId, State};

/// One line per message: a name and its bytes in hex. Lines are only ever added.
const GOLDEN: &str = include_str!("../../testdata/catalog_v1.txt");

fn golden(name: &str) -> Vec<u8> {
    let mut lines = GOLDEN.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let hex = line.unwrap_or_default();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const REQUEST: RequestId = RequestId {
    node: NodeId(3),
    process: 0x0102_0304_0506_0708,
    number: 300,
};

fn founding() -> Founding {
    Founding {
        cluster_id: [1; 16],
        partitions: PartitionCount::new(2).expect("a power of two"),
        replicas: 3,
        token_key: [2; 32],
    }
}

fn join() -> Join {
    Join {
        directory: [7; 16],
        name: "node-a".into(),
        addresses: Addresses {
            peers: "node-a:8083".into(),
            clients: "node-a:8080".into(),
        },
        zone: Some("east".into()),
    }
}

/// One of each, with a name for its golden bytes.
fn commands() -> Vec<(&'static str, Command)> {
    let hub = || HubName::parse("Orders").expect("a name");
    let partition = PartitionId(1);
    let [a, b] = [1, 300].map(NodeId);
    let both = Move {
        add: Some(a),
        remove: Some(b),
    };
    let neither = Move {
        add: None,
        remove: None,
    };
    let step = |change| Command::Move { partition, change };
    let set = |state| Command::SetState { node: b, state };
    vec![
        (
            "found",
            Command::Found {
                founding: founding(),
                nodes: vec![join()],
            },
        ),
        ("join", Command::Join(join())),
        (
            "join-plain",
            Command::Join(Join {
                zone: None,
                ..join()
            }),
        ),
        (
            "replace",
            Command::Replace {
                join: join(),
                node: b,
            },
        ),
        ("set-active", set(MemberState::Active)),
        ("set-draining", set(MemberState::Draining)),
        ("set-leaving", set(MemberState::Leaving)),
        ("set-gone", set(MemberState::Gone)),
        (
            "want",
            Command::Want {
                replicas: vec![vec![a, b], vec![]],
            },
        ),
        ("move", step(both)),
        ("move-nothing", step(neither)),
        (
            "switch",
            Command::Switch {
                partition,
                add: Some(a),
            },
        ),
        (
            "switch-nothing",
            Command::Switch {
                partition,
                add: None,
            },
        ),
        (
            "settle",
            Command::Settle {
                partition,
                voters: vec![a, b],
            },
        ),
        ("create-hub", Command::CreateHub(hub())),
        ("recreate-hub", Command::RecreateHub(hub())),
        ("delete-hub", Command::DeleteHub(hub())),
        ("forget-hub", Command::ForgetHub(HubId(300))),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let node = NodeId(300);
    let refused = [
        ("founded", Refusal::Founded(7)),
        ("unfounded", Refusal::Unfounded),
        ("no-member", Refusal::NoMember(node)),
        (
            "name-taken",
            Refusal::NameTaken {
                name: "a".into(),
                node,
            },
        ),
        (
            "state",
            Refusal::State {
                node,
                from: MemberState::Gone,
                to: MemberState::Active,
            },
        ),
        ("holds-replicas", Refusal::HoldsReplicas { node, left: 4 }),
        ("outdated", Refusal::Outdated(PartitionId(5))),
        ("hubs-full", Refusal::HubsFull { name: "b".into() }),
    ];
    let refused = refused.map(|(name, refusal)| (name, Reply::Refused(refusal)));
    let mut replies = vec![
        ("done", Reply::Done),
        ("joined", Reply::Joined(node)),
        ("hub", Reply::Hub(HubId(9))),
    ];
    replies.extend(refused);
    replies
}

fn state() -> State {
    let member = |state, replaced_by| Member {
        described: join(),
        state,
        replaced_by,
    };
    let name = HubName::parse("Orders").expect("a name");
    let hub = Hub {
        id: HubId(2),
        name: name.clone(),
    };
    let moving = |phase| {
        let change = Move {
            add: Some(NodeId(4)),
            remove: None,
        };
        Some((change, phase))
    };
    let plan = |moving| Plan {
        voters: vec![NodeId(2), NodeId(1)],
        founders: vec![NodeId(1), NodeId(3)],
        wanted: vec![NodeId(4)],
        moving,
    };
    let catalog = Catalog {
        founding: founding(),
        members: Members {
            all: BTreeMap::from([
                (NodeId(1), member(MemberState::Leaving, Some(NodeId(2)))),
                (NodeId(2), member(MemberState::Active, None)),
            ]),
        },
        hubs: Hubs {
            last_id: 7,
            by_folded_name: BTreeMap::from([(name.folded(), hub)]),
            doomed: [1, 5].map(HubId).into(),
        },
        plans: vec![
            plan(moving(Phase::CatchingUp)),
            plan(moving(Phase::Switching)),
        ],
    };
    State {
        applied: Applied {
            position: Some(Position { term: 3, index: 9 }),
            membership: Some(Bytes::from_static(b"members")),
        },
        catalog: Some(Arc::new(catalog)),
        answered: VecDeque::from([(REQUEST, Reply::Done)]),
    }
}

#[test]
fn released_bytes_decode_for_ever() {
    let mut wrong = Vec::new();
    let mut check = |name: String, bytes: &[u8]| {
        if bytes != golden(&name) {
            wrong.push(format!("{name}: {}", hex(bytes)));
        }
    };
    for (name, command) in commands() {
        let bytes = encode_entry(REQUEST, &command);
        check(format!("command-{name}"), &bytes);
        assert_eq!(decode_entry(&bytes), Ok((REQUEST, command)));
    }
    for (name, given) in replies() {
        let message = reply_message(&given);
        check(format!("reply-{name}"), &message.encode_to_vec());
        assert_eq!(reply(message), Ok(given));
    }
    let encoded = encode_state(&state());
    check("state".to_owned(), &encoded);
    check("file".to_owned(), &encode_file(&encoded));
    assert_eq!(decode_state(&encoded), Ok(state()));
    assert!(
        wrong.is_empty(),
        "these are others now:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_damaged_file_is_noticed() {
    let file = encode_file(&encode_state(&state()));
    assert_eq!(decode_file(&file), Ok(encode_state(&state())));
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(decode_file(&damaged).is_err(), "byte {at}");
        assert!(decode_file(&file[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let entry = |command| entry_message(REQUEST, &command);
    let mut unknown = entry(Command::Join(join()));
    unknown.command = Some(proto::Command { kind: None });
    let mut short = entry(Command::Join(join()));
    if let Some(proto::command::Kind::Join(join)) =
        short.command.as_mut().and_then(|it| it.kind.as_mut())
    {
        join.directory = Bytes::from_static(&[1; 15]);
    }
    let mut bad_name = entry(Command::Join(join()));
    bad_name.command = Some(proto::Command {
        kind: Some(proto::command::Kind::CreateHub(String::new())),
    });
    for message in [unknown, short, bad_name] {
        assert!(super::entry(message.clone()).is_err(), "{message:?}");
    }
    assert!(decode_entry(b"not a message").is_err());
    let mut plans = state();
    let catalog = Arc::make_mut(plans.catalog.as_mut().expect("there is one"));
    catalog.plans.pop();
    assert!(decode_state(&encode_state(&plans)).is_err());
}

fn any_node() -> impl Strategy<Value = NodeId> {
    prop_oneof![0_u64..5, any::<u64>()].prop_map(NodeId)
}

fn any_nodes() -> impl Strategy<Value = Vec<NodeId>> {
    collection::vec(any_node(), 0..5)
}

fn any_member_state() -> impl Strategy<Value = MemberState> {
    prop_oneof![
        Just(MemberState::Active),
        Just(MemberState::Draining),
        Just(MemberState::Leaving),
        Just(MemberState::Gone),
    ]
}

fn any_join() -> impl Strategy<Value = Join> {
    let text = || "[a-zä]{0,4}".prop_map(Into::<Box<str>>::into);
    let parts = (
        any::<[u8; 16]>(),
        text(),
        text(),
        text(),
        option::of(text()),
    );
    parts.prop_map(|(directory, name, peers, clients, zone)| Join {
        directory,
        name,
        addresses: Addresses { peers, clients },
        zone,
    })
}

fn any_founding() -> impl Strategy<Value = Founding> {
    let parts = (any::<[u8; 16]>(), 0_u32..4, any::<u8>(), any::<[u8; 32]>());
    parts.prop_map(|(cluster_id, power, replicas, token_key)| Founding {
        cluster_id,
        partitions: PartitionCount::new(1 << power).expect("a power of two"),
        replicas,
        token_key,
    })
}

fn any_hub() -> impl Strategy<Value = HubName> {
    "[A-Za-z]{3,6}".prop_map(|name| HubName::parse(&name).expect("a name"))
}

fn any_move() -> impl Strategy<Value = Move> {
    let parts = (option::of(any_node()), option::of(any_node()));
    parts.prop_map(|(add, remove)| Move { add, remove })
}

fn any_partition() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

fn any_command() -> impl Strategy<Value = Command> {
    let founding = (any_founding(), collection::vec(any_join(), 0..3));
    prop_oneof![
        founding.prop_map(|(founding, nodes)| Command::Found { founding, nodes }),
        any_join().prop_map(Command::Join),
        (any_join(), any_node()).prop_map(|(join, node)| Command::Replace { join, node }),
        (any_node(), any_member_state())
            .prop_map(|(node, state)| Command::SetState { node, state }),
        collection::vec(any_nodes(), 0..4).prop_map(|replicas| Command::Want { replicas }),
        (any_partition(), any_move())
            .prop_map(|(partition, change)| Command::Move { partition, change }),
        (any_partition(), option::of(any_node()))
            .prop_map(|(partition, add)| Command::Switch { partition, add }),
        (any_partition(), any_nodes())
            .prop_map(|(partition, voters)| Command::Settle { partition, voters }),
        any_hub().prop_map(Command::CreateHub),
        any_hub().prop_map(Command::RecreateHub),
        any_hub().prop_map(Command::DeleteHub),
        any::<u32>().prop_map(|hub| Command::ForgetHub(HubId(hub))),
    ]
}

fn any_request() -> impl Strategy<Value = RequestId> {
    let parts = (any_node(), any::<u64>(), any::<u64>());
    parts.prop_map(|(node, process, number)| RequestId {
        node,
        process,
        number,
    })
}

proptest! {
    #[test]
    fn commands_round_trip(request in any_request(), command in any_command()) {
        let bytes = encode_entry(request, &command);
        prop_assert_eq!(decode_entry(&bytes), Ok((request, command)));
    }

    #[test]
    fn whatever_was_applied_round_trips(
        founding in any_founding(),
        commands in collection::vec((any_request(), any_command()), 0..40),
        term in any::<u64>(),
        index in any::<u64>(),
        membership in option::of(collection::vec(any::<u8>(), 0..9)),
    ) {
        let mut state = State::default();
        let found = Command::Found { founding, nodes: Vec::new() };
        for (request, command) in [(REQUEST, found)].into_iter().chain(commands) {
            let given = state.apply(request, command);
            prop_assert_eq!(reply(reply_message(&given)), Ok(given));
        }
        state.applied = Applied {
            position: Some(Position { term, index }),
            membership: membership.map(Into::into),
        };
        let decoded = decode_state(&encode_state(&state));
        prop_assert_eq!(decoded, Ok(state));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in collection::vec(any::<u8>(), 0..64)) {
        drop(decode_entry(&bytes));
        drop(decode_state(&bytes));
        prop_assert!(decode_file(&bytes).is_err());
    }
}
