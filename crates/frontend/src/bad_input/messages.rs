//! Messages that are no messages: frames, sizes, and every way in which an encoding can be wrong.

use http::HeaderValue;
use tonic::Code;

use super::requests::good;
use super::world::MESSAGE_BYTES_MAX;
use super::{Case, Expected, title};
use crate::refusals::rows;
use crate::refusals::rules::{self, Rule};
use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};
use crate::testing::wire::{Field, Value, at, fields_of, put, put_bytes, put_varint, texts};

/// A field that no message has.
const UNKNOWN: u32 = 1000;

/// Below this, a message is as deep as real ones are.
const TEXTS_DEPTH: usize = 2;

/// Above what a decoder follows.
const TOO_DEEP: usize = 120;

/// The rules about messages as such.
pub(super) fn breaking(rule: &Rule, rpc: Rpc) -> Vec<Case> {
    let bodies = if *rule == rules::MESSAGE_SIZE {
        oversized(rpc)
    } else if *rule == rules::MESSAGE_UNDECODABLE {
        [unframed(rpc), undecodable(rpc)].concat()
    } else {
        vec![
            ("gzip", compressed(rpc)),
            ("not even that", framed(&good(rpc))),
        ]
    };
    bodies
        .into_iter()
        .map(|(what, body)| {
            let mut request = request(rpc, body);
            if *rule == rules::MESSAGE_COMPRESSED {
                let gzip = HeaderValue::from_static("gzip");
                request.headers_mut().insert("grpc-encoding", gzip);
            }
            Case {
                name: format!("{}{what}", title(rpc, rows::MESSAGE.field, rule)),
                request,
                expected: Expected::Refused(rule.code, vec![]),
            }
        })
        .collect()
}

type Named = (&'static str, Vec<u8>);

fn oversized(rpc: Rpc) -> Vec<Named> {
    let mut long = good(rpc);
    put_bytes(&mut long, UNKNOWN, &vec![b'x'; MESSAGE_BYTES_MAX]);
    let mut promised = vec![0];
    promised.extend(u32::MAX.to_be_bytes());
    promised.extend(good(rpc));
    vec![("sent", framed(&long)), ("only promised", promised)]
}

/// The flag says so; it is not looked into.
fn compressed(rpc: Rpc) -> Vec<u8> {
    let mut body = framed(&good(rpc));
    body[0] = 1;
    body
}

fn unframed(rpc: Rpc) -> Vec<Named> {
    let whole = framed(&good(rpc));
    let mut promised = whole.clone();
    promised[4] = promised[4].wrapping_add(9);
    let mut flag = whole.clone();
    flag[0] = 9;
    vec![
        ("nothing", vec![]),
        ("half a head", whole[..3].to_vec()),
        ("less than promised", promised),
        ("an unknown flag", flag),
        ("compressed without an encoding", compressed(rpc)),
        ("plain text", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

fn undecodable(rpc: Rpc) -> Vec<Named> {
    let tag = |wire_type: u32| {
        let mut out = good(rpc);
        put_varint(&mut out, u64::from(UNKNOWN << 3 | wire_type));
        out
    };
    let with = |mut message: Vec<u8>, more: &[u8]| {
        message.extend_from_slice(more);
        framed(&message)
    };
    let groups = [
        [tag_of_group(3); TOO_DEEP].concat(),
        [tag_of_group(4); TOO_DEEP].concat(),
    ]
    .concat();
    vec![
        ("a tag cut off", with(good(rpc), &[0x80])),
        ("a number cut off", with(tag(0), &[0xFF, 0xFF])),
        ("a number without end", with(tag(0), &[0xFF; 11])),
        ("a length beyond the end", with(tag(2), &[50, b'x'])),
        (
            "a length beyond everything",
            with(
                tag(2),
                &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            ),
        ),
        ("eight bytes cut off", with(tag(1), &[1, 2, 3])),
        ("four bytes cut off", with(tag(5), &[1])),
        ("field number zero", with(good(rpc), &[0, 0])),
        ("a group without end", with(good(rpc), &tag_of_group(3))),
        ("an end without group", with(good(rpc), &tag_of_group(4))),
        ("wire type six", with(tag(6), &[])),
        ("wire type seven", with(tag(7), &[])),
        ("groups too deep", with(good(rpc), &groups)),
    ]
}

/// Of field 100.
fn tag_of_group(wire_type: u8) -> [u8; 2] {
    [0xA0 | wire_type, 0x06]
}

/// What is wrong in one field.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rpc in Rpc::ALL {
        for field in fields_of(*rpc) {
            let mut message = good(*rpc);
            put_varint(&mut message, u64::from(field.number << 3 | 5));
            message.extend([0; 4]);
            cases.push(undecoded(
                *rpc,
                format!("{} has another type", field.name),
                &message,
            ));
        }
        for way in texts(*rpc, TEXTS_DEPTH) {
            let path: Vec<&str> = way.iter().map(|field| field.name.as_str()).collect();
            let bad = Value::Bytes(vec![b'a', 0xC3, 0x28]);
            let message = [good(*rpc), put(&way, &bad)].concat();
            cases.push(undecoded(
                *rpc,
                format!("{} is not UTF-8", path.join(".")),
                &message,
            ));
        }
    }
    for (rpc, path) in [
        (Rpc::CompleteActivityTask, "failureDetails"),
        (Rpc::CompleteEntityTask, "failureDetails"),
        (
            Rpc::CompleteOrchestratorTask,
            "actions.completeOrchestration.failureDetails",
        ),
    ] {
        let message = [good(rpc), nested_failure(rpc, path)].concat();
        cases.push(undecoded(rpc, "failures too deep".to_owned(), &message));
    }
    cases
}

fn undecoded(rpc: Rpc, what: String, message: &[u8]) -> Case {
    Case {
        name: format!("{}: {what}", rpc.name()),
        request: request(rpc, framed(message)),
        expected: Expected::Refused(Code::InvalidArgument, vec![]),
    }
}

/// A failure caused by one that was caused by one, and so on.
fn nested_failure(rpc: Rpc, path: &str) -> Vec<u8> {
    let way = at(rpc, path).expect("a field");
    let inner = at(rpc, &format!("{path}.innerFailure")).and_then(|mut way| way.pop());
    let inner: &Field = inner.expect("a field");
    let failure = (0..TOO_DEEP).fold(Vec::new(), |failure, _| {
        put(&[inner], &Value::Message(failure))
    });
    put(&way, &Value::Message(failure))
}
