//! What becomes of hubs as a node sees them.

use std::time::Duration;

use futures::FutureExt;
use longhaul_engine::Status;

use super::testing::{Decided, follow, follow_with, name};
use super::*;
use crate::config::{Config, HubAges};

#[tokio::test]
async fn ids_are_kept_and_names_compared_without_case() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::Explicit);
    let default = hubs.create(&name("default")).await.expect("created");
    let other = hubs.create(&name("Other")).await.expect("created");
    assert_ne!(default, other);
    assert_eq!(hubs.create(&name("DEFAULT")).await, Ok(default));

    let another_node = follow(&decided, Creation::Explicit);
    assert_eq!(another_node.resolve(&name("Default")), Some(default));
    assert_eq!(another_node.resolve(&name("other")), Some(other));
    assert_eq!(another_node.resolve(&name("third")), None);
    let hubs = another_node.list();
    let shown: Vec<&str> = hubs.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(shown, ["default", "Other"]);
}

#[tokio::test]
async fn first_use_creates_where_that_is_allowed() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::OnFirstUse);
    assert_eq!(hubs.resolve(&name("new")), None);
    let id = hubs.first_use(&name("new")).await.expect("decided");
    assert!(id.is_some());
    assert_eq!(hubs.resolve(&name("new")), id);

    let strict = follow(&decided, Creation::Explicit);
    assert_eq!(strict.first_use(&name("other")).await, Ok(None));
    assert_eq!(strict.first_use(&name("NEW")).await, Ok(id));
}

#[tokio::test]
async fn many_first_uses_at_once_create_one_hub() {
    let decided = Decided::new();
    let nodes: Vec<HubRegistry> = (0..8)
        .map(|_| follow(&decided, Creation::OnFirstUse))
        .collect();
    let hub = name("new");
    let uses = nodes.iter().map(|node| node.first_use(&hub));
    let ids = futures::future::try_join_all(uses).await.expect("decided");
    assert!(ids.iter().all(|id| id.is_some() && *id == ids[0]));
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_no_answer() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::OnFirstUse);
    let id = hubs.create(&name("a")).await.expect("created");
    decided.fall_silent();
    for outcome in [
        hubs.first_use(&name("b")).await.map(drop),
        hubs.recreate(&name("a")).await.map(drop),
        hubs.delete(&name("a")).await,
    ] {
        assert!(
            matches!(outcome, Err(HubError::Unavailable(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(hubs.resolve(&name("a")), Some(id));
    assert!(hubs.doomed().is_empty());
}

#[tokio::test]
async fn deleted_hubs_are_doomed_until_they_are_removed_and_their_ids_never_come_back() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::Explicit);
    let first = hubs.create(&name("a")).await.expect("created");
    let (upper, lower) = (name("A"), name("a"));
    let mut gone = Box::pin(hubs.gone(&upper));
    assert!(gone.as_mut().now_or_never().is_none());
    hubs.delete(&upper).await.expect("deleted");
    gone.await;
    assert_eq!(hubs.resolve(&lower), None);
    assert!(hubs.gone(&lower).now_or_never().is_none());
    assert_eq!(hubs.doomed(), [first]);
    hubs.delete(&lower)
        .await
        .expect("nothing to delete is no error");

    let second = hubs.create(&lower).await.expect("created");
    assert!(second > first);
    for hub in [first, first, second] {
        hubs.removed(hub).await.expect("noted");
    }
    let another_node = follow(&decided, Creation::Explicit);
    assert!(another_node.doomed().is_empty());
    assert_eq!(another_node.resolve(&lower), Some(second));
}

#[tokio::test]
async fn recreating_gives_the_name_to_an_empty_hub() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::Explicit);
    let first = hubs.recreate(&name("a")).await.expect("created");
    assert!(hubs.doomed().is_empty());
    let lower = name("a");
    let mut gone = Box::pin(hubs.gone(&lower));
    assert!(gone.as_mut().now_or_never().is_none());
    let second = hubs.recreate(&name("A")).await.expect("created anew");
    gone.await;
    assert!(hubs.gone(&lower).now_or_never().is_none());
    assert_eq!(hubs.doomed(), [first]);
    assert_eq!(hubs.list(), [(second, name("A"))]);
}

#[tokio::test]
async fn deleted_hub_is_not_made_by_its_next_use() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::OnFirstUse);
    let first = hubs.first_use(&name("a")).await.expect("decided");
    hubs.delete(&name("a")).await.expect("deleted");
    assert_eq!(hubs.first_use(&name("A")).await, Ok(None));
    let second = hubs.create(&name("a")).await.expect("created");
    assert_ne!(first, Some(second));
    assert_eq!(hubs.resolve(&name("a")), Some(second));
    hubs.delete(&name("a")).await.expect("deleted");

    let started_later = follow(&decided, Creation::OnFirstUse);
    let made = started_later.first_use(&name("a")).await.expect("decided");
    assert!(made.is_some());
}

#[tokio::test]
async fn a_call_may_wait_for_the_end_of_a_hub_that_is_yet_to_come() {
    let decided = Decided::new();
    let (one, other) = (
        follow(&decided, Creation::Explicit),
        follow(&decided, Creation::Explicit),
    );
    let hub = name("late");
    let mut gone = Box::pin(one.gone(&hub));
    assert!(gone.as_mut().now_or_never().is_none());
    other.create(&hub).await.expect("created");
    assert!(gone.as_mut().now_or_never().is_none());
    other.delete(&hub).await.expect("deleted");
    // What was deleted before anybody saw it waits for the next of that name.
    other.create(&hub).await.expect("created");
    while one.resolve(&hub).is_none() {
        tokio::task::yield_now().await;
    }
    assert!(gone.as_mut().now_or_never().is_none());
    other.delete(&hub).await.expect("deleted");
    gone.await;
}

#[tokio::test]
async fn doomed_hubs_count_until_they_are_removed() {
    let decided = Decided::new();
    let hubs = follow(&decided, Creation::Explicit);
    for _ in 0..=HUBS_MAX {
        if hubs.recreate(&name("a")).await.is_err() {
            break;
        }
    }
    let error = hubs.create(&name("b")).await.expect_err("too many");
    assert!(error.to_string().contains("still being removed"), "{error}");
    let doomed = hubs.doomed();
    hubs.removed(doomed[0]).await.expect("noted");
    hubs.create(&name("b")).await.expect("there is room");
}

#[tokio::test]
async fn retention_follows_the_hubs_there_are() {
    let mut settings = Config::server().retention;
    settings.hubs = HubAges::parse("audit=never").expect("valid");
    let hubs = follow_with(&Decided::new(), Creation::Explicit, settings);
    let mut retention = hubs.retention();
    let month = Some(Duration::from_secs(30 * 86_400));
    let first = hubs.create(&name("Audit")).await.expect("created");
    let other = hubs.create(&name("other")).await.expect("created");
    let policy = retention.borrow_and_update().clone();
    assert_eq!(policy.age(first, Status::Completed), None);
    assert_eq!(policy.age(other, Status::Completed), month);

    let second = hubs.recreate(&name("audit")).await.expect("created anew");
    assert!(retention.has_changed().expect("open"));
    let policy = retention.borrow_and_update().clone();
    assert_eq!(policy.age(second, Status::Completed), None);
    assert_eq!(policy.age(first, Status::Completed), month);
}
