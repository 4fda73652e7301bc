//! Orchestrations that use entities, inside and outside of critical sections.

use super::End;
use crate::replay::Replay;

/// Generations of a `hold:again`.
const AGES: u64 = 3;

/// Operations of a generation are numbered from a multiple of this.
const NUMBERS_PER_AGE: u64 = 100;

/// `call:ENTITY:N`
pub(super) fn call(replay: &mut Replay, instance: &str, entity: &str, times: u64) -> Option<End> {
    for step in 0..times {
        replay.signal(entity, "add", &format!("{instance}/{}", 2 * step));
        let tag = format!("{instance}/{}", 2 * step + 1);
        replay.call_until_it_succeeds(entity, "flaky", &tag)?;
    }
    Some(End::Completed(times.to_string()))
}

/// What is between the colons of `hold:HOW:ENTITY+…:AGE`.
struct Hold<'a> {
    how: &'a str,
    entities: Vec<&'a str>,
    age: u64,
}

impl<'a> Hold<'a> {
    fn of(how: &'a str, rest: &'a str) -> Self {
        let (entities, age) = rest.rsplit_once(':').expect("the workload's own input");
        Self {
            how,
            entities: entities.split('+').collect(),
            age: age.parse().expect("the workload's own input"),
        }
    }

    /// The tags of the signal and the call to the nth entity.
    fn tags(&self, instance: &str, age: u64, nth: usize) -> [String; 2] {
        let first = age * NUMBERS_PER_AGE + 2 * nth as u64;
        [first, first + 1].map(|number| format!("{instance}/{number}"))
    }

    fn goes_on(&self) -> bool {
        self.how == "again" && self.age % AGES != AGES - 1
    }
}

/// `hold:HOW:ENTITY+…:AGE`
pub(super) fn hold(replay: &mut Replay, instance: &str, how: &str, rest: &str) -> Option<End> {
    let hold = Hold::of(how, rest);
    let section = replay.lock(&hold.entities)?;
    for (nth, entity) in hold.entities.iter().enumerate() {
        let [signal, call] = hold.tags(instance, hold.age, nth);
        replay.signal(entity, "add", &signal);
        replay.call_until_it_succeeds(entity, "flaky", &call)?;
    }
    let work = format!("{instance}/{}", hold.age);
    match how {
        "fail" => return Some(End::Failed),
        "brittle" => {
            if replay.activity(&format!("{work}!"))?.is_none() {
                return Some(End::Failed);
            }
        }
        _ => drop(replay.activity_until_it_succeeds(&work)?),
    }
    if hold.goes_on() {
        return Some(End::NewGeneration {
            input: format!("hold:{how}:{}:{}", hold.entities.join("+"), hold.age + 1),
            carryover: replay.unheard(),
        });
    }
    if how != "end" {
        for entity in &hold.entities {
            replay.unlock(&section, entity);
        }
        replay.activity_until_it_succeeds(&work)?;
    }
    Some(End::Completed(hold.age.to_string()))
}

/// Everything that an orchestration with this input has done to entities once it has completed: which, and the tags.
#[must_use]
pub fn operations(instance: &str, input: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = input.splitn(3, ':').collect();
    match parts[..] {
        ["call", entity, times] => {
            let times: u64 = times.parse().expect("the workload's own input");
            let tags = (0..2 * times).map(|number| format!("{instance}/{number}"));
            tags.map(|tag| (entity.to_owned(), tag)).collect()
        }
        ["hold", how, rest] => {
            let hold = Hold::of(how, rest);
            let first = match how {
                "again" => hold.age - hold.age % AGES,
                _ => hold.age,
            };
            let mut all = Vec::new();
            for age in first..=hold.age {
                for (nth, entity) in hold.entities.iter().enumerate() {
                    let tags = hold.tags(instance, age, nth);
                    all.extend(tags.map(|tag| ((*entity).to_owned(), tag)));
                }
            }
            all
        }
        _ => vec![],
    }
}
