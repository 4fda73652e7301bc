//! Requests of HTTP that are no calls.

use http::{HeaderValue, Method, StatusCode};
use tonic::Code;

use super::requests::good;
use super::{Case, Expected};
use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rpc in Rpc::ALL {
        cases.push(changed(*rpc, "by GET", Expected::Http(405), |it| {
            *it.method_mut() = Method::GET;
        }));
        cases.push(changed(*rpc, "of plain text", unsupported(), |it| {
            let value = HeaderValue::from_static("text/plain");
            it.headers_mut().insert("content-type", value);
        }));
    }
    let hello = Rpc::Hello;
    for method in [
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::HEAD,
        Method::PATCH,
    ] {
        let what = format!("by {method}");
        cases.push(changed(hello, &what, Expected::Http(405), |it| {
            *it.method_mut() = method.clone();
        }));
    }
    for content in [
        "application/json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/grpcx",
    ] {
        let what = format!("of {content}");
        cases.push(changed(hello, &what, unsupported(), |it| {
            let value = HeaderValue::from_static(content);
            it.headers_mut().insert("content-type", value);
        }));
    }
    cases.push(changed(
        hello,
        "of nothing in particular",
        unsupported(),
        |it| {
            it.headers_mut().remove("content-type");
        },
    ));
    for content in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let what = format!("of {content}");
        cases.push(changed(hello, &what, Expected::Fine, |it| {
            let value = HeaderValue::from_static(content);
            it.headers_mut().insert("content-type", value);
        }));
    }
    cases.push(changed(hello, "without te", Expected::Fine, |it| {
        it.headers_mut().remove("te");
    }));
    for path in ["Nothing", "hello", "Hello/", "", "..%2f..%2fetc%2fpasswd"] {
        let unimplemented = Expected::Refused(Code::Unimplemented, vec![]);
        let what = format!("under the name {path:?}");
        cases.push(changed(hello, &what, unimplemented, |it| {
            let uri = format!("http://node/TaskHubSidecarService/{path}");
            *it.uri_mut() = uri.parse().expect("a path");
        }));
    }
    let twice = [
        framed(&good(Rpc::GetInstance)),
        framed(&good(Rpc::GetInstance)),
    ]
    .concat();
    cases.push(Case {
        name: "GetInstance: a second message is not looked at".to_owned(),
        request: request(Rpc::GetInstance, twice),
        expected: Expected::Fine,
    });
    cases
}

fn unsupported() -> Expected {
    Expected::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16())
}

fn changed(
    rpc: Rpc,
    what: &str,
    expected: Expected,
    change: impl FnOnce(&mut http::Request<http_body_util::Full<bytes::Bytes>>),
) -> Case {
    let mut request = request(rpc, framed(&good(rpc)));
    change(&mut request);
    Case {
        name: format!("{}: {what}", rpc.name()),
        request,
        expected,
    }
}
