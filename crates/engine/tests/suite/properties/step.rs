//! What can happen. Small numbers choose among whatever there is when the step is taken.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Ids that clients and orchestrators use; both partitions have some.
pub(crate) const IDS: [&str; 6] = ["order-1", "order-2", "x:0001", "a", "b", "c"];

/// Entities; both partitions have some, and they alternate in the order in which they are locked.
pub(crate) const ENTITIES: [&str; 4] = ["@a@1", "@b@1", "@c@1", "@d@1"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass {
        millis: u16,
    },
    /// A new leader whose clock is behind.
    ClockBack {
        millis: u16,
    },
    Create {
        id: usize,
        reuse: u8,
        delay_millis: u16,
        fingerprint: u64,
    },
    /// Like the following, of an instance that exists more often than not.
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
    /// A worker gets a turn; earlier workers may still have it.
    Take {
        pick: usize,
    },
    /// The answer to a turn that is out, or has been.
    Answer {
        pick: usize,
        choices: Vec<Choice>,
        processed: Option<u32>,
    },
    /// A turn taken and answered: most of what really happens.
    Turn {
        pick: usize,
        choices: Vec<Choice>,
    },
    /// The result of an activity that is, or was, scheduled.
    FinishActivity {
        pick: usize,
        fails: bool,
    },
    /// A timer that is, or was, armed; due or not.
    Fire {
        pick: usize,
    },
    FireDue,
    /// A failed instance, if there is any.
    Rewind {
        pick: usize,
    },
    Manage {
        pick: usize,
        how: Management,
    },
    /// A client's signal; the same request may come again.
    Signal {
        entity: usize,
        request: u8,
        delay_millis: u16,
    },
    /// A worker gets a batch; earlier workers may still have it.
    TakeBatch {
        pick: usize,
    },
    /// The answer to a batch that is out, or has been.
    AnswerBatch {
        pick: usize,
        work: Work,
    },
    /// A batch taken and answered.
    Batch {
        pick: usize,
        work: Work,
    },
    GiveUp {
        pick: usize,
    },
    /// An operation that is, or was, scheduled; due or not.
    Release {
        pick: usize,
    },
    ReleaseDue,
    PurgeEntity {
        entity: usize,
    },
    /// An entity's record, whether it may go or not.
    Expire {
        entity: usize,
    },
    /// Any messages ever sent, wherever the target is.
    Deliver {
        from: usize,
        first: usize,
        count: usize,
    },
    /// What is next, without a fault.
    DeliverNext {
        from: usize,
    },
    Ack {
        from: usize,
    },
}

/// What an operator may do to an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Management {
    Rewind,
    Restart,
    ForceTerminate,
    Purge,
    /// Only what ended at another time.
    PurgeAnother,
}

/// What a worker makes of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// How many operations it does; all if it is more than there are.
    pub(crate) done: usize,
    pub(crate) fails: bool,
    pub(crate) deletes: bool,
    pub(crate) sends: Vec<Sending>,
}

/// What an operation may send.
#[derive(Clone, Debug)]
pub(crate) enum Sending {
    Signal { entity: usize, millis: u16 },
    SignalNothing,
    Start { id: usize },
    StartUnnamed,
}

/// One thing that a worker may decide.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Schedule,
    ScheduleNameless,
    /// The same action id as an earlier activity's.
    ScheduleAgain,
    Timer {
        millis: i16,
    },
    Child {
        id: usize,
    },
    UnnamedChild,
    ChildWithBadId,
    Send {
        id: usize,
    },
    Terminate {
        id: usize,
        recurse: bool,
    },
    Call {
        entity: usize,
        millis: u16,
    },
    CallNothing,
    /// An entity that is locked by this orchestration, if any is.
    CallInside {
        pick: usize,
    },
    SignalEntity {
        entity: usize,
        millis: u16,
    },
    /// Entities by bit, in order or not; none is granted at once.
    Lock {
        entities: u8,
        backwards: bool,
    },
    /// One entity of a section that was granted.
    Unlock {
        pick: usize,
    },
    /// Every entity of every section that was granted.
    UnlockAll,
    Complete {
        how: u8,
    },
    ContinueAsNew {
        carry: u8,
    },
    Refused,
}

/// Mostly at once.
fn delay() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(0u16), 1 => any::<u16>()]
}

fn lock() -> impl Strategy<Value = Choice> {
    let choice = (0..16u8, any::<bool>());
    choice.prop_map(|(entities, backwards)| Choice::Lock {
        entities,
        backwards,
    })
}

fn management() -> impl Strategy<Value = Management> {
    prop_oneof![
        Just(Management::Rewind),
        Just(Management::Restart),
        Just(Management::ForceTerminate),
        Just(Management::Purge),
        Just(Management::PurgeAnother),
    ]
}

fn work() -> impl Strategy<Value = Work> {
    let sending = prop_oneof![
        3 => (0..ENTITIES.len(), delay())
            .prop_map(|(entity, millis)| Sending::Signal { entity, millis }),
        1 => Just(Sending::SignalNothing),
        2 => (0..IDS.len()).prop_map(|id| Sending::Start { id }),
        1 => Just(Sending::StartUnnamed),
    ];
    (0..6usize, any::<bool>(), any::<bool>(), vec(sending, 0..2)).prop_map(
        |(done, fails, deletes, sends)| Work {
            done,
            fails,
            deletes,
            sends,
        },
    )
}

fn choice() -> impl Strategy<Value = Choice> {
    let id = 0..IDS.len();
    prop_oneof![
        6 => Just(Choice::Schedule),
        1 => Just(Choice::ScheduleNameless),
        2 => Just(Choice::ScheduleAgain),
        4 => any::<i16>().prop_map(|millis| Choice::Timer { millis }),
        4 => id.clone().prop_map(|id| Choice::Child { id }),
        3 => Just(Choice::UnnamedChild),
        1 => Just(Choice::ChildWithBadId),
        3 => id.clone().prop_map(|id| Choice::Send { id }),
        1 => (id, any::<bool>()).prop_map(|(id, recurse)| Choice::Terminate { id, recurse }),
        4 => (0..ENTITIES.len(), delay()).prop_map(|(entity, millis)| Choice::Call { entity, millis }),
        1 => Just(Choice::CallNothing),
        3 => any::<usize>().prop_map(|pick| Choice::CallInside { pick }),
        2 => (0..ENTITIES.len(), delay())
            .prop_map(|(entity, millis)| Choice::SignalEntity { entity, millis }),
        4 => lock(),
        1 => any::<usize>().prop_map(|pick| Choice::Unlock { pick }),
        1 => Just(Choice::UnlockAll),
        2 => any::<u8>().prop_map(|how| Choice::Complete { how }),
        2 => (0..3u8).prop_map(|carry| Choice::ContinueAsNew { carry }),
        1 => Just(Choice::Refused),
    ]
}

/// What happens to orchestrations and between partitions.
fn of_instances() -> impl Strategy<Value = Step> {
    let id = 0..IDS.len();
    let pick = any::<usize>;
    let choices = || vec(choice(), 0..5);
    prop_oneof![
        3 => any::<u16>().prop_map(|millis| Step::Pass { millis }),
        1 => any::<u16>().prop_map(|millis| Step::ClockBack { millis }),
        6 => (id, any::<u8>(), delay(), 0..3u64)
            .prop_map(|(id, reuse, delay_millis, fingerprint)| Step::Create { id, reuse, delay_millis, fingerprint }),
        3 => pick().prop_map(|pick| Step::Raise { pick }),
        1 => pick().prop_map(|pick| Step::Suspend { pick }),
        1 => pick().prop_map(|pick| Step::Resume { pick }),
        1 => (pick(), any::<bool>()).prop_map(|(pick, recurse)| Step::Terminate { pick, recurse }),
        5 => pick().prop_map(|pick| Step::Rewind { pick }),
        3 => (pick(), management()).prop_map(|(pick, how)| Step::Manage { pick, how }),
        3 => pick().prop_map(|pick| Step::Take { pick }),
        5 => (pick(), choices(), option::weighted(0.2, 0..4u32))
            .prop_map(|(pick, choices, processed)| Step::Answer { pick, choices, processed }),
        16 => (pick(), choices()).prop_map(|(pick, choices)| Step::Turn { pick, choices }),
        8 => (pick(), any::<bool>()).prop_map(|(pick, fails)| Step::FinishActivity { pick, fails }),
        3 => pick().prop_map(|pick| Step::Fire { pick }),
        2 => Just(Step::FireDue),
        3 => (0..2usize, pick(), 1..4usize).prop_map(|(from, first, count)| Step::Deliver { from, first, count }),
        7 => (0..2usize).prop_map(|from| Step::DeliverNext { from }),
        2 => (0..2usize).prop_map(|from| Step::Ack { from }),
    ]
}

fn of_entities() -> impl Strategy<Value = Step> {
    let entity = 0..ENTITIES.len();
    let pick = any::<usize>;
    prop_oneof![
        4 => (entity.clone(), 0..12u8, delay())
            .prop_map(|(entity, request, delay_millis)| Step::Signal { entity, request, delay_millis }),
        2 => pick().prop_map(|pick| Step::TakeBatch { pick }),
        3 => (pick(), work()).prop_map(|(pick, work)| Step::AnswerBatch { pick, work }),
        8 => (pick(), work()).prop_map(|(pick, work)| Step::Batch { pick, work }),
        1 => pick().prop_map(|pick| Step::GiveUp { pick }),
        2 => pick().prop_map(|pick| Step::Release { pick }),
        1 => Just(Step::ReleaseDue),
        1 => entity.clone().prop_map(|entity| Step::PurgeEntity { entity }),
        1 => entity.prop_map(|entity| Step::Expire { entity }),
    ]
}

/// Anything.
pub(crate) fn anything() -> impl Strategy<Value = Step> {
    prop_oneof![3 => of_instances(), 1 => of_entities()]
}

/// Orchestrations that lock entities, use them, and end in the middle of it.
pub(crate) fn sections() -> impl Strategy<Value = Step> {
    let inside = prop_oneof![
        5 => lock(),
        6 => any::<usize>().prop_map(|pick| Choice::CallInside { pick }),
        2 => (0..ENTITIES.len(), delay()).prop_map(|(entity, millis)| Choice::Call { entity, millis }),
        3 => (0..ENTITIES.len(), delay())
            .prop_map(|(entity, millis)| Choice::SignalEntity { entity, millis }),
        2 => any::<usize>().prop_map(|pick| Choice::Unlock { pick }),
        1 => Just(Choice::UnlockAll),
        1 => any::<u8>().prop_map(|how| Choice::Complete { how }),
        1 => Just(Choice::ContinueAsNew { carry: 0 }),
    ];
    busy(inside)
}

/// Orchestrations that wait for all kinds of things, fail, and are rewound.
pub(crate) fn rewinds() -> impl Strategy<Value = Step> {
    let fragile = prop_oneof![
        4 => Just(Choice::Schedule),
        1 => Just(Choice::ScheduleAgain),
        1 => Just(Choice::ScheduleNameless),
        2 => any::<i16>().prop_map(|millis| Choice::Timer { millis }),
        4 => (0..IDS.len()).prop_map(|id| Choice::Child { id }),
        1 => Just(Choice::UnnamedChild),
        1 => Just(Choice::ChildWithBadId),
        3 => (0..ENTITIES.len(), delay()).prop_map(|(entity, millis)| Choice::Call { entity, millis }),
        1 => Just(Choice::CallNothing),
        2 => lock(),
        1 => Just(Choice::Complete { how: 0 }),
        3 => Just(Choice::Complete { how: 1 }),
        1 => Just(Choice::ContinueAsNew { carry: 1 }),
    ];
    busy(fragile)
}

/// Few clients, many turns.
fn busy(choice: impl Strategy<Value = Choice> + 'static) -> impl Strategy<Value = Step> {
    let pick = any::<usize>;
    prop_oneof![
        1 => any::<u16>().prop_map(|millis| Step::Pass { millis }),
        3 => (0..IDS.len(), 0..4u8)
            .prop_map(|(id, reuse)| Step::Create { id, reuse, delay_millis: 0, fingerprint: 0 }),
        4 => pick().prop_map(|pick| Step::Raise { pick }),
        1 => (pick(), any::<bool>()).prop_map(|(pick, recurse)| Step::Terminate { pick, recurse }),
        4 => pick().prop_map(|pick| Step::Rewind { pick }),
        1 => (pick(), management()).prop_map(|(pick, how)| Step::Manage { pick, how }),
        1 => pick().prop_map(|pick| Step::Take { pick }),
        20 => (pick(), vec(choice, 1..4)).prop_map(|(pick, choices)| Step::Turn { pick, choices }),
        4 => (pick(), any::<bool>()).prop_map(|(pick, fails)| Step::FinishActivity { pick, fails }),
        1 => Just(Step::FireDue),
        1 => (0..ENTITIES.len(), 0..12u8, delay())
            .prop_map(|(entity, request, delay_millis)| Step::Signal { entity, request, delay_millis }),
        1 => pick().prop_map(|pick| Step::TakeBatch { pick }),
        1 => (pick(), work()).prop_map(|(pick, work)| Step::AnswerBatch { pick, work }),
        6 => (pick(), work()).prop_map(|(pick, work)| Step::Batch { pick, work }),
        1 => Just(Step::ReleaseDue),
        1 => (0..40usize).prop_map(|entity| Step::PurgeEntity { entity: entity % ENTITIES.len() }),
        10 => (0..2usize).prop_map(|from| Step::DeliverNext { from }),
        1 => (0..2usize).prop_map(|from| Step::Ack { from }),
    ]
}
