//! The network between nodes: every link has its delays, is stalled by cuts in either direction, and breaks when that
//! lasts, or without any reason.
//!
//! ```text
//!   node ─ Link ─► pump (waits for its delay, and while the way is cut) ─► Link ─ node
//! ```
//!
//! Frames are neither lost, repeated nor reordered on a link that lives: streams between nodes promise that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_peer::{
    Class, Incoming, Link, LinkReceiver, LinkSender, Links, MemoryLinks, OpenError,
};
use longhaul_types::NodeId;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::dice::Dice;

/// Links that nobody has taken yet.
const LINKS_WAITING: usize = 16;

/// Frames on one way of a link.
const FRAMES_ON_THE_WAY: usize = 32;

/// The network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Net(Arc<Inner>);

struct Inner {
    /// Where frames travel.
    runtime: Handle,
    state: Mutex<State>,
    /// Told whenever ways are cut or open again.
    changed: Notify,
    seed: u64,
    latency: u64,
}

struct State {
    dice: Dice,
    /// How often a link was opened.
    attempts: BTreeMap<(NodeId, NodeId, Class), u64>,
    acceptors: BTreeMap<(NodeId, Class), mpsc::Sender<Link>>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    /// Nodes that say nothing and hear nothing: without power, or paused.
    silent: BTreeSet<NodeId>,
    /// Milliseconds that everything to and from a node takes longer.
    slow: BTreeMap<NodeId, u64>,
    links: Vec<Live>,
}

/// A link, as those see it who break it.
struct Live {
    ends: [NodeId; 2],
    wires: [MemoryLinks; 2],
    /// Since when the link is stalled.
    stalled: Option<Duration>,
    /// How long it may be.
    patience: Duration,
    /// Lives as long as a pump of the link.
    pumps: std::sync::Weak<()>,
}

impl Net {
    /// A network whose frames travel in this runtime, each for no longer than so many milliseconds.
    pub(crate) fn new(runtime: Handle, mut dice: Dice, latency: u64) -> Self {
        Self(Arc::new(Inner {
            runtime,
            seed: dice.roll(),
            state: Mutex::new(State {
                dice,
                attempts: BTreeMap::new(),
                acceptors: BTreeMap::new(),
                cuts: BTreeSet::new(),
                silent: BTreeSet::new(),
                slow: BTreeMap::new(),
                links: Vec::new(),
            }),
            changed: Notify::new(),
            latency,
        }))
    }

    /// The links of one node.
    pub(crate) fn of(&self, node: NodeId) -> Arc<dyn Links> {
        Arc::new(NodeLinks {
            net: self.clone(),
            node,
        })
    }

    /// Lets nothing pass from one node to another.
    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.change(|state| {
            state.cuts.insert((from, to));
        });
    }

    /// Lets everything pass from one node to another.
    pub(crate) fn mend(&self, from: NodeId, to: NodeId) {
        self.change(|state| {
            state.cuts.remove(&(from, to));
        });
    }

    /// A node says and hears nothing from now on, or does again.
    pub(crate) fn set_silent(&self, node: NodeId, silent: bool) {
        self.change(|state| {
            if silent {
                state.silent.insert(node);
            } else {
                state.silent.remove(&node);
            }
        });
    }

    /// Everything to and from a node takes so many milliseconds longer.
    pub(crate) fn slow_down(&self, node: NodeId, millis: u64) {
        self.change(|state| {
            state.slow.insert(node, millis);
        });
    }

    /// Undoes everything that was done to the network.
    pub(crate) fn heal(&self) {
        self.change(|state| {
            state.cuts.clear();
            state.slow.clear();
        });
    }

    /// Breaks the links of a node.
    pub(crate) fn break_links_of(&self, node: NodeId) {
        self.break_links(|_, link| link.ends.contains(&node));
    }

    /// Breaks some links, as they break: each with this chance in percent.
    pub(crate) fn break_some(&self, percent: u64) {
        self.break_links(|dice, _| dice.percent(percent));
    }

    fn break_links(&self, mut breaks: impl FnMut(&mut Dice, &Live) -> bool) {
        let mut state = self.0.state.lock();
        let State { dice, links, .. } = &mut *state;
        links.retain(|link| !breaks(dice, link) || !link.break_now());
    }

    /// Breaks the links that have been stalled for too long; `now` is any clock that goes on.
    pub(crate) fn break_stalled(&self, now: Duration) {
        let mut state = self.0.state.lock();
        let mut links = std::mem::take(&mut state.links);
        links.retain_mut(|link| {
            let [a, b] = link.ends;
            if state.is_open(a, b) && state.is_open(b, a) {
                link.stalled = None;
                return link.pumps.strong_count() > 0;
            }
            let since = *link.stalled.get_or_insert(now);
            now - since < link.patience || !link.break_now()
        });
        state.links = links;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock());
        self.0.changed.notify_waiters();
    }

    /// How long it takes from one node to another. Ways have dice of their own: at the end of a process its links go in
    /// no particular order.
    fn latency(&self, dice: &mut Dice, from: NodeId, to: NodeId) -> Duration {
        let state = self.0.state.lock();
        let usual = match dice.below(20) {
            0 => dice.below(4 * self.0.latency + 1),
            _ => dice.below(self.0.latency + 1),
        };
        let slow = |node| state.slow.get(&node).copied().unwrap_or(0);
        Duration::from_millis(usual + slow(from) + slow(to))
    }

    /// The dice of the next link, whatever else is opened at the time.
    fn dice_of_next(&self, from: NodeId, to: NodeId, class: Class) -> Dice {
        let mut state = self.0.state.lock();
        let attempt = state.attempts.entry((from, to, class)).or_default();
        *attempt += 1;
        Dice::new(self.0.seed, &format!("{from} {to} {class} {attempt}"))
    }

    async fn until_open(&self, from: NodeId, to: NodeId) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.0.state.lock().is_open(from, to) {
                return;
            }
            changed.await;
        }
    }

    async fn open(&self, from: NodeId, to: NodeId, class: Class) -> Result<Link, OpenError> {
        let unreachable = |reason: &str| OpenError::Unreachable {
            to,
            reason: reason.to_owned(),
        };
        let mut dice = self.dice_of_next(from, to, class);
        let patience = dice.millis(300, 2_000);
        sleep(self.latency(&mut dice, from, to) + self.latency(&mut dice, to, from)).await;
        let ways = async {
            self.until_open(from, to).await;
            self.until_open(to, from).await;
        };
        timeout(patience, ways)
            .await
            .map_err(|_| unreachable("no answer"))?;
        let acceptor = self.0.state.lock().acceptors.get(&(to, class)).cloned();
        let accepted = async {
            let acceptor = acceptor?;
            let room = acceptor.reserve_owned().await.ok()?;
            let (near, far) = self.wire(from, to, &mut dice).await;
            room.send(far);
            Some(near)
        };
        match timeout(patience, accepted).await {
            Ok(Some(link)) => Ok(link),
            _ => {
                sleep(Duration::from_millis(20)).await;
                Err(unreachable("nobody accepts there"))
            }
        }
    }

    /// Both ends of a new link.
    async fn wire(&self, from: NodeId, to: NodeId, dice: &mut Dice) -> (Link, Link) {
        let (near_wire, near, near_inside) = end(to).await;
        let (far_wire, far, far_inside) = end(from).await;
        let pumps = Arc::new(());
        self.0.state.lock().links.push(Live {
            ends: [from, to],
            wires: [near_wire, far_wire],
            stalled: None,
            patience: dice.millis(300, 2_000),
            pumps: Arc::downgrade(&pumps),
        });
        let forth = (near_inside.receiver, far_inside.sender);
        let back = (far_inside.receiver, near_inside.sender);
        for (ends, (receiver, sender)) in [((from, to), forth), ((to, from), back)] {
            let pump = Pump {
                net: self.clone(),
                dice: Dice::new(dice.roll(), "way"),
                ends,
                receiver,
                sender,
                on_the_way: VecDeque::new(),
                _alive: pumps.clone(),
            };
            tokio::spawn(pump.run());
        }
        (near, far)
    }
}

impl State {
    fn is_open(&self, from: NodeId, to: NodeId) -> bool {
        let silent = self.silent.contains(&from) || self.silent.contains(&to);
        !silent && !self.cuts.contains(&(from, to))
    }
}

impl Live {
    /// Always true.
    fn break_now(&self) -> bool {
        for wire in &self.wires {
            wire.cut_off(INSIDE);
        }
        true
    }
}

/// The two sides of a wire: a node, and the inside of the network.
const OUTSIDE: NodeId = NodeId(1);
const INSIDE: NodeId = NodeId(2);

/// One end of a link: the wire it can be cut at, the node's side, and the network's.
async fn end(peer: NodeId) -> (MemoryLinks, Link, Link) {
    let wire = MemoryLinks::new();
    let mut incoming = wire.of(INSIDE).accept(Class::Raft);
    let opened = wire.of(OUTSIDE).open(INSIDE, Class::Raft).await;
    let mut outside = opened.expect("somebody accepts");
    outside.peer = peer;
    let inside = incoming.recv().await.expect("just opened");
    (wire, outside, inside)
}

/// One way of a link.
struct Pump {
    net: Net,
    dice: Dice,
    ends: (NodeId, NodeId),
    receiver: LinkReceiver,
    sender: LinkSender,
    /// With the time of arrival; nothing is the end.
    on_the_way: VecDeque<(Instant, Option<Bytes>)>,
    _alive: Arc<()>,
}

impl Pump {
    async fn run(mut self) {
        let mut ended = false;
        loop {
            let first = self.on_the_way.front().map(|(due, _)| *due);
            let (net, (from, to)) = (self.net.clone(), self.ends);
            tokio::select! {
                biased;
                () = arrival(&net, from, to, first) => {
                    let Some((_, Some(frame))) = self.on_the_way.pop_front() else {
                        return;
                    };
                    if self.sender.send(frame).await.is_err() {
                        return;
                    }
                }
                frame = self.receiver.next(),
                    if !ended && self.on_the_way.len() < FRAMES_ON_THE_WAY => match frame {
                    Ok(frame) => {
                        ended = frame.is_none();
                        let last = self.on_the_way.back().map(|(due, _)| *due);
                        let due = Instant::now() + net.latency(&mut self.dice, from, to);
                        self.on_the_way.push_back((last.map_or(due, |last| due.max(last)), frame));
                    }
                    Err(_) => return,
                }
            }
        }
    }
}

async fn arrival(net: &Net, from: NodeId, to: NodeId, due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
    net.until_open(from, to).await;
}

/// The links of one node.
struct NodeLinks {
    net: Net,
    node: NodeId,
}

impl Links for NodeLinks {
    fn open(&self, to: NodeId, class: Class) -> BoxFuture<'static, Result<Link, OpenError>> {
        let (net, from) = (self.net.clone(), self.node);
        let runtime = self.net.0.runtime.clone();
        async move {
            let opening = runtime.spawn(async move { net.open(from, to, class).await });
            let gone = |_| OpenError::Unreachable {
                to,
                reason: "the network is gone".to_owned(),
            };
            opening.await.map_err(gone)?
        }
        .boxed()
    }

    fn accept(&self, class: Class) -> Incoming {
        let (acceptor, incoming) = mpsc::channel(LINKS_WAITING);
        let mut state = self.net.0.state.lock();
        state.acceptors.insert((self.node, class), acceptor);
        incoming
    }
}
