//! The lines under `batch` and `answer-batch`: what the worker made of an entity's operations.

use longhaul_engine::batch::{BatchAnswer, EntityAction, OperationResult};
use longhaul_types::Timestamp;

use super::line::{Line, moment};

/// `done result=1`, `failed failure=Type:text`, `signal @b@2 add input=1`, `start ID NAME`, `state 5`; the state is
/// what the last line says, and none if none does.
pub(crate) fn batch_answer(line: &Line, lines: &[&str], now: Timestamp) -> BatchAnswer {
    let mut answer = BatchAnswer {
        failure: line.failure(),
        requires_state: line.has("stateless"),
        ..BatchAnswer::default()
    };
    for text in lines {
        let line = Line::parse(text);
        match line.word(0) {
            "state" => answer.state = Some(line.word(1).to_owned().into()),
            "done" => {
                let result = OperationResult::Completed(line.bytes("result"));
                answer.results.push(result);
            }
            "failed" => {
                let failure = line.failure().expect("failure=Type:text");
                answer.results.push(OperationResult::Failed(failure));
            }
            _ => answer.actions.push(action(&line, now)),
        }
    }
    answer
}

fn action(line: &Line, now: Timestamp) -> EntityAction {
    let scheduled = line.get("due").map(|due| moment(due, now));
    match line.word(0) {
        "signal" => EntityAction::Signal {
            target: line.word(1).to_owned(),
            operation: line.word(2).to_owned(),
            input: line.bytes("input"),
            scheduled,
        },
        "start" => EntityAction::Start {
            instance: line.text("instance").unwrap_or_default(),
            name: line.word(1).to_owned(),
            version: line.text("version"),
            input: line.bytes("input"),
            scheduled,
            trace: line.trace(),
        },
        verb => panic!("{verb:?} is nothing that an operation does"),
    }
}
