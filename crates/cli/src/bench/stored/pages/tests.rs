//! Pages that are right, and pages that are not.

use super::*;
use crate::bench::stored::store::Store;

fn stored() -> Stored {
    Stored {
        store: Store::new(1_000, 100, 0),
        count: 1_000,
        from: Duration::from_secs(1_000),
        to: Duration::from_secs(1_100),
    }
}

fn state(id: &str, created: i64, status: OrchestrationStatus) -> OrchestrationState {
    OrchestrationState {
        instance_id: id.to_owned(),
        orchestration_status: status.into(),
        created_timestamp: Some(Timestamp {
            seconds: created,
            nanos: 5,
        }),
        ..OrchestrationState::default()
    }
}

fn completed(id: &str, created: i64) -> OrchestrationState {
    state(id, created, OrchestrationStatus::Completed)
}

fn page(instances: Vec<OrchestrationState>, next: Option<&str>) -> InstancePage {
    InstancePage {
        instances,
        next: next.map(str::to_owned),
    }
}

fn listing(query: InstanceQuery) -> Listing {
    Listing {
        filter: Filter::All,
        query: InstanceQuery {
            max_instance_count: 2,
            ..query
        },
        last: None,
    }
}

#[test]
fn a_listing_goes_on_to_its_end() {
    let mut listing = listing(InstanceQuery::default());
    let first = page(vec![completed("b", 1), completed("a", 2)], Some("token"));
    assert_eq!(listing.advance(first), Ok(Progress::More));
    assert_eq!(listing.query.continuation_token.as_deref(), Some("token"));
    let last = page(vec![completed("b", 2)], None);
    assert_eq!(listing.advance(last), Ok(Progress::End));
    assert_eq!(
        listing.advance(page(Vec::new(), None)),
        Ok(Progress::End),
        "nothing at all is a page too"
    );
}

#[test]
fn wrong_pages_are_failures() {
    let all = InstanceQuery::default;
    for (says, query, instances, next) in [
        (
            "too long",
            all(),
            vec![completed("a", 1), completed("b", 1), completed("c", 1)],
            None,
        ),
        ("empty, yet not the last", all(), vec![], Some("token")),
        (
            "out of order",
            all(),
            vec![completed("b", 1), completed("a", 1)],
            None,
        ),
        (
            "out of order",
            all(),
            vec![completed("a", 1), completed("a", 1)],
            None,
        ),
        (
            "does not match",
            InstanceQuery {
                runtime_status: vec![OrchestrationStatus::Running.into()],
                ..all()
            },
            vec![completed("a", 1)],
            None,
        ),
        (
            "does not match",
            InstanceQuery {
                instance_id_prefix: Some("ab".to_owned()),
                ..all()
            },
            vec![completed("ac", 1)],
            None,
        ),
        (
            "does not match",
            InstanceQuery {
                created_time_from: Some(timestamp(Duration::new(1, 6))),
                ..all()
            },
            vec![completed("a", 1)],
            None,
        ),
        (
            "does not match",
            InstanceQuery {
                created_time_to: Some(timestamp(Duration::new(1, 5))),
                ..all()
            },
            vec![completed("a", 1)],
            None,
        ),
    ] {
        let refused = listing(query)
            .advance(page(instances, next))
            .expect_err(says);
        assert!(refused.kind.contains(says), "{says}: {}", refused.kind);
    }
}

#[test]
fn order_is_kept_from_page_to_page() {
    let mut listing = listing(InstanceQuery::default());
    let first = page(vec![completed("a", 5)], Some("token"));
    assert_eq!(listing.advance(first), Ok(Progress::More));
    let again = page(vec![completed("a", 5)], None);
    let refused = listing
        .advance(again)
        .expect_err("it was on the page before");
    assert!(refused.kind.contains("out of order"));
}

#[test]
fn filters_ask_for_what_is_stored() {
    let stored = stored();
    let mut random = Random::seeded(7);
    for _ in 0..100 {
        let prefix = Filter::Prefix.query(&stored, &mut random);
        let prefix = prefix.instance_id_prefix.expect("it has one");
        let matching = (0..stored.count).filter(|nth| stored.store.id(*nth).starts_with(&prefix));
        assert!(matching.count() >= 1, "{prefix}");
        assert!(prefix.starts_with(stored.store.prefix()), "{prefix}");

        let created = Filter::Created.query(&stored, &mut random);
        let (from, to) = (
            moment(created.created_time_from.as_ref()),
            moment(created.created_time_to.as_ref()),
        );
        assert_eq!(to.0 - from.0, 1, "a hundredth of a hundred seconds");
        assert!((1_000..1_100).contains(&from.0), "{from:?}");
    }
    let running = Filter::Running.query(&stored, &mut random);
    assert!(matches(
        &running,
        &state("a", 1, OrchestrationStatus::Running)
    ));
    assert!(!matches(&running, &completed("a", 1)));
}
