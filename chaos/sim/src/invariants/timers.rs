//! Nothing happens before its time: no timer fires, no delayed start begins, and no delayed operation is run, before the
//! node's clock has shown the time it was due.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_types::Timestamp;

use super::Invariant;
use crate::history::What;
use crate::moment::{Moment, Request};

/// So much earlier an operation may be run. Source: clocks of clients differ from the server's.
const TOLERANCE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Timers {
    not_before: BTreeMap<String, Timestamp>,
}

impl Invariant for Timers {
    fn name(&self) -> &'static str {
        "nothing happens before its time"
    }

    fn judge(&mut self, moment: &Moment, high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked {
                request:
                    Request::Start {
                        execution,
                        not_before: Some(time),
                        ..
                    },
                ..
            } => {
                self.not_before.insert(execution.clone(), *time);
                Ok(())
            }
            Moment::TurnOut {
                instance,
                execution,
                new,
                ..
            } => {
                if let Some(time) = self.not_before.get(execution)
                    && *time > high
                {
                    return Err(format!(
                        "{instance} begins by {high} and was to wait until {time}"
                    ));
                }
                for entry in new {
                    if let What::TimerFired { timer, fire_at } = &entry.what
                        && *fire_at > high
                    {
                        return Err(format!(
                            "timer {timer} of {instance} was due at {fire_at} and fired by {high}"
                        ));
                    }
                }
                Ok(())
            }
            Moment::BatchOut {
                entity, operations, ..
            } => {
                let early = operations
                    .iter()
                    .find(|it| it.scheduled.is_some_and(|due| due > high + TOLERANCE));
                match early {
                    Some(early) => Err(format!("{entity} is to run {early:?} by {high}")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
