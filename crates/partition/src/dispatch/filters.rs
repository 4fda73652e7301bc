//! Which work a worker takes.

use super::{Class, WorkKind};

/// Names (and versions) a worker takes. A category without names takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Orchestrations, by name and the version of their current generation.
    pub orchestrations: Vec<NameFilter>,
    /// Activities, by name and version.
    pub activities: Vec<NameFilter>,
    /// Entities, by name, without case; versions do not count.
    pub entities: Vec<NameFilter>,
}

/// One name a worker takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFilter {
    /// The name, exactly.
    pub name: String,
    /// Versions, exactly, with `""` for "has none"; empty for any.
    pub versions: Vec<String>,
}

impl Filters {
    pub(crate) fn admit(&self, kind: WorkKind, class: &Class) -> bool {
        let (names, ignore_case) = match kind {
            WorkKind::Orchestration => (&self.orchestrations, false),
            WorkKind::Activity => (&self.activities, false),
            WorkKind::Entity => (&self.entities, true),
        };
        names.iter().any(|filter| {
            let same = if ignore_case {
                filter.name.eq_ignore_ascii_case(&class.name)
            } else {
                *filter.name == *class.name
            };
            let version = class.version.as_deref().unwrap_or("");
            same && (ignore_case
                || filter.versions.is_empty()
                || filter.versions.iter().any(|it| it == version))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, version: Option<&str>) -> Class {
        Class {
            name: name.into(),
            version: version.map(Into::into),
        }
    }

    fn filter(name: &str, versions: &[&str]) -> NameFilter {
        NameFilter {
            name: name.to_owned(),
            versions: versions.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    #[test]
    fn trap_50_an_empty_category_takes_nothing() {
        let filters = Filters {
            orchestrations: vec![filter("A", &[])],
            ..Filters::default()
        };
        assert!(filters.admit(WorkKind::Orchestration, &class("A", None)));
        assert!(!filters.admit(WorkKind::Activity, &class("A", None)));
    }

    #[test]
    fn trap_51_versions_are_exact_and_unversioned_is_the_empty_text() {
        let cases: [(&[&str], Option<&str>, bool); 7] = [
            (&[], None, true),
            (&[], Some("1"), true),
            (&["1"], Some("1"), true),
            (&["1"], Some("2"), false),
            (&["1"], None, false),
            (&[""], None, true),
            (&["", "2"], Some("2"), true),
        ];
        for (versions, version, expected) in cases {
            let filters = Filters {
                orchestrations: vec![filter("A", versions)],
                ..Filters::default()
            };
            let got = filters.admit(WorkKind::Orchestration, &class("A", version));
            assert_eq!(got, expected, "{versions:?} against {version:?}");
        }
    }

    #[test]
    fn names_are_exact_but_for_entities() {
        let names = || vec![filter("Ab", &[])];
        let filters = Filters {
            orchestrations: names(),
            activities: names(),
            entities: names(),
        };
        assert!(!filters.admit(WorkKind::Orchestration, &class("ab", None)));
        assert!(!filters.admit(WorkKind::Activity, &class("AB", None)));
        assert!(filters.admit(WorkKind::Entity, &class("ab", None)));
    }
}
