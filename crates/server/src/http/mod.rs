//! HTTP beside gRPC: probes, metrics and a status page. It reads, and changes nothing.

mod page;

use std::future::IntoFuture;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use futures::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;
use crate::telemetry::gauges::NodeGauges;
use crate::telemetry::metrics::MetricsPage;

pub use page::{About, Formed};

/// What the pages show.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    /// For probes.
    pub(crate) readiness: Readiness,
    /// For `/metrics`.
    pub(crate) metrics: MetricsPage,
    /// Set once the node has recovered.
    pub(crate) gauges: Arc<OnceLock<NodeGauges>>,
    /// For the status page.
    pub(crate) about: About,
}

/// Probes alone, for the gRPC port.
pub(crate) fn probes(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

/// Probes and `/metrics`.
pub(crate) fn metrics_routes(pages: Pages) -> Router {
    let metrics = Router::new()
        .route("/metrics", get(metrics))
        .with_state(pages.clone());
    metrics.merge(probes(pages.readiness))
}

/// Probes, `/metrics` and the status page.
pub(crate) fn dashboard_routes(pages: Pages) -> Router {
    let status = Router::new()
        .route("/", get(status_page))
        .with_state(pages.clone());
    status.merge(metrics_routes(pages))
}

/// Serves `routes` on every socket until `stopped` is cancelled, and returns when they are closed.
pub(crate) async fn serve(sockets: Vec<TcpListener>, routes: Router, stopped: CancellationToken) {
    let servers = sockets.into_iter().map(|socket| {
        let server = axum::serve(socket, routes.clone());
        // It tries again after errors, so it ends only when it is dropped.
        stopped
            .clone()
            .run_until_cancelled_owned(server.into_future())
    });
    join_all(servers).await;
}

/// The process runs and its runtime answers; says nothing about storage or other nodes.
async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    match readiness.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    if let Some(gauges) = pages.gauges.get() {
        gauges.refresh();
    }
    let content_type = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([content_type], pages.metrics.render())
}

async fn status_page(State(pages): State<Pages>) -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(pages.about.page(pages.readiness.is_ready())))
}
