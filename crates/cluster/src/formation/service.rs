//! The calls of other nodes, over gRPC.

use std::sync::Arc;

use longhaul_proto::cluster::v1::{
    self as proto,
    formation_server::{Formation, FormationServer},
};
use longhaul_types::NodeId;
use tonic::{Request, Response, Status, service::Routes};

use super::{
    Denied, Invitation,
    desk::Desk,
    record::{belonging_message, first, first_message, whereabouts_message},
};
use crate::codec::{self, DecodeFault};

pub(super) fn routes(desk: Arc<Desk>) -> Routes {
    Routes::new(FormationServer::new(Service(desk)))
}

struct Service(Arc<Desk>);

#[tonic::async_trait]
impl Formation for Service {
    async fn describe(
        &self,
        _request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::Description>, Status> {
        let description = self.0.describe();
        Ok(Response::new(proto::Description {
            node: Some(codec::join_message(&description.node)),
            peers: description.peers.iter().map(ToString::to_string).collect(),
            membership: description.belongs.map(belonging_message),
        }))
    }

    async fn invite(
        &self,
        request: Request<proto::Invitation>,
    ) -> Result<Response<proto::Accepted>, Status> {
        let message = request.into_inner();
        let cluster = codec::needed("a cluster", message.cluster).map_err(malformed)?;
        let invitation = Invitation {
            first: first(cluster).map_err(malformed)?,
            node: NodeId(message.node),
        };
        self.0.be_invited(invitation).map_err(status)?;
        Ok(Response::new(proto::Accepted {}))
    }

    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::Admitted>, Status> {
        let node = codec::needed("a node's description", request.into_inner().node);
        let join = node.and_then(codec::join).map_err(malformed)?;
        let admitted = self.0.admit(join).await.map_err(status)?;
        Ok(Response::new(proto::Admitted {
            membership: Some(belonging_message(admitted.belonging)),
            cluster: admitted.first.as_ref().map(first_message),
            nodes: whereabouts_message(&admitted.nodes),
        }))
    }
}

fn malformed(fault: DecodeFault) -> Status {
    Status::invalid_argument(fault.to_string())
}

fn status(denied: Denied) -> Status {
    match denied {
        Denied::Later(reason) => Status::unavailable(reason),
        Denied::Refused(reason) => Status::failed_precondition(reason),
    }
}
