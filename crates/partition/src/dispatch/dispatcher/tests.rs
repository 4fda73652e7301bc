//! Deliveries of work items, over an engine in memory.

use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Action, Answer, Decided, decide};
use longhaul_engine::{Command, Effect, Reply, apply};
use longhaul_types::{ExecutionId, InstanceId, PartitionCount};

use super::*;
use crate::dispatch::{Capabilities, Filters, NameFilter, Session, SessionSpec, Sessions, Share};

const HUB: HubId = HubId(1);

struct Fixture {
    tables: MemTables,
    dispatcher: Dispatcher,
    sessions: Sessions,
    now: Timestamp,
    nonce: u64,
}

impl Fixture {
    fn new() -> Self {
        let count = PartitionCount::new(1).expect("a power of two");
        Self {
            tables: MemTables::new(PartitionState::new(PartitionId(0), count)),
            dispatcher: Dispatcher::new(PartitionId(0), Ready::default()),
            sessions: Sessions::default(),
            now: Timestamp {
                seconds: 100,
                nanos: 0,
            },
            nonce: 0,
        }
    }

    fn key(id: &str) -> InstanceKey {
        InstanceKey::new(HUB, InstanceId::trusted(id))
    }

    fn stream(&self, limit: u32, filters: Option<Filters>) -> Session {
        let capabilities = Capabilities::default();
        self.sessions.open(SessionSpec {
            hub: HUB,
            worker_id: None,
            limits: [limit; 3],
            filters,
            capabilities,
        })
    }

    /// Applies a command and runs its effects as the leader does.
    fn apply(&mut self, command: Command) -> Reply {
        let turn = match &command {
            Command::CompleteTurn(turn) => Some(turn.key.clone()),
            _ => None,
        };
        let outcome = apply(&mut self.tables, self.now, command).expect("memory does not break");
        if let (Some(key), Reply::Done) = (turn, &outcome.reply) {
            self.dispatcher.end_turn(&key);
        }
        for effect in outcome.effects {
            match effect {
                Effect::TurnReady { key, name, version } => {
                    self.dispatcher.offer_turn(key, Class { name, version })
                }
                Effect::ActivityReady {
                    key,
                    seq,
                    name,
                    version,
                } => {
                    self.dispatcher
                        .offer_activity(key, seq, Class { name, version });
                }
                Effect::TurnVoided { key } => self.dispatcher.end_turn(&key),
                Effect::ActivitiesVoided { key } => self.dispatcher.void_activities(&key),
                Effect::TimerArmed { .. }
                | Effect::StartArmed { .. }
                | Effect::StatusChanged { .. }
                | Effect::OutboxGrew { .. } => {}
            }
        }
        outcome.reply
    }

    fn create(&mut self, id: &str, name: &str) {
        let creation = Creation {
            execution: ExecutionId::new(format!("execution of {id}")),
            name: name.into(),
            version: None,
            input: None,
            scheduled_start: None,
            tags: None,
            parent: None,
            parent_trace: None,
            request_fingerprint: 0,
        };
        let create = CreateInstance {
            key: Self::key(id),
            creation,
            reuse: ReusePolicy::Default,
        };
        assert_eq!(
            self.apply(Command::CreateInstance(Box::new(create))),
            Reply::Done
        );
    }

    fn claim(&mut self, session: &Session, kind: WorkKind) -> Vec<Claimed> {
        let mut claimed = VecDeque::new();
        let share = Share {
            free: session.state.free(kind),
            takers: 1,
        };
        let request = ClaimRequest {
            session: &session.state,
            kind,
            share,
            now: self.now,
        };
        let nonces = &mut self.nonce;
        let mut nonce = || {
            *nonces += 1;
            *nonces
        };
        self.dispatcher
            .claim(&mut self.tables, &request, &mut nonce, &mut claimed)
            .expect("memory does not break");
        claimed.into()
    }

    fn claim_turns(&mut self, session: &Session) -> Vec<(LeaseId, String)> {
        let claimed = self.claim(session, WorkKind::Orchestration);
        claimed
            .iter()
            .map(|it| (lease_of(it), instance_of(it)))
            .collect()
    }

    fn complete(&mut self, lease: &TurnLease, actions: Vec<Action>) -> Reply {
        let actions = (1..)
            .zip(actions)
            .map(|(id, action)| Decided { id, action })
            .collect();
        let answer = Answer {
            actions,
            ..Answer::default()
        };
        let turn = decide(&lease.context, answer, self.now, &mut || {
            ExecutionId::new("fresh")
        });
        self.apply(Command::CompleteTurn(Box::new(turn)))
    }
}

fn lease_of(claimed: &Claimed) -> LeaseId {
    let (Claimed::Turn { token, .. } | Claimed::Activity { token, .. }) = claimed;
    crate::dispatch::parse_token(token)
        .expect("a token of ours")
        .1
}

fn instance_of(claimed: &Claimed) -> String {
    match claimed {
        Claimed::Turn { turn, .. } => turn.context.key.id.to_string(),
        Claimed::Activity { key, .. } => key.id.to_string(),
    }
}

fn activity(name: &str) -> Action {
    Action::ScheduleTask {
        name: name.to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        trace: None,
    }
}

#[test]
fn an_instance_has_one_turn_out_and_the_next_one_after_its_commit() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(10, None);
    let turns = fixture.claim_turns(&stream);
    assert_eq!(turns.len(), 1);
    let event = bytes::Bytes::from_static(b"\x08\x01");
    fixture.apply(Command::RaiseEvent {
        key: Fixture::key("a"),
        event,
    });
    assert!(fixture.claim_turns(&stream).is_empty(), "one is out");
    let lease = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    assert_eq!(fixture.complete(&lease, vec![]), Reply::Done);
    assert_eq!(
        fixture.dispatcher.settle(lease.id, Settled::Over),
        None,
        "the commit ended it"
    );
    assert_eq!(
        fixture.claim_turns(&stream).len(),
        1,
        "the event is a turn of its own"
    );
    assert_eq!(stream.state.out(), 1);
}

#[test]
fn trap_49_a_stream_never_has_more_than_its_limit() {
    let mut fixture = Fixture::new();
    for id in ["a", "b", "c"] {
        fixture.create(id, "A");
    }
    let stream = fixture.stream(2, None);
    assert_eq!(fixture.claim_turns(&stream).len(), 2);
    assert_eq!(stream.state.free(WorkKind::Orchestration), 0);
}

#[test]
fn trap_53_a_lost_stream_gives_everything_back_at_once_in_order() {
    let mut fixture = Fixture::new();
    for id in ["a", "b", "c"] {
        fixture.create(id, "A");
    }
    let first = fixture.stream(2, None);
    let old = fixture.claim_turns(&first);
    assert!(
        fixture
            .dispatcher
            .session_lost(first.state.id, 3)
            .is_empty()
    );
    assert_eq!(first.state.out(), 0);
    let second = fixture.stream(10, None);
    let again = fixture.claim_turns(&second);
    let ids: Vec<&str> = again.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert!(
        fixture.dispatcher.begin_turn(old[0].0).is_none(),
        "the old token is stale"
    );
}

#[test]
fn an_answer_after_the_loss_counts_until_the_turn_is_out_again() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let first = fixture.stream(1, None);
    let old = fixture.claim_turns(&first);
    fixture.dispatcher.session_lost(first.state.id, 3);
    let lease = fixture
        .dispatcher
        .begin_turn(old[0].0)
        .expect("not yet out again");
    assert_eq!(fixture.complete(&lease, vec![activity("X")]), Reply::Done);
    fixture.dispatcher.settle(lease.id, Settled::Over);
    let second = fixture.stream(10, None);
    assert!(fixture.claim_turns(&second).is_empty(), "it was committed");
    assert_eq!(fixture.claim(&second, WorkKind::Activity).len(), 1);
}

#[test]
fn parts_of_an_answer_outlive_the_stream_for_as_long_as_the_last_one_counts() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let (delivery, _) = fixture.claim_turns(&stream)[0];
    let part = |name: &str| Answer {
        actions: vec![Decided {
            id: 1,
            action: activity(name),
        }],
        ..Answer::default()
    };
    let lease = fixture.dispatcher.lease_mut(delivery).expect("out");
    lease.parts.put(0, part("X"), 1).expect("small");
    fixture.dispatcher.session_lost(stream.state.id, 3);
    let lease = fixture.dispatcher.lease_mut(delivery);
    let whole = lease.expect("may be answered").parts.whole();
    assert_eq!(whole.expect("kept").actions.len(), 1);
}

#[test]
fn a_completion_on_its_way_keeps_the_turn_from_going_out_twice() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let first = fixture.stream(1, None);
    let turns = fixture.claim_turns(&first);
    let lease = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.dispatcher.session_lost(first.state.id, 3);
    let second = fixture.stream(1, None);
    assert!(fixture.claim_turns(&second).is_empty());
    fixture.dispatcher.settle(lease.id, Settled::NotApplied);
    assert_eq!(
        fixture.claim_turns(&second).len(),
        1,
        "it had no effect, so the turn is offered again"
    );
}

#[test]
fn trap_54_abandoned_items_come_back_later_each_time() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let mut delays = Vec::new();
    for _ in 0..8 {
        let (lease, _) = fixture.claim_turns(&stream).remove(0);
        let (item, class, delay) = fixture.dispatcher.abandon(lease, true).expect("it waits");
        assert!(fixture.claim_turns(&stream).is_empty(), "it waits");
        delays.push(delay.as_secs());
        fixture.dispatcher.offer_delayed(item, class);
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
        let delayed = fixture.dispatcher.session_lost(stream.state.id, 3);
        delays.push(delayed.first().map_or(0, |(_, _, delay)| delay.as_secs()));
        for (item, class, _) in delayed {
            fixture.dispatcher.offer_delayed(item, class);
        }
    }
    assert_eq!(delays, [0, 0, 0, 1, 2]);
}

#[test]
fn a_terminated_instance_takes_its_turn_back_from_the_worker() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let turns = fixture.claim_turns(&stream);
    let lease = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.apply(Command::Terminate {
        key: Fixture::key("a"),
        output: None,
        recurse: false,
    });
    assert_eq!(stream.state.out(), 0, "the slot is free again");
    assert_eq!(fixture.complete(&lease, vec![activity("X")]), Reply::Stale);
    assert_eq!(fixture.dispatcher.settle(lease.id, Settled::Over), None);
    assert_eq!(fixture.dispatcher.queued(), 0);
}

#[test]
fn trap_57_deliveries_are_found_without_a_token_if_only_one_can_be_meant() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(10, None);
    let turns = fixture.claim_turns(&stream);
    let key = Fixture::key("a");
    assert_eq!(fixture.dispatcher.turn_out(&key), Some(turns[0].0));
    let lease = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.complete(&lease, vec![activity("X"), activity("Y")]);
    assert_eq!(fixture.dispatcher.turn_out(&key), None);
    let activities = fixture.claim(&stream, WorkKind::Activity);
    assert_eq!(
        fixture.dispatcher.activity_out(&key, 1),
        Some(lease_of(&activities[0]))
    );
    assert_eq!(fixture.dispatcher.activity_out(&key, 3), None);
}

#[test]
fn trap_52_work_that_no_stream_takes_waits_and_blocks_nothing() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    fixture.create("b", "B");
    let only_b = Filters {
        orchestrations: vec![NameFilter {
            name: "B".to_owned(),
            versions: vec![],
        }],
        ..Filters::default()
    };
    let stream = fixture.stream(10, Some(only_b));
    let turns = fixture.claim_turns(&stream);
    assert_eq!(
        turns.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(fixture.dispatcher.queued(), 1);
}

#[test]
fn losing_leadership_frees_every_slot() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    fixture.claim_turns(&stream);
    fixture.dispatcher.release_all();
    assert_eq!(stream.state.out(), 0);
}

#[test]
fn a_stream_leaves_others_their_share() {
    let share = |free, takers, ready| Share { free, takers }.of(ready);
    assert_eq!(share(100, 1, 20), 20);
    assert_eq!(share(100, 2, 20), 10);
    assert_eq!(share(3, 2, 20), 3);
    assert_eq!(share(100, 7, 20), 3);
    assert_eq!(share(100, 50, 1), 1);
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
