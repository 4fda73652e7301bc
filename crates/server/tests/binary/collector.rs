//! An OpenTelemetry collector as far as the server sees it.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What a collector does with spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes them.
    Takes,
    /// Never answers.
    Hangs,
}

/// Serves for as long as the test runs.
pub(crate) struct Collector {
    pub(crate) url: String,
    received: Received,
}

#[derive(Clone)]
struct Received {
    manner: Manner,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.manner == Manner::Hangs {
            std::future::pending::<()>().await;
        }
        self.requests.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = incoming.local_addr().expect("bound");
        let received = Received {
            manner,
            requests: Arc::default(),
        };
        let service = TraceServiceServer::new(received.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self {
            url: format!("http://{address}"),
            received,
        }
    }

    /// Every span it has taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.received.requests.lock();
        let resources = requests.iter().flat_map(|it| &it.resource_spans);
        let scopes = resources.flat_map(|it| &it.scope_spans);
        scopes.flat_map(|it| it.spans.clone()).collect()
    }

    /// The values that every sender gave for an attribute of itself.
    pub(crate) fn told_by_senders(&self, key: &str) -> Vec<String> {
        let requests = self.received.requests.lock();
        let resources = requests.iter().flat_map(|it| &it.resource_spans);
        let attributes = resources.filter_map(|it| it.resource.as_ref());
        attributes
            .filter_map(|it| text(&it.attributes, key))
            .collect()
    }
}

/// The attribute of this name, if it is a text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text.clone()),
        _ => None,
    }
}
