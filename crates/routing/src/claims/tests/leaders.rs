//! Work of partitions with several replicas, whose leaders change.

use super::*;
use crate::testing::{BYSTANDER, Cluster, REPLICAS, done, partition_of};
use crate::{Judge, WorkerAnswer};

/// Nobody answers.
struct Nobody;

impl Judge for Nobody {
    fn judge(
        &self,
        _partition: Partition,
        answer: WorkerAnswer,
    ) -> BoxFuture<'static, Result<(), longhaul_partition::ProposeError>> {
        panic!("{answer:?}")
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_change_of_leader_items_come_again_from_the_next_one() {
    let cluster = Cluster::start().await;
    for node in cluster.nodes.values() {
        node.router.appoint(Arc::new(Nobody), Arc::new(Plain));
    }
    let id = partition_of("a");
    let router = cluster.router(BYSTANDER);
    let mut stream = router.sessions().open(SessionSpec {
        hub: HUB,
        worker_id: None,
        limits: [1; 3],
        filters: None,
        capabilities: Capabilities::default(),
    });
    done(&router.home(&key("a")), create("a")).await;
    let first = next(&mut stream).await;
    assert_eq!(text(&first), "orchestration of a");

    let old = cluster.leader(id).await;
    let heir = REPLICAS.into_iter().find(|it| *it != old).expect("two");
    let group = cluster.replica(old, id).expect("it leads");
    let handed = group.group().transfer_leader(heir).await;
    handed.expect("handed over");
    // There is room for one, and so the first must be over.
    let again = next(&mut stream).await;
    assert_eq!(text(&again), "orchestration of a");
    assert_ne!(again.token(), first.token());
    assert_eq!(router.sessions().out(), 1);
}
