//! The files of a checkout, without what builds and tests leave in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Directories that are never part of the sources.
const SKIPPED: [&str; 6] = [
    "target",
    "node_modules",
    "longhaul-data",
    "__pycache__",
    "dist",
    "venv",
];

/// Every source file below `root`, relative to it and sorted. Hidden directories are left out,
/// except the two that hold sources.
pub(crate) fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("no {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir() && is_source_dir(&name.to_string_lossy()) {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                found.push(
                    path.strip_prefix(root)
                        .context("below the root")?
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_source_dir(name: &str) -> bool {
    let hidden = name.starts_with('.') && ![".ci", ".cargo"].contains(&name);
    !hidden && !SKIPPED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_hidden_directories_are_left_out() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for path in [
            "a/b.rs",
            "target/x.rs",
            ".git/config",
            ".ci/run",
            "ui/node_modules/m.js",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("create");
            fs::write(path, "").expect("write");
        }
        let found = sources(dir.path()).expect("listed");
        assert_eq!(found, [PathBuf::from(".ci/run"), PathBuf::from("a/b.rs")]);
    }
}
