//! Which service answers a call.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use anyhow::Context;
use axum::Router;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use longhaul_proto::FILE_DESCRIPTOR_SET;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;

/// The service of SDKs, and the routes of everything else.
#[derive(Debug, Clone)]
pub struct Services<S> {
    service: S,
    others: Router,
}

impl<S> Services<S> {
    /// Calls of `service` go to it, all others to `others`.
    pub fn new(service: S, others: Router) -> Self {
        Self { service, others }
    }
}

/// Health, reflection of the public contract, and `probes`.
///
/// # Errors
/// The descriptors do not fit together.
pub fn side_routes(health: HealthServer<impl Health>, probes: Router) -> anyhow::Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(health)
        .add_service(reflection().build_v1().context("reflection")?)
        // What most tools still ask first.
        .add_service(reflection().build_v1alpha().context("reflection")?);
    Ok(routes.into_axum_router().merge(probes))
}

impl<S> hyper::service::Service<Request<Incoming>> for Services<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + NamedService
        + Clone,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if is_call_of(request.uri().path(), S::NAME) {
            // Always ready: its state is shared.
            return Answer::OfService(self.service.clone().call(request));
        }
        let response = self.others.clone().call(request);
        Answer::OfOthers(Box::pin(async move {
            response.await.map(|response| response.map(Body::new))
        }))
    }
}

/// The answer to come, without a box around the service's own.
pub enum Answer<F> {
    /// Of the service of SDKs.
    OfService(F),
    /// Of everything else.
    OfOthers(BoxFuture<'static, Result<Response<Body>, Infallible>>),
}

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::OfService(answer) => Pin::new(answer).poll(cx),
            Self::OfOthers(answer) => answer.as_mut().poll(cx),
        }
    }
}

/// Whether `path` is `/service/method`.
fn is_call_of(path: &str, service: &str) -> bool {
    let method = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(service));
    method.is_some_and(|method| method.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_call_of;

    #[test]
    fn paths_name_service_and_method() {
        for (path, is_call) in [
            ("/A.B/Method", true),
            ("/A.B/", true),
            ("/A.B", false),
            ("/A.BC/Method", false),
            ("A.B/Method", false),
            ("/", false),
        ] {
            assert_eq!(is_call_of(path, "A.B"), is_call, "{path}");
        }
    }
}
