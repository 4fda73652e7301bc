//! Checks of what the compiler does not see: structure, style and links.
//!
//! Each rule looks at the whole checkout and returns one line per violation.

mod dependencies;
mod links;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{build_env, counts::Counts, files};

/// Runs every rule; a rule is one check.
pub(crate) fn check(root: &Path) -> Result<Counts> {
    let sources = read_texts(root)?;
    let metadata = metadata(root)?;
    let rules = [
        (
            "crates depend only on what they may see",
            dependencies::violations(&metadata)?,
        ),
        (
            "every module opens with what it is",
            sources::without_module_doc(&sources),
        ),
        ("no source file is too long", sources::too_long(&sources)),
        (
            "no test sleeps without a reason",
            sources::unexplained_sleeps(&sources),
        ),
        ("no unfinished code", sources::unfinished(&sources)),
        (
            "links in documents lead somewhere",
            links::broken(root, &sources),
        ),
        ("the licence is there", missing_licence(root)),
    ];
    let mut counts = Counts::default();
    for (rule, violations) in rules {
        for violation in &violations {
            println!("{violation}");
        }
        let verdict = if violations.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!("{rule} ... {verdict}");
        counts += if violations.is_empty() {
            Counts::ONE_PASSED
        } else {
            Counts::ONE_FAILED
        };
    }
    Ok(counts)
}

/// A text file of the checkout.
#[derive(Debug)]
struct Text {
    /// Relative to the root.
    path: PathBuf,
    content: String,
}

impl Text {
    fn has_extension(&self, extension: &str) -> bool {
        self.path
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// How a violation in this file begins.
    fn at(&self, line_index: usize) -> String {
        format!("{}:{}", self.path.display(), line_index + 1)
    }
}

/// The files the rules look into: Rust sources and documents.
fn read_texts(root: &Path) -> Result<Vec<Text>> {
    let paths = files::sources(root)?.into_iter();
    let texts = paths.filter(|path| {
        path.extension()
            .is_some_and(|ext| ext == "rs" || ext == "md")
    });
    texts
        .map(|path| {
            let content = fs::read_to_string(root.join(&path));
            let content = content.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Text { path, content })
        })
        .collect()
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(build_env::cargo())
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {errors}");
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

fn missing_licence(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("LICENSE")).unwrap_or_default();
    if text.contains("Apache License") {
        vec![]
    } else {
        vec!["LICENSE is not the Apache License".to_owned()]
    }
}

#[cfg(test)]
fn text(path: &str, content: &str) -> Text {
    Text {
        path: path.into(),
        content: content.to_owned(),
    }
}
