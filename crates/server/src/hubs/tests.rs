//! The list across restarts, what becomes of deleted hubs, and files that must be refused.

use std::fs;
use std::time::Duration;

use longhaul_engine::Status;

use super::testing::{name, new_dir, open, opening};
use super::*;
use crate::config::HubAges;

#[test]
fn ids_are_kept_over_restarts_and_names_compared_without_case() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::Explicit).expect("new");
    let default = hubs.create(&name("default")).expect("created");
    let other = hubs.create(&name("Other")).expect("created");
    assert_ne!(default, other);
    assert_eq!(hubs.create(&name("DEFAULT")).expect("there"), default);
    drop(hubs);

    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert_eq!(hubs.resolve(&name("Default")), Some(default));
    assert_eq!(hubs.resolve(&name("other")), Some(other));
    assert_eq!(hubs.resolve(&name("third")), None);
    let shown: Vec<String> = hubs
        .list()
        .iter()
        .map(|(_, name)| name.to_string())
        .collect();
    assert_eq!(shown, ["default", "Other"]);
}

#[test]
fn ids_of_hubs_that_are_gone_are_not_given_again() {
    let dir = new_dir();
    let content = r#"{"format": 1, "next_id": 7, "hubs": [{"id": 2, "name": "a"}]}"#;
    fs::write(dir.path().join("hubs.json"), content).expect("written");
    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert_eq!(hubs.create(&name("b")).expect("created"), HubId(7));
}

#[test]
fn first_use_creates_where_that_is_allowed() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::OnFirstUse).expect("new");
    let id = hubs.resolve(&name("new")).expect("created");
    drop(hubs);
    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert_eq!(hubs.resolve(&name("new")), Some(id));
}

#[test]
fn many_first_uses_at_once_create_one_hub() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::OnFirstUse).expect("new");
    let ids = std::thread::scope(|scope| {
        let resolve = || hubs.resolve(&name("new")).expect("created");
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(resolve)).collect();
        let ids = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        ids.collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(ids.len(), 1);
}

#[test]
fn hub_that_cannot_be_made_durable_is_a_fault_and_does_not_exist() {
    let dir = new_dir();
    let (sender, faults) = std::sync::mpsc::sync_channel(1);
    let on_fault = FaultHandler::new(move |cause| sender.send(cause.to_owned()).expect("heard"));
    let inner = dir.path().join("gone");
    fs::create_dir(&inner).expect("created");
    let hubs = HubRegistry::open(Opening {
        on_fault,
        ..opening(&inner, Creation::OnFirstUse)
    })
    .expect("new");
    fs::remove_dir_all(&inner).expect("removed");
    assert_eq!(hubs.resolve(&name("new")), None);
    assert!(faults.try_recv().expect("a fault").contains("gone"));
    assert!(hubs.list().is_empty());
}

#[test]
fn list_that_is_gone_is_a_loss() {
    let dir = new_dir();
    let error = HubRegistry::open(Opening {
        must_exist: true,
        ..opening(dir.path(), Creation::OnFirstUse)
    })
    .expect_err("gone");
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn damaged_lists_are_refused() {
    let dir = new_dir();
    for (content, part) in [
        ("", "damaged"),
        (r#"{"format": 3}"#, "format 3"),
        (r#"{"format": 0}"#, "format 0"),
        (
            r#"{"format": 2, "next_id": 9, "hubs": [{"id": 1, "name": "a"}], "doomed": [1]}"#,
            "id 1",
        ),
        (
            r#"{"format": 2, "next_id": 9, "hubs": [], "doomed": [9]}"#,
            "id 9",
        ),
        (
            r#"{"format": 1, "next_id": 1, "hubs": [{"id": 1, "name": "a"}]}"#,
            "id 1",
        ),
        (
            r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}"#,
            "id 1",
        ),
        (
            r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a"}, {"id": 2, "name": "A"}]}"#,
            "twice",
        ),
        (
            r#"{"format": 1, "next_id": 9, "hubs": [{"id": 1, "name": "a b"}]}"#,
            "letters",
        ),
    ] {
        fs::write(dir.path().join("hubs.json"), content).expect("written");
        let error = open(&dir, Creation::Explicit)
            .expect_err("must be refused")
            .to_string();
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
}

#[test]
fn deleted_hubs_are_doomed_until_they_are_removed_and_their_ids_never_come_back() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::Explicit).expect("new");
    let first = hubs.create(&name("a")).expect("created");
    let gone = hubs.gone(&name("A")).expect("it exists");
    hubs.delete(&name("A")).expect("deleted");
    assert!(gone.is_cancelled());
    assert_eq!(hubs.resolve(&name("a")), None);
    assert!(hubs.gone(&name("a")).is_none());
    assert_eq!(hubs.doomed(), [first]);
    hubs.delete(&name("a"))
        .expect("nothing to delete is no error");
    drop(hubs);

    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert_eq!(hubs.resolve(&name("a")), None);
    assert_eq!(hubs.doomed(), [first]);
    let second = hubs.create(&name("a")).expect("created");
    assert!(second > first);
    hubs.removed(first).expect("noted");
    hubs.removed(first).expect("noted before");
    hubs.removed(second)
        .expect("nothing of a hub that is not doomed");
    drop(hubs);

    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert!(hubs.doomed().is_empty());
    assert_eq!(hubs.resolve(&name("a")), Some(second));
}

#[test]
fn recreating_gives_the_name_to_an_empty_hub() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::Explicit).expect("new");
    let first = hubs.recreate(&name("a")).expect("created");
    assert!(hubs.doomed().is_empty());
    let gone = hubs.gone(&name("a")).expect("it exists");
    let second = hubs.recreate(&name("A")).expect("created anew");
    assert!(gone.is_cancelled());
    assert!(!hubs.gone(&name("a")).expect("it exists").is_cancelled());
    drop(hubs);

    let hubs = open(&dir, Creation::Explicit).expect("ours");
    assert_eq!(hubs.resolve(&name("a")), Some(second));
    assert_eq!(hubs.doomed(), [first]);
    assert_eq!(hubs.list(), [(second, name("A"))]);
}

#[test]
fn deleted_hub_is_not_made_by_its_next_use() {
    let dir = new_dir();
    let hubs = open(&dir, Creation::OnFirstUse).expect("new");
    let first = hubs.resolve(&name("a")).expect("created");
    hubs.delete(&name("a")).expect("deleted");
    assert_eq!(hubs.resolve(&name("A")), None);
    let second = hubs.create(&name("a")).expect("created");
    assert_ne!(first, second);
    assert_eq!(hubs.resolve(&name("a")), Some(second));
    hubs.delete(&name("a")).expect("deleted");
    drop(hubs);

    let hubs = open(&dir, Creation::OnFirstUse).expect("ours");
    assert!(hubs.resolve(&name("a")).is_some());
}

#[test]
fn deletion_that_cannot_be_made_durable_did_not_happen() {
    let dir = new_dir();
    let inner = dir.path().join("gone");
    fs::create_dir(&inner).expect("created");
    let hubs = HubRegistry::open(opening(&inner, Creation::Explicit)).expect("new");
    let id = hubs.create(&name("a")).expect("created");
    let gone = hubs.gone(&name("a")).expect("it exists");
    fs::remove_dir_all(&inner).expect("removed");
    hubs.delete(&name("a")).expect_err("nowhere to write");
    hubs.recreate(&name("a")).expect_err("nowhere to write");
    assert_eq!(hubs.resolve(&name("a")), Some(id));
    assert!(hubs.doomed().is_empty());
    assert!(!gone.is_cancelled());
}

#[test]
fn doomed_hubs_count_until_they_are_removed() {
    let dir = new_dir();
    let doomed: Vec<u32> = (1..=u32::try_from(HUBS_MAX).expect("few")).collect();
    let next_id = doomed.len() + 1;
    let content =
        format!(r#"{{"format": 2, "next_id": {next_id}, "hubs": [], "doomed": {doomed:?}}}"#);
    fs::write(dir.path().join("hubs.json"), content).expect("written");
    let hubs = open(&dir, Creation::Explicit).expect("ours");
    let error = hubs.create(&name("a")).expect_err("too many");
    assert!(error.to_string().contains("still being removed"), "{error}");
    hubs.removed(HubId(1)).expect("noted");
    hubs.create(&name("a")).expect("there is room");
}

#[test]
fn retention_follows_the_hubs_there_are() {
    let dir = new_dir();
    let mut opening = opening(dir.path(), Creation::Explicit);
    opening.retention.hubs = HubAges::parse("audit=never").expect("valid");
    let hubs = HubRegistry::open(opening).expect("new");
    let mut retention = hubs.retention();
    let month = Some(Duration::from_secs(30 * 86_400));
    let first = hubs.create(&name("Audit")).expect("created");
    let other = hubs.create(&name("other")).expect("created");
    let policy = retention.borrow_and_update().clone();
    assert_eq!(policy.age(first, Status::Completed), None);
    assert_eq!(policy.age(other, Status::Completed), month);

    let second = hubs.recreate(&name("audit")).expect("created anew");
    assert!(retention.has_changed().expect("open"));
    let policy = retention.borrow_and_update().clone();
    assert_eq!(policy.age(second, Status::Completed), None);
    assert_eq!(policy.age(first, Status::Completed), month);
}
