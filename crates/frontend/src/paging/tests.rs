//! Sizes, cuts and tokens.

use longhaul_engine::Status;
use longhaul_engine::query::StatusSet;
use longhaul_proto::sidecar::EntityMetadata;
use proptest::prelude::*;

use super::*;
use crate::refusals::rows::QUERY_TOKEN;

const KEY: Key = [9; 32];

fn filter() -> InstanceFilter {
    InstanceFilter {
        hub: HubId(1),
        statuses: StatusSet::ALL,
        created: Span::default(),
        id_prefix: String::new(),
    }
}

fn place() -> TimePosition {
    TimePosition {
        at: Timestamp {
            seconds: -5,
            nanos: 999_999_999,
        },
        id: InstanceId::trusted("ünï@x"),
    }
}

#[test]
fn sizes_have_a_default_and_a_most() {
    let cases = [
        (i32::MIN, 100),
        (-1, 100),
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (i32::MAX, 1_000),
    ];
    for (asked_for, expected) in cases {
        assert_eq!(size(asked_for), expected, "{asked_for}");
    }
}

/// How many items of these sizes are on the first page.
fn taken(states: &[usize], size: usize) -> usize {
    let mut page = Page::of(size);
    for bytes in states {
        let item = EntityMetadata {
            serialized_state: Some("x".repeat(*bytes)),
            ..Default::default()
        };
        if page.take(item) == Taken::No {
            break;
        }
    }
    let items = page.into_items();
    let sizes = items
        .iter()
        .flat_map(|it| &it.serialized_state)
        .map(String::len);
    assert!(sizes.eq(states[..items.len()].iter().copied()));
    items.len()
}

#[test]
fn a_page_is_full_with_so_many() {
    assert_eq!(taken(&[], 2), 0);
    assert_eq!(taken(&[1], 2), 1);
    assert_eq!(taken(&[1, 1, 1], 2), 2);
}

#[test]
fn a_page_that_would_be_too_large_is_shorter_but_never_empty() {
    const MIB: usize = 1 << 20;
    assert_eq!(taken(&[MIB; 5], 5), 3);
    assert_eq!(taken(&[4 * MIB, 1], 5), 1);
    assert_eq!(taken(&[1, 4 * MIB, 1], 5), 1);
    let many = vec![100; 40_000];
    let on_page = taken(&many, many.len());
    assert!(on_page < many.len() && on_page * 100 < limits::PAGE_BYTES_MAX);
    assert!(on_page * 120 > limits::PAGE_BYTES_MAX, "{on_page}");
}

#[test]
fn a_token_leads_back_to_its_place_in_its_own_query_only() {
    let listing = Listing::of_instances(&filter());
    let token = listing.token(&place(), &KEY);
    let opened = |listing: Listing, token: &str| {
        listing.position::<TimePosition>(&QUERY_TOKEN, Some(token), &KEY)
    };
    assert_eq!(opened(listing, &token), Ok(Some(place())));
    assert_eq!(opened(listing, ""), Ok(None));
    assert_eq!(
        listing.position::<TimePosition>(&QUERY_TOKEN, None, &KEY),
        Ok(None)
    );

    let from = Some(Timestamp::EPOCH);
    let others = [
        InstanceFilter {
            hub: HubId(2),
            ..filter()
        },
        InstanceFilter {
            statuses: StatusSet::NONE.with(Status::Failed),
            ..filter()
        },
        InstanceFilter {
            created: Span { from, to: None },
            ..filter()
        },
        InstanceFilter {
            created: Span {
                from: None,
                to: from,
            },
            ..filter()
        },
        InstanceFilter {
            id_prefix: "o".into(),
            ..filter()
        },
    ];
    for other in others {
        let refusal = opened(Listing::of_instances(&other), &token).expect_err("another query");
        assert!(refusal.is(&QUERY_TOKEN, &PAGE_TOKEN), "{other:?}");
    }
    let ended = Listing::of_ended(&EndedFilter {
        hub: HubId(1),
        statuses: StatusSet::ALL,
        completed: Span::default(),
    });
    assert!(opened(ended, &token).is_err());
    assert!(opened(listing, &ended.token(&place(), &KEY)).is_err());
    for garbage in ["0", "garbage", "é", &"A".repeat(100_000), &token[1..]] {
        assert!(opened(listing, garbage).is_err());
    }
}

#[test]
fn sealed_payloads_of_another_layout_are_refused() {
    let listing = Listing::of_instances(&filter());
    let sealed = |payload: &[u8]| paging::seal(listing.kind, listing.hub, payload, &KEY);
    let mut whole = vec![VERSION];
    whole.extend(listing.fingerprint.to_le_bytes());
    place().put(&mut whole);
    let read = |payload: &[u8]| {
        let token = sealed(payload);
        listing.position::<TimePosition>(&QUERY_TOKEN, Some(&token), &KEY)
    };
    assert_eq!(read(&whole), Ok(Some(place())));
    let id_begins = 1 + 8 + 8 + 4;
    for end in 0..=id_begins {
        assert!(read(&whole[..end]).is_err(), "{end} bytes");
    }
    whole[0] = VERSION + 1;
    assert!(read(&whole).is_err());
}

proptest! {
    #[test]
    fn positions_come_back(seconds: i64, nanos in 0..1_000_000_000u32, id in "[^\\p{Cc}]{1,100}") {
        let position = TimePosition {
            at: Timestamp { seconds, nanos },
            id: InstanceId::parse_any(&id).expect("valid"),
        };
        let mut bytes = Vec::new();
        position.put(&mut bytes);
        prop_assert_eq!(TimePosition::take(&bytes), Some(position));
    }

    #[test]
    fn whatever_is_in_a_payload_is_read_or_refused(bytes: Vec<u8>) {
        if let Some(position) = TimePosition::take(&bytes) {
            let mut again = Vec::new();
            position.put(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}
