//! Values that break a rule.

use longhaul_proto::sidecar::{ActivityFilter, InstanceBatch, TraceContext};
use prost::Message;
use prost_types::{Duration, Timestamp};

use super::world::PAYLOAD_BYTES_MAX;
use crate::refusals::Row;
use crate::refusals::rules::{self, Rule};
use crate::testing::wire::{Field, Kind, Value, put, put_bytes};

/// What a value is, and how it is written behind a good message.
pub(super) type Named = (String, Vec<u8>);

/// Everything that breaks `rule` in the field at the end of `way`; empty if that takes more than a value.
pub(super) fn breaking(row: &Row, rule: &Rule, way: &[&'static Field]) -> Vec<Named> {
    let values = of_rule(row, rule, way);
    values
        .into_iter()
        .map(|(name, value)| (name, put(way, &value)))
        .collect()
}

fn of_rule(row: &Row, rule: &Rule, way: &[&'static Field]) -> Vec<(String, Value)> {
    let texts = |texts: &[(&str, String)]| {
        let named = texts.iter();
        named
            .map(|(name, text)| ((*name).to_owned(), Value::text(text.as_str())))
            .collect::<Vec<_>>()
    };
    if *rule == rules::REQUIRED {
        let is_text = way.last().is_some_and(|field| field.kind == Kind::Text);
        if is_text {
            texts(&[("empty", String::new())])
        } else {
            Vec::new()
        }
    } else if *rule == rules::ID_LENGTH {
        let head = if is_entity(row) { "@c@" } else { "" };
        let id = |text: &str, times: usize| format!("{head}{}", text.repeat(times - head.len()));
        texts(&[
            ("one too many", id("x", 101)),
            ("one too many, of four bytes each", id("\u{1F600}", 101)),
            ("very long", id("x", 100_000)),
        ])
    } else if *rule == rules::ID_CONTROL {
        let head = if is_entity(row) { "@c@" } else { "" };
        let id = |text: &str| format!("{head}a{text}b");
        texts(&[
            ("NUL", id("\0")),
            ("line feed", id("\n")),
            ("carriage return", id("\r")),
            ("delete", id("\u{7F}")),
            ("escape", id("\u{1B}[31m")),
            ("next line", id("\u{85}")),
        ])
    } else if *rule == rules::ID_RESERVED {
        texts(&[
            ("an entity's", "@counter@a".to_owned()),
            ("only the sign", "@".to_owned()),
            ("no key", "@counter".to_owned()),
            ("very long", format!("@{}", "x".repeat(100_000))),
        ])
    } else if *rule == rules::ID_NOT_ENTITY {
        let mut ids = vec![
            ("only the sign", "@".to_owned()),
            ("no key", "@counter".to_owned()),
            ("no name", "@@key".to_owned()),
            ("very long", format!("@{}", "x".repeat(100_000))),
        ];
        if is_entity(row) {
            ids.push(("an orchestration's", "order-1".to_owned()));
            ids.push(("no sign in front", "counter@a".to_owned()));
        }
        texts(&ids)
    } else if *rule == rules::NAME_LENGTH || *rule == rules::TEXT_LENGTH {
        names(way)
    } else if *rule == rules::VERSION_LENGTH {
        versions(way)
    } else if *rule == rules::PAYLOAD_SIZE {
        texts(&[
            ("one byte too many", "x".repeat(PAYLOAD_BYTES_MAX + 1)),
            (
                "in characters of two bytes",
                "ü".repeat(PAYLOAD_BYTES_MAX / 2 + 1),
            ),
            ("many times over", "x".repeat(PAYLOAD_BYTES_MAX * 30)),
        ])
    } else if *rule == rules::TIMESTAMP {
        timestamps()
    } else if *rule == rules::DURATION {
        durations()
    } else if *rule == rules::STATUS {
        numbers(&[-1, 8, 99, i32::MAX, i32::MIN])
    } else if *rule == rules::NEGATIVE_LIMIT {
        numbers(&[-1, -100, i32::MIN])
    } else if *rule == rules::TRACE_SIZE {
        vec![("a long state".to_owned(), Value::Message(long_trace()))]
    } else {
        Vec::new()
    }
}

fn is_entity(row: &Row) -> bool {
    row.rules.contains(&&rules::ID_NOT_ENTITY)
        && !row.field.contains("instanceIds")
        && row.rpcs.len() > 1
}

const TOO_LONG: [(&str, usize); 2] = [("one byte too many", 1025), ("very long", 100_000)];

/// Names of filters are a message deeper.
fn names(way: &[&'static Field]) -> Vec<(String, Value)> {
    long_texts(way, |name| ActivityFilter {
        name,
        versions: Vec::new(),
    })
}

fn versions(way: &[&'static Field]) -> Vec<(String, Value)> {
    long_texts(way, |version| ActivityFilter {
        name: "A".into(),
        versions: vec![String::new(), version],
    })
}

fn long_texts(
    way: &[&'static Field],
    in_filter: impl Fn(String) -> ActivityFilter,
) -> Vec<(String, Value)> {
    let is_filter = matches!(way.last(), Some(Field { kind: Kind::Message(name), .. }) if name.ends_with("Filter"));
    let value = |text: String| match is_filter {
        true => Value::Message(in_filter(text).encode_to_vec()),
        false => Value::Text(text),
    };
    TOO_LONG
        .map(|(what, bytes)| (what.to_owned(), value("x".repeat(bytes))))
        .into()
}

fn numbers(numbers: &[i32]) -> Vec<(String, Value)> {
    let named = numbers.iter();
    named
        .map(|number| (number.to_string(), Value::Number(i64::from(*number))))
        .collect()
}

pub(super) fn timestamp(seconds: i64, nanos: i32) -> Value {
    Value::Message(Timestamp { seconds, nanos }.encode_to_vec())
}

fn timestamps() -> Vec<(String, Value)> {
    let year_10_000 = 253_402_300_800;
    let year_0 = -62_135_596_801;
    [
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
        (0, i32::MAX),
        (year_0, 0),
        (year_10_000, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
    ]
    .map(|(seconds, nanos)| (format!("{seconds} s {nanos} ns"), timestamp(seconds, nanos)))
    .into()
}

fn durations() -> Vec<(String, Value)> {
    [
        (-5, 0),
        (0, -1),
        (-1, 1),
        (1, -1),
        (0, 1_000_000_000),
        (315_576_000_001, 0),
        (i64::MIN, i32::MIN),
        (i64::MAX, 0),
    ]
    .map(|(seconds, nanos)| {
        let duration = Duration { seconds, nanos };
        let name = format!("{seconds} s {nanos} ns");
        (name, Value::Message(duration.encode_to_vec()))
    })
    .into()
}

fn long_trace() -> Vec<u8> {
    TraceContext {
        trace_state: Some("x".repeat(rules::TRACE_BYTES_MAX)),
        ..Default::default()
    }
    .encode_to_vec()
}

/// A repeated field with `count` entries of `entry`.
pub(super) fn many(field: &Field, count: usize, entry: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..count {
        put_bytes(&mut out, field.number, &entry(number));
    }
    out
}

/// An `InstanceBatch` with these ids.
pub(super) fn batch(ids: impl Iterator<Item = String>) -> Vec<u8> {
    InstanceBatch {
        instance_ids: ids.collect(),
    }
    .encode_to_vec()
}
