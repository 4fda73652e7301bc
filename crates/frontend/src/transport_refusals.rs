//! What the transport refuses before a method sees it, answered with the codes that SDKs expect.
//!
//! | refused | tonic answers | here |
//! |---|---|---|
//! | a message over the limit | OUT_OF_RANGE | RESOURCE_EXHAUSTED |
//! | bytes that cannot be decoded | INTERNAL, which the .NET worker takes for transient | INVALID_ARGUMENT |
//! | a request that is no call of gRPC | as if it were one | HTTP 405 or 415 |
//!
//! No method answers OUT_OF_RANGE, and an INTERNAL of ours begins with [`FAULT_PREFIX`]: whatever else has these codes
//! came from the transport.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::refusals::rules::{MESSAGE_SIZE, MESSAGE_UNDECODABLE};
use crate::status::FAULT_PREFIX;

/// A gRPC service whose transport's refusals are translated.
#[derive(Debug, Clone)]
pub struct Translated<S>(pub(crate) S);

impl<S: NamedService> NamedService for Translated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, T> Service<Request<B>> for Translated<S>
where
    S: Service<
            Request<B>,
            Response = Response<T>,
            Error = Infallible,
            Future = BoxFuture<Response<T>, Infallible>,
        >,
    T: Default,
{
    type Response = Response<T>;
    type Error = Infallible;
    type Future = Answer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Answer<T> {
        match refused(request.method(), request.headers()) {
            Some(status) => Answer::NoCall(status),
            None => Answer::OfCall(self.0.call(request)),
        }
    }
}

/// Why a request is no call. Source: the gRPC protocol over HTTP/2.
///
/// Browsers let any page send a request of a plain type to a server on this machine, but not one of gRPC's: without
/// this, a page could call a server that asks for no credentials.
fn refused(method: &Method, headers: &HeaderMap) -> Option<StatusCode> {
    if method != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match content.and_then(|content| content.strip_prefix(b"application/grpc")) {
        Some([] | [b'+' | b';', ..]) => None,
        Some(_) | None => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// The answer to one request.
pub enum Answer<T> {
    /// A call's, once it is there.
    OfCall(BoxFuture<Response<T>, Infallible>),
    /// The request is no call.
    NoCall(StatusCode),
}

impl<T: Default> Future for Answer<T> {
    type Output = Result<Response<T>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::OfCall(call) => call.as_mut().poll(cx).map_ok(|mut response| {
                translate(response.headers_mut());
                response
            }),
            Self::NoCall(status) => {
                let mut response = Response::new(T::default());
                *response.status_mut() = *status;
                Poll::Ready(Ok(response))
            }
        }
    }
}

/// A refusal has no body: its status is among the headers.
fn translate(headers: &mut HeaderMap) {
    let Some(number) = headers.get(Status::GRPC_STATUS) else {
        return;
    };
    let code = match Code::from_bytes(number.as_bytes()) {
        Code::OutOfRange => MESSAGE_SIZE.code,
        Code::Internal if !is_ours(headers) => MESSAGE_UNDECODABLE.code,
        _ => return,
    };
    headers.insert(Status::GRPC_STATUS, HeaderValue::from(code as i32));
}

/// Compares up to where the header's percent-encoding begins.
fn is_ours(headers: &HeaderMap) -> bool {
    let Some((prefix, _)) = FAULT_PREFIX.split_once(' ') else {
        return false;
    };
    headers
        .get(Status::GRPC_MESSAGE)
        .is_some_and(|message| message.as_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use longhaul_proto::sidecar::{CreateInstanceRequest, CreateInstanceResponse};
    use prost::Message;
    use tonic::body::Body;
    use tonic::server::{Grpc, UnaryService};
    use tonic_prost::ProstCodec;

    use super::*;
    use crate::status;

    const MESSAGE_BYTES_MAX: usize = 100;

    /// A service as it is generated, with one method that answers as it was told.
    #[derive(Clone)]
    struct Told(Option<Status>);

    impl UnaryService<CreateInstanceRequest> for Told {
        type Response = CreateInstanceResponse;
        type Future = BoxFuture<tonic::Response<CreateInstanceResponse>, Status>;

        fn call(&mut self, _: tonic::Request<CreateInstanceRequest>) -> Self::Future {
            let answer = self.0.clone();
            Box::pin(async {
                let answered = tonic::Response::new(CreateInstanceResponse::default());
                answer.map_or(Ok(answered), Err)
            })
        }
    }

    impl Service<Request<Full<Bytes>>> for Told {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Response<Body>, Infallible>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
            let method = self.clone();
            Box::pin(async {
                let mut grpc = Grpc::new(ProstCodec::default())
                    .apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), None);
                Ok(grpc.unary(method, request).await)
            })
        }
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(message);
        bytes
    }

    async fn code(body: Vec<u8>, answer: Option<Status>) -> Code {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        let content = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(CONTENT_TYPE, content);
        let Ok(response) = Translated(Told(answer)).call(request).await;
        Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
    }

    fn well_formed() -> Vec<u8> {
        framed(
            &CreateInstanceRequest {
                name: "Order".into(),
                ..Default::default()
            }
            .encode_to_vec(),
        )
    }

    #[tokio::test]
    async fn what_a_method_answers_is_left_alone() {
        assert_eq!(code(well_formed(), None).await, Code::Ok);
        for answer in [
            status::fault("broken"),
            status::draining(),
            Status::invalid_argument("x"),
            Status::not_found("x"),
        ] {
            let expected = answer.code();
            assert_eq!(code(well_formed(), Some(answer)).await, expected);
        }
    }

    #[tokio::test]
    async fn a_message_over_the_limit_exhausts_a_resource() {
        let name = "x".repeat(MESSAGE_BYTES_MAX);
        let message = CreateInstanceRequest {
            name,
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(code(framed(&message), None).await, Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn what_cannot_be_decoded_is_an_invalid_argument() {
        let cases: [(&str, Vec<u8>); 8] = [
            ("no message", vec![]),
            ("a truncated frame", well_formed()[..8].to_vec()),
            (
                "an unknown compression flag",
                [&[9], &well_formed()[1..]].concat(),
            ),
            (
                "a compressed message without an encoding",
                [&[1], &well_formed()[1..]].concat(),
            ),
            ("a truncated varint", framed(&[0x0A, 0x80])),
            ("a length beyond the end", framed(&[0x12, 50, b'x'])),
            ("invalid UTF-8", framed(&[0x12, 2, 0xC3, 0x28])),
            ("a wrong wire type", framed(&[0x10, 1])),
        ];
        for (what, body) in cases {
            assert_eq!(code(body, None).await, Code::InvalidArgument, "{what}");
        }
    }
}
