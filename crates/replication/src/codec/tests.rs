//! Encodings round trip, keep to their golden bytes, and refuse what is damaged.

use std::{collections::BTreeSet, fmt::Debug};

use proptest::{collection, prelude::*};

use super::*;

/// One line per message: a name and its bytes in hex. Lines are only ever added.
const GOLDEN: &str = include_str!("../../testdata/raft_v1.txt");

fn golden(name: &str) -> Bytes {
    let line = GOLDEN
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let hex = line.unwrap_or_else(|| panic!("no golden bytes of {name}"));
    let digits: Vec<u32> = hex
        .chars()
        .map(|digit| digit.to_digit(16).expect("a hex digit"))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits"))
        .collect()
}

fn check<T: PartialEq + Debug>(
    name: &str,
    value: T,
    encode: impl Fn(&T) -> Bytes,
    decode: impl Fn(Bytes) -> Result<T, DecodeFault>,
) {
    let hex: String = encode(&value)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(encode(&value), golden(name), "{name} is now {hex}");
    assert_eq!(
        decode(golden(name)).expect("golden bytes decode"),
        value,
        "{name}"
    );
}

fn nodes<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
    ids.map(NodeId).into()
}

fn commands(bytes: &'static [u8]) -> EntryPayload {
    EntryPayload::Normal(Content::Commands(Bytes::from_static(bytes)))
}

#[test]
fn released_bytes_decode_for_ever() {
    let simple = Membership::new_with_defaults(vec![nodes([1])], []);
    let joint =
        Membership::new_with_defaults(vec![nodes([1, 2, 3]), nodes([2, 3, 300])], nodes([7]));
    let last = LogId::new_term_index(u64::MAX, u64::MAX);

    check("vote", Vote::new(7, NodeId(300)), encode_vote, decode_vote);
    check(
        "vote_committed",
        Vote::new_committed(7, NodeId(300)),
        encode_vote,
        decode_vote,
    );
    check(
        "vote_initial",
        Vote::new(0, NodeId(0)),
        encode_vote,
        decode_vote,
    );
    check(
        "log_id",
        LogId::new_term_index(3, 1_000),
        encode_log_id,
        decode_log_id,
    );
    check(
        "log_id_first",
        LogId::new_term_index(0, 0),
        encode_log_id,
        decode_log_id,
    );
    check("log_id_last", last, encode_log_id, decode_log_id);
    check(
        "entry_blank",
        EntryPayload::Blank,
        encode_payload,
        decode_payload,
    );
    check(
        "entry_commands",
        commands(b"\x00commands\xff"),
        encode_payload,
        decode_payload,
    );
    check(
        "entry_no_commands",
        commands(b""),
        encode_payload,
        decode_payload,
    );
    check(
        "entry_membership",
        EntryPayload::Membership(simple.clone()),
        encode_payload,
        decode_payload,
    );
    check(
        "entry_joint",
        EntryPayload::Membership(joint.clone()),
        encode_payload,
        decode_payload,
    );
    let stored = StoredMembership::new(Some(LogId::new_term_index(2, 9)), joint);
    check("membership", stored, encode_membership, decode_membership);
    check(
        "membership_unplaced",
        StoredMembership::new(None, simple),
        encode_membership,
        decode_membership,
    );
}

#[test]
fn released_bytes_about_diverged_replicas_decode_for_ever() {
    let through = Check {
        through: 1_999,
        scheme: 1,
        digest: 0x0102_0304_0506_0708,
    };
    let carried = EntryPayload::Normal(Content::Check(through));
    check("entry_check", carried, encode_payload, decode_payload);
    let note = Note {
        had: Some(LogId::new_term_index(3, 1_000)),
        diverged: Some(Divergence {
            through: 1_999,
            ours: 1,
            theirs: 2,
        }),
    };
    check("note", note, encode_note, decode_note);
}

#[test]
fn commands_are_shared_not_copied_when_decoded() {
    let encoded = encode_payload(&commands(b"a batch of commands"));
    let decoded = decode_payload(encoded.clone()).expect("valid");
    let EntryPayload::Normal(Content::Commands(decoded)) = decoded else {
        panic!("not commands");
    };
    let offset = encoded.len() - decoded.len();
    assert_eq!(decoded.as_ptr(), encoded[offset..].as_ptr());
}

#[test]
fn contradictions_are_refused() {
    let membership = |voter_sets: Vec<Vec<u64>>, node_ids: Vec<u64>| {
        let voter_sets = voter_sets
            .into_iter()
            .map(|node_ids| proto::VoterSet { node_ids })
            .collect();
        let membership = Some(proto::Membership {
            voter_sets,
            node_ids,
        });
        let stored = proto::StoredMembership {
            position: None,
            membership,
        };
        decode_membership(stored.encode_to_vec().into())
    };
    membership(vec![vec![1]], vec![1, 2]).expect("a voter and a learner");
    membership(vec![vec![1, 2]], vec![1]).expect_err("a voter that is no node");
    membership(vec![vec![]], vec![1]).expect_err("a set without voters");
    decode_membership(Bytes::new()).expect_err("no membership");
}

fn node_sets() -> impl Strategy<Value = BTreeSet<NodeId>> {
    collection::btree_set(any::<u64>().prop_map(NodeId), 1..6)
}

pub(super) fn memberships() -> impl Strategy<Value = Membership> {
    let learners = collection::btree_set(any::<u64>().prop_map(NodeId), 0..3);
    (collection::vec(node_sets(), 1..3), learners)
        .prop_map(|(voters, learners)| Membership::new_with_defaults(voters, learners))
}

pub(super) fn payloads() -> impl Strategy<Value = EntryPayload> {
    prop_oneof![
        Just(EntryPayload::Blank),
        collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| EntryPayload::Normal(Content::Commands(bytes.into()))),
        memberships().prop_map(EntryPayload::Membership),
    ]
}

pub(super) fn log_ids() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, index)| LogId::new_term_index(term, index))
}

proptest! {
    #[test]
    fn payloads_come_back(payload in payloads()) {
        prop_assert_eq!(decode_payload(encode_payload(&payload)).expect("valid"), payload);
    }

    #[test]
    fn memberships_come_back(membership in memberships(), position in proptest::option::of(log_ids())) {
        let stored = StoredMembership::new(position, membership);
        prop_assert_eq!(decode_membership(encode_membership(&stored)).expect("valid"), stored);
    }

    #[test]
    fn votes_and_log_ids_come_back(id in log_ids(), node in any::<u64>(), committed in any::<bool>()) {
        let vote = if committed { Vote::new_committed(id.index(), NodeId(node)) } else { Vote::new(1, NodeId(node)) };
        prop_assert_eq!(decode_vote(encode_vote(&vote)).expect("valid"), vote);
        prop_assert_eq!(decode_log_id(encode_log_id(&id)).expect("valid"), id);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in collection::vec(any::<u8>(), 0..100)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_vote(bytes.clone());
        let _ = decode_log_id(bytes.clone());
        let _ = decode_payload(bytes.clone());
        let _ = decode_membership(bytes);
    }
}
