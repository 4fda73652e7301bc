//! Work that crosses from node to node, on a paused clock. Every node is the only replica of a partition of its own, so
//! that it is clear who leads what.

mod chance;
mod leaders;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Buf;
use futures::{FutureExt, StreamExt};
use longhaul_engine::Reply;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Action, Answer, Decided};
use longhaul_partition::{
    AbandonDelay, Capabilities, Config, Filters, LeaseId, NameFilter, Partition, Partitions,
    Session, SessionSpec, Setup,
};
use longhaul_peer::{Answers, Class, Contact, ExchangeSetup, MemoryLinks};
use longhaul_replication::{CheckpointThread, GroupConfig, GroupId, Network};
use longhaul_storage::{MemStore, PartitionTables, Store};
use longhaul_types::{NodeId, PartitionCount, PartitionId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::*;
use crate::testing::{Counting, HUB, TokioClock, create, key, log, until};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Nodes that claim from each other.
struct World {
    links: MemoryLinks,
    nodes: Vec<(NodeId, Node)>,
}

struct Node {
    partitions: Partitions,
    exchange: Exchange,
    desk: Arc<Desk>,
}

/// Answers claims, when it is let.
struct Desk {
    claims: Claims,
    /// Requests of other nodes so far.
    asked: AtomicUsize,
    /// While true, nothing is answered, but everything done.
    held: watch::Sender<bool>,
}

impl Answers for Desk {
    fn answer(&self, asker: Asker, mut request: Bytes) -> BoxFuture<'static, Bytes> {
        assert_eq!(request.get_u8(), KIND);
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, mut held) = (self.claims.answer(asker, request), self.held.subscribe());
        async move {
            let answer = answer.await;
            held.wait_for(|held| !*held).await.expect("kept");
            answer
        }
        .boxed()
    }

    fn asker_lost(&self, asker: AskerId) {
        self.claims.asker_lost(asker);
    }
}

/// Work items as text: what they are of.
struct Plain;

impl Encoder for Plain {
    fn encode(&self, claimed: &Claimed) -> Result<Bytes, String> {
        match claimed.key().id.as_str() {
            "impossible" => Err("it cannot be built".to_owned()),
            id => Ok(format!("{} of {id}", claimed.kind().name()).into()),
        }
    }
}

impl World {
    async fn start(nodes: &[NodeId]) -> Self {
        let world = Self::apart(nodes).await;
        world.meet().await;
        world
    }

    /// Nodes that do not know of each other so far.
    async fn apart(nodes: &[NodeId]) -> Self {
        let links = MemoryLinks::new();
        let mut started = Vec::new();
        for node in nodes {
            started.push((*node, Node::start(*node, &links).await));
        }
        let nodes = started;
        Self { links, nodes }
    }

    async fn meet(&self) {
        let all: BTreeSet<NodeId> = self.nodes.iter().map(|(id, _)| *id).collect();
        for (id, node) in &self.nodes {
            let mut others = all.clone();
            others.remove(id);
            node.exchange.keep(others);
        }
        until(|| self.nodes.iter().all(|(_, node)| node.is_linked())).await;
    }

    fn node(&self, id: NodeId) -> &Node {
        let found = self.nodes.iter().find(|(it, _)| *it == id);
        &found.expect("started").1
    }

    /// Requests of any node so far.
    fn asked(&self) -> usize {
        let asked = |(_, node): &(NodeId, Node)| node.desk.asked.load(Ordering::Relaxed);
        self.nodes.iter().map(asked).sum()
    }
}

impl Node {
    async fn start(node: NodeId, links: &MemoryLinks) -> Self {
        let count = PartitionCount::new(1).expect("a power of two");
        let rows = MemStore::new().partition(PartitionId(0)).expect("memory");
        let state = PartitionState::new(PartitionId(0), count);
        let tables = PartitionTables::open(rows, state, usize::MAX).expect("memory");
        let setup = Setup {
            count,
            node,
            config: Config {
                checkpoint_thread: CheckpointThread::Caller,
                ..Config::default()
            },
            group_config: GroupConfig {
                checkpoint_thread: CheckpointThread::Caller,
                ..GroupConfig::default()
            },
            network: Network::none(),
            courier: None,
            clock: Arc::new(TokioClock(Instant::now())),
            randomness: Arc::new(Counting(AtomicU64::new(node.0 << 32))),
            token_key: [5; 32],
            on_fault: Arc::new(|_, fault| panic!("{fault}")),
        };
        let log = log(node).group(GroupId(1));
        let partitions = Partitions::start(setup, vec![(tables, log)]);
        let partitions = partitions.await.expect("starts");
        let claims = Claims::start(partitions.sessions().clone());
        claims.appoint(Arc::new(Plain));
        let desk = Arc::new(Desk {
            claims: claims.clone(),
            asked: AtomicUsize::new(0),
            held: watch::Sender::new(false),
        });
        let exchange = Exchange::start(ExchangeSetup {
            links: links.of(node),
            class: Class::Forward,
            answers: desk.clone(),
            events: claims.events(),
        });
        claims.serve(&exchange);
        Self {
            partitions,
            exchange,
            desk,
        }
    }

    fn is_linked(&self) -> bool {
        let contacts = self.exchange.contacts();
        contacts.values().all(|it| matches!(it, Contact::Up(_)))
    }

    fn partition(&self) -> &Partition {
        self.partitions.get(PartitionId(0)).expect("the only one")
    }

    async fn create(&self, id: &str) {
        let reply = self.partition().propose(create(id)).await;
        assert_eq!(reply.expect("committed"), Reply::Done);
    }

    fn stream(&self, limit: u32) -> Session {
        self.stream_of([limit; 3], None)
    }

    fn stream_of(&self, limits: [u32; 3], filters: Option<Filters>) -> Session {
        self.partitions.sessions().open(SessionSpec {
            hub: HUB,
            worker_id: None,
            limits,
            filters,
            capabilities: Capabilities::default(),
        })
    }

    fn out(&self) -> u64 {
        self.partitions.sessions().out()
    }

    fn lease(&self, claimed: &Claimed) -> LeaseId {
        let (kind, token) = (claimed.kind(), claimed.token());
        let found = self.partitions.by_token(HUB, kind, token);
        found.expect("ours").1
    }

    /// What a worker does with a turn: an activity is next.
    async fn answer_turn(&self, claimed: &Claimed) {
        let action = Action::ScheduleTask {
            name: "X".to_owned(),
            version: None,
            input: None,
            tags: Default::default(),
            trace: None,
        };
        let answer = Answer {
            actions: vec![Decided { id: 1, action }],
            ..Answer::default()
        };
        let lease = self.partition().turn_lease(self.lease(claimed));
        let completed = self.partition().complete_turn(lease.expect("out"), answer);
        completed.await.expect("committed");
    }
}

fn filter(name: &str) -> NameFilter {
    NameFilter {
        name: name.to_owned(),
        versions: Vec::new(),
    }
}

/// The next item, if it comes soon.
async fn next(stream: &mut Session) -> Claimed {
    let claimed = timeout(Duration::from_secs(60), stream.next()).await;
    claimed.expect("work").expect("nothing drains")
}

/// Nothing comes, however long one waits.
async fn nothing(stream: &mut Session) {
    let claimed = timeout(Duration::from_secs(60), stream.next()).await;
    assert!(claimed.is_err(), "{claimed:?}");
}

/// What an item is, as the worker receives it.
fn text(claimed: &Claimed) -> String {
    match claimed {
        Claimed::Encoded(item) => String::from_utf8(item.bytes.to_vec()).expect("text"),
        other => panic!("{other:?} is of this node"),
    }
}

#[tokio::test(start_paused = true)]
async fn work_reaches_a_stream_of_another_node_and_ends_there() {
    let world = World::start(&[ONE, TWO]).await;
    let mut stream = world.node(ONE).stream(2);
    nothing(&mut stream).await;
    let leader = world.node(TWO);
    leader.create("a").await;
    let turn = next(&mut stream).await;
    assert_eq!(text(&turn), "orchestration of a");
    assert_eq!(turn.key(), &key("a"));
    assert_eq!(world.node(ONE).out(), 1);

    leader.answer_turn(&turn).await;
    let activity = next(&mut stream).await;
    assert_eq!(text(&activity), "activity of a");
    until(|| world.node(ONE).out() == 1).await;
    let lease = leader.lease(&activity);
    leader.partition().abandon(lease, AbandonDelay::None);
    let again = next(&mut stream).await;
    assert_eq!(text(&again), "activity of a");
    assert_ne!(again.token(), activity.token());
    until(|| world.node(ONE).out() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_the_stream_or_the_link_is_found() {
    let world = World::apart(&[ONE, TWO]).await;
    world.node(TWO).create("a").await;
    let mut early = world.node(ONE).stream(1);
    nothing(&mut early).await;
    world.meet().await;
    assert_eq!(text(&next(&mut early).await), "orchestration of a");
    world.node(TWO).create("b").await;
    let mut late = world.node(ONE).stream(1);
    assert_eq!(text(&next(&mut late).await), "orchestration of b");
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_the_work_of_its_own_node_first() {
    let world = World::start(&[ONE, TWO]).await;
    for id in ["a", "b"] {
        world.node(TWO).create(id).await;
        world.node(ONE).create(id).await;
    }
    let mut stream = world.node(ONE).stream(2);
    for _ in 0..2 {
        let claimed = next(&mut stream).await;
        assert!(matches!(claimed, Claimed::Turn { .. }), "{claimed:?}");
    }
    nothing(&mut stream).await;
    drop(stream);
    let mut stream = world.node(ONE).stream(3);
    for _ in 0..2 {
        let claimed = next(&mut stream).await;
        assert!(matches!(claimed, Claimed::Turn { .. }), "{claimed:?}");
    }
    text(&next(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_while_there_is_nothing_and_each_item_is_claimed_once() {
    let world = World::start(&[ONE, TWO, THREE]).await;
    let mut streams: Vec<Session> = (0..4).map(|_| world.node(ONE).stream(8)).collect();
    for stream in &mut streams {
        nothing(stream).await;
    }
    // The four take the same work, and so one of them asks for all.
    let asked = world.asked();
    assert_eq!(asked, 2, "each of the others, once");
    let mut all = futures::stream::select_all(streams);
    assert!(
        timeout(Duration::from_secs(3_600), all.next())
            .await
            .is_err()
    );
    assert_eq!(world.asked(), asked);

    for id in ["a", "b", "c"] {
        world.node(TWO).create(id).await;
        let claimed = timeout(Duration::from_secs(1), all.next()).await;
        let claimed = claimed.expect("in time").expect("open");
        assert_eq!(text(&claimed), format!("orchestration of {id}"));
    }
    let for_items = world.asked() - asked;
    assert!(for_items <= 3, "{for_items} requests for three items");
}

#[tokio::test(start_paused = true)]
async fn filters_and_kinds_are_respected() {
    let world = World::start(&[ONE, TWO]).await;
    let only = |orchestrations: &[&str], activities: &[&str]| Filters {
        orchestrations: orchestrations.iter().map(|name| filter(name)).collect(),
        activities: activities.iter().map(|name| filter(name)).collect(),
        entities: Vec::new(),
    };
    let node = world.node(ONE);
    let mut others = node.stream_of([4; 3], Some(only(&["B"], &["Y"])));
    let mut activities = node.stream_of([4; 3], Some(only(&[], &["X"])));
    let mut no_room = node.stream_of([0, 4, 4], None);
    for stream in [&mut others, &mut activities, &mut no_room] {
        nothing(stream).await;
    }
    world.node(TWO).create("a").await;
    for stream in [&mut others, &mut activities, &mut no_room] {
        nothing(stream).await;
    }
    let mut turns = node.stream_of([4; 3], Some(only(&["A"], &[])));
    let turn = next(&mut turns).await;
    drop(no_room);
    world.node(TWO).answer_turn(&turn).await;
    assert_eq!(text(&next(&mut activities).await), "activity of a");
    nothing(&mut others).await;
    nothing(&mut turns).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_link_is_cut_slots_are_free_and_items_offered_again() {
    let world = World::start(&[ONE, TWO]).await;
    let mut stream = world.node(ONE).stream(3);
    for id in ["a", "b"] {
        world.node(TWO).create(id).await;
        next(&mut stream).await;
    }
    assert_eq!(world.node(ONE).out(), 2);
    world.links.cut_off(ONE);
    until(|| world.node(ONE).out() == 0).await;
    let mut local = world.node(TWO).stream(1);
    let claimed = next(&mut local).await;
    assert_eq!(claimed.key(), &key("a"), "the oldest first");
    nothing(&mut stream).await;
    world.links.reconnect(ONE);
    assert_eq!(text(&next(&mut stream).await), "orchestration of b");
    assert_eq!(world.node(ONE).out(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_cut_off_on_its_way_leaves_nothing_behind() {
    let world = World::start(&[ONE, TWO]).await;
    world.node(TWO).create("a").await;
    world.node(TWO).desk.held.send_replace(true);
    let mut stream = world.node(ONE).stream(3);
    nothing(&mut stream).await;
    assert_eq!(world.node(ONE).out(), 9, "room is kept for what may come");
    world.links.cut_off(ONE);
    until(|| world.node(ONE).out() == 0).await;
    let mut local = world.node(TWO).stream(1);
    next(&mut local).await;
}

#[tokio::test(start_paused = true)]
async fn what_arrives_for_a_stream_that_has_ended_is_given_back() {
    let world = World::start(&[ONE, TWO]).await;
    for id in ["a", "b"] {
        world.node(TWO).create(id).await;
    }
    let mut stream = world.node(ONE).stream(1);
    next(&mut stream).await;
    let mut second = world.node(ONE).stream(1);
    world.node(TWO).desk.held.send_replace(true);
    nothing(&mut second).await;
    drop((stream, second));
    let mut local = world.node(TWO).stream(2);
    assert_eq!(next(&mut local).await.key(), &key("a"), "at once");
    nothing(&mut local).await;
    world.node(TWO).desk.held.send_replace(false);
    assert_eq!(next(&mut local).await.key(), &key("b"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_gives_back_what_is_out_on_it_and_no_more() {
    let world = World::start(&[ONE, TWO]).await;
    let mut first = world.node(ONE).stream(1);
    let mut second = world.node(ONE).stream(1);
    for id in ["a", "b"] {
        world.node(TWO).create(id).await;
    }
    let (of_first, of_second) = (next(&mut first).await, next(&mut second).await);
    drop(first);
    let mut local = world.node(TWO).stream(2);
    assert_eq!(next(&mut local).await.key(), of_first.key());
    nothing(&mut local).await;
    world.node(TWO).answer_turn(&of_second).await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_free_again_is_filled() {
    let world = World::start(&[ONE, TWO]).await;
    for id in ["a", "b", "c"] {
        world.node(TWO).create(id).await;
    }
    // No room for what the turns begin.
    let mut stream = world.node(ONE).stream_of([1, 0, 0], None);
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let turn = next(&mut stream).await;
        seen.insert(text(&turn));
        assert!(
            timeout(Duration::from_secs(1), stream.next())
                .await
                .is_err()
        );
        world.node(TWO).answer_turn(&turn).await;
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leads_no_more_frees_its_slots() {
    let world = World::start(&[ONE, TWO]).await;
    world.node(TWO).create("a").await;
    let mut stream = world.node(ONE).stream(2);
    next(&mut stream).await;
    assert_eq!(world.node(ONE).out(), 1);
    world.node(TWO).partitions.retire(PartitionId(0)).await;
    until(|| world.node(ONE).out() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_encoded_is_offered_again_later_and_keeps_nothing_back() {
    let world = World::start(&[ONE, TWO]).await;
    world.node(TWO).create("impossible").await;
    world.node(TWO).create("a").await;
    let mut stream = world.node(ONE).stream(2);
    assert_eq!(text(&next(&mut stream).await), "orchestration of a");
    let mut local = world.node(TWO).stream(1);
    assert_eq!(next(&mut local).await.key(), &key("impossible"));
    until(|| world.node(ONE).out() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_drains_waits_for_what_is_out_elsewhere() {
    let world = World::start(&[ONE, TWO]).await;
    world.node(TWO).create("a").await;
    let mut stream = world.node(ONE).stream(2);
    let turn = next(&mut stream).await;
    world.node(ONE).partitions.sessions().drain();
    world.node(TWO).create("b").await;
    nothing(&mut stream).await;
    world.node(TWO).answer_turn(&turn).await;
    let end = timeout(Duration::from_secs(60), stream.next()).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn with_its_streams_and_links_nothing_is_left_of_a_node() {
    let world = World::start(&[ONE, TWO]).await;
    let mut stream = world.node(ONE).stream(2);
    nothing(&mut stream).await;
    let claims = &world.node(TWO).desk.claims;
    assert_eq!(claims.server.watches(), 1);
    drop(stream);
    until(|| claims.server.watches() == 0).await;
    let mut stream = world.node(ONE).stream(2);
    nothing(&mut stream).await;
    assert_eq!(claims.server.watches(), 1);
    world.links.cut_off(ONE);
    until(|| claims.server.watches() == 0).await;
}
