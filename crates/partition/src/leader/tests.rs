//! Which turns count as given back although they were committed.

use longhaul_engine::command::{CreateInstance, ReusePolicy};
use longhaul_engine::history::event;
use longhaul_engine::mem::MemTables;
use longhaul_engine::message::Creation;
use longhaul_engine::tables::PartitionState;
use longhaul_engine::turn::{Action, Answer, Decided, decide};
use longhaul_engine::{Status, apply};
use longhaul_types::{ExecutionId, InstanceId, PartitionCount};

use super::*;

const NOW: Timestamp = Timestamp::EPOCH;

fn key() -> InstanceKey {
    InstanceKey::new(HubId(1), InstanceId::trusted("order-1"))
}

fn fresh(number: u128) -> ExecutionId {
    ExecutionId::from_random(number.to_be_bytes())
}

fn do_it(tables: &mut MemTables, command: Command) {
    let outcome = apply(tables, NOW, command).expect("memory does not fail");
    assert_eq!(outcome.reply, Reply::Done);
}

/// The next turn, of which the worker takes `taken` events.
fn answered(tables: &mut MemTables, taken: u32, actions: Vec<Decided>) -> Command {
    let turn = dispatch::take_turn(tables, &key(), NOW, false).expect("memory does not fail");
    let answer = Answer {
        actions,
        events_processed: Some(taken),
        ..Answer::default()
    };
    let context = turn.expect("a turn is ready").context;
    let turn = decide(&context, answer, NOW, &mut || {
        unreachable!("nothing starts")
    });
    Command::CompleteTurn(Box::new(turn))
}

fn failed() -> MemTables {
    let count = PartitionCount::new(1).expect("a power of two");
    let mut tables = MemTables::new(PartitionState::new(PartitionId(0), count));
    let creation = Creation {
        execution: fresh(1),
        name: "Job".into(),
        version: None,
        input: None,
        scheduled_start: None,
        tags: None,
        parent: None,
        parent_trace: None,
        request_fingerprint: 0,
    };
    let create = CreateInstance {
        key: key(),
        creation,
        reuse: ReusePolicy::Default,
    };
    do_it(&mut tables, Command::CreateInstance(Box::new(create)));
    let end = Decided {
        id: 1,
        action: Action::Complete {
            status: Status::Failed,
            result: None,
            failure: None,
        },
    };
    let turn = answered(&mut tables, 1, vec![end]);
    do_it(&mut tables, turn);
    tables
}

fn raise(tables: &mut MemTables) {
    let event = event::event_raised(NOW, "Go", None);
    do_it(tables, Command::RaiseEvent { key: key(), event });
}

#[test]
fn the_first_turn_after_a_rewind_is_not_idle_the_next_one_that_takes_nothing_is() {
    let mut tables = failed();
    let rewind = Command::Rewind {
        key: key(),
        execution: fresh(2),
        reason: None,
    };
    do_it(&mut tables, rewind);
    let first = answered(&mut tables, 0, Vec::new());
    raise(&mut tables);
    let subject = Subject::of(&first).before(&mut tables).expect("readable");
    assert!(matches!(subject, Subject::Turn(it) if it == key()));
    do_it(&mut tables, first);

    let second = answered(&mut tables, 0, Vec::new());
    let subject = Subject::of(&second).before(&mut tables).expect("readable");
    assert!(matches!(subject, Subject::IdleTurn(it) if it == key()));
}
