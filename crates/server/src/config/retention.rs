//! How long ended instances stay: the settings, and the policy they amount to.

use std::fmt;
use std::time::Duration;

use longhaul_partition::{RetentionAges, RetentionPolicy};
use longhaul_types::{HubId, HubName};
use toml::de::{DeTable, DeValue};

use super::value::{Value, quoted};

/// Longer ages are for ever; a number this large is most likely a mistake.
pub(super) const AGE_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// How long ended instances stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Whatever their final status.
    pub default_after: Age,
    /// Completed ones.
    pub completed_after: OwnAge,
    /// Failed ones.
    pub failed_after: OwnAge,
    /// Terminated ones.
    pub terminated_after: OwnAge,
    /// Canceled ones.
    pub canceled_after: OwnAge,
    /// Those of single task hubs.
    pub hubs: HubAges,
}

/// How long after its end an instance is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// This long; zero is as soon as possible.
    After(Duration),
    /// It stays.
    Never,
}

/// The age of one final status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnAge {
    /// As of every other status.
    Default,
    /// One of its own.
    Own(Age),
}

/// Ages of single task hubs. What a hub leaves out is as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HubAges(Vec<(HubName, AgesGiven)>);

/// The ages that were given for one hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct AgesGiven {
    default: Option<Age>,
    completed: Option<Age>,
    failed: Option<Age>,
    terminated: Option<Age>,
    canceled: Option<Age>,
}

/// Names the age of every status in a hub's table.
const DEFAULT: &str = "default_after";

impl Retention {
    /// What these settings amount to for the hubs there are.
    #[must_use]
    pub fn policy<'a>(&self, hubs: impl Iterator<Item = (HubId, &'a HubName)>) -> RetentionPolicy {
        let everywhere = self.everywhere();
        let of_hub = |(id, name): (HubId, &HubName)| {
            let (_, given) = self.hubs.0.iter().find(|(other, _)| other == name)?;
            Some((id, given.over(everywhere)))
        };
        RetentionPolicy {
            by_status: everywhere,
            by_hub: hubs.filter_map(of_hub).collect(),
        }
    }

    /// Every age with the key that has it.
    pub(super) fn ages(&self) -> Vec<(&'static str, Age)> {
        let own = |path, age| match age {
            OwnAge::Own(age) => Some((path, age)),
            OwnAge::Default => None,
        };
        let of_statuses = [
            Some(("retention.default_after", self.default_after)),
            own("retention.completed_after", self.completed_after),
            own("retention.failed_after", self.failed_after),
            own("retention.terminated_after", self.terminated_after),
            own("retention.canceled_after", self.canceled_after),
        ];
        let of_hubs = self.hubs.0.iter().flat_map(|(_, given)| given.all());
        let of_hubs = of_hubs.map(|(_, age)| ("retention.hubs", age));
        of_statuses.into_iter().flatten().chain(of_hubs).collect()
    }

    fn everywhere(&self) -> RetentionAges {
        let own = |age| match age {
            OwnAge::Own(age) => Age::time(age),
            OwnAge::Default => self.default_after.time(),
        };
        RetentionAges {
            completed: own(self.completed_after),
            failed: own(self.failed_after),
            terminated: own(self.terminated_after),
            canceled: own(self.canceled_after),
        }
    }
}

impl Age {
    /// In whole days.
    #[must_use]
    pub const fn days(count: u64) -> Self {
        Self::After(Duration::from_secs(count * 86_400))
    }

    fn time(self) -> Option<Duration> {
        match self {
            Self::After(time) => Some(time),
            Self::Never => None,
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => humantime::format_duration(*time).fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Value for Age {
    const EXPECTED: &'static str = "a duration or never; write it as 30days, 12h, 0s or never";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::Never),
            _ => Duration::from_text(text).map(Self::After),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for OwnAge {
    const EXPECTED: &'static str =
        "a duration, never or default; write it as 30days, 12h, 0s, never or default";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "default" => Some(Self::Default),
            _ => Age::from_text(text).map(Self::Own),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Default => quoted("default"),
            Self::Own(age) => age.to_toml(),
        }
    }
}

impl AgesGiven {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Age>> {
        Some(match name {
            DEFAULT => &mut self.default,
            "completed_after" => &mut self.completed,
            "failed_after" => &mut self.failed,
            "terminated_after" => &mut self.terminated,
            "canceled_after" => &mut self.canceled,
            _ => return None,
        })
    }

    /// Sets an age; `None` if there is no such one, or if it is set already.
    fn give(&mut self, name: &str, age: Age) -> Option<()> {
        let slot = self.slot(name)?;
        slot.is_none().then(|| *slot = Some(age))
    }

    /// The ages that were given, by name.
    fn all(&self) -> impl Iterator<Item = (&'static str, Age)> {
        let all = [
            (DEFAULT, self.default),
            ("completed_after", self.completed),
            ("failed_after", self.failed),
            ("terminated_after", self.terminated),
            ("canceled_after", self.canceled),
        ];
        all.into_iter().filter_map(|(name, age)| Some((name, age?)))
    }

    fn over(&self, everywhere: RetentionAges) -> RetentionAges {
        let own = |age: Option<Age>, else_| age.or(self.default).map_or(else_, Age::time);
        RetentionAges {
            completed: own(self.completed, everywhere.completed),
            failed: own(self.failed, everywhere.failed),
            terminated: own(self.terminated, everywhere.terminated),
            canceled: own(self.canceled, everywhere.canceled),
        }
    }
}

impl HubAges {
    /// Reads the form that the environment has; `None` if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut ages = Self::default();
        let entries = text.split(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let (place, age) = entry.split_once('=')?;
            let place = place.trim();
            let (hub, name) = place.split_once(':').unwrap_or((place, DEFAULT));
            ages.of(hub)?.give(name, Age::from_text(age.trim())?)?;
        }
        Some(ages)
    }

    fn of(&mut self, name: &str) -> Option<&mut AgesGiven> {
        let name = HubName::parse(name).ok()?;
        let known = self.0.iter().position(|(other, _)| *other == name);
        let at = known.unwrap_or_else(|| {
            self.0.push((name, AgesGiven::default()));
            self.0.len() - 1
        });
        Some(&mut self.0[at].1)
    }

    fn read_table(table: &DeTable<'_>) -> Option<Self> {
        let mut ages = Self::default();
        for (name, value) in table {
            let given = ages.of(name.get_ref())?;
            match value.get_ref() {
                DeValue::Table(by_status) => {
                    for (status, age) in by_status {
                        given.give(status.get_ref(), Age::from_toml(age.get_ref())?)?;
                    }
                }
                age => given.give(DEFAULT, Age::from_toml(age)?)?,
            }
        }
        Some(ages)
    }
}

impl Value for HubAges {
    const EXPECTED: &'static str = "a table of task hubs with their ages, such as \
         { orders = \"7days\", audit = { default_after = \"never\", failed_after = \"90days\" } }, in the environment \
         orders=7days,audit=never,audit:failed_after=90days";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_table().and_then(Self::read_table)
    }

    fn to_toml(&self) -> String {
        let text = |age: Age| toml::Value::String(age.to_string());
        let hubs = self.0.iter().map(|(hub, given)| {
            let ages: Vec<_> = given.all().collect();
            let value = match ages.as_slice() {
                [(DEFAULT, age)] => text(*age),
                _ => {
                    let ages = ages
                        .into_iter()
                        .map(|(name, age)| (name.to_owned(), text(age)));
                    toml::Value::Table(ages.collect())
                }
            };
            (hub.to_string(), value)
        });
        toml::Value::Table(hubs.collect()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_engine::Status;

    use super::*;
    use crate::config::Config;

    const DAY: Duration = Duration::from_secs(86_400);

    fn hubs(text: &str) -> HubAges {
        HubAges::from_text(text).expect("valid")
    }

    fn from_file(text: &str) -> Option<HubAges> {
        let document = DeTable::parse(text).expect("TOML");
        HubAges::read_table(document.get_ref())
    }

    #[test]
    fn ages_are_durations_or_never() {
        for (text, age) in [
            ("30days", Age::days(30)),
            ("2h", Age::After(Duration::from_secs(7_200))),
            ("0s", Age::After(Duration::ZERO)),
            ("never", Age::Never),
        ] {
            assert_eq!(Age::from_text(text), Some(age));
            assert_eq!(Age::from_text(&age.to_string()), Some(age));
            assert_eq!(OwnAge::from_text(text), Some(OwnAge::Own(age)));
        }
        for bad in ["30", "", "Never", "default", "-1s"] {
            assert_eq!(Age::from_text(bad), None, "{bad:?}");
        }
        assert_eq!(OwnAge::from_text("default"), Some(OwnAge::Default));
    }

    #[test]
    fn ages_of_hubs_are_the_same_in_a_file_and_in_the_environment() {
        let file =
            "orders = \"7days\"\n[audit]\ndefault_after = \"never\"\nfailed_after = \"90days\"\n";
        let text = " orders=7days, audit:failed_after=90days,audit = never,";
        let sorted = |mut ages: HubAges| {
            ages.0.sort_by_key(|(hub, _)| hub.folded());
            ages
        };
        let ages = sorted(from_file(file).expect("valid"));
        assert_eq!(ages, sorted(hubs(text)));
        let shown = format!("hubs = {}", ages.to_toml());
        let document = DeTable::parse(&shown).expect("TOML");
        let read = HubAges::from_toml(document.get_ref()["hubs"].get_ref());
        assert_eq!(read.map(sorted), Some(ages), "{shown}");
        assert_eq!(HubAges::default().to_toml(), "{}");
    }

    #[test]
    fn what_fits_no_hub_status_or_age_is_refused() {
        for bad in [
            "orders",
            "a b=1s",
            "orders=soon",
            "orders:paused_after=1s",
            "orders=1s,Orders=2s",
            "=1s",
        ] {
            assert_eq!(HubAges::from_text(bad), None, "{bad:?}");
        }
        for bad in [
            "orders = 7",
            "\"a b\" = \"1s\"",
            "[orders]\npaused_after = \"1s\"",
            "orders = \"1s\"\nOrders = \"2s\"",
        ] {
            assert_eq!(from_file(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn policy_takes_the_most_special_age() {
        let retention = Retention {
            failed_after: OwnAge::Own(Age::days(90)),
            terminated_after: OwnAge::Own(Age::After(Duration::ZERO)),
            hubs: hubs("audit=never,audit:canceled_after=1h,orders:completed_after=1day"),
            ..Config::server().retention
        };
        let names = ["default", "AUDIT", "orders"].map(|name| HubName::parse(name).expect("valid"));
        let policy = retention.policy(names.iter().zip(1..).map(|(name, id)| (HubId(id), name)));
        let ages = |hub| {
            [
                Status::Completed,
                Status::Failed,
                Status::Terminated,
                Status::Canceled,
            ]
            .map(|status| policy.age(HubId(hub), status))
        };
        let everywhere = [
            Some(DAY * 30),
            Some(DAY * 90),
            Some(Duration::ZERO),
            Some(DAY * 30),
        ];
        assert_eq!(ages(1), everywhere);
        assert_eq!(
            ages(2),
            [None, None, None, Some(Duration::from_secs(3_600))]
        );
        assert_eq!(
            ages(3),
            [Some(DAY), everywhere[1], everywhere[2], everywhere[3]]
        );
        assert_eq!(ages(4), everywhere, "a hub that is made later");
        assert_eq!(policy.age(HubId(1), Status::Running), None);
    }
}
