//! A worker against a server that follows a script.

use std::{
    collections::VecDeque,
    convert::Infallible,
    num::NonZeroU32,
    sync::Mutex,
    task::{Context, Poll},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use longhaul_proto::sidecar::{
    AbandonOrchestrationTaskRequest, AbandonOrchestrationTaskResponse, CompleteTaskResponse,
    EntityBatchResult, EntityFilter, EntityOperationSignaledEvent, EntityRequest, EventRaisedEvent,
    ExecutionStartedEvent, HealthPing, HistoryChunk, HistoryEvent, OrchestratorRequest,
    OrchestratorResponse, StreamInstanceHistoryRequest, history_event::EventType,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tonic::{
    Request as Call, Response, Status, body::Body, codegen::http, server::Grpc,
    transport::server::TcpIncoming,
};
use tonic_prost::{ProstCodec, prost::Message};

use super::*;
use crate::{
    Client, Endpoint, Worker,
    worker::{Operated, Operation, Registry, Turn, actions},
};

/// What one stream delivers before it falls silent, or ends with a status.
type Script = Vec<Result<WorkItem, Status>>;

/// A call of the worker.
#[derive(Debug, Clone, PartialEq)]
enum Called {
    GetWorkItems(GetWorkItemsRequest),
    History(StreamInstanceHistoryRequest),
    Turn(OrchestratorResponse),
    Batch(EntityBatchResult),
    AbandonedTurn(AbandonOrchestrationTaskRequest),
}

/// Plays a script on each stream that is opened, and tells what was called.
#[derive(Clone)]
struct ScriptedServer {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    /// What StreamInstanceHistory answers.
    history: Arc<[HistoryEvent]>,
    calls: mpsc::Sender<Called>,
}

impl ScriptedServer {
    /// Starts it and connects a client.
    async fn start(
        scripts: impl IntoIterator<Item = Script>,
        history: Vec<HistoryEvent>,
    ) -> (Client, mpsc::Receiver<Called>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback is there");
        let endpoint = Endpoint::new(&listener.local_addr().expect("it is bound").to_string())
            .expect("an address is a URL");
        let (calls, called) = mpsc::channel(64);
        let server = Self {
            scripts: Arc::new(Mutex::new(scripts.into_iter().collect())),
            history: history.into(),
            calls,
        };
        let serving = tonic::transport::Server::builder()
            .add_service(server)
            .serve_with_incoming(TcpIncoming::from(listener));
        let serving = tokio::spawn(async { serving.await.expect("it serves until aborted") });
        let client = Client::connect(&endpoint)
            .await
            .expect("the server listens");
        (client, called, serving)
    }

    async fn tell(&self, called: Called) -> Result<(), Status> {
        let told = self.calls.send(called).await;
        told.map_err(|_| Status::cancelled("test over"))
    }

    async fn work_items(
        self,
        request: GetWorkItemsRequest,
    ) -> Result<Response<stream::BoxStream<'static, Result<WorkItem, Status>>>, Status> {
        self.tell(Called::GetWorkItems(request)).await?;
        let script = self.scripts.lock().expect("nobody panics").pop_front();
        let script = script.unwrap_or_default();
        let is_ended = script.iter().any(Result::is_err);
        let items = stream::iter([Ok(ping())]).chain(stream::iter(script));
        Ok(Response::new(match is_ended {
            true => items.boxed(),
            false => items.chain(stream::pending()).boxed(),
        }))
    }

    async fn history(
        self,
        request: StreamInstanceHistoryRequest,
    ) -> Result<Response<stream::BoxStream<'static, Result<HistoryChunk, Status>>>, Status> {
        self.tell(Called::History(request)).await?;
        let chunk = HistoryChunk {
            events: self.history.to_vec(),
        };
        Ok(Response::new(stream::iter([Ok(chunk)]).boxed()))
    }

    /// Answers a unary call with an empty message.
    async fn unary<Q, A>(
        self,
        call: http::Request<Body>,
        called: fn(Q) -> Called,
    ) -> http::Response<Body>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let answer = tower::service_fn(move |call: Call<Q>| {
            let server = self.clone();
            async move {
                server.tell(called(call.into_inner())).await?;
                Ok::<_, Status>(Response::new(A::default()))
            }
        });
        Grpc::new(ProstCodec::default()).unary(answer, call).await
    }
}

impl tonic::server::NamedService for ScriptedServer {
    const NAME: &'static str = "TaskHubSidecarService";
}

impl tower::Service<http::Request<Body>> for ScriptedServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let server = self.clone();
        async move {
            let method = call.uri().path().rsplit('/').next().unwrap_or_default();
            Ok(match method {
                "GetWorkItems" => {
                    let open = tower::service_fn(|call: Call<GetWorkItemsRequest>| {
                        server.clone().work_items(call.into_inner())
                    });
                    Grpc::new(ProstCodec::default())
                        .server_streaming(open, call)
                        .await
                }
                "StreamInstanceHistory" => {
                    let open = tower::service_fn(|call: Call<StreamInstanceHistoryRequest>| {
                        server.clone().history(call.into_inner())
                    });
                    Grpc::new(ProstCodec::default())
                        .server_streaming(open, call)
                        .await
                }
                "CompleteOrchestratorTask" => {
                    server
                        .unary::<_, CompleteTaskResponse>(call, Called::Turn)
                        .await
                }
                "CompleteEntityTask" => {
                    server
                        .unary::<_, CompleteTaskResponse>(call, Called::Batch)
                        .await
                }
                "AbandonTaskOrchestratorWorkItem" => {
                    server
                        .unary::<_, AbandonOrchestrationTaskResponse>(call, Called::AbandonedTurn)
                        .await
                }
                _ => Status::unimplemented("not needed here").into_http(),
            })
        }
        .boxed()
    }
}

fn work_item(token: &str, request: Request) -> WorkItem {
    WorkItem {
        request: Some(request),
        completion_token: token.to_owned(),
    }
}

fn ping() -> WorkItem {
    work_item("", Request::HealthPing(HealthPing {}))
}

fn event(event_type: EventType) -> HistoryEvent {
    HistoryEvent {
        event_id: -1,
        timestamp: None,
        event_type: Some(event_type),
    }
}

fn started() -> HistoryEvent {
    event(EventType::ExecutionStarted(ExecutionStartedEvent {
        name: "greet".to_owned(),
        ..Default::default()
    }))
}

fn raised() -> HistoryEvent {
    event(EventType::EventRaised(EventRaisedEvent::default()))
}

/// The first turn of an instance.
fn first_turn(token: &str) -> WorkItem {
    let request = OrchestratorRequest {
        instance_id: "i".to_owned(),
        new_events: vec![started()],
        ..Default::default()
    };
    work_item(token, Request::OrchestratorRequest(request))
}

/// The second one, its history left out.
fn later_turn(token: &str) -> WorkItem {
    let request = OrchestratorRequest {
        instance_id: "i".to_owned(),
        new_events: vec![raised()],
        requires_history_streaming: true,
        ..Default::default()
    };
    work_item(token, Request::OrchestratorRequest(request))
}

/// Completes at once and says how many events it was shown.
fn greet(turn: &Turn<'_>) -> Vec<longhaul_proto::sidecar::OrchestratorAction> {
    vec![actions::complete(
        1,
        Some(turn.events().count().to_string()),
    )]
}

fn shown(response: &OrchestratorResponse, events: usize) -> bool {
    response.actions == [actions::complete(1, Some(events.to_string()))]
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_and_its_work_item_answered_anew() {
    let scripts = [
        vec![
            Ok(first_turn("token 0")),
            Err(Status::unavailable("draining")),
        ],
        vec![Ok(first_turn("token 1"))],
    ];
    let (client, mut called, serving) = ScriptedServer::start(scripts, Vec::new()).await;
    let registry = Registry::default().orchestrator("greet", greet);
    let slots = Slots::of_each(NonZeroU32::MIN);
    let worker = Worker::start(client, registry, slots, History::Streamed);
    let mut tokens = Vec::new();
    while tokens.len() < 2 {
        if let Called::Turn(response) = called.recv().await.expect("the server runs") {
            assert!(shown(&response, 1), "{response:?}");
            tokens.push(response.completion_token);
        }
    }
    assert_eq!(tokens, ["token 0", "token 1"]);

    let totals = worker.stop().await;
    assert_eq!((totals.streams, totals.turns, totals.unanswered), (2, 2, 0));
    serving.abort();
}

#[tokio::test]
async fn entities_are_asked_for_and_their_batches_answered() {
    let signal = |operation: &str| {
        event(EventType::EntityOperationSignaled(
            EntityOperationSignaledEvent {
                request_id: operation.to_owned(),
                operation: operation.to_owned(),
                ..Default::default()
            },
        ))
    };
    let batch = EntityRequest {
        instance_id: "@echo@1".to_owned(),
        execution_id: "any".to_owned(),
        entity_state: None,
        operation_requests: vec![signal("a"), signal("b")],
    };
    let script = vec![Ok(work_item("token", Request::EntityRequestV2(batch)))];
    let (client, mut called, serving) = ScriptedServer::start([script], Vec::new()).await;
    let registry =
        Registry::default().entity("Echo", |state: Option<&str>, operation: &Operation<'_>| {
            Ok(Operated {
                state: Some(format!("{}{}", state.unwrap_or_default(), operation.name)),
                result: None,
            })
        });
    let slots = Slots {
        entities: NonZeroU32::new(7).expect("seven is not zero"),
        ..Slots::of_each(NonZeroU32::MIN)
    };
    let worker = Worker::start(client, registry, slots, History::Streamed);

    let Some(Called::GetWorkItems(request)) = called.recv().await else {
        panic!("a worker opens a stream first");
    };
    assert_eq!(request.max_concurrent_entity_work_items, 7);
    let filter = EntityFilter {
        name: "echo".to_owned(),
    };
    let filters = request.work_item_filters.expect("it has some");
    assert_eq!(filters.entities, [filter]);
    let Some(Called::Batch(result)) = called.recv().await else {
        panic!("the batch is answered next");
    };
    assert_eq!(
        (
            result.completion_token.as_str(),
            result.entity_state.as_deref()
        ),
        ("token", Some("ab"))
    );
    assert_eq!(result.results.len(), 2);

    let totals = worker.stop().await;
    assert_eq!(
        (totals.batches, totals.operations, totals.unanswered),
        (1, 2, 0)
    );
    assert_eq!(totals.work_items(), 1);
    serving.abort();
}

#[tokio::test]
async fn a_history_that_was_left_out_is_read_unless_it_is_not_needed() {
    let streaming = i32::from(WorkerCapability::HistoryStreaming);
    for (history, capabilities, is_read, events) in [
        (History::Inline, vec![], true, 3),
        (History::Streamed, vec![streaming], true, 3),
        (History::Unneeded, vec![streaming], false, 1),
    ] {
        let past = vec![started(), raised()];
        let script = vec![Ok(later_turn("token"))];
        let (client, mut called, serving) = ScriptedServer::start([script], past).await;
        let registry = Registry::default().orchestrator("greet", greet);
        let slots = Slots::of_each(NonZeroU32::MIN);
        let worker = Worker::start(client, registry, slots, history);

        let Some(Called::GetWorkItems(request)) = called.recv().await else {
            panic!("a worker opens a stream first");
        };
        assert_eq!(request.capabilities, capabilities, "{history:?}");
        let mut next = called.recv().await;
        if is_read {
            assert!(
                matches!(next, Some(Called::History(_))),
                "{history:?}: {next:?}"
            );
            next = called.recv().await;
        }
        let Some(Called::Turn(response)) = next else {
            panic!("{history:?}: the turn is answered next, not {next:?}");
        };
        assert!(shown(&response, events), "{history:?}: {response:?}");

        let totals = worker.stop().await;
        assert_eq!(
            (totals.turns, totals.without_history),
            (1, u64::from(!is_read)),
            "{history:?}"
        );
        serving.abort();
    }
}

#[tokio::test]
async fn without_history_nobody_knows_which_of_two_orchestrators_is_meant() {
    let script = vec![Ok(later_turn("token"))];
    let (client, mut called, serving) = ScriptedServer::start([script], Vec::new()).await;
    let registry = Registry::default()
        .orchestrator("greet", greet)
        .orchestrator("part", greet);
    let slots = Slots::of_each(NonZeroU32::MIN);
    let worker = Worker::start(client, registry, slots, History::Unneeded);
    let abandoned = AbandonOrchestrationTaskRequest {
        completion_token: "token".to_owned(),
    };
    called.recv().await.expect("it opens a stream first");
    assert_eq!(called.recv().await, Some(Called::AbandonedTurn(abandoned)));
    let totals = worker.stop().await;
    assert_eq!((totals.turns, totals.unanswered), (0, 1));
    serving.abort();
}
