//! What can happen. Small numbers choose among whatever there is when the step is taken.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Ids that clients and orchestrations use, in several partitions.
pub(crate) const IDS: [&str; 6] = ["a", "b", "order-1", "order 2", "x:0001", "ünï"];

/// Entities in several partitions; the first two are one.
pub(crate) const ENTITIES: [&str; 5] = ["@count@x", "@Count@x", "@list@x", "@list@X y", "@box@@"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass {
        millis: u32,
    },
    Start {
        id: usize,
        reuse: u8,
        delay: u32,
        request: u8,
    },
    Raise {
        pick: usize,
    },
    Suspend {
        pick: usize,
    },
    Resume {
        pick: usize,
    },
    Terminate {
        pick: usize,
        recurse: bool,
    },
    /// An operator's word to an instance.
    Manage {
        pick: usize,
        how: Management,
    },
    PurgeEntity {
        pick: usize,
    },
    /// A turn taken and answered: most of what really happens.
    Turn {
        pick: usize,
        work: TurnWork,
    },
    TakeTurn {
        pick: usize,
    },
    /// The answer to a turn that is out.
    AnswerTurn {
        pick: usize,
        work: TurnWork,
    },
    /// An answer to a turn that somebody had once.
    StaleTurn {
        pick: usize,
        work: TurnWork,
    },
    FinishTask {
        pick: usize,
        fails: bool,
    },
    /// The result of an activity that somebody had once.
    StaleTask {
        pick: usize,
    },
    /// A timer, due or not, perhaps once more.
    Fire {
        pick: usize,
    },
    FireDue,
    Signal {
        pick: usize,
        request: u8,
        delay: u32,
    },
    Batch {
        pick: usize,
        work: BatchWork,
    },
    TakeBatch {
        pick: usize,
    },
    AnswerBatch {
        pick: usize,
        work: BatchWork,
    },
    StaleBatch {
        pick: usize,
        work: BatchWork,
    },
    /// No worker could run it.
    GiveUpBatch {
        pick: usize,
    },
    /// An operation that was scheduled, due or not.
    Release {
        pick: usize,
    },
    ReleaseDue,
    /// Records that may be forgotten are.
    Expire,
    /// Some messages between two partitions, the last `again` of those that arrived before among them.
    Deliver {
        road: usize,
        again: usize,
        count: usize,
    },
    /// Messages that are not next.
    DeliverTooEarly {
        road: usize,
    },
    DeliverAll,
    Acknowledge {
        road: usize,
        back: usize,
    },
    /// The worker gives a turn and a batch back.
    Abandon {
        pick: usize,
    },
    /// Every leader forgets what it did not log.
    Crash,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Management {
    Rewind,
    Restart,
    ForceTerminate,
    Purge,
    /// And its children, as far as they have ended.
    PurgeTree,
    /// Only if it ended at another time than it did.
    PurgeAnother,
}

/// What a worker makes of a turn.
#[derive(Clone, Debug)]
pub(crate) struct TurnWork {
    pub(crate) choices: Vec<Choice>,
    pub(crate) processed: Option<u32>,
    pub(crate) custom_status: u8,
}

/// What an orchestrator wants.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Schedule,
    ScheduleNameless,
    /// The activity that failed last, under the same action id.
    ScheduleAgain,
    Timer {
        millis: i32,
    },
    Child {
        id: usize,
        tags: u8,
    },
    UnnamedChild,
    ImpossibleChild,
    /// The child that failed last, under the same action id.
    ChildAgain,
    Send {
        id: usize,
    },
    SendNowhere,
    Terminate {
        id: usize,
        recurse: bool,
    },
    Call {
        pick: usize,
        millis: u32,
    },
    Signal {
        pick: usize,
        millis: u32,
    },
    AskNothing {
        call: bool,
    },
    Lock {
        bits: u8,
        backwards: bool,
    },
    /// A call of an entity that is locked.
    CallInside {
        pick: usize,
    },
    /// One entity; one that was left before if none is held.
    Unlock {
        pick: usize,
    },
    UnlockAll,
    Complete {
        how: u8,
    },
    ContinueAsNew {
        carry: u8,
        version: bool,
    },
}

/// What a worker makes of a batch.
#[derive(Clone, Debug)]
pub(crate) struct BatchWork {
    pub(crate) done: usize,
    pub(crate) fails: bool,
    pub(crate) deletes: bool,
    pub(crate) sends: Vec<Sending>,
}

#[derive(Clone, Debug)]
pub(crate) enum Sending {
    Signal { pick: usize, millis: u32 },
    SignalNothing,
    Start { id: usize, millis: u32 },
}

fn pick() -> impl Strategy<Value = usize> {
    0..64_usize
}

/// Mostly now, sometimes in some seconds.
fn delay() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 1 => 500..20_000_u32]
}

/// Mostly seconds, sometimes longer than a request is remembered.
fn passing() -> impl Strategy<Value = Step> {
    prop_oneof![6 => 1..10_000_u32, 1 => 200_000..700_000_u32]
        .prop_map(|millis| Step::Pass { millis })
}

fn choice() -> impl Strategy<Value = Choice> {
    let id = || 0..IDS.len();
    prop_oneof![
        6 => Just(Choice::Schedule),
        1 => Just(Choice::ScheduleNameless),
        2 => Just(Choice::ScheduleAgain),
        3 => (-2_000..12_000_i32).prop_map(|millis| Choice::Timer { millis }),
        6 => (id(), 0..4_u8).prop_map(|(id, tags)| Choice::Child { id, tags }),
        2 => Just(Choice::UnnamedChild),
        1 => Just(Choice::ImpossibleChild),
        2 => Just(Choice::ChildAgain),
        4 => id().prop_map(|id| Choice::Send { id }),
        1 => Just(Choice::SendNowhere),
        1 => (id(), any::<bool>()).prop_map(|(id, recurse)| Choice::Terminate { id, recurse }),
        4 => (pick(), delay()).prop_map(|(pick, millis)| Choice::Call { pick, millis }),
        3 => (pick(), delay()).prop_map(|(pick, millis)| Choice::Signal { pick, millis }),
        1 => any::<bool>().prop_map(|call| Choice::AskNothing { call }),
        3 => lock(),
        2 => pick().prop_map(|pick| Choice::CallInside { pick }),
        2 => pick().prop_map(|pick| Choice::Unlock { pick }),
        1 => Just(Choice::UnlockAll),
        3 => (0..6_u8).prop_map(|how| Choice::Complete { how }),
        3 => (0..3_u8, any::<bool>())
            .prop_map(|(carry, version)| Choice::ContinueAsNew { carry, version }),
    ]
}

fn lock() -> impl Strategy<Value = Choice> {
    (0..32_u8, any::<bool>()).prop_map(|(bits, backwards)| Choice::Lock { bits, backwards })
}

fn turn_work() -> impl Strategy<Value = TurnWork> {
    work_of(choice().boxed())
}

fn work_of(choice: BoxedStrategy<Choice>) -> impl Strategy<Value = TurnWork> {
    let processed = option::weighted(0.15, 1..4_u32);
    (vec(choice, 0..5), processed, 0..3_u8).prop_map(|(choices, processed, custom_status)| {
        TurnWork {
            choices,
            processed,
            custom_status,
        }
    })
}

fn batch_work() -> impl Strategy<Value = BatchWork> {
    let sending = prop_oneof![
        3 => (pick(), delay()).prop_map(|(pick, millis)| Sending::Signal { pick, millis }),
        1 => Just(Sending::SignalNothing),
        3 => (0..IDS.len(), delay()).prop_map(|(id, millis)| Sending::Start { id, millis }),
    ];
    let done = prop_oneof![2 => Just(usize::MAX), 1 => 1..3_usize];
    let often_not = || prop::bool::weighted(0.25);
    (done, often_not(), often_not(), vec(sending, 0..2)).prop_map(
        |(done, fails, deletes, sends)| BatchWork {
            done,
            fails,
            deletes,
            sends,
        },
    )
}

fn of_clients() -> BoxedStrategy<Step> {
    let manage = |how| pick().prop_map(move |pick| Step::Manage { pick, how });
    prop_oneof![
        10 => start(),
        6 => pick().prop_map(|pick| Step::Raise { pick }),
        3 => pick().prop_map(|pick| Step::Suspend { pick }),
        3 => pick().prop_map(|pick| Step::Resume { pick }),
        4 => (pick(), any::<bool>())
            .prop_map(|(pick, recurse)| Step::Terminate { pick, recurse }),
        3 => manage(Management::Rewind),
        2 => manage(Management::Restart),
        1 => manage(Management::ForceTerminate),
        1 => manage(Management::Purge),
        1 => manage(Management::PurgeTree),
        1 => manage(Management::PurgeAnother),
    ]
    .boxed()
}

fn start() -> impl Strategy<Value = Step> {
    (0..IDS.len(), 0..8_u8, delay(), 0..4_u8).prop_map(|(id, reuse, delay, request)| Step::Start {
        id,
        reuse,
        delay,
        request,
    })
}

fn of_workers(work: impl Fn() -> BoxedStrategy<TurnWork>) -> BoxedStrategy<Step> {
    prop_oneof![
        20 => (pick(), work()).prop_map(|(pick, work)| Step::Turn { pick, work }),
        3 => pick().prop_map(|pick| Step::TakeTurn { pick }),
        3 => (pick(), work()).prop_map(|(pick, work)| Step::AnswerTurn { pick, work }),
        2 => (pick(), work()).prop_map(|(pick, work)| Step::StaleTurn { pick, work }),
        8 => (pick(), any::<bool>()).prop_map(|(pick, fails)| Step::FinishTask { pick, fails }),
        1 => pick().prop_map(|pick| Step::StaleTask { pick }),
        1 => pick().prop_map(|pick| Step::Abandon { pick }),
    ]
    .boxed()
}

fn of_entities() -> BoxedStrategy<Step> {
    prop_oneof![
        8 => (pick(), 0..12_u8, delay()).prop_map(|(pick, request, delay)| Step::Signal {
            pick,
            request,
            delay,
        }),
        8 => (pick(), batch_work()).prop_map(|(pick, work)| Step::Batch { pick, work }),
        3 => pick().prop_map(|pick| Step::TakeBatch { pick }),
        3 => (pick(), batch_work()).prop_map(|(pick, work)| Step::AnswerBatch { pick, work }),
        1 => (pick(), batch_work()).prop_map(|(pick, work)| Step::StaleBatch { pick, work }),
        1 => pick().prop_map(|pick| Step::GiveUpBatch { pick }),
        1 => pick().prop_map(|pick| Step::PurgeEntity { pick }),
    ]
    .boxed()
}

fn of_the_world() -> BoxedStrategy<Step> {
    prop_oneof![
        5 => passing(),
        2 => pick().prop_map(|pick| Step::Fire { pick }),
        3 => Just(Step::FireDue),
        1 => pick().prop_map(|pick| Step::Release { pick }),
        2 => Just(Step::ReleaseDue),
        1 => Just(Step::Expire),
        8 => (pick(), 0..3_usize, 0..4_usize)
            .prop_map(|(road, again, count)| Step::Deliver { road, again, count }),
        1 => pick().prop_map(|road| Step::DeliverTooEarly { road }),
        6 => Just(Step::DeliverAll),
        2 => (pick(), 0..3_usize).prop_map(|(road, back)| Step::Acknowledge { road, back }),
        1 => Just(Step::Crash),
    ]
    .boxed()
}

/// Everything that can happen.
pub(crate) fn anything() -> BoxedStrategy<Step> {
    prop_oneof![
        3 => of_clients(),
        5 => of_workers(|| turn_work().boxed()),
        2 => of_entities(),
        3 => of_the_world(),
    ]
    .boxed()
}

/// Mostly orchestrations in and around critical sections.
pub(crate) fn sections() -> BoxedStrategy<Step> {
    let choice = || {
        prop_oneof![
            6 => lock(),
            3 => pick().prop_map(|pick| Choice::CallInside { pick }),
            3 => pick().prop_map(|pick| Choice::Unlock { pick }),
            2 => Just(Choice::UnlockAll),
            2 => choice(),
        ]
        .boxed()
    };
    prop_oneof![
        2 => start(),
        5 => of_workers(move || work_of(choice()).boxed()),
        3 => of_entities(),
        3 => of_the_world(),
        1 => of_clients(),
    ]
    .boxed()
}

/// Mostly failures, and what is made of them.
pub(crate) fn failures() -> BoxedStrategy<Step> {
    let choice = || {
        prop_oneof![
            3 => Just(Choice::Schedule),
            1 => Just(Choice::ScheduleNameless),
            3 => (0..IDS.len(), 0..4_u8).prop_map(|(id, tags)| Choice::Child { id, tags }),
            1 => Just(Choice::UnnamedChild),
            1 => (0..9_000_i32).prop_map(|millis| Choice::Timer { millis }),
            4 => Just(Choice::Complete { how: 1 }),
            1 => choice(),
        ]
        .boxed()
    };
    let fails = (pick(), prop::bool::weighted(0.7));
    prop_oneof![
        2 => start(),
        5 => of_workers(move || work_of(choice()).boxed()),
        2 => fails.prop_map(|(pick, fails)| Step::FinishTask { pick, fails }),
        3 => pick().prop_map(|pick| Step::Manage { pick, how: Management::Rewind }),
        3 => of_the_world(),
        1 => of_clients(),
    ]
    .boxed()
}

/// Mostly generations that follow each other while messages arrive.
pub(crate) fn generations() -> BoxedStrategy<Step> {
    let choice = || {
        prop_oneof![
            4 => (0..3_u8, any::<bool>())
                .prop_map(|(carry, version)| Choice::ContinueAsNew { carry, version }),
            2 => Just(Choice::Schedule),
            2 => (0..9_000_i32).prop_map(|millis| Choice::Timer { millis }),
            2 => (0..IDS.len()).prop_map(|id| Choice::Send { id }),
            2 => choice(),
        ]
        .boxed()
    };
    let answer = (pick(), work_of(choice().boxed()));
    prop_oneof![
        2 => start(),
        4 => pick().prop_map(|pick| Step::Raise { pick }),
        5 => of_workers(move || work_of(choice()).boxed()),
        3 => pick().prop_map(|pick| Step::TakeTurn { pick }),
        3 => answer.prop_map(|(pick, work)| Step::AnswerTurn { pick, work }),
        2 => of_the_world(),
        1 => of_clients(),
    ]
    .boxed()
}
