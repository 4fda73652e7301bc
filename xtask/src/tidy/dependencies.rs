//! Which crate may see which: the dependency table of `docs/architecture.md`, executed.
//!
//! Dependencies for tests only are free.

use anyhow::{Context, Result};
use serde_json::Value;

/// What one package may and must not name in its manifest.
struct Rule {
    package: &'static str,
    /// Crates of ours it may depend on.
    ours: &'static [&'static str],
    /// Foreign crates it must not depend on. A name stands for its family: `tonic` for
    /// `tonic-prost` too.
    never: &'static [&'static str],
}

const fn rule(
    package: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
) -> Rule {
    Rule {
        package,
        ours,
        never,
    }
}

/// Pure code: no runtime, no storage, no wire, no randomness.
const OUTSIDE_WORLD: &[&str] = &[
    "tokio",
    "futures",
    "rocksdb",
    "tonic",
    "prost",
    "openraft",
    "axum",
    "rustix",
    "rand",
    "getrandom",
    "tracing",
    "metrics",
];

const TABLE: [Rule; 18] = [
    rule("longhaul-types", &[], OUTSIDE_WORLD),
    rule("longhaul-engine", &["longhaul-types"], OUTSIDE_WORLD),
    rule("longhaul-placement", &["longhaul-types"], OUTSIDE_WORLD),
    rule(
        "longhaul-cluster",
        &[
            "longhaul-types",
            "longhaul-placement",
            "longhaul-proto",
            "longhaul-peer",
            "longhaul-replication",
        ],
        &["rocksdb", "openraft", "axum", "rand", "getrandom"],
    ),
    rule(
        "longhaul-proto",
        &[],
        &["tokio", "rocksdb", "openraft", "axum"],
    ),
    rule(
        "longhaul-peer",
        &["longhaul-types", "longhaul-proto"],
        &["openraft", "rocksdb", "axum", "rand", "getrandom"],
    ),
    rule(
        "longhaul-wal",
        &["longhaul-types"],
        &["tokio", "tonic", "prost", "openraft", "rocksdb"],
    ),
    rule(
        "longhaul-storage",
        &["longhaul-types", "longhaul-engine", "longhaul-proto"],
        &["tokio", "tonic", "openraft", "axum"],
    ),
    rule(
        "longhaul-replication",
        &[
            "longhaul-types",
            "longhaul-wal",
            "longhaul-proto",
            "longhaul-peer",
        ],
        &["rocksdb", "axum", "tonic"],
    ),
    rule(
        "longhaul-partition",
        &[
            "longhaul-types",
            "longhaul-engine",
            "longhaul-storage",
            "longhaul-replication",
        ],
        &["tonic", "axum", "rocksdb", "openraft"],
    ),
    rule(
        "longhaul-routing",
        &[
            "longhaul-types",
            "longhaul-engine",
            "longhaul-storage",
            "longhaul-partition",
            "longhaul-peer",
            "longhaul-proto",
        ],
        &["tonic", "axum", "rocksdb", "openraft", "rand", "getrandom"],
    ),
    rule(
        "longhaul-frontend",
        &[
            "longhaul-types",
            "longhaul-engine",
            "longhaul-partition",
            "longhaul-routing",
            "longhaul-proto",
        ],
        &["rocksdb", "openraft"],
    ),
    rule(
        "longhaul-client",
        &["longhaul-types", "longhaul-proto"],
        &["rocksdb", "openraft"],
    ),
    rule(
        "longhaul-cli",
        &["longhaul-types", "longhaul-proto", "longhaul-client"],
        &["rocksdb", "openraft"],
    ),
    rule(
        "longhaul-server",
        &[
            "longhaul-types",
            "longhaul-engine",
            "longhaul-proto",
            "longhaul-wal",
            "longhaul-storage",
            "longhaul-replication",
            "longhaul-partition",
            "longhaul-peer",
            "longhaul-cluster",
            "longhaul-routing",
            "longhaul-frontend",
            "longhaul-client",
            "longhaul-cli",
        ],
        &[],
    ),
    rule(
        "longhaul-fuzz",
        &[
            "longhaul-types",
            "longhaul-engine",
            "longhaul-proto",
            "longhaul-wal",
            "longhaul-storage",
            "longhaul-replication",
            "longhaul-partition",
            "longhaul-frontend",
            "longhaul-server",
        ],
        &["tokio", "rocksdb", "openraft"],
    ),
    rule(
        "longhaul-chaos",
        &["longhaul-proto", "longhaul-client"],
        &["tonic", "rocksdb", "openraft", "axum"],
    ),
    rule("xtask", &[], &["tokio", "rocksdb", "tonic", "openraft"]),
];

/// The packages that may erase their error types, since only people read them.
const ANYHOW: [&str; 4] = ["longhaul-server", "longhaul-cli", "xtask", "longhaul-chaos"];

/// Checks every package of the workspace, from the output of `cargo metadata`.
pub(super) fn violations(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"]
        .as_array()
        .context("metadata without packages")?;
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("package without name")?;
        let dependencies = package["dependencies"]
            .as_array()
            .context("no dependencies")?;
        let dependencies = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str());
        match TABLE.iter().find(|rule| rule.package == name) {
            Some(rule) => found.extend(broken_by(rule, dependencies)),
            None => found.push(format!("{name} has no row in {}", file!())),
        }
    }
    Ok(found)
}

fn broken_by<'a>(
    rule: &Rule,
    dependencies: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = String> {
    dependencies
        .filter(|dependency| !allowed(rule, dependency))
        .map(|dependency| {
            format!(
                "{} must not depend on {dependency} (table in {})",
                rule.package,
                file!()
            )
        })
}

fn allowed(rule: &Rule, dependency: &str) -> bool {
    if dependency.starts_with("longhaul-") {
        return rule.ours.contains(&dependency);
    }
    if dependency == "anyhow" {
        return ANYHOW.contains(&rule.package);
    }
    !rule.never.iter().any(|never| is_family(dependency, never))
}

fn is_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = json!({ "name": dependency, "kind": kind });
        let package = json!({ "name": package, "dependencies": [dependency] });
        violations(&json!({ "packages": [package] })).expect("well-formed")
    }

    #[test]
    fn table_decides_about_our_crates() {
        assert!(check("longhaul-engine", "longhaul-types", None).is_empty());
        assert_eq!(check("longhaul-engine", "longhaul-storage", None).len(), 1);
        assert_eq!(check("longhaul-storage", "longhaul-wal", None).len(), 1);
        assert_eq!(
            check("longhaul-replication", "longhaul-engine", None).len(),
            1
        );
    }

    #[test]
    fn families_of_foreign_crates_are_kept_out() {
        assert!(check("longhaul-engine", "bytes", None).is_empty());
        assert_eq!(check("longhaul-engine", "tokio-util", None).len(), 1);
        assert_eq!(check("longhaul-partition", "tonic", None).len(), 1);
        assert_eq!(
            check("longhaul-frontend", "rocksdb", Some("build")).len(),
            1
        );
        assert!(check("longhaul-types", "tokio", Some("dev")).is_empty());
        assert!(is_family("prost", "prost") && !is_family("prosthesis", "prost"));
    }

    #[test]
    fn erased_errors_are_for_programs_only() {
        assert!(check("longhaul-server", "anyhow", None).is_empty());
        assert_eq!(check("longhaul-frontend", "anyhow", None).len(), 1);
    }

    #[test]
    fn package_without_row_is_a_violation() {
        assert_eq!(check("longhaul-novelty", "bytes", None).len(), 1);
    }
}
