//! Traces, from real calls to a collector, and collectors that are not as they should be.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use longhaul_proto::sidecar::orchestrator_action::OrchestratorActionType;
use longhaul_proto::sidecar::work_item::Request;
use longhaul_proto::sidecar::{
    ActivityResponse, CompleteOrchestrationAction, CreateInstanceRequest, GetWorkItemsRequest,
    OrchestrationStatus, OrchestrationTraceContext, OrchestratorAction, OrchestratorResponse,
    ScheduleTaskAction, TraceContext, WorkItem,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use tonic::Streaming;

use crate::collector::{Collector, Manner, text};
use crate::dev::{Dev, Stub, longhaul};

const START: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ORCHESTRATION_SPAN: &str = "00f067aa0ba902b7";
const ACTIVITY: &str = "00-0af7651916cd43dd8448eb211c80319c-c8ad6b7169203331-01";

fn context(traceparent: &str) -> TraceContext {
    TraceContext {
        trace_parent: traceparent.to_owned(),
        trace_state: Some("vendor=1".to_owned()),
        ..TraceContext::default()
    }
}

/// A `longhaul dev` that sends its traces to `endpoint`.
fn traced(endpoint: &str) -> Dev {
    let args = ["dev", "--port", "0", "--dashboard-port", "0", "--ephemeral"];
    let mut command = longhaul(&args);
    Dev::ready(
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .stderr(std::process::Stdio::piped()),
    )
}

async fn next(stream: &mut Streaming<WorkItem>) -> WorkItem {
    stream
        .message()
        .await
        .expect("the stream is open")
        .expect("a stream of work items never ends well")
}

async fn answer_turn(stub: &mut Stub, item: &WorkItem, action: OrchestratorActionType) {
    let response = OrchestratorResponse {
        instance_id: "a".to_owned(),
        completion_token: item.completion_token.clone(),
        orchestration_trace_context: Some(OrchestrationTraceContext {
            span_id: Some(ORCHESTRATION_SPAN.to_owned()),
            span_start_time: None,
        }),
        actions: vec![OrchestratorAction {
            id: 1,
            orchestrator_action_type: Some(action),
        }],
        ..OrchestratorResponse::default()
    };
    stub.complete_orchestrator_task(response)
        .await
        .expect("taken");
}

/// One orchestration with one activity, with the contexts that an SDK would give.
async fn run_orchestration(stub: &mut Stub) {
    let opened = stub.get_work_items(GetWorkItemsRequest::default()).await;
    let mut stream = opened.expect("served").into_inner();
    let ping = next(&mut stream).await;
    assert!(matches!(ping.request, Some(Request::HealthPing(_))));
    let start = CreateInstanceRequest {
        instance_id: "a".to_owned(),
        name: "Order".to_owned(),
        parent_trace_context: Some(context(START)),
        ..CreateInstanceRequest::default()
    };
    stub.start_instance(start).await.expect("started");

    let turn = next(&mut stream).await;
    let schedule = OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
        name: "Pay".to_owned(),
        parent_trace_context: Some(context(ACTIVITY)),
        ..ScheduleTaskAction::default()
    });
    answer_turn(stub, &turn, schedule).await;

    let item = next(&mut stream).await;
    let Some(Request::ActivityRequest(activity)) = &item.request else {
        panic!("{item:?}");
    };
    assert_eq!(activity.parent_trace_context, Some(context(ACTIVITY)));
    let response = ActivityResponse {
        instance_id: "a".to_owned(),
        task_id: activity.task_id,
        completion_token: item.completion_token.clone(),
        ..ActivityResponse::default()
    };
    stub.complete_activity_task(response).await.expect("taken");

    let turn = next(&mut stream).await;
    let Some(Request::OrchestratorRequest(request)) = &turn.request else {
        panic!("{turn:?}");
    };
    let own = request.orchestration_trace_context.as_ref();
    let own = own.expect("given before").span_id.as_deref();
    assert_eq!(own, Some(ORCHESTRATION_SPAN));
    let complete = OrchestratorActionType::CompleteOrchestration(CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Completed.into(),
        ..CompleteOrchestrationAction::default()
    });
    answer_turn(stub, &turn, complete).await;
}

fn links(span: &Span) -> Vec<String> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    let links = span.links.iter();
    links
        .map(|it| format!("00-{}-{}-01", hex(&it.trace_id), hex(&it.span_id)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_work_items_are_linked_to_the_traces_of_sdks() {
    let collector = Collector::start(Manner::Takes);
    let dev = traced(&collector.url);
    let mut stub = dev.stub("default").await;
    run_orchestration(&mut stub).await;
    // Nothing was waited for: what is not sent yet is sent at the end.
    dev.signal(Signal::TERM);
    let (status, log) = dev.wait();
    assert_eq!(status.code(), Some(0), "{log}");

    let spans = collector.spans();
    let calls = |method: &str| -> Vec<Vec<String>> {
        let name = format!("TaskHubSidecarService/{method}");
        spans
            .iter()
            .filter(|span| span.name == name)
            .map(links)
            .collect()
    };
    assert_eq!(calls("StartInstance"), [[START]]);
    assert_eq!(calls("GetWorkItems"), [[""; 0]]);
    assert_eq!(calls("CompleteOrchestratorTask"), [[""; 0], [""; 0]]);
    assert_eq!(calls("CompleteActivityTask"), [[""; 0]]);

    let dispatched: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "longhaul.dispatch")
        .collect();
    let told = dispatched.iter().map(|span| {
        let text = |key| text(&span.attributes, key).unwrap_or_default();
        let (kind, name) = (text("durabletask.type"), text("durabletask.task.name"));
        (kind, name, links(span))
    });
    let own = START.replace("b7ad6b7169203331", ORCHESTRATION_SPAN);
    let expected = [
        ("orchestration", "Order", START),
        ("activity", "Pay", ACTIVITY),
        ("orchestration", "Order", &own),
    ];
    let expected = expected.map(|(kind, name, link)| {
        let link = vec![link.to_owned()];
        (kind.to_owned(), name.to_owned(), link)
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);

    for span in &spans {
        assert!(span.parent_span_id.is_empty(), "{span:?}");
        assert_ne!(span.trace_id, dispatched[0].links[0].trace_id, "{span:?}");
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{span:?}"
        );
    }
    let senders = collector.told_by_senders("service.name");
    assert!(!senders.is_empty() && senders.iter().all(|name| name == "longhaul"));
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_that_never_answers_does_not_keep_the_node_from_ending() {
    let collector = Collector::start(Manner::Hangs);
    let dev = traced(&collector.url);
    dev.stub("default").await.hello(()).await.expect("answered");
    let asked = Instant::now();
    dev.signal(Signal::TERM);
    let (status, log) = dev.wait();
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped before all traces were sent"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_no_collector_takes_are_counted_and_told_once() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = port.local_addr().expect("bound");
    drop(port);
    let dev = traced(&format!("http://{nobody}"));
    let mut stub = dev.stub("default").await;
    let dropped = || dev.metric("longhaul_trace_spans_dropped_total{reason=\"export\"}");
    for _ in 0..2 {
        let before = dropped();
        stub.hello(()).await.expect("answered");
        let deadline = Instant::now() + Duration::from_secs(30);
        while dropped() <= before {
            assert!(Instant::now() < deadline, "still {before}");
            tokio::task::yield_now().await;
        }
    }
    assert!(dev.metric("longhaul_trace_spans_exported_total") < 0.5);
    dev.signal(Signal::TERM);
    let (status, log) = dev.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches("takes no traces").count(), 1, "{log}");
}
