//! Events arrive once and in the order of their sender: all that were acknowledged, none that were certainly refused,
//! and those without an outcome at most once.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::{Answer, Moment, Request};
use crate::orchestrations::LAST;
use crate::plan::Plan;

pub(super) struct Events {
    /// Calls that had no answer are over when the next one is made.
    alone: bool,
    /// By instance and payload: the best answer to any call.
    sent: BTreeMap<(String, String), Sent>,
    /// Inputs of orchestrations that tell, by instance: these events are sent exactly once each.
    told: BTreeMap<String, (String, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    Refused,
    Perhaps,
    Surely,
}

impl Events {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            alone: plan.alone,
            sent: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Events whose place among the others of their sender is known.
    fn has_a_place(&self, instance: &str, sender: &str, number: &str) -> bool {
        let payload = format!("{sender}/{number}");
        let sent = self.sent.get(&(instance.to_owned(), payload));
        self.alone || self.told.contains_key(sender) || sent == Some(&Sent::Surely)
    }

    fn judge_output(&self, instance: &str, output: &str) -> Result<(), String> {
        let mut heard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for payload in output.split(',').filter(|it| !it.is_empty()) {
            let (sender, number) = payload
                .split_once('/')
                .ok_or_else(|| format!("{instance} heard {payload}"))?;
            heard.entry(sender).or_default().push(number);
        }
        for (sender, numbers) in &heard {
            let placed = numbers
                .iter()
                .filter(|it| self.has_a_place(instance, sender, it));
            let order: Vec<u64> = placed.map(|it| order_of(it)).collect();
            let once: BTreeSet<&str> = numbers.iter().copied().collect();
            let lasts = numbers.iter().filter(|it| **it == LAST).count();
            if once.len() + lasts.saturating_sub(1) < numbers.len() {
                return Err(format!("{instance} heard {sender} twice: {numbers:?}"));
            }
            // Only the last word may be repeated: it is sent until it is acknowledged.
            let grows = order
                .windows(2)
                .all(|pair| pair[0] < pair[1] || pair == [u64::MAX, u64::MAX]);
            if !grows {
                return Err(format!("{instance} heard {sender} say {numbers:?}"));
            }
            for number in numbers {
                let payload = format!("{sender}/{number}");
                let sent = self.sent.get(&(instance.to_owned(), payload.clone()));
                let told = self.told.contains_key(*sender);
                if !told && sent.is_none_or(|sent| *sent == Sent::Refused) {
                    return Err(format!("{instance} heard {payload}, which was not sent"));
                }
            }
        }
        let has = |sender: &str, number: &str| {
            heard
                .get(sender)
                .is_some_and(|numbers| numbers.contains(&number))
        };
        for ((target, payload), sent) in &self.sent {
            let (sender, number) = payload.split_once('/').expect("the workload's own");
            if target == instance && *sent == Sent::Surely && !has(sender, number) && number != LAST
            {
                return Err(format!("{instance} did not hear {payload}"));
            }
        }
        for (sender, (target, count)) in &self.told {
            if target != instance {
                continue;
            }
            let all: BTreeSet<String> = (0..*count).map(|it| it.to_string()).collect();
            if let Some(missing) = all.iter().find(|number| !has(sender, number)) {
                return Err(format!("{instance} did not hear {sender} say {missing}"));
            }
        }
        Ok(())
    }
}

fn order_of(number: &str) -> u64 {
    if number == LAST {
        u64::MAX
    } else {
        number.parse().expect("the workload's own")
    }
}

impl Invariant for Events {
    fn name(&self) -> &'static str {
        "events arrive once and in order"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked {
                request: Request::Raise { instance, payload },
                ..
            } => {
                let sent = self.sent.entry((instance.clone(), payload.clone()));
                let sent = sent.or_insert(Sent::Perhaps);
                *sent = (*sent).max(Sent::Perhaps);
            }
            Moment::Answered {
                request: Request::Raise { instance, payload },
                answer,
                ..
            } => {
                let key = (instance.clone(), payload.clone());
                match answer {
                    Answer::Done => drop(self.sent.insert(key, Sent::Surely)),
                    // Calls for a last word are repeated, so one refusal says nothing about the others.
                    Answer::NotFound | Answer::NotDone if !payload.ends_with(LAST) => {
                        self.sent.insert(key, Sent::Refused);
                    }
                    _ => {}
                }
            }
            Moment::Asked {
                request: Request::Start {
                    instance, input, ..
                },
                ..
            } => {
                let mut parts = input.split(':');
                if let (Some("tell"), Some(target), Some(count)) =
                    (parts.next(), parts.next(), parts.next())
                {
                    let count = count.parse().expect("the workload's own");
                    self.told
                        .insert(instance.clone(), (target.to_owned(), count));
                }
            }
            Moment::Seen {
                instance,
                view: Some(view),
            } if view.input.starts_with("hear:") || view.input.starts_with("ages:") => {
                if let Some(output) = &view.output {
                    return self.judge_output(instance, output);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
