//! A server of the Admin service that plays a cluster.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use longhaul_proto::admin::v1 as wire;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use wire::admin_server::{Admin, AdminServer};

/// What the cluster is, becomes, and was asked for.
#[derive(Clone)]
pub(super) struct FakeCluster(Arc<Mutex<Play>>);

struct Play {
    now: wire::Cluster,
    /// What the next answers say instead.
    next: VecDeque<wire::Cluster>,
    findings: Vec<wire::Finding>,
    refusal: Option<Status>,
    asked: Vec<wire::SetNodeStateRequest>,
    parts: Vec<wire::BackupPart>,
}

/// Three nodes and two partitions, of which one moves to the third node; and a node that is gone.
pub(super) fn cluster() -> FakeCluster {
    let node = |id: u64, name: &str, led: u32| wire::Node {
        id,
        name: name.to_owned(),
        peers_address: format!("{name}.example:8081"),
        clients_address: format!("{name}.example:8080"),
        zone: if id == 3 {
            String::new()
        } else {
            format!("zone-{id}")
        },
        state: wire::NodeState::Active.into(),
        contact: Some(wire::Contact {
            up: id != 2,
            milliseconds: 3_723_456,
        }),
        replicas_held: 2,
        partitions_led: led,
        replaced_by: None,
    };
    let mut gone = node(4, "n2", 0);
    gone.state = wire::NodeState::Gone.into();
    gone.contact = None;
    gone.replaced_by = Some(2);
    let settled = wire::Partition {
        id: 0,
        leader: Some(1),
        voters: vec![1, 2],
        wanted: vec![2, 1],
        ..wire::Partition::default()
    };
    let moving = wire::Partition {
        id: 1,
        leader: None,
        voters: vec![1, 2],
        wanted: vec![1, 3],
        r#move: Some(wire::Move {
            add: Some(3),
            remove: Some(2),
            phase: wire::MovePhase::CatchingUp.into(),
        }),
        learners: vec![wire::Learner {
            node: 3,
            lag: Some(1_234),
        }],
    };
    let now = wire::Cluster {
        cluster_id: "000102030405060708090a0b0c0d0e0f".to_owned(),
        partition_count: 2,
        replicas: 2,
        answered_by: 1,
        maybe_old: false,
        nodes: vec![node(1, "n1", 1), node(2, "n2", 0), node(3, "n3", 0), gone],
        partitions: vec![settled, moving],
        meta_group: Some(wire::MetaGroup {
            leader: Some(1),
            voters: vec![1, 2, 3],
        }),
    };
    FakeCluster(Arc::new(Mutex::new(Play {
        now,
        next: VecDeque::new(),
        findings: Vec::new(),
        refusal: None,
        asked: Vec::new(),
        parts: Vec::new(),
    })))
}

impl FakeCluster {
    pub(super) fn change(&mut self, change: impl FnOnce(&mut wire::Cluster)) {
        change(&mut self.0.lock().expect("not poisoned").now);
    }

    /// One of the answers, in order; the last one is given again and again.
    pub(super) fn then(&mut self, change: impl FnOnce(&mut wire::Cluster)) {
        let mut play = self.0.lock().expect("not poisoned");
        let mut next = play.next.back().unwrap_or(&play.now).clone();
        change(&mut next);
        play.next.push_back(next);
    }

    pub(super) fn find(&mut self, findings: Vec<wire::Finding>) {
        self.0.lock().expect("not poisoned").findings = findings;
    }

    pub(super) fn refuse(&mut self, refusal: Status) {
        self.0.lock().expect("not poisoned").refusal = Some(refusal);
    }

    pub(super) fn send(&mut self, parts: Vec<wire::BackupPart>) {
        self.0.lock().expect("not poisoned").parts = parts;
    }

    pub(super) fn asked(&self) -> Vec<wire::SetNodeStateRequest> {
        self.0.lock().expect("not poisoned").asked.clone()
    }
}

/// Serves until the test ends; answers where.
pub(super) async fn serve(cluster: FakeCluster) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let incoming = TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(AdminServer::new(cluster));
    tokio::spawn(server.serve_with_incoming(incoming));
    url
}

#[tonic::async_trait]
impl Admin for FakeCluster {
    async fn get_cluster(
        &self,
        _: Request<wire::GetClusterRequest>,
    ) -> Result<Response<wire::Cluster>, Status> {
        let mut play = self.0.lock().expect("not poisoned");
        if let Some(next) = play.next.pop_front() {
            play.now = next;
        }
        Ok(Response::new(play.now.clone()))
    }

    async fn health(
        &self,
        _: Request<wire::HealthRequest>,
    ) -> Result<Response<wire::HealthReport>, Status> {
        let findings = self.0.lock().expect("not poisoned").findings.clone();
        Ok(Response::new(wire::HealthReport { findings }))
    }

    async fn set_node_state(
        &self,
        request: Request<wire::SetNodeStateRequest>,
    ) -> Result<Response<wire::SetNodeStateResponse>, Status> {
        let mut play = self.0.lock().expect("not poisoned");
        play.asked.push(request.into_inner());
        match &play.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(wire::SetNodeStateResponse { node: 3 })),
        }
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let to = request.into_inner().to;
        assert_eq!(
            to,
            Some(wire::transfer_leader_request::To::Name("n3".to_owned()))
        );
        Ok(Response::new(wire::TransferLeaderResponse { node: 3 }))
    }

    type BackupStream = futures::stream::BoxStream<'static, Result<wire::BackupPart, Status>>;

    async fn backup(
        &self,
        _: Request<wire::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let play = self.0.lock().expect("not poisoned");
        let parts = play.parts.clone().into_iter().map(Ok);
        let refusal = play.refusal.clone().map(Err);
        let stream = futures::stream::iter(parts.chain(refusal).collect::<Vec<_>>());
        Ok(Response::new(Box::pin(stream)))
    }
}
