//! The generated client, over a pipe in memory.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use longhaul_proto::sidecar::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tokio::io::DuplexStream;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};

use super::connection::serve;
use crate::Server;

/// Calls as SDKs make them.
pub(crate) type Client = TaskHubSidecarServiceClient<Channel>;

pub(super) fn client(service: Server) -> Client {
    let endpoint = Endpoint::from_static("http://node");
    Client::new(endpoint.connect_with_connector_lazy(Pipes(service)))
}

/// Connects by making a pipe.
struct Pipes(Server);

impl Service<Uri> for Pipes {
    type Response = TokioIo<DuplexStream>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(Ok(serve(self.0.clone())))
    }
}
