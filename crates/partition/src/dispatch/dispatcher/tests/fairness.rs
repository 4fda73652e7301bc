//! Who gets the next item when one instance has many.

use super::*;

/// An instance that has scheduled so many activities.
fn fan_out(fixture: &mut Fixture, stream: &Session, id: &str, activities: usize) {
    fixture.create(id, "A");
    let turns = fixture.claim_turns(stream);
    fixture.answer(turns[0].0, vec![activity("X"); activities]);
}

#[test]
fn an_instance_with_thousands_of_activities_does_not_starve_another() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream(3, None);
    fan_out(&mut fixture, &stream, "many", 10_000);
    fan_out(&mut fixture, &stream, "one", 1);
    let order: Vec<String> = fixture
        .claim(&stream, WorkKind::Activity)
        .iter()
        .map(instance_of)
        .collect();
    assert_eq!(order, ["many", "one", "many"]);
    assert_eq!(fixture.dispatcher.queued(), 9_998);
}

#[test]
fn lost_activities_come_back_before_those_that_wait() {
    let mut fixture = Fixture::new();
    let lost = fixture.stream(2, None);
    fan_out(&mut fixture, &lost, "many", 3);
    fan_out(&mut fixture, &lost, "one", 1);
    let tasks = |claimed: Vec<Claimed>| -> Vec<(String, i32)> {
        let of = |claimed: &Claimed| match claimed {
            Claimed::Activity { activity, .. } => (instance_of(claimed), activity.task_id),
            Claimed::Turn { .. } | Claimed::Batch { .. } | Claimed::Encoded(_) => {
                unreachable!("not asked for")
            }
        };
        claimed.iter().map(of).collect()
    };
    let first = tasks(fixture.claim(&lost, WorkKind::Activity));
    assert!(fixture.dispatcher.session_lost(lost.state.id).is_empty());
    let stream = fixture.stream(10, None);
    let again = tasks(fixture.claim(&stream, WorkKind::Activity));
    assert_eq!(first, [("many".to_owned(), 1), ("one".to_owned(), 1)]);
    assert_eq!(again[..2], first);
    assert_eq!(again[2..], [("many".to_owned(), 2), ("many".to_owned(), 3)]);
}
