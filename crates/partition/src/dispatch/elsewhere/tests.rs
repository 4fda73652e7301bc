//! Both ends of what crosses from node to node, without nodes.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use longhaul_types::InstanceId;
use tokio::time::timeout;

use super::*;
use crate::testing::{HUB, Node, key, until};
use crate::{Capabilities, Config, Partitions, Session};

/// What a watcher and a proxy's stream were told.
#[derive(Clone, Default)]
struct Told {
    ready: Arc<Mutex<Vec<(WorkKind, Look)>>>,
    freed: Arc<Mutex<Vec<(WorkKind, u32)>>>,
}

impl Watcher for Told {
    fn ready(&self, kind: WorkKind, look: Look) {
        self.ready.lock().push((kind, look));
    }
}

impl Told {
    fn proxy(&self, sessions: &Sessions) -> Proxy {
        let freed = self.freed.clone();
        let spec = SessionSpec {
            hub: HUB,
            worker_id: None,
            limits: [u32::MAX; 3],
            filters: None,
            capabilities: Capabilities::default(),
        };
        sessions.open_proxy(spec, move |kind, slots| freed.lock().push((kind, slots)))
    }

    fn watch(&self, sessions: &Sessions, filters: Option<Filters>) -> Watch {
        sessions.watch(HUB, filters, self.clone())
    }
}

const TURN: WorkKind = WorkKind::Orchestration;

fn lease(partitions: &Partitions, claimed: &Claimed) -> crate::LeaseId {
    let found = partitions.by_token(HUB, claimed.kind(), claimed.token());
    found.expect("ours").1
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_given_what_it_asks_for_and_told_what_is_over() {
    let node = Node::start(Config::default()).await;
    let (told, sessions) = (Told::default(), node.partitions.sessions());
    let (proxy, watch) = (told.proxy(sessions), told.watch(sessions, None));
    for id in ["a", "b", "c"] {
        node.create(id).await;
    }
    let found = proxy.claim(&watch, TURN, 2);
    assert_eq!((found.items.len(), found.more), (2, true));
    let rest = proxy.claim(&watch, TURN, 2);
    assert_eq!((rest.items.len(), rest.more), (1, false));
    assert!(rest.look > found.look);
    assert_eq!(sessions.out(), 0, "none of them on a stream of this node");

    let lease = lease(&node.partitions, &found.items[0]);
    let partition = node.partition();
    partition.abandon(lease, AbandonDelay::None);
    assert_eq!(*told.freed.lock(), [(TURN, 1)]);
    drop(proxy);
    assert_eq!(told.freed.lock().len(), 3);
    let mut local = node.stream(3);
    for expected in ["b", "c", "a"] {
        let claimed = timeout(Duration::from_secs(1), local.next()).await;
        let claimed = claimed.expect("at once").expect("open");
        assert_eq!(claimed.key(), &key(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_comes_again_after_a_while() {
    let node = Node::start(Config::default()).await;
    let (told, sessions) = (Told::default(), node.partitions.sessions());
    let (proxy, watch) = (told.proxy(sessions), told.watch(sessions, None));
    node.create("a").await;
    let found = proxy.claim(&watch, TURN, 1);
    proxy.give_back(&found.items[0]);
    assert_eq!(*told.freed.lock(), [(TURN, 1)]);
    assert!(proxy.claim(&watch, TURN, 1).items.is_empty());
    until(|| !told.ready.lock().is_empty()).await;
    let again = proxy.claim(&watch, TURN, 1);
    assert_eq!(again.items[0].key(), &key("a"));
    assert_ne!(again.items[0].token(), found.items[0].token());
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_is_told_once_after_each_look_of_what_it_takes() {
    let node = Node::start(Config::default()).await;
    let (told, sessions) = (Told::default(), node.partitions.sessions());
    let none = Some(Filters::default());
    let (proxy, watch) = (told.proxy(sessions), told.watch(sessions, None));
    let picky = Told::default();
    let nothing = picky.watch(sessions, none);
    node.create("before the first look").await;
    assert!(told.ready.lock().is_empty());
    let look = proxy.claim(&watch, TURN, 5).look;
    let other_kind = proxy.claim(&watch, WorkKind::Activity, 5).look;
    let _ = picky.proxy(sessions).claim(&nothing, TURN, 5);
    for id in ["a", "b"] {
        node.create(id).await;
    }
    let ready = told.ready.lock().clone();
    let [(TURN, first)] = ready[..] else {
        panic!("{ready:?}");
    };
    assert!(first > look && first > other_kind);
    assert!(picky.ready.lock().is_empty());

    assert!(proxy.claim(&watch, TURN, 5).look > first);
    node.create("c").await;
    assert_eq!(told.ready.lock().len(), 2);
    let _ = proxy.claim(&watch, TURN, 5);
    drop(watch);
    node.create("d").await;
    assert_eq!(told.ready.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_want_more_share_what_is_ready() {
    let node = Node::start(Config::default()).await;
    let (told, sessions) = (Told::default(), node.partitions.sessions());
    let proxies = [told.proxy(sessions), told.proxy(sessions)];
    let watches = [told.watch(sessions, None), told.watch(sessions, None)];
    let claim = |which: usize, slots| proxies[which].claim(&watches[which], TURN, slots);
    for which in 0..2 {
        assert!(claim(which, 9).items.is_empty());
    }
    for n in 0..8 {
        node.create(&n.to_string()).await;
    }
    let half = claim(0, 9);
    assert_eq!((half.items.len(), half.more), (4, true));
    let filled = claim(1, 1);
    assert_eq!((filled.items.len(), filled.more), (1, true));
    let rest = claim(0, 9);
    assert_eq!(rest.items.len(), 3, "the other has what it wanted");
}

/// Hands the streams of a node to the test.
#[derive(Default)]
struct Handed {
    takers: Mutex<Vec<Taker>>,
    /// By stream.
    looks: Arc<Mutex<Vec<u64>>>,
    closed: Arc<Mutex<Vec<u64>>>,
}

struct Noted {
    stream: Taker,
    reserves: u32,
    looks: Arc<Mutex<Vec<u64>>>,
    closed: Arc<Mutex<Vec<u64>>>,
}

impl Elsewhere for Handed {
    fn open(&self, stream: Taker) -> Box<dyn Outlook> {
        self.takers.lock().push(stream.clone());
        Box::new(Noted {
            stream,
            reserves: 1,
            looks: self.looks.clone(),
            closed: self.closed.clone(),
        })
    }
}

impl Outlook for Noted {
    fn look(&mut self) {
        self.looks.lock().push(self.stream.id());
        self.stream.reserve(TURN, self.reserves);
        self.reserves = 0;
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.closed.lock().push(self.stream.id());
    }
}

fn item(id: &str) -> EncodedItem {
    EncodedItem {
        kind: TURN,
        token: "token".to_owned(),
        key: InstanceKey::new(HUB, InstanceId::trusted(id)),
        bytes: Bytes::from_static(b"item"),
    }
}

fn pending(stream: &mut Session) {
    assert!(stream.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_looks_elsewhere_when_it_has_room_and_takes_what_it_is_handed() {
    let node = Node::start(Config::default()).await;
    let elsewhere = Arc::new(Handed::default());
    node.partitions.sessions().look_elsewhere(elsewhere.clone());
    let mut stream = node.stream(2);
    let taker = elsewhere.takers.lock()[0].clone();
    node.create("a").await;
    let local = stream.next().await.expect("open");
    assert!(matches!(local, Claimed::Turn { .. }));
    assert_eq!(taker.free(TURN), 0, "one slot for it, one kept");

    let mut waiting = tokio::spawn(async move { (stream.next().await, stream) });
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    taker.hand([item("b")]);
    let (handed, mut stream) = waiting.await.expect("no panic");
    assert_eq!(handed.map(|it| it.key().clone()), Some(key("b")));
    pending(&mut stream);
    assert_eq!(taker.free(TURN), 0);

    // Freed slots bring the stream back to what has become ready here.
    node.create("c").await;
    pending(&mut stream);
    taker.release(TURN, 1);
    let local = stream.next().now_or_never().flatten();
    assert_eq!(local.map(|it| it.key().clone()), Some(key("c")));
    assert!(!elsewhere.looks.lock().is_empty());
    assert!(elsewhere.closed.lock().is_empty());
    drop(stream);
    assert_eq!(*elsewhere.closed.lock(), [taker.id()]);
}

#[tokio::test(start_paused = true)]
async fn only_a_stream_that_looks_and_has_room_is_woken() {
    let node = Node::start(Config::default()).await;
    let elsewhere = Arc::new(Handed::default());
    node.partitions.sessions().look_elsewhere(elsewhere.clone());
    let mut stream = node.stream(1);
    let taker = elsewhere.takers.lock()[0].clone();
    let looks = || elsewhere.looks.lock().len();
    pending(&mut stream);
    let running = tokio::spawn(async move { while stream.next().await.is_some() {} });
    tokio::task::yield_now().await;
    let before = looks();
    taker.wake(TURN);
    tokio::task::yield_now().await;
    assert_eq!(looks(), before, "its only slot is kept");
    taker.wake(WorkKind::Activity);
    tokio::task::yield_now().await;
    assert_eq!(looks(), before + 1);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_drains_is_given_what_is_on_its_way_and_looks_no_more() {
    let node = Node::start(Config::default()).await;
    let elsewhere = Arc::new(Handed::default());
    let sessions = node.partitions.sessions();
    sessions.look_elsewhere(elsewhere.clone());
    let mut stream = node.stream(1);
    let taker = elsewhere.takers.lock()[0].clone();
    pending(&mut stream);
    sessions.drain();
    let looks = elsewhere.looks.lock().len();
    pending(&mut stream);
    taker.hand([item("a")]);
    let handed = stream.next().now_or_never().flatten();
    assert!(matches!(handed, Some(Claimed::Encoded(it)) if it == item("a")));
    pending(&mut stream);
    taker.release(TURN, 1);
    assert!(matches!(stream.next().now_or_never(), Some(None)));
    assert_eq!(elsewhere.looks.lock().len(), looks);
}
