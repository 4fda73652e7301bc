//! Items that come back: delays, other streams first, parking.

use super::*;

#[test]
fn trap_54_abandoned_items_come_back_later_each_time() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let mut delays = Vec::new();
    for _ in 0..8 {
        let (lease, _) = fixture.claim_turns(&stream).remove(0);
        let (offer, delay) = fixture.dispatcher.abandon(lease, true).expect("it waits");
        assert!(fixture.claim_turns(&stream).is_empty(), "it waits");
        delays.push(delay.as_secs());
        fixture.dispatcher.offer_delayed(offer);
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    assert!(fixture.dispatcher.abandon(lease, false).is_none());
    assert_eq!(
        fixture.claim_turns(&stream).len(),
        1,
        "without a delay it is there at once"
    );
}

#[test]
fn an_item_that_kills_its_workers_is_slowed_down() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let mut delays = Vec::new();
    for _ in 0..5 {
        let stream = fixture.stream(1, None);
        assert_eq!(fixture.claim_turns(&stream).len(), 1);
        let delayed = fixture.dispatcher.session_lost(stream.state.id);
        delays.push(delayed.first().map_or(0, |(_, delay)| delay.as_secs()));
        for (offer, _) in delayed {
            fixture.dispatcher.offer_delayed(offer);
        }
    }
    assert_eq!(delays, [0, 0, 0, 1, 2]);
}

#[test]
fn an_abandoned_item_goes_to_another_stream_first() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let first = fixture.stream(1, None);
    let second = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&first).remove(0);
    fixture.dispatcher.abandon(lease, false);
    let claim = |fixture: &mut Fixture, session: &Session| {
        let mut claimed = VecDeque::new();
        let (kind, share) = (WorkKind::Orchestration, Share { free: 1, takers: 2 });
        let request = ClaimRequest {
            session: &session.state,
            kind,
            share,
            now: fixture.now,
        };
        let left = fixture
            .dispatcher
            .claim(&mut fixture.tables, &request, &mut || 7, &mut claimed)
            .expect("memory does not break");
        (left, claimed.len())
    };
    assert_eq!(claim(&mut fixture, &first), (true, 0), "left to the other");
    assert_eq!(claim(&mut fixture, &second).1, 1);
    let lease = fixture
        .dispatcher
        .turn_out(&Fixture::key("a"))
        .expect("out");
    fixture.dispatcher.abandon(lease, false);
    assert_eq!(claim(&mut fixture, &second), (true, 0));
    assert_eq!(claim(&mut fixture, &second).1, 1, "nobody else wanted it");
}

const PARKED: Duration = Duration::from_secs(900);

/// Parks after three setbacks in a row.
fn impatient() -> Fixture {
    Fixture::with(&Config {
        park_after: 3,
        park_retry: PARKED,
        ..Config::default()
    })
}

/// Claims the only turn and gives it back; answers how long it waits.
fn give_back(fixture: &mut Fixture, stream: &Session) -> Duration {
    let (lease, _) = fixture.claim_turns(stream).remove(0);
    let (offer, delay) = fixture.dispatcher.abandon(lease, true).expect("it waits");
    fixture.assert_consistent();
    fixture.dispatcher.offer_delayed(offer);
    delay
}

#[test]
fn an_item_that_nobody_can_complete_is_parked_until_somebody_does() {
    let mut fixture = impatient();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let delays: Vec<u64> = (0..5)
        .map(|_| give_back(&mut fixture, &stream).as_secs())
        .collect();
    assert_eq!(delays, [1, 2, 4, PARKED.as_secs(), PARKED.as_secs()]);
    assert_eq!(fixture.dispatcher.parked(), [1, 0, 0], "counted once");

    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    assert_eq!(fixture.dispatcher.parked(), [1, 0, 0], "not completed yet");
    fixture.answer(lease, vec![activity("X")]);
    assert_eq!(fixture.dispatcher.parked(), [0; 3]);
    let claimed = fixture.claim(&stream, WorkKind::Activity);
    fixture.finish(lease_of(&claimed[0]));
    assert_eq!(
        give_back(&mut fixture, &stream).as_secs(),
        1,
        "counted anew since the completion"
    );
}

#[test]
fn losses_with_streams_park_an_item_too() {
    let mut fixture = impatient();
    fixture.create("a", "A");
    let mut delays = Vec::new();
    for _ in 0..4 {
        let stream = fixture.stream(1, None);
        assert_eq!(fixture.claim_turns(&stream).len(), 1);
        let delayed = fixture.dispatcher.session_lost(stream.state.id);
        delays.push(delayed.first().map(|(_, delay)| *delay));
        for (offer, _) in delayed {
            fixture.dispatcher.offer_delayed(offer);
        }
    }
    assert_eq!(delays, [None, None, None, Some(PARKED)]);
    assert_eq!(fixture.dispatcher.parked(), [1, 0, 0]);
}

#[test]
fn the_end_of_an_instance_ends_what_is_parked_of_it() {
    let mut fixture = impatient();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![activity("X")]);
    let mut last = None;
    for _ in 0..4 {
        let claimed = fixture.claim(&stream, WorkKind::Activity);
        let lease = lease_of(&claimed[0]);
        let (offer, delay) = fixture.dispatcher.abandon(lease, true).expect("it waits");
        if delay == PARKED {
            last = Some(offer);
        } else {
            fixture.dispatcher.offer_delayed(offer);
        }
    }
    assert_eq!(fixture.dispatcher.parked(), [0, 1, 0]);
    fixture.replace("a", "B");
    assert_eq!(fixture.dispatcher.parked(), [0; 3]);
    fixture
        .dispatcher
        .offer_delayed(last.expect("it was parked"));
    assert!(
        fixture.claim(&stream, WorkKind::Activity).is_empty(),
        "the alarm came for nothing"
    );
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![complete()]);
    fixture.assert_idle();
}

#[test]
fn an_alarm_of_an_earlier_delay_does_not_end_a_later_one() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    let (early, _) = fixture.dispatcher.abandon(lease, true).expect("it waits");
    fixture.replace("a", "A");
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    let (late, _) = fixture.dispatcher.abandon(lease, true).expect("it waits");
    fixture.dispatcher.offer_delayed(early);
    assert!(fixture.claim_turns(&stream).is_empty());
    fixture.dispatcher.offer_delayed(late);
    assert_eq!(fixture.claim_turns(&stream).len(), 1);
}

#[test]
fn giving_back_what_was_lost_before_leaves_it_in_the_queue() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let first = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&first).remove(0);
    fixture.dispatcher.session_lost(first.state.id);
    assert!(fixture.dispatcher.abandon(lease, true).is_none());
    fixture.assert_consistent();
    assert!(fixture.dispatcher.begin_turn(lease).is_none());
    let second = fixture.stream(1, None);
    assert_eq!(fixture.claim_turns(&second).len(), 1);
}

#[test]
fn a_turn_that_takes_nothing_waits_like_one_that_was_given_back() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![]);
    let event = bytes::Bytes::from_static(b"\x08\x01");
    fixture.apply(Command::RaiseEvent {
        key: Fixture::key("a"),
        event,
    });
    let mut delays = Vec::new();
    for _ in 0..3 {
        let (lease, _) = fixture.claim_turns(&stream).remove(0);
        let context = fixture.dispatcher.begin_turn(lease).expect("out");
        let answer = Answer {
            events_processed: Some(0),
            ..Answer::default()
        };
        let turn = decide(&context, answer, fixture.now, &mut || {
            ExecutionId::new("fresh")
        });
        assert_eq!(
            fixture.apply(Command::CompleteTurn(Box::new(turn))),
            Reply::Done
        );
        fixture.dispatcher.settle(lease, Settled::Over);
        assert!(fixture.claim_turns(&stream).is_empty(), "it waits");
        assert_eq!(stream.state.out(), 0);
        let (offer, delay) = fixture.delayed.pop().expect("it waits");
        delays.push(delay.as_secs());
        fixture.dispatcher.offer_delayed(offer);
    }
    assert_eq!(delays, [1, 2, 4]);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![complete()]);
    fixture.assert_idle();
}

#[test]
fn what_is_out_for_too_long_is_found_by_kind() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    fixture.create("b", "A");
    let stream = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![activity("X")]);
    let activity = lease_of(&fixture.claim(&stream, WorkKind::Activity)[0]);
    let (turn, _) = fixture.claim_turns(&stream).remove(0);
    let overdue = |fixture: &Fixture, seconds, turns, activities| -> Vec<LeaseId> {
        let config = Config {
            turn_lease_max: Duration::from_secs(turns),
            activity_lease_max: Duration::from_secs(activities),
            ..Config::default()
        };
        let now = fixture.now + Duration::from_secs(seconds);
        let overdue = fixture
            .dispatcher
            .overdue(now, |kind| config.lease_max(kind));
        overdue.into_iter().map(|(lease, _)| lease).collect()
    };
    assert_eq!(overdue(&fixture, 11, 10, 0), [turn]);
    assert_eq!(overdue(&fixture, 11, 0, 10), [activity]);
    assert_eq!(overdue(&fixture, 11, 10, 10), [activity, turn]);
    assert_eq!(overdue(&fixture, 10, 10, 10), []);
    assert_eq!(overdue(&fixture, 1 << 40, 0, 0), [], "zero is for ever");
    fixture.dispatcher.begin_activity(activity).expect("out");
    assert_eq!(overdue(&fixture, 11, 0, 10), [], "it is being committed");
}
