//! Streams, work and faults in any order: no stream ever has more than its limit, nothing is lost, and in the end
//! everything was done and every slot is free.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use proptest::{collection, prelude::*};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::*;

const NODES: [NodeId; 3] = [ONE, TWO, THREE];

#[derive(Debug, Clone)]
enum Step {
    Create(NodeId),
    Open(NodeId, u32),
    /// Of the streams, one by this number.
    Close(usize),
    /// A worker answers what it has had for longest.
    Answer(usize),
    Abandon(usize),
    Cut(NodeId),
    Reconnect(NodeId),
    /// Claims of other nodes are not answered any more.
    Hold(NodeId),
    LetGo(NodeId),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || prop::sample::select(&NODES[..]);
    prop_oneof![
        6 => node().prop_map(Step::Create),
        3 => (node(), 1..4_u32).prop_map(|(node, limit)| Step::Open(node, limit)),
        1 => any::<usize>().prop_map(Step::Close),
        6 => any::<usize>().prop_map(Step::Answer),
        2 => any::<usize>().prop_map(Step::Abandon),
        1 => node().prop_map(Step::Cut),
        2 => node().prop_map(Step::Reconnect),
        1 => node().prop_map(Step::Hold),
        2 => node().prop_map(Step::LetGo),
        3 => (0..5_u64).prop_map(Step::Wait),
    ]
}

/// What a worker has and has not answered.
type Hands = Arc<Mutex<Vec<Claimed>>>;

type Cut = Arc<Mutex<BTreeSet<NodeId>>>;

/// Whether an item has come to a stream over a link that is no more.
fn is_lost(item: &Claimed, node: NodeId, cut: &Cut) -> bool {
    let id = item.key().id.to_string();
    let leader = id.rsplit(' ').next().and_then(|it| it.parse().ok());
    let leader = NodeId(leader.expect("its node is in its name"));
    let cut = cut.lock();
    leader != node && (cut.contains(&leader) || cut.contains(&node))
}

struct Worker {
    node: NodeId,
    hands: Hands,
    job: AbortHandle,
}

struct Run {
    world: World,
    workers: Vec<Worker>,
    /// By instance, where it lives.
    created: BTreeMap<String, NodeId>,
    done: BTreeSet<String>,
    /// Nodes that are cut off.
    cut: Cut,
    /// What streams were given beyond their limits.
    beyond: Arc<Mutex<Vec<String>>>,
}

impl Run {
    async fn start() -> Self {
        Self {
            world: World::start(&NODES).await,
            workers: Vec::new(),
            created: BTreeMap::new(),
            done: BTreeSet::new(),
            cut: Arc::default(),
            beyond: Arc::default(),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Create(node) => {
                let id = format!("{} of {node}", self.created.len());
                self.world.node(node).create(&id).await;
                self.created.insert(id, node);
            }
            Step::Open(node, limit) => self.open(node, limit),
            Step::Close(which) => {
                if !self.workers.is_empty() {
                    let worker = self.workers.swap_remove(which % self.workers.len());
                    worker.job.abort();
                }
            }
            Step::Answer(which) => self.answer(which).await,
            Step::Abandon(which) => {
                if let Some((node, item)) = self.drop_oldest(which) {
                    let node = self.world.node(node);
                    let lease = node.lease(&item);
                    node.partition().abandon(lease, AbandonDelay::None);
                }
            }
            Step::Cut(node) => self.cut(node).await,
            Step::Reconnect(node) => {
                self.cut.lock().remove(&node);
                self.world.links.reconnect(node);
            }
            Step::Hold(node) => {
                self.world.node(node).desk.held.send_replace(true);
            }
            Step::LetGo(node) => {
                self.world.node(node).desk.held.send_replace(false);
            }
            // tidy: the clock is paused.
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
        }
    }

    fn open(&mut self, node: NodeId, limit: u32) {
        let mut stream = self.world.node(node).stream_of([limit, 0, 0], None);
        let hands = Hands::default();
        let (held, beyond) = (hands.clone(), self.beyond.clone());
        let cut = self.cut.clone();
        let job = tokio::spawn(async move {
            while let Some(claimed) = stream.next().await {
                if is_lost(&claimed, node, &cut) {
                    continue;
                }
                let mut held = held.lock();
                held.push(claimed);
                if held.len() > limit as usize {
                    beyond
                        .lock()
                        .push(format!("{held:?} with a limit of {limit}"));
                }
            }
        });
        let job = job.abort_handle();
        self.workers.push(Worker { node, hands, job });
    }

    /// What a worker has had for longest, and who leads it.
    fn drop_oldest(&self, which: usize) -> Option<(NodeId, Claimed)> {
        let worker = &self.workers[which.checked_rem(self.workers.len())?];
        let mut hands = worker.hands.lock();
        let item = (!hands.is_empty()).then(|| hands.remove(0))?;
        Some((self.created[item.key().id.as_str()], item))
    }

    async fn answer(&mut self, which: usize) {
        let Some((node, item)) = self.drop_oldest(which) else {
            return;
        };
        let node = self.world.node(node);
        // Not if it was lost in the meantime.
        if node.partition().turn_lease(node.lease(&item)).is_some() {
            node.answer_turn(&item).await;
            let first = self.done.insert(item.key().id.to_string());
            assert!(first, "{:?} was out twice", item.key());
        }
    }

    /// What crossed the cut is nobody's any more, and so is what is still to come.
    async fn cut(&mut self, cut: NodeId) {
        self.cut.lock().insert(cut);
        for Worker { node, hands, .. } in &self.workers {
            hands.lock().retain(|item| !is_lost(item, *node, &self.cut));
        }
        self.world.links.cut_off(cut);
        // tidy: the clock is paused; every job gets to hear of it.
        sleep(Duration::from_millis(1)).await;
    }

    /// Everything gets done, by one stream.
    async fn finish(mut self) {
        self.cut.lock().clear();
        for node in NODES {
            self.world.links.reconnect(node);
            self.world.node(node).desk.held.send_replace(false);
        }
        for worker in self.workers.drain(..) {
            worker.job.abort();
        }
        self.open(ONE, 2);
        let all = self.created.len();
        let begun = Instant::now();
        while self.done.len() < all {
            self.answer(0).await;
            // tidy: the clock is paused.
            sleep(Duration::from_millis(1)).await;
            let waiting = all - self.done.len();
            assert!(
                begun.elapsed() < Duration::from_secs(600),
                "{waiting} of {all} never come"
            );
        }
        assert_eq!(*self.beyond.lock(), Vec::<String>::new());
        until(|| NODES.iter().all(|node| self.world.node(*node).out() == 0)).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_limits_hold_and_everything_gets_done(
        steps in collection::vec(step(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::start().await;
            for step in steps {
                run.take(step).await;
            }
            run.finish().await;
        });
    }
}
