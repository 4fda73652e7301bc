//! A worker against a server that drops its streams.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use longhaul_proto::sidecar::{
    CompleteTaskResponse, ExecutionStartedEvent, HealthPing, HistoryEvent, OrchestratorRequest,
    OrchestratorResponse, history_event::EventType,
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{
    Request as Call, Response, Status, body::Body, codegen::http, server::Grpc,
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;

use super::*;
use crate::{
    Client, Endpoint, Worker,
    worker::{Registry, Turn, actions},
};

/// Ends the first stream after one work item; keeps the second one open.
#[derive(Clone)]
struct DroppingServer {
    streams: Arc<AtomicU32>,
    completions: mpsc::Sender<OrchestratorResponse>,
}

impl DroppingServer {
    fn work_items(&self) -> stream::BoxStream<'static, Result<WorkItem, Status>> {
        let nth = self.streams.fetch_add(1, Ordering::SeqCst);
        let delivered = stream::iter([Ok(ping()), Ok(work_item(&format!("token {nth}")))]);
        match nth {
            0 => delivered
                .chain(stream::iter([Err(Status::unavailable("draining"))]))
                .boxed(),
            _ => delivered.chain(stream::pending()).boxed(),
        }
    }
}

impl tonic::server::NamedService for DroppingServer {
    const NAME: &'static str = "TaskHubSidecarService";
}

impl tower::Service<http::Request<Body>> for DroppingServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let server = self.clone();
        match call.uri().path().rsplit('/').next() {
            Some("GetWorkItems") => {
                let open = tower::service_fn(move |_: Call<GetWorkItemsRequest>| {
                    let items = server.work_items();
                    async move { Ok::<_, Status>(Response::new(items)) }
                });
                async move {
                    Ok(Grpc::new(ProstCodec::default())
                        .server_streaming(open, call)
                        .await)
                }
                .boxed()
            }
            Some("CompleteOrchestratorTask") => {
                let complete = tower::service_fn(move |call: Call<OrchestratorResponse>| {
                    let completions = server.completions.clone();
                    async move {
                        completions
                            .send(call.into_inner())
                            .await
                            .map_err(|_| Status::cancelled("test over"))?;
                        Ok::<_, Status>(Response::new(CompleteTaskResponse {}))
                    }
                });
                async move { Ok(Grpc::new(ProstCodec::default()).unary(complete, call).await) }
                    .boxed()
            }
            _ => async { Ok(Status::unimplemented("not needed here").into_http()) }.boxed(),
        }
    }
}

fn ping() -> WorkItem {
    WorkItem {
        request: Some(Request::HealthPing(HealthPing {})),
        completion_token: String::new(),
    }
}

fn work_item(token: &str) -> WorkItem {
    let started = ExecutionStartedEvent {
        name: "greet".to_owned(),
        ..Default::default()
    };
    let started = HistoryEvent {
        event_id: -1,
        timestamp: None,
        event_type: Some(EventType::ExecutionStarted(started)),
    };
    let request = OrchestratorRequest {
        instance_id: "i".to_owned(),
        new_events: vec![started],
        ..Default::default()
    };
    WorkItem {
        request: Some(Request::OrchestratorRequest(request)),
        completion_token: token.to_owned(),
    }
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_and_its_work_item_answered_anew() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback is there");
    let endpoint = Endpoint::new(&listener.local_addr().expect("it is bound").to_string())
        .expect("an address is a URL");
    let (completions, mut completed) = mpsc::channel(4);
    let server = DroppingServer {
        streams: Arc::default(),
        completions,
    };
    let serving = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(server)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );

    let client = Client::connect(&endpoint)
        .await
        .expect("the server listens");
    let registry = Registry::default().orchestrator("greet", |_: &Turn<'_>| {
        vec![actions::complete(1, Some("hi".to_owned()))]
    });
    let slots = Slots {
        orchestrations: NonZeroU32::MIN,
        activities: NonZeroU32::MIN,
    };
    let worker = Worker::start(client, registry, slots);
    for token in ["token 0", "token 1"] {
        let response = completed.recv().await.expect("the server runs");
        assert_eq!(response.completion_token, token);
        assert_eq!(
            response.actions,
            [actions::complete(1, Some("hi".to_owned()))]
        );
    }

    let totals = worker.stop().await;
    assert_eq!((totals.streams, totals.turns, totals.unanswered), (2, 2, 0));
    serving.abort();
}
