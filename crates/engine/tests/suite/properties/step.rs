//! What can happen. Small numbers choose among whatever there is when the step is taken.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Ids that clients and orchestrators use; both partitions have some.
pub(crate) const IDS: [&str; 6] = ["order-1", "order-2", "x:0001", "a", "b", "c"];

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
    Raise {
        id: usize,
    },
    Suspend {
        id: usize,
    },
    Resume {
        id: usize,
    },
    Terminate {
        id: usize,
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
    Complete {
        how: u8,
    },
    ContinueAsNew {
        carry: u8,
    },
    Refused,
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
        2 => any::<u8>().prop_map(|how| Choice::Complete { how }),
        2 => (0..3u8).prop_map(|carry| Choice::ContinueAsNew { carry }),
        1 => Just(Choice::Refused),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let id = 0..IDS.len();
    let pick = any::<usize>;
    let choices = || vec(choice(), 0..5);
    prop_oneof![
        3 => any::<u16>().prop_map(|millis| Step::Pass { millis }),
        1 => any::<u16>().prop_map(|millis| Step::ClockBack { millis }),
        6 => (id.clone(), any::<u8>(), prop_oneof![3 => Just(0u16), 1 => any::<u16>()], 0..3u64)
            .prop_map(|(id, reuse, delay_millis, fingerprint)| Step::Create { id, reuse, delay_millis, fingerprint }),
        4 => id.clone().prop_map(|id| Step::Raise { id }),
        2 => id.clone().prop_map(|id| Step::Suspend { id }),
        2 => id.clone().prop_map(|id| Step::Resume { id }),
        2 => (id, any::<bool>()).prop_map(|(id, recurse)| Step::Terminate { id, recurse }),
        3 => pick().prop_map(|pick| Step::Take { pick }),
        5 => (pick(), choices(), option::weighted(0.2, 0..4u32))
            .prop_map(|(pick, choices, processed)| Step::Answer { pick, choices, processed }),
        14 => (pick(), choices()).prop_map(|(pick, choices)| Step::Turn { pick, choices }),
        8 => (pick(), any::<bool>()).prop_map(|(pick, fails)| Step::FinishActivity { pick, fails }),
        3 => pick().prop_map(|pick| Step::Fire { pick }),
        2 => Just(Step::FireDue),
        3 => (0..2usize, pick(), 1..4usize).prop_map(|(from, first, count)| Step::Deliver { from, first, count }),
        5 => (0..2usize).prop_map(|from| Step::DeliverNext { from }),
        2 => (0..2usize).prop_map(|from| Step::Ack { from }),
    ]
}
