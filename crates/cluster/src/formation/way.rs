//! Calls to other nodes while a cluster is formed.

use futures::FutureExt;
use longhaul_peer::Calls;
use longhaul_proto::cluster::v1::{self as proto, formation_client::FormationClient};
use tonic::{Code, Status, transport::Channel};

use super::{
    Admitted, Call, Description, Invitation,
    record::{belonging, first, first_message, whereabouts},
};
use crate::catalog::Join;
use crate::codec::{self, DecodeFault};

/// A call without an answer, or with one that says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// No answer, or none that is final.
    #[error("{0}")]
    Unreachable(String),
    /// The node says no.
    #[error("{0}")]
    Refused(String),
}

/// The way to other nodes, of which only the address is known.
pub trait Way: Send + Sync + 'static {
    /// Asks what a node is.
    fn describe(&self, address: &str) -> Call<Description>;

    /// Has a node be one of a cluster.
    fn invite(&self, address: &str, invitation: Invitation) -> Call<()>;

    /// Asks to be admitted to a node's cluster.
    fn join(&self, address: &str, join: Join) -> Call<Admitted>;
}

/// Over the port that nodes have for each other.
#[derive(Clone, Debug)]
pub struct GrpcWay(pub Calls);

impl GrpcWay {
    async fn client(self, address: Box<str>) -> Result<FormationClient<Channel>, CallFailure> {
        let channel = self.0.channel(&address).await;
        let channel = channel.map_err(|error| CallFailure::Unreachable(error.to_string()))?;
        Ok(FormationClient::new(channel))
    }
}

impl Way for GrpcWay {
    fn describe(&self, address: &str) -> Call<Description> {
        let client = self.clone().client(address.into());
        async move {
            let described = client.await?.describe(proto::DescribeRequest {}).await;
            Ok(description(described.map_err(failure)?.into_inner())?)
        }
        .boxed()
    }

    fn invite(&self, address: &str, invitation: Invitation) -> Call<()> {
        let client = self.clone().client(address.into());
        async move {
            let message = proto::Invitation {
                cluster: Some(first_message(&invitation.first)),
                node: invitation.node.0,
            };
            client.await?.invite(message).await.map_err(failure)?;
            Ok(())
        }
        .boxed()
    }

    fn join(&self, address: &str, join: Join) -> Call<Admitted> {
        let client = self.clone().client(address.into());
        async move {
            let node = Some(codec::join_message(&join));
            let admitted = client.await?.join(proto::JoinRequest { node }).await;
            Ok(self::admitted(admitted.map_err(failure)?.into_inner())?)
        }
        .boxed()
    }
}

impl From<DecodeFault> for CallFailure {
    fn from(fault: DecodeFault) -> Self {
        Self::Unreachable(fault.to_string())
    }
}

fn failure(status: Status) -> CallFailure {
    let reason = status.message().to_owned();
    match status.code() {
        Code::FailedPrecondition => CallFailure::Refused(reason),
        code if reason.is_empty() => CallFailure::Unreachable(code.description().to_owned()),
        _ => CallFailure::Unreachable(reason),
    }
}

fn description(message: proto::Description) -> Result<Description, DecodeFault> {
    Ok(Description {
        node: codec::join(codec::needed("a node's description", message.node)?)?,
        peers: message.peers.into_iter().map(Into::into).collect(),
        belongs: message.membership.as_ref().map(belonging).transpose()?,
    })
}

fn admitted(message: proto::Admitted) -> Result<Admitted, DecodeFault> {
    let membership = codec::needed("a node's identity", message.membership)?;
    Ok(Admitted {
        belonging: belonging(&membership)?,
        first: message.cluster.map(first).transpose()?,
        nodes: whereabouts(message.nodes),
    })
}
