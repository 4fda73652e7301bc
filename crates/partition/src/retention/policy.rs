//! How long ended instances stay: by task hub and final status, as plain values.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_engine::Status;
use longhaul_types::HubId;

/// How long ended instances of each task hub stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Of the hubs that have no ages of their own.
    pub by_status: RetentionAges,
    /// Of those that have.
    pub by_hub: BTreeMap<HubId, RetentionAges>,
}

/// How long instances stay after their end, by final status. `None` keeps them for ever, zero removes them as soon as
/// possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionAges {
    /// Of those whose orchestrator returned.
    pub completed: Option<Duration>,
    /// Of those whose orchestrator threw.
    pub failed: Option<Duration>,
    /// Of those that were terminated.
    pub terminated: Option<Duration>,
    /// Of those that were canceled.
    pub canceled: Option<Duration>,
}

impl RetentionAges {
    /// The same for every final status.
    #[must_use]
    pub fn same(age: Option<Duration>) -> Self {
        Self {
            completed: age,
            failed: age,
            terminated: age,
            canceled: age,
        }
    }

    /// How long after its end an instance with this status is removed; `None` if never, which goes for all that have
    /// not ended.
    #[must_use]
    pub fn age(&self, status: Status) -> Option<Duration> {
        match status {
            Status::Completed => self.completed,
            Status::Failed => self.failed,
            Status::Terminated => self.terminated,
            Status::Canceled => self.canceled,
            Status::Running | Status::Pending | Status::Suspended => None,
        }
    }
}

impl RetentionPolicy {
    /// The same ages for every hub.
    #[must_use]
    pub fn of_every_hub(by_status: RetentionAges) -> Self {
        Self {
            by_status,
            by_hub: BTreeMap::new(),
        }
    }

    /// How long after its end an instance of `hub` with this status is removed; `None` if never, which goes for all
    /// that have not ended.
    ///
    /// Source: Azure's scheduler counts from the end, not from the creation.
    #[must_use]
    pub fn age(&self, hub: HubId, status: Status) -> Option<Duration> {
        self.by_hub.get(&hub).unwrap_or(&self.by_status).age(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn ages_are_those_of_the_status_in_the_hub_or_else_in_all() {
        let ages = RetentionAges {
            completed: Some(DAY),
            failed: None,
            terminated: Some(Duration::ZERO),
            canceled: Some(DAY * 2),
        };
        let policy = RetentionPolicy {
            by_status: ages,
            by_hub: BTreeMap::from([(HubId(2), RetentionAges::same(Some(DAY * 30)))]),
        };
        for (status, in_one, in_two) in [
            (Status::Completed, Some(DAY), Some(DAY * 30)),
            (Status::Failed, None, Some(DAY * 30)),
            (Status::Terminated, Some(Duration::ZERO), Some(DAY * 30)),
            (Status::Canceled, Some(DAY * 2), Some(DAY * 30)),
            (Status::Running, None, None),
            (Status::Pending, None, None),
            (Status::Suspended, None, None),
        ] {
            assert_eq!(policy.age(HubId(1), status), in_one, "{status:?}");
            assert_eq!(policy.age(HubId(2), status), in_two, "{status:?}");
        }
    }
}
