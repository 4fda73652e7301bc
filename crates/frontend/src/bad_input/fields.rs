//! The table's own cases: each rule, broken in each call it holds for.

use super::requests::good;
use super::values::{self, Named};
use super::world::{ACTIONS_MAX, ENDED, FULL, LIVE, World};
use super::{Case, Expected, headers, messages, title};
use crate::refusals::rows::{self, ALL};
use crate::refusals::rules::{self, Rule};
use crate::refusals::{Outcome, Row};
use crate::rpc::Rpc;
use crate::testing::connection::{framed, request};
use crate::testing::wire::{self, Value, at, put};

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for row in ALL {
        for rule in row.rules {
            for rpc in row.rpcs {
                cases.extend(broken(world, row, rule, *rpc));
            }
        }
    }
    cases
}

fn broken(world: &World, row: &'static Row, rule: &'static Rule, rpc: Rpc) -> Vec<Case> {
    if *row == rows::MESSAGE {
        return messages::breaking(rule, rpc);
    }
    if *row == rows::HUB || *row == rows::HUB_EXISTS || row.field == "(server)" {
        return headers::breaking(row, rule, rpc);
    }
    let spoilt = spoilt(world, row, rule, rpc);
    assert!(!spoilt.is_empty(), "nothing breaks {rule:?} in {row:?}");
    spoilt
        .into_iter()
        .map(|(what, message)| Case {
            name: format!("{}{what}", title(rpc, row.field, rule)),
            request: request(rpc, framed(&message)),
            expected: match row.outcome {
                Outcome::Refused => Expected::Refused(rule.code, said(row, rule)),
                // The token is stale: there is nothing that could fail.
                Outcome::Fails(_) => Expected::Fine,
            },
        })
        .collect()
}

/// What the sentence has to say in any case.
fn said(row: &Row, rule: &Rule) -> Vec<String> {
    let before_value = rule.text.split("{found}").next().unwrap_or_default();
    let before_limit = before_value.split("{max}").next().unwrap_or_default();
    vec![before_limit.replace("{field}", row.field)]
}

/// Messages that break the rule, and nothing else.
fn spoilt(world: &World, row: &Row, rule: &Rule, rpc: Rpc) -> Vec<Named> {
    let by_hand = by_hand(world, row, rule, rpc);
    if !by_hand.is_empty() {
        return by_hand;
    }
    let way = way(rpc, row.field);
    let values = values::breaking(row, rule, &way);
    values
        .into_iter()
        .map(|(what, spoiling)| (what, [good(rpc), spoiling].concat()))
        .collect()
}

/// The way to the field of a row, which may begin inside the actions of an answer.
fn way(rpc: Rpc, field: &str) -> Vec<&'static wire::Field> {
    let field = field.split(" (").next().unwrap_or_default();
    let prefixes = ["", "actions.", "actions.sendEntityMessage."];
    prefixes
        .iter()
        .find_map(|prefix| at(rpc, &format!("{prefix}{field}")))
        .unwrap_or_else(|| panic!("{rpc:?} has no field {field}"))
}

/// Rules for which it takes more than one bad value.
fn by_hand(world: &World, row: &Row, rule: &Rule, rpc: Rpc) -> Vec<Named> {
    let with = |path: &str, value: Value| [good(rpc), put(&way(rpc, path), &value)].concat();
    let text = |path: &str, text: &str| with(path, Value::text(text));
    let named = |what: &str, message: Vec<u8>| vec![(what.to_owned(), message)];
    if *rule == rules::REQUIRED && matches!(row.field, "query" | "request" | "instanceBatch") {
        return named("no part at all", Vec::new());
    }
    if *rule == rules::REQUIRED && row.field == "instanceBatch.instanceIds" {
        return named(
            "one of them",
            with("instanceBatch.instanceIds", Value::text("")),
        );
    }
    if *row == rows::ANSWER_ID || *row == rows::PART_TOKEN {
        return without_token(row, rule, rpc);
    }
    if *row == rows::BATCH_RESULT && *rule == rules::RESULT_UNKNOWN {
        return named("empty", with("results", Value::Message(Vec::new())));
    }
    if *rule == rules::SPAN {
        return vec![
            (
                "by a year".to_owned(),
                span(row, rpc, 40_000_000, 8_000_000),
            ),
            ("by a nanosecond".to_owned(), {
                let from = put(&way(rpc, row.field), &values::timestamp(5, 1));
                let to = put(&way(rpc, &end_of(row)), &values::timestamp(5, 0));
                [good(rpc), from, to].concat()
            }),
        ];
    }
    if *rule == rules::PAGE_TOKEN {
        let mut messages: Vec<Named> = tokens(world, row, rpc)
            .into_iter()
            .map(|(what, token)| (what, text(row.field, &token)))
            .collect();
        if let Some((filter, value)) = other_filter(rpc) {
            let own = text(row.field, own_token(world, rpc));
            let filtered = [own, put(&way(rpc, filter), &value)].concat();
            messages.push(("of other filters".to_owned(), filtered));
        }
        return messages;
    }
    if let Some(messages) = crowded(row, rule, rpc) {
        return messages;
    }
    if *rule == rules::PENDING_COUNT {
        let full = FULL.map(|id| (format!("one more for {id}"), text("instanceId", id)));
        let is_entity = usize::from(rpc == Rpc::SignalEntity);
        return full.into_iter().skip(is_entity).take(1).collect();
    }
    if *rule == rules::NO_INSTANCE {
        return vec![
            ("never made".to_owned(), text("instanceId", "missing")),
            ("in other case".to_owned(), text("instanceId", "LIVE")),
            ("of a path".to_owned(), text("instanceId", "../live")),
        ];
    }
    if *rule == rules::NO_EXECUTION {
        return vec![
            ("made up".to_owned(), text("executionId", &"0".repeat(32))),
            (
                "very long".to_owned(),
                text("executionId", &"x".repeat(100_000)),
            ),
            ("with a line feed".to_owned(), text("executionId", "a\nb")),
        ];
    }
    if *rule == rules::ID_TAKEN {
        return named("by a live one", text("instanceId", LIVE));
    }
    if *rule == rules::REUSE_CONTRADICTORY {
        let pending = with(row.field, Value::Number(6));
        let taken = put(&way(rpc, "instanceId"), &Value::text(LIVE));
        return named("only pending", [pending, taken].concat());
    }
    if *rule == rules::NOT_ENDED {
        return named("pending", text("instanceId", LIVE));
    }
    if *rule == rules::NOT_FAILED {
        return vec![
            ("pending".to_owned(), text("instanceId", LIVE)),
            ("terminated".to_owned(), text("instanceId", ENDED)),
        ];
    }
    if *rule == rules::LIVE {
        let flag = put(&way(rpc, "isOrchestration"), &Value::Number(1));
        return named("pending", [text("instanceId", LIVE), flag].concat());
    }
    of_an_answer(row, rule, rpc)
}

/// The field that ends the span this one begins.
fn end_of(row: &Row) -> String {
    format!("{}To", row.field.trim_end_matches("From"))
}

fn span(row: &Row, rpc: Rpc, from: i64, to: i64) -> Vec<u8> {
    let from = put(&way(rpc, row.field), &values::timestamp(from, 0));
    let to = put(&way(rpc, &end_of(row)), &values::timestamp(to, 0));
    [good(rpc), from, to].concat()
}

/// Lists that are too long.
fn crowded(row: &Row, rule: &Rule, rpc: Rpc) -> Option<Vec<Named>> {
    let repeated = |count: usize, entry: &Value| {
        let one = put(&way(rpc, row.field), entry);
        [good(rpc), one.repeat(count)].concat()
    };
    let of = |counts: &[usize], entry: &Value| {
        let named = counts.iter();
        Some(
            named
                .map(|count| (count.to_string(), repeated(*count, entry)))
                .collect(),
        )
    };
    if let Some(entries) = tags(rule) {
        let way = way(rpc, row.field);
        let (field, parents) = way.split_last()?;
        let message = |(count, key, value): (usize, usize, usize)| {
            let entry =
                |number: usize| tag(&format!("{number}{}", "k".repeat(key)), &"x".repeat(value));
            let tags = values::many(field, count, entry);
            let tags = match parents {
                [] => tags,
                parents => put(parents, &Value::Message(tags)),
            };
            (
                format!("{count} of {key} and {value}"),
                [good(rpc), tags].concat(),
            )
        };
        return Some(entries.iter().copied().map(message).collect());
    }
    if *rule == rules::ACTION_COUNT {
        return of(&[ACTIONS_MAX + 1, 10_000], &Value::Message(Vec::new()));
    }
    if *rule == rules::FILTER_COUNT {
        return of(&[10_001, 60_000], &Value::Message(Vec::new()));
    }
    if *rule == rules::HUB_NAME_COUNT {
        return of(&[1_001, 50_000], &Value::Message(Vec::new()));
    }
    if *rule == rules::BATCH_COUNT {
        let field = at(rpc, "instanceBatch")?.pop()?;
        let batch = |count: usize| {
            let ids = values::batch((0..count).map(|number| number.to_string()));
            [good(rpc), put(&[field], &Value::Message(ids))].concat()
        };
        let mut found: Vec<Named> = [501, 5_000]
            .into_iter()
            .map(|count| (count.to_string(), batch(count)))
            .collect();
        let same = values::batch((0..501).map(|_| LIVE.to_owned()));
        let same = [good(rpc), put(&[field], &Value::Message(same))].concat();
        found.push(("501 times the same".to_owned(), same));
        return Some(found);
    }
    None
}

/// Tags that break a rule: how many, the bytes of each key behind its number, and those of each value.
fn tags(rule: &Rule) -> Option<&'static [(usize, usize, usize)]> {
    if *rule == rules::TAG_COUNT {
        Some(&[(65, 0, 1), (5_000, 0, 1)])
    } else if *rule == rules::TAG_KEY {
        Some(&[(1, 1024, 1), (2, 100_000, 0)])
    } else if *rule == rules::TAG_VALUE {
        Some(&[(1, 0, (16 << 10) + 1), (2, 0, 100_000)])
    } else if *rule == rules::TAGS_SIZE {
        Some(&[(64, 0, 1 << 10), (5, 0, 16 << 10)])
    } else {
        None
    }
}

fn tag(key: &str, value: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    wire::put_bytes(&mut entry, 1, key.as_bytes());
    wire::put_bytes(&mut entry, 2, value.as_bytes());
    entry
}

fn own_token(world: &World, rpc: Rpc) -> &String {
    match rpc {
        Rpc::QueryInstances => &world.instances,
        Rpc::ListInstanceIds => &world.ended,
        _ => &world.entities,
    }
}

/// What makes another query out of the good one.
fn other_filter(rpc: Rpc) -> Option<(&'static str, Value)> {
    match rpc {
        Rpc::QueryInstances => Some(("query.runtimeStatus", Value::Number(6))),
        Rpc::ListInstanceIds => Some(("runtimeStatus", Value::Number(5))),
        Rpc::QueryEntities => Some(("query.lastModifiedTo", values::timestamp(4_000_000_000, 0))),
        _ => None,
    }
}

/// Tokens that were never returned to this query.
fn tokens(world: &World, row: &Row, rpc: Rpc) -> Vec<(String, String)> {
    let own = own_token(world, rpc);
    let mut tokens = vec![
        ("zero", "0".to_owned()),
        ("a word", "garbage".to_owned()),
        ("an id", LIVE.to_owned()),
        ("spaces", "   ".to_owned()),
        ("NUL", "\0".to_owned()),
        ("not ASCII", "é".repeat(20)),
        ("very long", "A".repeat(100_000)),
        ("cut off", own[..own.len() - 1].to_owned()),
        ("with more behind it", format!("{own}A")),
        ("padded", format!("{own}=")),
    ];
    for place in [0, own.len() / 2, own.len() - 2] {
        let other = if own.as_bytes()[place] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut changed = own.clone();
        changed.replace_range(place..=place, other);
        let what = ["begun otherwise", "changed inside", "changed near the end"];
        let which = usize::from(place > 0) + usize::from(place == own.len() - 2);
        tokens.push((what[which], changed));
    }
    let listings = [&world.instances, &world.ended, &world.entities];
    let foreign = listings.iter().filter(|token| **token != own);
    for (what, token) in ["of another listing", "of a third listing", "of a sweep"]
        .iter()
        .zip(foreign)
    {
        tokens.push((what, (*token).clone()));
    }
    for (what, token) in [
        "of instances elsewhere",
        "of ended ones elsewhere",
        "of entities elsewhere",
    ]
    .iter()
    .zip(&world.elsewhere)
    {
        tokens.push((what, token.clone()));
    }
    if *row == rows::CLEAN_TOKEN {
        tokens.push(("of a query", own.clone()));
    }
    tokens
        .into_iter()
        .map(|(what, token)| (what.to_owned(), token))
        .collect()
}

/// Answers without a token, which are matched by instance.
fn without_token(row: &Row, rule: &Rule, rpc: Rpc) -> Vec<Named> {
    if *row == rows::PART_TOKEN {
        let part = |field: &str| put(&way(rpc, field), &Value::Number(1));
        return vec![
            ("a part".to_owned(), part("isPartial")),
            ("a plea for history".to_owned(), part("requiresHistory")),
        ];
    }
    let values = values::breaking(row, rule, &way(rpc, "instanceId"));
    values.into_iter().collect()
}

/// Parts of answers that cannot be carried out.
fn of_an_answer(row: &Row, rule: &Rule, rpc: Rpc) -> Vec<Named> {
    let with = |value: Value| [good(rpc), put(&way(rpc, row.field), &value)].concat();
    let named = |what: &str, value: Value| vec![(what.to_owned(), with(value))];
    if [
        &rules::ACTION_UNKNOWN,
        &rules::MESSAGE_UNKNOWN,
        &rules::NO_FIRE_AT,
        &rules::ACTION_UNAVAILABLE,
    ]
    .contains(&rule)
    {
        if *rule == rules::NO_FIRE_AT {
            let timer = put(&way(rpc, "createTimer"), &Value::Message(Vec::new()));
            return vec![("no time".to_owned(), [good(rpc), timer].concat())];
        }
        return named("empty", Value::Message(Vec::new()));
    }
    if *rule == rules::NEGATIVE_EVENTS {
        return named("-1", Value::Number(-1));
    }
    if *rule == rules::NO_END {
        return named("running", Value::Number(0));
    }
    if *rule == rules::EVENT_TO_ENTITY {
        let path = format!("{}.instanceId", row.field);
        let to = put(&way(rpc, &path), &Value::text("@counter@a"));
        return vec![("a signal".to_owned(), [good(rpc), to].concat())];
    }
    Vec::new()
}
