//! Headers: the task hub, and what else travels beside a message.

use http::HeaderValue;
use tonic::Code;

use super::requests::good;
use super::{Case, Expected, title};
use crate::refusals::Row;
use crate::refusals::rules::{self, Rule};
use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};
use crate::testing::wire::{Value, at, put};

/// The rules about the task hub of a call.
pub(super) fn breaking(row: &Row, rule: &Rule, rpc: Rpc) -> Vec<Case> {
    let named = |values: &[&str]| -> Vec<(String, Vec<Vec<u8>>)> {
        let values = values.iter();
        values
            .map(|value| (shown(value), vec![value.as_bytes().to_vec()]))
            .collect()
    };
    let spoilt = if *rule == rules::HUB_EMPTY {
        named(&[""])
    } else if *rule == rules::HUB_LENGTH {
        named(&[&"x".repeat(65), &"x".repeat(2048)])
    } else if *rule == rules::HUB_CHARACTER {
        named(&["a b", "../default", "a%00b", "<b>", "default;"])
    } else if *rule == rules::HUB_UNREADABLE {
        let bytes = [&b"h\xC3\xBCb"[..], b"\xFF", b"default\x80"];
        let named = bytes.map(|bytes| (format!("{bytes:?}"), vec![bytes.to_vec()]));
        named.into()
    } else if *rule == rules::HUB_SEVERAL {
        let both = vec![b"default".to_vec(), b"other".to_vec()];
        vec![("two".to_owned(), both)]
    } else if *rule == rules::HUB_UNKNOWN {
        named(&["nobodys", "default2", "."])
    } else if *rule == rules::HUB_COUNT {
        named(&["full"])
    } else {
        named(&["default", "new"])
    };
    let said = rule.text.split("{found}").next().unwrap_or_default();
    let said = said.split("{max}").next().unwrap_or_default().to_owned();
    spoilt
        .into_iter()
        .map(|(what, hubs)| {
            let mut request = request(rpc, framed(&good(rpc)));
            for hub in hubs {
                let value = HeaderValue::from_bytes(&hub).expect("a header value");
                request.headers_mut().append("taskhub", value);
            }
            Case {
                name: format!("{}{what}", title(rpc, row.field, rule)),
                request,
                expected: Expected::Refused(rule.code, vec![said.clone()]),
            }
        })
        .collect()
}

fn shown(value: &str) -> String {
    match value.len() {
        0..=20 => format!("{value:?}"),
        len => format!("{len} characters"),
    }
}

/// Headers that are nobody's business but the server's.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "x".repeat(4096);
    let ignored = [
        ("authorization", "garbage"),
        ("authorization", "Bearer a.b.c"),
        ("authorization", long.as_str()),
        ("workerid", long.as_str()),
        ("workerid", "<b>"),
        ("x-user-agent", long.as_str()),
        ("user-agent", "'; --"),
        ("taskhub", "DEFAULT"),
        ("grpc-timeout", "5"),
        ("grpc-timeout", "-5m"),
        ("grpc-timeout", "123456789S"),
        ("grpc-timeout", "x"),
        ("grpc-accept-encoding", "gzip,unheard-of"),
        ("grpc-previous-rpc-attempts", "-1"),
        ("x-made-up-bin", "////"),
    ];
    for (header, value) in ignored {
        for rpc in [
            Rpc::Hello,
            Rpc::GetInstance,
            Rpc::GetWorkItems,
            Rpc::QueryInstances,
        ] {
            let mut request = request(rpc, framed(&good(rpc)));
            let value: HeaderValue = value.parse().expect("a header value");
            let what = shown(value.to_str().expect("text"));
            request.headers_mut().insert(header, value);
            cases.push(Case {
                name: format!("{}: {header} is ignored: {what}", rpc.name()),
                request,
                expected: Expected::Fine,
            });
        }
    }
    let mut twice = request(Rpc::Hello, framed(&[]));
    for _ in 0..2 {
        let value = HeaderValue::from_static("default");
        twice.headers_mut().append("taskhub", value);
    }
    cases.push(Case {
        name: "Hello: the same task hub twice".to_owned(),
        request: twice,
        expected: Expected::Fine,
    });
    cases.extend(expired());
    cases
}

/// Callers that do not wait for what never comes.
fn expired() -> Vec<Case> {
    let waits = [Rpc::WaitForInstanceStart, Rpc::WaitForInstanceCompletion];
    let mut cases = Vec::new();
    for rpc in waits {
        for timeout in ["1n", "0m", "1u"] {
            let way = at(rpc, "instanceId").expect("a field");
            let missing = put(&way, &Value::text("missing"));
            let mut request = request(rpc, framed(&missing));
            let value = HeaderValue::from_static(timeout);
            request.headers_mut().insert("grpc-timeout", value);
            cases.push(Case {
                name: format!("{}: waiting for {timeout}", rpc.name()),
                request,
                expected: Expected::Refused(Code::DeadlineExceeded, vec![]),
            });
        }
    }
    cases
}
