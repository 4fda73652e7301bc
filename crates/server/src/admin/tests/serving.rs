//! Calls to the service, over a cluster that does what a test wants.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_cluster::catalog::{Catalog, Command, MemberState, Reply};
use longhaul_cluster::meta::{MetaStatus, TransferError, Unavailable};
use longhaul_partition::{Partitions, Setup, SystemClock, SystemRandomness};
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::{GroupConfig, Network, NodeId};
use longhaul_types::PartitionId;
use parking_lot::Mutex;
use tonic::{Code, Request};
use wire::admin_server::Admin;
use wire::{set_node_state_request as state_request, transfer_leader_request as transfer_request};

use super::super::service::Service;
use super::super::{AdminSetup, Cluster, service};
use super::{MadeUp, of_nodes};

/// A meta group that may have no majority.
struct Meta {
    made_up: Mutex<MadeUp>,
    has_majority: bool,
    transferred: Mutex<Vec<(PartitionId, NodeId)>>,
}

impl Meta {
    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, Unavailable>> {
        let answer = match self.has_majority {
            true => Ok(answer),
            false => Err(Unavailable::NotApplied("nobody leads".to_owned())),
        };
        std::future::ready(answer).boxed()
    }
}

impl Cluster for Meta {
    fn copy(&self) -> Option<Arc<Catalog>> {
        Some(Arc::new(self.made_up.lock().catalog.clone()))
    }

    fn read(&self) -> BoxFuture<'static, Result<Arc<Catalog>, Unavailable>> {
        self.answer(self.copy().expect("there"))
    }

    fn propose(&self, command: Command) -> BoxFuture<'static, Result<Reply, Unavailable>> {
        let reply = self.made_up.lock().catalog.apply(command);
        self.answer(reply)
    }

    fn status(&self) -> MetaStatus {
        self.made_up.lock().status.clone()
    }

    fn leader_status(&self) -> BoxFuture<'static, Result<MetaStatus, Unavailable>> {
        self.answer(self.status())
    }

    fn transfer(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> BoxFuture<'static, Result<(), TransferError>> {
        self.transferred.lock().push((partition, to));
        std::future::ready(Ok(())).boxed()
    }
}

fn serve(made_up: MadeUp, has_majority: bool) -> (Arc<Meta>, Service) {
    let count = made_up.catalog.founding.partitions;
    let meta = Arc::new(Meta {
        made_up: Mutex::new(made_up),
        has_majority,
        transferred: Mutex::default(),
    });
    let randomness = Arc::new(SystemRandomness::default());
    let partitions = Partitions::new(Setup {
        count,
        node: NodeId(1),
        config: longhaul_partition::Config::default(),
        group_config: GroupConfig::default(),
        network: Network::none(),
        courier: None,
        clock: Arc::new(SystemClock),
        randomness: randomness.clone(),
        token_key: [0; 32],
        on_fault: Arc::new(|partition, cause| panic!("{partition}: {cause}")),
    });
    let service = service(AdminSetup {
        node: NodeId(1),
        cluster: meta.clone(),
        leaders: Arc::new(Default::default),
        partitions,
        others: None,
        data: std::env::temp_dir(),
        clock: Arc::new(SystemClock),
        randomness,
    });
    (meta, service)
}

async fn cluster(service: &Service) -> wire::Cluster {
    let asked = service
        .get_cluster(Request::new(wire::GetClusterRequest {}))
        .await;
    asked.expect("answered").into_inner()
}

fn wants(node: &str, state: wire::NodeState) -> Request<wire::SetNodeStateRequest> {
    Request::new(wire::SetNodeStateRequest {
        node: Some(state_request::Node::Name(node.to_owned())),
        state: state.into(),
        only_if_down: false,
    })
}

#[tokio::test]
async fn the_cluster_is_told_with_and_without_a_majority() {
    for has_majority in [true, false] {
        let (_, service) = serve(of_nodes(4), has_majority);
        let cluster = cluster(&service).await;
        assert_eq!(cluster.maybe_old, !has_majority);
        assert_eq!(cluster.cluster_id, "07".repeat(16));
        assert_eq!(
            (
                cluster.partition_count,
                cluster.replicas,
                cluster.answered_by
            ),
            (2, 3, 1)
        );
        let group = cluster.meta_group.expect("there");
        assert_eq!((group.leader, &group.voters[..]), (Some(1), &[1, 2, 3][..]));

        let [first, .., last] = &cluster.nodes[..] else {
            panic!("four nodes");
        };
        assert_eq!((first.id, &*first.name, &*first.zone), (1, "n1", "a"));
        assert_eq!((first.replicas_held, first.partitions_led), (2, 2));
        assert_eq!(
            first.contact.map(|it| (it.up, it.milliseconds)),
            Some((true, 60_000))
        );
        assert_eq!(
            (last.id, last.replicas_held, last.partitions_led),
            (4, 0, 0)
        );
        assert_eq!(
            (&*last.clients_address, &*last.peers_address),
            ("n4:8080", "n4:8081")
        );
        let partition = &cluster.partitions[1];
        assert_eq!((partition.id, partition.leader), (1, Some(1)));
        assert_eq!(partition.voters, [1, 2, 3]);
    }
}

#[tokio::test]
async fn what_is_granted_is_decided() {
    let (meta, service) = serve(of_nodes(4), true);
    let answer = service
        .set_node_state(wants("n4", wire::NodeState::Leaving))
        .await;
    assert_eq!(answer.expect("granted").into_inner().node, 4);
    let state = meta
        .made_up
        .lock()
        .catalog
        .members
        .get(NodeId(4))
        .expect("a member")
        .state;
    assert_eq!(state, MemberState::Leaving);

    let answer = service
        .set_node_state(wants("n4", wire::NodeState::Gone))
        .await;
    answer.expect("granted");
    assert!(meta.made_up.lock().catalog.members.get(NodeId(4)).is_none());
    assert_eq!(cluster(&service).await.nodes.len(), 3);
}

#[tokio::test]
async fn refusals_change_nothing() {
    let (meta, service) = serve(of_nodes(3), true);
    let before = meta.made_up.lock().catalog.clone();
    for (request, code) in [
        (
            wants("n3", wire::NodeState::Leaving),
            Code::FailedPrecondition,
        ),
        (wants("n3", wire::NodeState::Gone), Code::FailedPrecondition),
        (wants("n9", wire::NodeState::Draining), Code::NotFound),
        (
            wants("n3", wire::NodeState::Unspecified),
            Code::InvalidArgument,
        ),
        (
            Request::new(wire::SetNodeStateRequest::default()),
            Code::InvalidArgument,
        ),
    ] {
        let shown = format!("{request:?}");
        let refusal = service.set_node_state(request).await.expect_err(&shown);
        assert_eq!(refusal.code(), code, "{shown}: {}", refusal.message());
    }
    assert_eq!(meta.made_up.lock().catalog, before);
}

#[tokio::test]
async fn nothing_is_wanted_without_a_majority() {
    let (_, service) = serve(of_nodes(4), false);
    let refusal = service
        .set_node_state(wants("n4", wire::NodeState::Leaving))
        .await;
    assert_eq!(refusal.expect_err("no majority").code(), Code::Unavailable);
}

#[tokio::test]
async fn leadership_is_handed_over_to_whoever_may_have_it() {
    let (meta, service) = serve(of_nodes(4), true);
    let request = |partition, node| {
        Request::new(wire::TransferLeaderRequest {
            partition,
            to: Some(transfer_request::To::Id(node)),
        })
    };
    let answer = service
        .transfer_leader(request(1, 2))
        .await
        .expect("handed over");
    assert_eq!(answer.into_inner().node, 2);
    assert_eq!(*meta.transferred.lock(), [(PartitionId(1), NodeId(2))]);
    for (partition, node, code) in [
        (1, 4, Code::FailedPrecondition),
        (2, 1, Code::NotFound),
        (1, 9, Code::NotFound),
    ] {
        let refusal = service.transfer_leader(request(partition, node)).await;
        assert_eq!(refusal.expect_err("refused").code(), code);
    }
    assert_eq!(meta.transferred.lock().len(), 1);
}

#[tokio::test]
async fn health_is_that_of_the_cluster_and_of_this_nodes_disk() {
    let mut made_up = of_nodes(3);
    made_up.goes_down(3);
    let (_, service) = serve(made_up, true);
    let report = service.health(Request::new(wire::HealthRequest {})).await;
    let kinds: Vec<String> = report
        .expect("answered")
        .into_inner()
        .findings
        .into_iter()
        .map(|it| it.kind)
        .filter(|kind| kind != "disk-nearly-full")
        .collect();
    assert_eq!(kinds, ["replica-down", "node-down"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_leads_cannot_be_copied() {
    use tokio_stream::StreamExt;

    let (_, service) = serve(of_nodes(1), true);
    let parts = service.backup(Request::new(wire::BackupRequest {})).await;
    let mut parts = parts.expect("begun").into_inner();
    let failure = parts
        .next()
        .await
        .expect("an answer")
        .expect_err("no leader");
    assert_eq!(failure.code(), Code::Unavailable);
    assert!(
        failure.message().contains("does not lead"),
        "{}",
        failure.message()
    );
    assert!(parts.next().await.is_none());
}
