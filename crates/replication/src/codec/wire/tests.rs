//! Messages come back as they went, and nothing that arrives causes a panic.

use proptest::{collection, option, prelude::*};

use super::*;
use crate::{
    codec::tests::{log_ids, memberships, payloads},
    types::StoredMembership,
};

fn votes() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, node, committed)| {
        if committed {
            Vote::new_committed(term, NodeId(node))
        } else {
            Vote::new(term, NodeId(node))
        }
    })
}

/// Appends of entries that follow each other.
fn appends() -> impl Strategy<Value = AppendEntriesRequest<TypeConfig>> {
    let entries = collection::vec((any::<u64>(), payloads()), 0..6);
    let previous = option::of((any::<u64>(), 0..u64::MAX / 2));
    (votes(), previous, entries, option::of(log_ids())).prop_map(
        |(vote, previous, entries, leader_commit)| {
            let first = previous.map_or(0, |(_, index)| index + 1);
            let entries = (first..).zip(entries).map(|(index, (term, payload))| {
                Entry::new(LogId::new_term_index(term, index), payload)
            });
            AppendEntriesRequest {
                vote,
                prev_log_id: previous.map(|(term, index)| LogId::new_term_index(term, index)),
                entries: entries.collect(),
                leader_commit,
            }
        },
    )
}

fn there_and_back(body: request::Body) -> Call {
    let arrived = decode_request(encode_request(GroupId(7), 8, body)).expect("valid");
    assert_eq!((arrived.group, arrived.number), (GroupId(7), 8));
    arrived.call.expect("valid")
}

fn answered(body: answer::Body) -> answer::Body {
    let (number, body) = decode_answer(encode_answer(9, body)).expect("valid");
    assert_eq!(number, 9);
    body
}

proptest! {
    #[test]
    fn appends_come_back(sent in appends()) {
        let body = append_message(
            &sent.vote,
            sent.prev_log_id.as_ref(),
            &sent.entries,
            sent.leader_commit.as_ref(),
        );
        let Call::Append(arrived) = there_and_back(body) else { panic!("not an append") };
        prop_assert_eq!(arrived.vote, sent.vote);
        prop_assert_eq!(arrived.prev_log_id, sent.prev_log_id);
        prop_assert_eq!(arrived.entries, sent.entries);
        prop_assert_eq!(arrived.leader_commit, sent.leader_commit);
    }

    #[test]
    fn answers_to_appends_come_back(higher in votes(), previous in option::of(log_ids())) {
        for sent in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(higher),
        ] {
            let answer::Body::Append(arrived) = answered(append_answer(previous.as_ref(), &sent)) else {
                panic!("not an answer to an append")
            };
            prop_assert_eq!(append_response(&arrived).expect("valid"), sent);
        }
    }

    #[test]
    fn requests_for_votes_and_their_answers_come_back(
        vote in votes(),
        last in option::of(log_ids()),
        flag in any::<bool>(),
    ) {
        let mut sent = VoteRequest::new(vote, last);
        sent.leadership_transfer = flag;
        let Call::Vote(arrived) = there_and_back(request::Body::Vote(vote_message_of(&sent))) else {
            panic!("not a vote")
        };
        prop_assert_eq!(&arrived, &sent);
        let Call::PreVote(arrived) = there_and_back(request::Body::PreVote(vote_message_of(&sent))) else {
            panic!("not a pre-vote")
        };
        prop_assert_eq!(&arrived, &sent);

        let sent = VoteResponse::new(vote, last, flag);
        let answer::Body::Vote(arrived) = answered(answer::Body::Vote(vote_answer(&sent))) else {
            panic!("not an answer to a vote")
        };
        prop_assert_eq!(vote_response(&arrived).expect("valid"), sent);
    }

    #[test]
    fn transfers_and_their_answers_come_back(
        vote in votes(),
        actual in votes(),
        node in any::<u64>(),
        last in option::of(log_ids()),
        flushed in option::of(log_ids()),
    ) {
        let sent = TransferLeaderRequest::new(vote, NodeId(node), last);
        let Call::TransferLeader(arrived) = there_and_back(transfer_message(&sent)) else {
            panic!("not a transfer")
        };
        prop_assert_eq!(&arrived, &sent);
        for response in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: vote, actual }),
            Err(TransferLeaderError::LogNotFlushed { expected: last, actual: flushed }),
        ] {
            let answer::Body::TransferLeader(arrived) = answered(transfer_answer(&response)) else {
                panic!("not an answer to a transfer")
            };
            prop_assert_eq!(transfer_response(&sent, &arrived).expect("valid"), response);
        }
    }

    #[test]
    fn parts_of_snapshots_come_back(
        vote in votes(),
        last in option::of(log_ids()),
        position in option::of(log_ids()),
        members in memberships(),
        bytes in collection::vec(any::<u8>(), 0..200),
    ) {
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: StoredMembership::new(position, members),
        };
        let begin = SnapshotPart::Begin { group: GroupId(3), vote, meta: meta.clone() };
        match decode_snapshot_part(encode_snapshot_part(begin)).expect("valid") {
            SnapshotPart::Begin { group, vote: arrived_vote, meta: arrived } => {
                prop_assert_eq!((group, arrived_vote), (GroupId(3), vote));
                prop_assert_eq!(arrived, meta);
            }
            other => panic!("{other:?} is no beginning"),
        }
        let chunk = Bytes::from(bytes);
        match decode_snapshot_part(encode_snapshot_part(SnapshotPart::Chunk(chunk.clone()))).expect("valid") {
            SnapshotPart::Chunk(arrived) => prop_assert_eq!(arrived, chunk),
            other => panic!("{other:?} is no chunk"),
        }
        let stands = decode_snapshot_answer(encode_snapshot_answer(Ok(&vote))).expect("valid");
        prop_assert_eq!(stands, Ok(vote));
        let refused = decode_snapshot_answer(encode_snapshot_answer(Err("no".to_owned()))).expect("valid");
        prop_assert_eq!(refused, Err("no".to_owned()));
    }

    #[test]
    fn any_bytes_are_understood_or_refused(bytes in collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_request(bytes.clone());
        let _ = decode_answer(bytes.clone());
        let _ = decode_snapshot_part(bytes.clone());
        let _ = decode_snapshot_answer(bytes);
    }

    #[test]
    fn damaged_messages_are_understood_or_refused(
        sent in appends(),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let body = append_message(&sent.vote, sent.prev_log_id.as_ref(), &sent.entries, None);
        let mut bytes = encode_request(GroupId(7), 8, body).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = decode_request(bytes.into());
    }
}

#[test]
fn entries_out_of_place_are_refused() {
    let entry = |index| {
        let payload = crate::types::EntryPayload::Blank;
        Entry::new(LogId::new_term_index(1, index), payload)
    };
    let read = |previous: Option<LogId>, indexes: &[u64]| {
        let entries: Vec<Entry> = indexes.iter().map(|index| entry(*index)).collect();
        let leader = Vote::new_committed(1, NodeId(1));
        let body = append_message(&leader, previous.as_ref(), &entries, None);
        let arrived = decode_request(encode_request(GroupId(1), 1, body)).expect("a request");
        arrived.call.map(|_| ())
    };
    let previous = Some(LogId::new_term_index(1, 4));
    read(previous, &[5, 6]).expect("in place");
    read(None, &[0, 1]).expect("the first");
    read(previous, &[6]).expect_err("a gap before");
    read(previous, &[5, 7]).expect_err("a gap between");
    read(None, &[1]).expect_err("not the first");
    let last = Some(LogId::new_term_index(1, u64::MAX));
    read(last, &[0]).expect_err("nothing follows the last");
}
