//! What the dispatcher keeps is bounded by what is in hand, whatever happens.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const IDS: [&str; 3] = ["a", "b", "c"];

/// What may happen to an instance, its work, and the streams.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Replace,
    Terminate,
    Event,
    ClaimTurns,
    ClaimActivities,
    /// The oldest turn out schedules so many activities.
    Turn(usize),
    /// The oldest turn out ends its instance.
    Complete,
    /// The oldest turn out is answered without taking anything.
    Idle,
    /// The oldest activity out has a result.
    Result,
    /// The oldest item out is given back.
    GiveBack {
        backoff: bool,
    },
    /// A completion begins and has no outcome.
    GiveUp,
    /// A completion is committed after whoever waited for it has gone.
    CommitLate,
    LoseStream,
    Alarms,
}

fn steps() -> impl Strategy<Value = Vec<(Step, usize)>> {
    let step = prop_oneof![
        3 => Just(Step::Start),
        1 => Just(Step::Replace),
        1 => Just(Step::Terminate),
        2 => Just(Step::Event),
        5 => Just(Step::ClaimTurns),
        3 => Just(Step::ClaimActivities),
        3 => (0..4_usize).prop_map(Step::Turn),
        1 => Just(Step::Complete),
        1 => Just(Step::Idle),
        2 => Just(Step::Result),
        2 => any::<bool>().prop_map(|backoff| Step::GiveBack { backoff }),
        1 => Just(Step::GiveUp),
        1 => Just(Step::CommitLate),
        2 => Just(Step::LoseStream),
        1 => Just(Step::Alarms),
    ];
    vec((step, 0..IDS.len()), 1..60)
}

/// Two streams, what is out on them, and the alarms that are armed.
struct World {
    fixture: Fixture,
    streams: [Session; 2],
    turns: VecDeque<LeaseId>,
    activities: VecDeque<LeaseId>,
    alarms: Vec<Offer>,
}

impl World {
    fn new() -> Self {
        let fixture = Fixture::with(&Config {
            park_after: 2,
            ..Config::default()
        });
        let streams = [fixture.stream(4, None), fixture.stream(2, None)];
        Self {
            fixture,
            streams,
            turns: VecDeque::new(),
            activities: VecDeque::new(),
            alarms: Vec::new(),
        }
    }

    fn step(&mut self, step: Step, which: usize) {
        let id = IDS[which];
        let stream = which % 2;
        match step {
            Step::Start => {
                self.fixture.start(id, "A", ReusePolicy::Default);
            }
            Step::Replace => self.fixture.replace(id, "B"),
            Step::Terminate => {
                self.fixture.apply(Command::Terminate {
                    key: Fixture::key(id),
                    output: None,
                    recurse: false,
                });
            }
            Step::Event => {
                self.fixture.apply(Command::RaiseEvent {
                    key: Fixture::key(id),
                    event: bytes::Bytes::from_static(b"\x08\x01"),
                });
            }
            Step::ClaimTurns => {
                let claimed = self.fixture.claim_turns(&self.streams[stream]);
                self.turns
                    .extend(claimed.into_iter().map(|(lease, _)| lease));
            }
            Step::ClaimActivities => {
                let claimed = self
                    .fixture
                    .claim(&self.streams[stream], WorkKind::Activity);
                self.activities.extend(claimed.iter().map(lease_of));
            }
            Step::Turn(activities) => self.answer(vec![activity("X"); activities], None),
            Step::Complete => self.answer(vec![complete()], None),
            Step::Idle => self.answer(vec![], Some(0)),
            Step::Result => {
                if let Some(lease) = self.activities.pop_front() {
                    self.fixture.finish(lease);
                }
            }
            Step::GiveBack { backoff } => {
                let out = if which == 0 {
                    self.turns.pop_front()
                } else {
                    self.activities.pop_front()
                };
                let delayed = out.and_then(|it| self.fixture.dispatcher.abandon(it, backoff));
                self.alarms.extend(delayed.map(|(offer, _)| offer));
            }
            Step::GiveUp => {
                let dispatcher = &mut self.fixture.dispatcher;
                for &lease in self.turns.front().iter().chain(&self.activities.front()) {
                    let turn = dispatcher.begin_turn(*lease).is_some();
                    if turn || dispatcher.begin_activity(*lease).is_some() {
                        dispatcher.settle(*lease, Settled::Unknown);
                    }
                }
            }
            Step::CommitLate => {
                if let Some(&lease) = self.activities.front()
                    && let Some(activity) = self.fixture.dispatcher.begin_activity(lease)
                {
                    self.fixture.dispatcher.settle(lease, Settled::Unknown);
                    self.fixture.commit(activity);
                }
            }
            Step::LoseStream => {
                let lost = self.fixture.stream(3, None);
                let lost = std::mem::replace(&mut self.streams[stream], lost);
                let delayed = self.fixture.dispatcher.session_lost(lost.state.id);
                assert_eq!(lost.state.out(), 0);
                self.alarms
                    .extend(delayed.into_iter().map(|(offer, _)| offer));
            }
            Step::Alarms => self.ring(),
        }
        let delayed = std::mem::take(&mut self.fixture.delayed);
        self.alarms
            .extend(delayed.into_iter().map(|(offer, _)| offer));
        self.fixture.assert_consistent();
    }

    fn ring(&mut self) {
        for offer in std::mem::take(&mut self.alarms) {
            self.fixture.dispatcher.offer_delayed(offer);
        }
    }

    fn answer(&mut self, actions: Vec<Action>, events_processed: Option<u32>) {
        let Some(lease) = self.turns.pop_front() else {
            return;
        };
        let Some(context) = self.fixture.dispatcher.begin_turn(lease) else {
            return;
        };
        let actions = (1..)
            .zip(actions)
            .map(|(id, action)| Decided { id, action })
            .collect();
        let answer = Answer {
            actions,
            events_processed,
            ..Answer::default()
        };
        let now = self.fixture.now;
        let turn = decide(&context, answer, now, &mut || ExecutionId::new("fresh"));
        self.fixture.apply(Command::CompleteTurn(Box::new(turn)));
        let again = self.fixture.dispatcher.settle(lease, Settled::Over);
        assert_eq!(again, None, "the instance was not replaced in between");
    }

    /// Workers that answer everything end every instance.
    fn finish(&mut self) {
        for stream in [0, 1] {
            self.step(Step::LoseStream, stream);
        }
        self.ring();
        for which in 0..IDS.len() {
            self.step(Step::Event, which);
        }
        while self.fixture.dispatcher.queued() > 0 {
            self.step(Step::ClaimTurns, 0);
            self.step(Step::ClaimActivities, 0);
            while !self.turns.is_empty() {
                self.step(Step::Complete, 0);
            }
            while !self.activities.is_empty() {
                self.step(Step::Result, 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_left_of_what_is_over(steps in steps()) {
        let mut world = World::new();
        for (step, which) in steps {
            world.step(step, which);
        }
        world.finish();
        world.fixture.assert_idle();
        prop_assert!(world.streams.iter().all(|stream| stream.state.out() == 0));
    }
}

/// An instance that is replaced again and again, while nobody takes its work or somebody keeps giving it back.
#[test]
fn replacing_an_instance_over_and_over_keeps_nothing() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream(1, None);
    for _ in 0..1_000 {
        fixture.replace("a", "A");
        let (lease, _) = fixture.claim_turns(&stream).remove(0);
        fixture.answer(lease, vec![activity("X"), activity("Y")]);
        let claimed = fixture.claim(&stream, WorkKind::Activity);
        let delayed = fixture.dispatcher.abandon(lease_of(&claimed[0]), true);
        assert!(delayed.is_some());
        fixture.apply(Command::RaiseEvent {
            key: Fixture::key("a"),
            event: bytes::Bytes::from_static(b"\x08\x01"),
        });
        let (lease, _) = fixture.claim_turns(&stream).remove(0);
        fixture.dispatcher.abandon(lease, false);
    }
    fixture.replace("a", "A");
    assert_eq!(fixture.dispatcher.queued(), 1, "the turn of the last one");
    let (lease, _) = fixture.claim_turns(&stream).remove(0);
    fixture.answer(lease, vec![complete()]);
    fixture.assert_idle();
}
