//! Deliveries of work items, over an engine in memory.

use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::dispatch::TurnContext;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Action, Answer, Decided, decide};
use longhaul_engine::{Command, Effect, Reply, Status, apply};
use longhaul_types::{ExecutionId, InstanceId, PartitionCount};

mod fairness;
mod memory;
mod trouble;

use super::*;
use crate::config::Config;
use crate::dispatch::{
    Capabilities, Filters, NameFilter, Session, SessionSpec, Sessions, Share, Tokens,
};
use crate::leader::Subject;

const HUB: HubId = HubId(1);

struct Fixture {
    tables: MemTables,
    dispatcher: Dispatcher,
    sessions: Sessions,
    now: Timestamp,
    nonce: u64,
    /// What commits have delayed.
    delayed: Vec<Delayed>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        let dispatcher = Dispatcher::new(
            PartitionId(0),
            Ready::default(),
            tokens(),
            Patience::of(config),
        );
        Self {
            tables: MemTables::new(PartitionState::new(PartitionId(0), one_partition())),
            dispatcher,
            sessions: Sessions::default(),
            now: Timestamp {
                seconds: 100,
                nanos: 0,
            },
            nonce: 0,
            delayed: Vec::new(),
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
        let subject = Subject::of(&command);
        let outcome = apply(&mut self.tables, self.now, command).expect("memory does not break");
        if outcome.reply == Reply::Done {
            self.delayed.extend(subject.end(&mut self.dispatcher));
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
                Effect::BatchReady { key } => self.dispatcher.offer_batch(key),
                Effect::TurnVoided { key } | Effect::BatchVoided { key } => {
                    self.dispatcher.end_turn(&key);
                }
                Effect::ActivitiesVoided { key } => self.dispatcher.void_activities(&key),
                Effect::TimerArmed { .. }
                | Effect::StartArmed { .. }
                | Effect::OperationArmed { .. }
                | Effect::ExpiryArmed { .. }
                | Effect::StatusChanged { .. }
                | Effect::OutboxGrew { .. } => {}
            }
        }
        outcome.reply
    }

    fn create(&mut self, id: &str, name: &str) {
        let reply = self.start(id, name, ReusePolicy::Default);
        assert_eq!(reply, Reply::Done);
    }

    /// Replaces whatever has the id.
    fn replace(&mut self, id: &str, name: &str) {
        use Status::{Completed, Pending, Running, Terminated};
        let all = [Completed, Pending, Running, Terminated];
        let reply = self.start(id, name, ReusePolicy::Replace(all.into()));
        assert_eq!(reply, Reply::Done);
    }

    fn start(&mut self, id: &str, name: &str, reuse: ReusePolicy) -> Reply {
        self.nonce += 1;
        let creation = Creation {
            execution: ExecutionId::new(format!("execution {} of {id}", self.nonce)),
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
            reuse,
        };
        self.apply(Command::CreateInstance(Box::new(create)))
    }

    /// An item has one place, and everything there is of it agrees about that.
    fn assert_consistent(&self) {
        let dispatcher = &self.dispatcher;
        let mut tickets = HashSet::default();
        let mut deliveries = HashSet::default();
        for (item, place) in dispatcher.docket.all() {
            if let Place::Queued { ticket, .. } = place {
                tickets.insert(ticket);
            }
            if let Some(delivery) = place.delivery() {
                let lease = &dispatcher.leases[&delivery];
                assert_eq!(lease.item, item, "a delivery is of its item");
                let lost = matches!(place, Place::Queued { .. });
                assert!(!lost || lease.session.is_none(), "{item:?} was lost");
                deliveries.insert(delivery);
            }
        }
        let queued = dispatcher.lanes.values().flat_map(Lane::items);
        let queued: HashSet<u64> = queued.map(|queued| queued.ticket).collect();
        assert_eq!(queued, tickets, "what is in the queues");
        assert_eq!(dispatcher.queued(), tickets.len());
        let counted = WorkKind::ALL.map(|kind| dispatcher.ready.count(kind));
        assert_eq!(counted.iter().sum::<usize>(), tickets.len());
        let leases: HashSet<u64> = dispatcher.leases.keys().copied().collect();
        assert_eq!(leases, deliveries, "what is out");
        let on_streams = dispatcher.by_session.values().flatten();
        assert!(on_streams.copied().all(|it| leases.contains(&it)));
    }

    /// Nothing is in hand, and nothing is kept of what was.
    fn assert_idle(&self) {
        self.assert_consistent();
        assert!(self.dispatcher.docket.is_empty());
        assert!(self.dispatcher.leases.is_empty() && self.dispatcher.by_session.is_empty());
        assert_eq!(self.dispatcher.queued(), 0);
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
        self.assert_consistent();
        claimed.into()
    }

    fn claim_turns(&mut self, session: &Session) -> Vec<(LeaseId, String)> {
        let claimed = self.claim(session, WorkKind::Orchestration);
        claimed
            .iter()
            .map(|it| (lease_of(it), instance_of(it)))
            .collect()
    }

    fn complete(&mut self, context: &TurnContext, actions: Vec<Action>) -> Reply {
        let actions = (1..)
            .zip(actions)
            .map(|(id, action)| Decided { id, action })
            .collect();
        let answer = Answer {
            actions,
            ..Answer::default()
        };
        let turn = decide(context, answer, self.now, &mut || ExecutionId::new("fresh"));
        self.apply(Command::CompleteTurn(Box::new(turn)))
    }

    /// A worker answers a turn, and is told.
    fn answer(&mut self, lease: LeaseId, actions: Vec<Action>) {
        if let Some(context) = self.dispatcher.begin_turn(lease) {
            self.complete(&context, actions);
            self.dispatcher.settle(lease, Settled::Over);
        }
    }

    /// A worker answers an activity, and is told.
    fn finish(&mut self, lease: LeaseId) {
        if let Some(activity) = self.dispatcher.begin_activity(lease) {
            self.commit(activity);
            self.dispatcher.settle(lease, Settled::Over);
        }
    }

    fn commit(&mut self, activity: ActivityOut) -> Reply {
        self.apply(Command::CompleteActivity {
            key: activity.key,
            execution: activity.execution,
            seq: activity.seq,
            event: bytes::Bytes::from_static(b"\x08\x01"),
        })
    }
}

fn one_partition() -> PartitionCount {
    PartitionCount::new(1).expect("a power of two")
}

fn tokens() -> Tokens {
    Tokens::new(&[1; 32])
}

fn lease_of(claimed: &Claimed) -> LeaseId {
    let opened = tokens().open(one_partition(), HUB, claimed.kind(), claimed.token());
    opened.expect("a token of ours").1
}

fn instance_of(claimed: &Claimed) -> String {
    claimed.key().id.to_string()
}

fn complete() -> Action {
    Action::Complete {
        status: Status::Completed,
        result: None,
        failure: None,
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
    let context = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    assert_eq!(fixture.complete(&context, vec![]), Reply::Done);
    assert_eq!(
        fixture.dispatcher.settle(turns[0].0, Settled::Over),
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
    assert!(fixture.dispatcher.session_lost(first.state.id).is_empty());
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
    fixture.dispatcher.session_lost(first.state.id);
    let context = fixture
        .dispatcher
        .begin_turn(old[0].0)
        .expect("not yet out again");
    assert_eq!(fixture.complete(&context, vec![activity("X")]), Reply::Done);
    fixture.dispatcher.settle(old[0].0, Settled::Over);
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
    fixture.dispatcher.session_lost(stream.state.id);
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
    fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.dispatcher.session_lost(first.state.id);
    let second = fixture.stream(1, None);
    assert!(fixture.claim_turns(&second).is_empty());
    fixture.dispatcher.settle(turns[0].0, Settled::Unknown);
    assert_eq!(
        fixture.claim_turns(&second).len(),
        1,
        "it had no effect, so the turn is offered again"
    );
}

#[test]
fn a_terminated_instance_takes_its_turn_back_from_the_worker() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let turns = fixture.claim_turns(&stream);
    let context = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.apply(Command::Terminate {
        key: Fixture::key("a"),
        output: None,
        recurse: false,
    });
    assert_eq!(stream.state.out(), 0, "the slot is free again");
    assert_eq!(
        fixture.complete(&context, vec![activity("X")]),
        Reply::Stale
    );
    assert_eq!(fixture.dispatcher.settle(turns[0].0, Settled::Over), None);
    fixture.assert_idle();
}

#[test]
fn trap_57_deliveries_are_found_without_a_token_if_only_one_can_be_meant() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(10, None);
    let turns = fixture.claim_turns(&stream);
    let key = Fixture::key("a");
    assert_eq!(fixture.dispatcher.turn_out(&key), Some(turns[0].0));
    let context = fixture.dispatcher.begin_turn(turns[0].0).expect("out");
    fixture.complete(&context, vec![activity("X"), activity("Y")]);
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
fn a_result_that_is_committed_after_its_caller_has_gone_ends_the_delivery() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let stream = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![activity("X")]);
    let lease = lease_of(&fixture.claim(&stream, WorkKind::Activity)[0]);
    let activity = fixture.dispatcher.begin_activity(lease).expect("out");
    fixture.dispatcher.settle(lease, Settled::Unknown);
    assert_eq!(stream.state.out(), 1, "the delivery stands");
    assert_eq!(fixture.commit(activity), Reply::Done);
    assert_eq!(stream.state.out(), 0);
    assert!(fixture.dispatcher.begin_activity(lease).is_none());
}

#[test]
fn a_lost_item_that_is_answered_in_vain_is_queued_once() {
    let mut fixture = Fixture::new();
    fixture.create("a", "A");
    let first = fixture.stream(1, None);
    let (lease, _) = fixture.claim_turns(&first).remove(0);
    fixture.dispatcher.session_lost(first.state.id);
    fixture.dispatcher.begin_turn(lease).expect("not out again");
    fixture.dispatcher.settle(lease, Settled::Unknown);
    fixture.assert_consistent();
    assert_eq!(fixture.dispatcher.queued(), 1);
}
