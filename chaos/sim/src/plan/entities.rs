//! The part of the work that is about entities.

use super::{Amount, Deed, Numbered, Saying, Story};
use crate::dice::Dice;
use crate::entities::{ledger, slate};
use crate::moment::Said;

/// Ledgers of one run.
const LEDGERS_MAX: u64 = 3;

/// Adds stories; answers the entities they are about.
pub(super) fn stories(dice: &mut Dice, amount: Amount, stories: &mut Vec<Story>) -> Vec<String> {
    let ledgers: Vec<String> = (0..dice.between(1, LEDGERS_MAX)).map(ledger).collect();
    let slates: Vec<String> = (0..dice.below(2)).map(slate).collect();
    for _ in 0..amount.some(dice, (1, 3), (1, 1)) {
        let sayings = sayings(dice, &ledgers, stories.len());
        let entity = one_of(dice, &ledgers);
        add(dice, amount, stories, entity, Deed::Signal { sayings });
    }
    for entity in &slates {
        let rounds = dice.between(1, 3);
        add(dice, amount, stories, entity.clone(), Deed::Wipe { rounds });
    }
    for number in 0..amount.some(dice, (0, 2), (0, 1)) {
        let input = format!("call:{}:{}", one_of(dice, &ledgers), dice.between(1, 4));
        let deed = run_or_end(dice, input);
        add(dice, amount, stories, format!("call-{number}"), deed);
    }
    for number in 0..amount.some(dice, (1, 4), (0, 1)) {
        let deed = hold(dice, &ledgers);
        add(dice, amount, stories, format!("hold-{number}"), deed);
    }
    ledgers.into_iter().chain(slates).collect()
}

fn add(dice: &mut Dice, amount: Amount, stories: &mut Vec<Story>, instance: String, deed: Deed) {
    stories.push(Story {
        instance,
        begins: amount.begins(dice),
        after: None,
        deed,
    });
}

/// An orchestration with a critical section, and what becomes of it meanwhile.
fn hold(dice: &mut Dice, ledgers: &[String]) -> Deed {
    let set = some_of(dice, ledgers).join("+");
    let input = |how: &str| format!("hold:{how}:{set}:0");
    match dice.below(10) {
        0..2 => Deed::Rewind {
            input: input("brittle"),
        },
        2 => Deed::Run {
            input: input("fail"),
            delay: None,
        },
        3 => Deed::Purge {
            input: input("end"),
        },
        4 => Deed::Replace {
            input: Numbered::Behind(format!("hold:leave:{set}:")),
            times: dice.between(1, 3),
        },
        _ => {
            let how = dice.pick(&["leave", "leave", "end", "again"]);
            run_or_end(dice, input(how))
        }
    }
}

fn run_or_end(dice: &mut Dice, input: String) -> Deed {
    match dice.below(6) {
        0 => Deed::Pester { input },
        1 => Deed::End {
            input,
            force: dice.percent(50),
        },
        _ => Deed::Run { input, delay: None },
    }
}

fn sayings(dice: &mut Dice, ledgers: &[String], story: usize) -> Vec<Saying> {
    let mut sayings = Vec::new();
    for number in 0..dice.between(2, 7) {
        let (name, whom) = match dice.below(10) {
            0 => ("fail", None),
            1 | 2 => ("pass", Some(one_of(dice, ledgers))),
            3 => ("start", Some(born(story, number))),
            _ => ("add", None),
        };
        let delay = dice.percent(20).then(|| dice.millis(0, 2_500));
        // Nothing is promised of the order of what is delayed.
        let tag = match delay {
            Some(_) => format!("client-{story}-{number}/0"),
            None => format!("client-{story}/{number}"),
        };
        let said = Said { name, tag, whom };
        sayings.push(Saying { said, delay });
    }
    sayings
}

/// An orchestration that an entity starts.
fn born(story: usize, number: u64) -> String {
    format!("born-{story}-{number}")
}

fn one_of(dice: &mut Dice, ledgers: &[String]) -> String {
    let at = dice.below(ledgers.len() as u64);
    ledgers[usize::try_from(at).expect("an index")].clone()
}

/// At least one of them, each at most once, in any order.
fn some_of(dice: &mut Dice, ledgers: &[String]) -> Vec<String> {
    let mut rest = ledgers.to_vec();
    let mut some = Vec::new();
    for _ in 0..dice.between(1, ledgers.len() as u64) {
        let at = dice.below(rest.len() as u64);
        some.push(rest.swap_remove(usize::try_from(at).expect("an index")));
    }
    some
}
