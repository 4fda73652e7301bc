//! Groups of one replica, on a paused clock and simulated disks; those of several in [`cluster`].

mod cluster;

use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex as PlainMutex;
use tokio::time;

use super::*;
use crate::{
    GroupFault,
    config::CheckpointThread,
    testing::{FAULT, Ledger, LogDisk, PANIC},
};

const GROUP: GroupId = GroupId(3);

/// What a node keeps when its process dies, and what its process has told.
#[derive(Clone)]
struct Node {
    id: NodeId,
    disk: LogDisk,
    ledger: Ledger,
    network: Network,
    /// The fault of the newest replica.
    fault: Arc<PlainMutex<watch::Sender<Option<String>>>>,
}

impl Node {
    fn new(id: u64, network: Network) -> Self {
        let fault = Arc::new(PlainMutex::new(watch::Sender::new(None)));
        Self {
            id: NodeId(id),
            disk: LogDisk::default(),
            ledger: Ledger::default(),
            network,
            fault,
        }
    }

    async fn start(&self) -> Result<Group, StartError> {
        let faults = watch::Sender::new(None);
        *self.fault.lock() = faults.clone();
        let config = GroupConfig {
            checkpoint_thread: CheckpointThread::Caller,
            ..GroupConfig::default()
        };
        let setup = GroupSetup {
            id: GROUP,
            node: self.id,
            config,
            log: self.disk.open(GROUP),
            machine: self.ledger.machine(),
            network: self.network.clone(),
            seed: self.id.0,
            on_fault: Arc::new(move |group, fault: GroupFault| {
                assert_eq!(group, GROUP);
                let earlier = faults.send_replace(Some(fault.to_string()));
                assert_eq!(earlier, None, "one fault ends a replica");
            }),
        };
        Group::start(setup).await
    }

    async fn start_single(&self) -> (Group, u64) {
        let group = self.start().await.expect("starts");
        group.initialize_single().await.expect("running");
        let leadership = group.wait_for_leadership().await.expect("running");
        (group, leadership.term)
    }

    async fn fault(&self) -> String {
        let mut fault = self.fault.lock().subscribe();
        let fault = fault
            .wait_for(Option::is_some)
            .await
            .expect("the node keeps its sender");
        fault.clone().expect("waited for")
    }
}

fn single() -> Node {
    Node::new(1, Network::none())
}

fn commands(n: usize) -> Bytes {
    format!("commands {n}").into()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(commands).collect()
}

async fn propose_all(group: &Group, term: u64, range: std::ops::Range<usize>) -> Vec<Position> {
    let proposals: Vec<_> = range.map(|n| group.propose(term, commands(n))).collect();
    join_all(proposals)
        .await
        .into_iter()
        .map(|position| position.expect("applied"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn entries_are_applied_in_the_order_of_the_proposals() {
    let node = single();
    let (group, term) = node.start_single().await;
    group
        .initialize_single()
        .await
        .expect("a second time does nothing");

    let positions = propose_all(&group, term, 0..500).await;

    assert_eq!(node.ledger.commands(), numbered(0..500));
    assert!(
        positions
            .iter()
            .zip(&positions[1..])
            .all(|(before, after)| before < after)
    );
    assert!(group.0.solo.leads());
    assert_eq!(group.read_barrier().await, Ok(()));
    assert_eq!(group.progress().applied, Some(positions[499].index));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn proposals_of_another_leadership_are_refused() {
    let node = single();
    let (group, term) = node.start_single().await;

    let leader = Some(node.id);
    assert_eq!(
        group.propose(term - 1, commands(0)).await,
        Err(ProposeError::NotLeader { leader })
    );
    assert_eq!(
        group.propose(term + 1, commands(0)).await,
        Err(ProposeError::NotLeader { leader })
    );
    propose_all(&group, term, 1..2).await;

    assert_eq!(node.ledger.commands(), numbered(1..2));
    group.stop().await;
    assert_eq!(
        group.propose(term, commands(2)).await,
        Err(ProposeError::Stopped(Stopped))
    );
    assert_eq!(group.read_barrier().await, Err(ReadError::Stopped(Stopped)));
    assert_eq!(group.checkpoint().await, Err(Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_up_the_answer_not_the_entry() {
    let node = single();
    let (group, term) = node.start_single().await;
    drop(group.propose(term, commands(0)));
    propose_all(&group, term, 1..2).await;
    assert_eq!(node.ledger.commands(), numbered(0..2));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_applies_again_what_it_had_acknowledged() {
    let node = single();
    let (group, first_term) = node.start_single().await;
    propose_all(&group, first_term, 0..100).await;
    drop(group);
    node.disk.crash();

    let (group, second_term) = node.start_single().await;
    assert_eq!(node.ledger.commands(), numbered(0..100));
    assert!(
        second_term > first_term,
        "a term names one leadership of one process"
    );
    propose_all(&group, second_term, 100..101).await;
    assert_eq!(node.ledger.commands(), numbered(0..101));
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_where_recovery_begins_and_the_log_may_end() {
    let node = single();
    let (group, term) = node.start_single().await;
    let positions = propose_all(&group, term, 0..100).await;

    let durable = group.checkpoint().await.expect("running");
    assert_eq!(durable, positions.last().copied());
    assert_eq!(group.checkpoint().await, Ok(durable), "nothing new");
    assert_eq!(node.ledger.disk().commands.len(), 100);
    purged(&group, durable).await;
    propose_all(&group, term, 100..110).await;
    drop(group);
    node.disk.crash();

    // The ledger refuses entries it has already.
    let (group, term) = node.start_single().await;
    assert_eq!(node.ledger.commands(), numbered(0..110));
    propose_all(&group, term, 110..111).await;
    let durable = group.checkpoint().await.expect("running");
    purged(&group, durable).await;
    drop(group);
    node.disk.crash();

    // Nothing is left of the log but where it continues.
    let (group, term) = node.start_single().await;
    propose_all(&group, term, 111..112).await;
    assert_eq!(node.ledger.commands(), numbered(0..112));
    group.stop().await;
}

async fn purged(group: &Group, upto: Option<Position>) {
    let upto = upto.map(|position| position.index);
    eventually("the log is purged", || {
        (group.progress().purged >= upto).then_some(())
    })
    .await;
}

/// Waits for a condition on the paused clock, so in no time, but not for ever.
async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(value) = condition() {
            return value;
        }
        // tidy: the clock is paused.
        time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_checkpoint_may_block_a_thread_of_its_own() {
    let node = single();
    let config = GroupConfig {
        checkpoint_thread: CheckpointThread::Blocking,
        ..GroupConfig::default()
    };
    let setup = GroupSetup {
        id: GROUP,
        node: node.id,
        config,
        log: node.disk.open(GROUP),
        machine: node.ledger.machine(),
        network: Network::none(),
        seed: 1,
        on_fault: Arc::new(|_, fault| panic!("{fault}")),
    };
    let group = Group::start(setup).await.expect("starts");
    group.initialize_single().await.expect("running");
    let term = group.wait_for_leadership().await.expect("running").term;
    propose_all(&group, term, 0..3).await;
    group.checkpoint().await.expect("running");
    assert_eq!(node.ledger.disk().commands.len(), 3);
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_replica_has_let_go_of_its_machine() {
    let node = single();
    let (group, _) = node.start_single().await;
    assert!(node.ledger.has_machine());
    group.stop().await;
    assert!(!node.ledger.has_machine());
    assert!(!group.leadership().borrow().is_leader);
    assert!(group.wait_for_leadership().await.is_err());
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_machine_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    let last = group.propose(term, Bytes::from_static(FAULT));
    assert_eq!(last.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("asked to break"));
    closed(group.leadership()).await;
    assert_eq!(
        group.propose(term, commands(0)).await,
        Err(ProposeError::Stopped(Stopped))
    );
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_machine_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    let last = group.propose(term, Bytes::from_static(PANIC));
    assert_eq!(last.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("panicked"));
    closed(group.leadership()).await;
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_log_stops_its_replica() {
    let node = single();
    let (group, term) = node.start_single().await;
    propose_all(&group, term, 0..1).await;
    node.disk.fail();
    let lost = group.propose(term, commands(1));
    assert_eq!(lost.await, Err(ProposeError::Unknown));
    assert!(node.fault().await.contains("the log failed"));
    closed(group.leadership()).await;
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_done_before_the_group_begins() {
    let node = single();
    let group = node.start().await.expect("starts");
    assert_eq!(
        group.propose(0, commands(0)).await,
        Err(ProposeError::NotLeader { leader: None })
    );
    assert_eq!(
        group.read_barrier().await,
        Err(ReadError::NotLeader { leader: None })
    );
    assert_eq!(group.checkpoint().await, Ok(None));
    group.stop().await;
}
