//! One conversation with a node that a test plays itself, on a paused clock; groups of whole nodes
//! are in [`tcp`], and what a round trip costs in [`measure`].

mod measure;
mod tcp;

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use longhaul_peer::MemoryLinks;
use openraft::{
    entry::RaftEntry,
    raft::{AppendEntriesRequest, AppendEntriesResponse},
};

use super::*;
use crate::{
    Group, GroupSetup,
    codec::wire::{Arrived, Call, SnapshotPart},
    network::Network,
    testing::{Ledger, LogDisk, StagedCounts, State},
    types::{Content, Entry, EntryPayload, LogId},
};

const HERE: NodeId = NodeId(1);
const THERE: NodeId = NodeId(2);
const GROUP: GroupId = GroupId(5);
const PATIENCE: Duration = Duration::from_secs(1);

/// This node's network, and the other node's end of what it opens.
struct Pair {
    hub: MemoryLinks,
    network: Network,
    requests: Incoming,
    snapshots: Incoming,
}

impl Pair {
    fn new(config: RemoteConfig) -> Self {
        let hub = MemoryLinks::new();
        let there = hub.of(THERE);
        Self {
            network: Network::remote(HERE, hub.of(HERE), config),
            requests: there.accept(Class::Raft),
            snapshots: there.accept(Class::Bulk),
            hub,
        }
    }

    fn peer(&self, group: GroupId) -> Box<dyn Peer> {
        self.network.0.connect(group, HERE, THERE)
    }

    async fn link(&mut self) -> Link {
        self.requests.recv().await.expect("the network is there")
    }
}

fn leader() -> Vote {
    Vote::new_committed(3, HERE)
}

fn vote_request() -> VoteRequest<TypeConfig> {
    VoteRequest::new(Vote::new(3, HERE), Some(LogId::new_term_index(2, 9)))
}

/// A request with one entry at `index`.
fn append_request(index: u64) -> AppendEntriesRequest<TypeConfig> {
    let commands = Content::Commands(format!("commands {index}").into());
    let entry = Entry::new(
        LogId::new_term_index(3, index),
        EntryPayload::Normal(commands),
    );
    AppendEntriesRequest {
        vote: leader(),
        prev_log_id: Some(LogId::new_term_index(3, index - 1)),
        entries: vec![entry],
        leader_commit: None,
    }
}

fn heartbeat() -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        entries: Vec::new(),
        ..append_request(1)
    }
}

async fn next_request(link: &mut Link) -> Arrived {
    let frame = link.receiver.next().await.expect("the link is up");
    wire::decode_request(frame.expect("a request")).expect("valid")
}

async fn answer_append(link: &Link, number: u64, response: AppendEntriesResponse<TypeConfig>) {
    let previous = LogId::new_term_index(3, 0);
    let body = wire::append_answer(Some(&previous), &response);
    let frame = wire::encode_answer(number, body);
    link.sender.send(frame).await.expect("the link is up");
}

/// A request that is being answered, after the other node has had it.
async fn asked(pair: &mut Pair) -> (tokio::task::JoinHandle<String>, Link) {
    let mut peer = pair.peer(GROUP);
    let call = tokio::spawn(async move {
        let answered = peer.vote(vote_request(), PATIENCE).await;
        answered.expect_err("no answer").to_string()
    });
    let mut link = pair.link().await;
    let arrived = next_request(&mut link).await;
    assert!(matches!(arrived.call, Ok(Call::Vote(_))));
    (call, link)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_fails_at_its_deadline() {
    let mut pair = Pair::new(RemoteConfig::default());
    let begun = Instant::now();
    let (call, _link) = asked(&mut pair).await;
    let failure = call.await.expect("no panic");
    assert!(failure.contains("has not answered in time"), "{failure}");
    assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_fails_its_requests_at_once() {
    let mut pair = Pair::new(RemoteConfig::default());
    let begun = Instant::now();
    let (call, _link) = asked(&mut pair).await;
    pair.hub.cut_off(THERE);
    let failure = call.await.expect("no panic");
    assert!(failure.contains("broken"), "{failure}");
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let (call, link) = {
        pair.hub.reconnect(THERE);
        asked(&mut pair).await
    };
    drop(link);
    let failure = call.await.expect("no panic");
    assert!(failure.contains("ended the link"), "{failure}");
    assert_eq!(
        begun.elapsed(),
        Duration::ZERO,
        "and the link came back at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_reached_is_not_waited_for_longer_than_a_request_may_take() {
    let pair = Pair::new(RemoteConfig::default());
    pair.hub.cut_off(THERE);
    let begun = Instant::now();
    let failed = pair.peer(GROUP).vote(vote_request(), PATIENCE).await;
    failed.expect_err("cut off");
    assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_nobodys() {
    let mut pair = Pair::new(RemoteConfig::default());
    let (call, mut link) = asked(&mut pair).await;
    call.await.expect("no panic");
    answer_append(&link, 0, AppendEntriesResponse::Success).await;
    // The link is as good as before.
    let mut peer = pair.peer(GROUP);
    let call = tokio::spawn(async move { peer.vote(vote_request(), PATIENCE).await });
    let arrived = next_request(&mut link).await;
    let granted = VoteResponse::new(Vote::new(3, HERE), None, true);
    let body = answer::Body::Vote(wire::vote_answer(&granted));
    let frame = wire::encode_answer(arrived.number, body);
    link.sender.send(frame).await.expect("up");
    assert_eq!(call.await.expect("no panic").expect("answered"), granted);
}

#[tokio::test(start_paused = true)]
async fn many_appends_are_on_the_way_and_answers_keep_their_order() {
    let mut pair = Pair::new(RemoteConfig::default());
    let mut peer = pair.peer(GROUP);
    let requests = stream::iter((1..=20).map(append_request)).boxed();
    let answers = tokio::spawn(async move {
        let answers = peer.append(requests, PATIENCE).await.expect("a link");
        answers
            .map(|answer| answer.expect("answered"))
            .collect::<Vec<_>>()
            .await
    });
    let mut link = pair.link().await;
    let mut numbers = Vec::new();
    for index in 1..=20 {
        let arrived = next_request(&mut link).await;
        let Ok(Call::Append(request)) = arrived.call else {
            panic!("not an append")
        };
        assert_eq!(request.entries[0].log_id().index(), index);
        numbers.push(arrived.number);
    }
    // None was waited for. Answered backwards, they come out in the order of the requests.
    for number in numbers.into_iter().rev() {
        answer_append(&link, number, AppendEntriesResponse::Success).await;
    }
    let answers = answers.await.expect("no panic");
    let acknowledged = answers.into_iter().map(|answer| answer.expect("appended"));
    let expected = (1..=20).map(|index| Some(LogId::new_term_index(3, index)));
    assert!(acknowledged.eq(expected));
}

#[tokio::test(start_paused = true)]
async fn appends_without_an_answer_fail_when_what_they_carry_should_be_done() {
    let mut pair = Pair::new(RemoteConfig::default());
    let timeout = RemoteConfig::default().append_timeout;
    let mut links = Vec::new();
    for (request, patience) in [(heartbeat(), PATIENCE), (append_request(1), timeout)] {
        let mut peer = pair.peer(GROUP);
        let begun = Instant::now();
        let failed = tokio::spawn(async move {
            let requests = stream::iter([request]).boxed();
            let mut answers = peer.append(requests, PATIENCE).await.expect("a link");
            let first = answers.next().await.expect("a failure");
            assert!(answers.next().await.is_none());
            first.expect_err("no answer").to_string()
        });
        if links.is_empty() {
            links.push(pair.link().await);
        }
        let failure = failed.await.expect("no panic");
        assert!(failure.contains("no answer in time"), "{failure}");
        assert_eq!(begun.elapsed().as_millis(), patience.as_millis());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_parts_has_one_answer() {
    let mut pair = Pair::new(RemoteConfig {
        message_bytes: 1,
        ..RemoteConfig::default()
    });
    let mut peer = pair.peer(GROUP);
    let entries = (1..=3).flat_map(|index| append_request(index).entries);
    let long = AppendEntriesRequest {
        entries: entries.collect(),
        ..append_request(1)
    };
    let requests = stream::iter([long, append_request(4)]).boxed();
    let answers = tokio::spawn(async move {
        let answers = peer.append(requests, PATIENCE).await.expect("a link");
        answers
            .map(|answer| answer.expect("answered").expect("appended"))
            .collect::<Vec<_>>()
            .await
    });
    let mut link = pair.link().await;
    for index in 1..=4 {
        let arrived = next_request(&mut link).await;
        let Ok(Call::Append(request)) = arrived.call else {
            panic!("not an append")
        };
        let previous = request.prev_log_id.expect("not the first");
        assert_eq!((previous.index(), request.entries.len()), (index - 1, 1));
        answer_append(&link, arrived.number, AppendEntriesResponse::Success).await;
    }
    let last = [3, 4].map(|index| Some(LogId::new_term_index(3, index)));
    assert_eq!(answers.await.expect("no panic"), last);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_ends_the_answers() {
    let mut pair = Pair::new(RemoteConfig::default());
    let mut peer = pair.peer(GROUP);
    let requests = stream::iter((1..=3).map(append_request)).boxed();
    let answers = tokio::spawn(async move {
        let answers = peer.append(requests, PATIENCE).await.expect("a link");
        answers
            .map(|answer| answer.expect("answered"))
            .collect::<Vec<_>>()
            .await
    });
    let mut link = pair.link().await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(next_request(&mut link).await.number);
    }
    answer_append(&link, numbers[0], AppendEntriesResponse::Success).await;
    answer_append(&link, numbers[1], AppendEntriesResponse::Conflict).await;
    answer_append(&link, numbers[2], AppendEntriesResponse::Success).await;
    let answers = answers.await.expect("no panic");
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], Ok(Some(LogId::new_term_index(3, 1))));
    let conflict = openraft::raft::StreamAppendError::Conflict(LogId::new_term_index(3, 1));
    assert_eq!(answers[1], Err(conflict));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_answered_waits_alone() {
    const WINDOW: usize = 8;
    let mut pair = Pair::new(RemoteConfig {
        window_requests: WINDOW,
        ..RemoteConfig::default()
    });
    let mut peer = pair.peer(GROUP);
    let endless = stream::iter((1..).map(append_request)).boxed();
    let stuck = tokio::spawn(async move {
        let mut answers = peer.append(endless, PATIENCE).await.expect("a link");
        answers
            .next()
            .await
            .expect("a failure")
            .expect_err("no answer")
            .to_string()
    });
    let begun = Instant::now();
    let mut link = pair.link().await;
    for _ in 0..WINDOW {
        assert_eq!(next_request(&mut link).await.group, GROUP);
    }
    // The window is full, but not for heartbeats, nor for another group.
    let mut same = pair.peer(GROUP);
    let once = stream::iter([heartbeat()]).boxed();
    let beat = tokio::spawn(async move {
        let mut answers = same.append(once, PATIENCE).await.expect("a link");
        answers.next().await.expect("an answer").expect("answered")
    });
    let arrived = next_request(&mut link).await;
    assert!(matches!(&arrived.call, Ok(Call::Append(request)) if request.entries.is_empty()));
    answer_append(&link, arrived.number, AppendEntriesResponse::Success).await;
    beat.await.expect("no panic").expect("appended");

    let mut other = pair.peer(GroupId(6));
    let once = stream::iter([append_request(1)]).boxed();
    let appended = tokio::spawn(async move {
        let mut answers = other.append(once, PATIENCE).await.expect("a link");
        answers.next().await.expect("an answer").expect("answered")
    });
    let arrived = next_request(&mut link).await;
    assert_eq!(arrived.group, GroupId(6));
    answer_append(&link, arrived.number, AppendEntriesResponse::Success).await;
    appended.await.expect("no panic").expect("appended");

    let failure = stuck.await.expect("no panic");
    assert!(failure.contains("in time"), "{failure}");
    let timeout = RemoteConfig::default().append_timeout;
    assert!(begun.elapsed() >= timeout && begun.elapsed() < 2 * timeout);
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_given_up_are_not_sent() {
    let mut pair = Pair::new(RemoteConfig::default());
    // Nobody receives, so that what the link does not take stays in the outbox.
    let mut calls = Vec::new();
    for group in 0..40 {
        let mut peer = pair.peer(GroupId(group));
        calls.push(tokio::spawn(async move {
            peer.vote(vote_request(), PATIENCE)
                .await
                .map(drop)
                .map_err(drop)
        }));
    }
    let mut link = pair.link().await;
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Err(()));
    }
    let mut peer = pair.peer(GroupId(99));
    let last = tokio::spawn(async move { peer.vote(vote_request(), PATIENCE).await.map(drop) });
    let mut groups = BTreeSet::new();
    while groups.last() != Some(&GroupId(99)) {
        groups.insert(next_request(&mut link).await.group);
    }
    assert!(
        groups.len() < 10,
        "only what was on the link already: {groups:?}"
    );
    last.abort();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_there_is_answered_as_such() {
    let hub = MemoryLinks::new();
    let here = Network::remote(HERE, hub.of(HERE), RemoteConfig::default());
    let _there = Network::remote(THERE, hub.of(THERE), RemoteConfig::default());
    let mut peer = here.0.connect(GROUP, HERE, THERE);
    let begun = Instant::now();
    let missing = format!("node {THERE} does not run group {GROUP}");

    let failure = peer
        .vote(vote_request(), PATIENCE)
        .await
        .expect_err("missing");
    assert!(failure.to_string().contains(&missing), "{failure}");
    let failure = peer
        .pre_vote(vote_request(), PATIENCE)
        .await
        .expect_err("missing");
    assert!(failure.to_string().contains(&missing), "{failure}");
    let transfer = TransferLeaderRequest::new(leader(), THERE, None);
    let failure = peer
        .transfer_leader(transfer, PATIENCE)
        .await
        .expect_err("missing");
    assert!(failure.to_string().contains(&missing), "{failure}");
    let requests = stream::iter([append_request(1)]).boxed();
    let mut answers = peer.append(requests, PATIENCE).await.expect("a link");
    let failure = answers
        .next()
        .await
        .expect("an answer")
        .expect_err("missing");
    assert!(failure.to_string().contains(&missing), "{failure}");
    drop(answers);
    let failure = peer.snapshot(leader(), empty_snapshot(), PATIENCE).await;
    let failure = failure.expect_err("missing").to_string();
    assert!(failure.contains(&missing), "{failure}");
    assert!(begun.elapsed() < PATIENCE, "nothing was dropped silently");
}

struct NoChunks;

impl crate::SnapshotReader for NoChunks {
    fn next_chunk(&mut self) -> std::io::Result<Option<bytes::Bytes>> {
        Ok(None)
    }
}

fn empty_snapshot() -> StateSnapshot {
    StateSnapshot {
        meta: crate::types::SnapshotMeta::default(),
        snapshot: crate::machine::SnapshotContent::Exported(Box::new(NoChunks)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_nobody_takes_up_fails_in_time() {
    let mut pair = Pair::new(RemoteConfig::default());
    let mut peer = pair.peer(GROUP);
    let begun = Instant::now();
    let sent = tokio::spawn(async move {
        peer.snapshot(leader(), empty_snapshot(), PATIENCE)
            .await
            .map(drop)
    });
    let _link = pair.snapshots.recv().await.expect("a link");
    let failure = sent.await.expect("no panic").expect_err("no answer");
    assert!(failure.to_string().contains("too long"), "{failure}");
    assert!(begun.elapsed() < 2 * PATIENCE);
}

/// What becomes of a state that arrives in these parts, and what of its staging.
async fn taken(parts: Vec<SnapshotPart>) -> (Result<Vote, String>, StagedCounts) {
    let hub = MemoryLinks::new();
    let config = RemoteConfig {
        snapshot_thread: CheckpointThread::Caller,
        ..RemoteConfig::default()
    };
    let ledger = Ledger::default();
    let setup = GroupSetup {
        id: GROUP,
        node: HERE,
        config: crate::GroupConfig::default(),
        log: LogDisk::default().open(GROUP),
        machine: ledger.machine(),
        network: Network::remote(HERE, hub.of(HERE), config),
        seed: 1,
        on_fault: Arc::new(|_, fault| panic!("{fault}")),
    };
    let group = Group::start(setup).await.expect("starts");
    let mut link = hub.of(THERE).open(HERE, Class::Bulk).await.expect("a link");
    for part in parts {
        let frame = wire::encode_snapshot_part(part);
        link.sender.send(frame).await.expect("up");
    }
    drop(link.sender);
    let answer = link.receiver.next().await.expect("up").expect("an answer");
    let answer = wire::decode_snapshot_answer(answer).expect("valid");
    if answer.is_err() {
        assert_eq!(ledger.disk(), State::default(), "nothing is installed");
    }
    group.stop().await;
    (answer, ledger.staged())
}

fn begin() -> SnapshotPart {
    let last = LogId::new_term_index(2, 7);
    let voters = vec![[HERE, THERE].into()];
    let members = crate::types::Membership::new_with_defaults(voters, []);
    SnapshotPart::Begin {
        group: GROUP,
        vote: Vote::new_committed(3, THERE),
        meta: crate::types::SnapshotMeta {
            last_log_id: Some(last),
            last_membership: crate::types::StoredMembership::new(Some(last), members),
        },
    }
}

fn chunk() -> SnapshotPart {
    let mut chunk = vec![0; 16];
    chunk.extend(b"commands");
    SnapshotPart::Chunk(chunk.into())
}

#[tokio::test(start_paused = true)]
async fn only_a_whole_state_is_installed() {
    let end = |chunks, bytes| SnapshotPart::End { chunks, bytes };
    let (answer, staged) = taken(vec![begin(), chunk(), chunk(), end(2, 48)]).await;
    assert_eq!(answer, Ok(Vote::new_committed(3, THERE)));
    assert_eq!((staged.finished, staged.dropped_early), (1, 0));

    for (parts, reason) in [
        (vec![begin(), chunk(), end(2, 48)], "chunks missing"),
        (vec![begin(), chunk(), end(1, 23)], "chunks missing"),
        (vec![begin(), chunk()], "ended early"),
        (vec![begin(), begin()], "begins twice"),
        (
            vec![begin(), SnapshotPart::Chunk("short".into())],
            "cannot be kept",
        ),
    ] {
        let (answer, staged) = taken(parts).await;
        let refused = answer.expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
        assert_eq!((staged.finished, staged.dropped_early), (0, 1), "{reason}");
    }
    let (answer, staged) = taken(vec![chunk()]).await;
    assert!(
        answer
            .expect_err("no beginning")
            .contains("without a beginning")
    );
    assert_eq!(staged.begun, 0);
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_a_link() {
    let hub = MemoryLinks::new();
    let _here = Network::remote(HERE, hub.of(HERE), RemoteConfig::default());
    let mut link = hub.of(THERE).open(HERE, Class::Raft).await.expect("a link");
    let nonsense = bytes::Bytes::from_static(&[0xff; 20]);
    link.sender.send(nonsense.clone()).await.expect("up");
    assert_eq!(link.receiver.next().await, Ok(None));

    let mut link = hub.of(THERE).open(HERE, Class::Bulk).await.expect("a link");
    link.sender.send(nonsense).await.expect("up");
    let answer = link.receiver.next().await.expect("up").expect("an answer");
    let refused = wire::decode_snapshot_answer(answer).expect("valid");
    assert!(refused.expect_err("nonsense").contains("does not decode"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_network_leaves_no_job_behind() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let mut pair = Pair::new(RemoteConfig::default());
    let (call, link) = asked(&mut pair).await;
    assert!(metrics.num_alive_tasks() > before);
    call.await.expect("no panic");
    drop((link, pair));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.num_alive_tasks(), before);
}
