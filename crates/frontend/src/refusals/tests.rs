//! The table is complete and well-formed, and its page is up to date.

use std::path::Path;

use super::*;
use crate::limits::Limits;
use crate::refusals::rules::{NAME_LENGTH, REQUIRED, TEXT_LENGTH};
use rows::{ALL, EVENT_INPUT, EVENT_NAME, SIGNAL_REQUEST};

#[test]
fn every_call_is_in_the_table() {
    for rpc in Rpc::ALL {
        let rows = ALL.iter().filter(|row| row.rpcs.contains(rpc));
        assert!(rows.count() >= 2, "{rpc:?}");
    }
}

#[test]
fn rows_have_rules_and_a_field_has_one_row_for_each_call() {
    for (place, row) in ALL.iter().enumerate() {
        assert!(!row.rules.is_empty() && !row.rpcs.is_empty(), "{row:?}");
        for (at, rule) in row.rules.iter().enumerate() {
            assert!(
                !row.rules[..at].contains(rule),
                "twice in {row:?}: {rule:?}"
            );
        }
        for other in &ALL[..place] {
            let same =
                row.field == other.field && row.rules.iter().any(|it| other.rules.contains(it));
            let shared = row.rpcs.iter().any(|rpc| other.rpcs.contains(rpc));
            assert!(!(same && shared), "{row:?} and {other:?}");
        }
    }
}

#[test]
fn sentences_have_only_known_placeholders_and_limits_only_where_there_are_some() {
    for rule in ALL.iter().flat_map(|row| row.rules) {
        for text in [rule.text, rule.when] {
            let mut rest = text;
            while let Some((_, (name, after))) = placeholder(rest) {
                let known = match name {
                    "field" | "found" => text == rule.text,
                    "max" => rule.max != Max::Nothing,
                    "setting" => !rule.max.setting().is_empty() && text == rule.text,
                    _ => false,
                };
                assert!(known, "{name:?} in {rule:?}");
                rest = after;
            }
        }
        assert!(!rule.text.ends_with('.'), "{rule:?}");
    }
}

#[test]
fn a_refusal_says_field_value_and_limit() {
    let refusal = SIGNAL_REQUEST.refuse(&TEXT_LENGTH, 2000);
    assert!(refusal.is(&SIGNAL_REQUEST, &TEXT_LENGTH));
    let text = "requestId has 2000 bytes, but at most 1024 are allowed; use a shorter one";
    assert_eq!(refusal.to_string(), text);
    let status = Status::from(refusal);
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::InvalidArgument, text)
    );
    let above = EVENT_INPUT.fits(Some("123456789"), &Limits::of_payload(8));
    assert_eq!(
        above.expect_err("too large").to_string(),
        "input has 9 bytes, but at most 8 are allowed; keep large data elsewhere and pass a reference to it, or raise \
         limits.payload"
    );
    assert_eq!(
        EVENT_INPUT.fits(Some("12345678"), &Limits::of_payload(8)),
        Ok(())
    );
}

#[test]
fn every_limit_that_can_be_set_is_named_by_whatever_it_refuses() {
    for rule in ALL.iter().flat_map(|row| row.rules) {
        let names = rule.text.contains("{setting}");
        let can_be_set = matches!(rule.max, Max::Setting(_));
        assert_eq!(names, can_be_set && !rule.text.is_empty(), "{rule:?}");
    }
    let long = EVENT_NAME.name("x".repeat(2000), &Limits::default());
    let long = long.expect_err("too long");
    assert!(long.is(&EVENT_NAME, &NAME_LENGTH));
    let text =
        "name has 2000 bytes, but a name has at most 1024; use a shorter one, or raise limits.name";
    assert_eq!(long.to_string(), text);
}

#[test]
fn what_was_found_is_not_read_for_placeholders_and_is_cut() {
    let refusal = rows::ORCHESTRATION_ID.refuse(&rules::NO_INSTANCE, "{max}{field}");
    assert_eq!(
        refusal.to_string(),
        "no orchestration instance with the id '{max}{field}' exists in this task hub"
    );
    let long = rows::ORCHESTRATION_ID.refuse(&rules::NO_INSTANCE, "ü".repeat(100_000));
    assert!(
        long.to_string()
            .contains(&format!("'{}…'", "ü".repeat(FOUND_CHARS_MAX)))
    );
    assert_ne!(
        EVENT_NAME.refuse(&REQUIRED, ""),
        rows::START_NAME.refuse(&REQUIRED, "")
    );
}

/// With `LONGHAUL_REWRITE=1` in the environment, the page is written instead.
#[test]
fn the_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bad-input.md");
    let content = page::page();
    if std::env::var_os("LONGHAUL_REWRITE").is_some() {
        std::fs::write(&file, content).expect("written");
    } else {
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == content,
            "docs/bad-input.md differs; run this test once with LONGHAUL_REWRITE=1"
        );
    }
}
