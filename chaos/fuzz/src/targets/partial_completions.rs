//! Parts of a completion in any order, number and size.

use std::collections::BTreeMap;

use longhaul_engine::turn::{Action, Answer, Decided};
use longhaul_partition::fuzzing::PartialCompletion;
use longhaul_types::limits::PARTIAL_COMPLETION_BYTES_MAX;

use crate::input::Input;

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut parts = PartialCompletion::default();
    let mut expected: BTreeMap<i32, (usize, Answer)> = BTreeMap::new();
    while !input.is_empty() {
        let index = i32::from_le_bytes(input.u32().to_le_bytes());
        let index = if input.flag() { index } else { index % 4 };
        let (part, bytes) = (part(&mut input), input.u32() as usize);
        let taken = parts.put(index, part.clone(), bytes);
        if index == 0 {
            expected.clear();
        }
        expected.insert(index, (bytes, part));
        let total: usize = expected.values().map(|(bytes, _)| bytes).sum();
        let fits = total <= PARTIAL_COMPLETION_BYTES_MAX;
        assert_eq!(taken.is_ok(), fits, "{total} bytes");
        if !fits {
            expected.clear();
        }
        let (whole, expected_whole) = (parts.whole(), joined(&expected));
        assert_eq!(format!("{whole:?}"), format!("{expected_whole:?}"));
    }
}

/// The actions of all parts by their numbers; what else there is, from the first.
fn joined(parts: &BTreeMap<i32, (usize, Answer)>) -> Option<Answer> {
    let (_, first) = parts.values().next()?;
    let actions = parts.values().flat_map(|(_, part)| part.actions.clone());
    Some(Answer {
        actions: actions.collect(),
        ..first.clone()
    })
}

fn part(input: &mut Input<'_>) -> Answer {
    let actions = (0..input.below(3)).map(|_| Decided {
        id: i32::from(input.u8()),
        action: Action::Refused(String::new()),
    });
    Answer {
        actions: actions.collect(),
        custom_status: input.flag().then(|| "here".into()),
        trace: None,
        events_processed: input.flag().then_some(3),
    }
}
