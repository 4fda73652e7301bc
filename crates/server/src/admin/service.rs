//! The Admin service: what is asked, and who may be told what.

use std::sync::Arc;
use std::time::Duration;

use longhaul_cluster::catalog::{Catalog, Command, MemberState, Reply};
use longhaul_cluster::meta::{MetaStatus, TransferError};
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use tonic::{Request, Response, Status};
use wire::admin_server::Admin;
use wire::{set_node_state_request as state_request, transfer_leader_request as transfer_request};

use super::backup::{Coordinator, PartStream};
use super::health;
use super::nodes::Nodes;
use super::sources::{Cluster, Leaders};
use super::view::Seen;
use super::wishes::{self, Called, Refused};

/// How long what is only looked at waits for a majority.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// Answers operators.
pub(super) struct Service {
    pub(super) node: NodeId,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) leaders: Leaders,
    pub(super) nodes: Nodes,
    pub(super) backups: Coordinator,
}

impl Service {
    /// What there is, whether or not a majority answers.
    async fn look(&self) -> Result<wire::Cluster, Status> {
        let read = tokio::time::timeout(LOOK_PATIENCE, self.cluster.read());
        let status = tokio::time::timeout(LOOK_PATIENCE, self.cluster.leader_status());
        let (read, status) = tokio::join!(read, status);
        let (read, status) = (
            read.ok().and_then(Result::ok),
            status.ok().and_then(Result::ok),
        );
        let confirmed = read.is_some() && status.is_some();
        let catalog = read.or_else(|| self.cluster.copy());
        let catalog = catalog.ok_or_else(|| {
            Status::unavailable(
                "this node has not been told yet what the cluster is; ask another one",
            )
        })?;
        Ok(Seen {
            catalog: &catalog,
            status: &status.unwrap_or_else(|| self.cluster.status()),
            leaders: &(self.leaders)(),
            answered_by: self.node,
            confirmed,
        }
        .cluster())
    }

    /// What wishes are judged by.
    async fn newest(&self) -> Result<(Arc<Catalog>, MetaStatus), Status> {
        let (catalog, status) = tokio::join!(self.cluster.read(), self.cluster.leader_status());
        let catalog = catalog.map_err(unavailable)?;
        Ok((catalog, status.map_err(unavailable)?))
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn get_cluster(
        &self,
        _: Request<wire::GetClusterRequest>,
    ) -> Result<Response<wire::Cluster>, Status> {
        self.look().await.map(Response::new)
    }

    async fn health(
        &self,
        _: Request<wire::HealthRequest>,
    ) -> Result<Response<wire::HealthReport>, Status> {
        let cluster = self.look().await?;
        let up = cluster.nodes.iter().filter(|node| {
            // Those that are down would be waited for in vain.
            node.contact.is_none_or(|contact| contact.up)
        });
        let up: Vec<NodeId> = up.map(|node| NodeId(node.id)).collect();
        let reports = self.nodes.reports(up).await;
        let findings = health::findings(&cluster, &reports);
        Ok(Response::new(wire::HealthReport { findings }))
    }

    async fn set_node_state(
        &self,
        request: Request<wire::SetNodeStateRequest>,
    ) -> Result<Response<wire::SetNodeStateResponse>, Status> {
        let request = request.into_inner();
        let wanted = wanted(request.state())?;
        let called = match request.node {
            Some(state_request::Node::Id(id)) => Called::Id(id),
            Some(state_request::Node::Name(name)) => Called::Name(name),
            None => return Err(Status::invalid_argument("no node is named")),
        };
        let (catalog, status) = self.newest().await?;
        let cluster = wishes::Cluster {
            catalog: &catalog,
            status: &status,
        };
        let node = cluster.find(&called).map_err(refused)?;
        let wish = cluster.may_become(node, wanted, request.only_if_down);
        wish.map_err(refused)?;
        let (node, _) = node;
        let command = Command::SetState {
            node,
            state: wanted,
        };
        match self.cluster.propose(command).await.map_err(unavailable)? {
            Reply::Refused(refusal) => Err(Status::failed_precondition(refusal.to_string())),
            Reply::Done | Reply::Joined(_) | Reply::Hub(_) => {
                tracing::info!(node = node.0, state = %wanted, "an operator has changed what is wanted of a node");
                Ok(Response::new(wire::SetNodeStateResponse { node: node.0 }))
            }
        }
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let request = request.into_inner();
        let called = match request.to {
            Some(transfer_request::To::Id(id)) => Called::Id(id),
            Some(transfer_request::To::Name(name)) => Called::Name(name),
            None => return Err(Status::invalid_argument("no node is named")),
        };
        let (catalog, status) = self.newest().await?;
        let cluster = wishes::Cluster {
            catalog: &catalog,
            status: &status,
        };
        let to = cluster.find(&called).map_err(refused)?;
        let partition = cluster.may_lead(request.partition, to).map_err(refused)?;
        let (to, _) = to;
        let handed_over = self.cluster.transfer(partition, to).await;
        handed_over.map_err(|error| match error {
            TransferError::Unavailable(error) => unavailable(error),
            failed @ TransferError::Failed { .. } => Status::unavailable(failed.to_string()),
        })?;
        Ok(Response::new(wire::TransferLeaderResponse { node: to.0 }))
    }

    type BackupStream = PartStream;

    async fn backup(
        &self,
        _: Request<wire::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        Ok(Response::new(self.backups.clone().take()))
    }
}

fn wanted(state: wire::NodeState) -> Result<MemberState, Status> {
    match state {
        wire::NodeState::Active => Ok(MemberState::Active),
        wire::NodeState::Draining => Ok(MemberState::Draining),
        wire::NodeState::Leaving => Ok(MemberState::Leaving),
        wire::NodeState::Gone => Ok(MemberState::Gone),
        wire::NodeState::Unspecified => Err(Status::invalid_argument("no state is named")),
    }
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Unknown(text) => Status::not_found(text),
        Refused::NotNow(text) => Status::failed_precondition(text),
    }
}

fn unavailable(error: longhaul_cluster::meta::Unavailable) -> Status {
    Status::unavailable(error.to_string())
}
