//! Messages to every call of the service: a byte that chooses the call, then the message.

use bytes::Bytes;
use longhaul_engine::Command;
use longhaul_engine::command::Batch;
use longhaul_frontend::fuzzing::{Asked, Surroundings, calls, read};
use longhaul_storage::records::{decode_batch, encode_batch};
use longhaul_types::{HubId, HubName, Timestamp};
use tonic::{Code, Status};

/// Statuses travel in headers, and people read them.
const REFUSAL_CHARS_MAX: usize = 700;

/// When everything happens.
const NOW: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanos: 5,
};

/// The surroundings in which messages are read.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        hub: HubId(1),
        hub_name: HubName::parse("default").expect("a valid name"),
        now: NOW,
        limits: Default::default(),
        key: [7; 32],
        ids: 0,
    }
}

pub(crate) fn run(input: &[u8]) {
    let Some((call, message)) = input.split_first() else {
        return;
    };
    let call = usize::from(*call) % calls().len();
    let asked = read(call, message, &mut surroundings());
    let again = read(call, message, &mut surroundings());
    assert_eq!(
        outcome(&asked),
        outcome(&again),
        "the same message means the same"
    );
    match asked {
        Ok(Asked::Commands(commands)) => come_back_from_the_log(commands),
        Ok(_) => {}
        Err(status) => is_told_in_a_few_words(&status),
    }
}

fn outcome(asked: &Result<Asked, Status>) -> String {
    match asked {
        Ok(asked) => format!("{asked:?}"),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn is_told_in_a_few_words(status: &Status) {
    let expected = [
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::NotFound,
        Code::FailedPrecondition,
        Code::ResourceExhausted,
    ];
    assert!(expected.contains(&status.code()), "{status:?}");
    let chars = status.message().chars().count();
    assert!((1..=REFUSAL_CHARS_MAX).contains(&chars), "{status:?}");
}

fn come_back_from_the_log(commands: Vec<Command>) {
    let batch = Batch {
        at: NOW,
        proposer: 1,
        number: 2,
        commands,
    };
    let read: Bytes = encode_batch(&batch);
    assert_eq!(decode_batch(read), Ok(batch));
}
