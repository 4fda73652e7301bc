//! Programs of the system that a run needs: `ip`, `mount` and the like.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// If it cannot be run or fails; with what it said about it.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    let shown = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(shown)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", shown(), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program that undoes something, at a time at which nobody can do anything about its failure but know of it.
pub fn undo(program: &str, args: &[&str]) {
    if let Err(failure) = run(program, args) {
        eprintln!("left behind: {failure:#}");
    }
}

/// Whether there is such a program.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_program_said() {
        let failure = run("sh", &["-c", "echo why >&2; exit 3"]).expect_err("it failed");
        let shown = format!("{failure:#}");
        assert!(shown.contains("why") && shown.contains('3'), "{shown}");
        assert_eq!(run("echo", &["a"]).expect("it ran"), "a\n");
        assert!(exists("sh") && !exists("no-program-has-this-name"));
    }
}
