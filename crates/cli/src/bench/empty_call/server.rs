//! Serves the empty call over the same library and with the same connection settings as any gRPC server of ours.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, body::Body, codegen::http, server::Grpc,
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;

/// The method's path, for the caller.
pub(super) const PATH: &str = "/longhaul.bench.Empty/Call";

const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

#[derive(Debug, Clone)]
struct EmptyService;

impl tonic::server::NamedService for EmptyService {
    const NAME: &'static str = "longhaul.bench.Empty";
}

impl tower::Service<http::Request<Body>> for EmptyService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let answer =
            tower::service_fn(|_: Request<()>| async { Ok::<_, Status>(Response::new(())) });
        async move {
            Ok(Grpc::new(ProstCodec::<(), ()>::default())
                .unary(answer, call)
                .await)
        }
        .boxed()
    }
}

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_service(EmptyService)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
