//! Rules about single Rust files.

use super::Text;

/// Past this many lines there is a seam.
const LINES_MAX: usize = 800;

/// Says why a test may wait for real time; on the line itself or the one before.
const REASON: &str = "// tidy:";

/// Files whose first line is not a module comment.
pub(super) fn without_module_doc(texts: &[Text]) -> Vec<String> {
    let missing = rust(texts).filter(|text| !text.content.trim_start().starts_with("//!"));
    missing
        .map(|text| format!("{}: does not open with `//!`", text.path.display()))
        .collect()
}

/// Files that should be split.
pub(super) fn too_long(texts: &[Text]) -> Vec<String> {
    let long = rust(texts).map(|text| (text, text.content.lines().count()));
    long.filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(text, lines)| format!("{}: {lines} lines", text.path.display()))
        .collect()
}

/// Sleeping lines of tests: a test waits for a condition, not for time.
pub(super) fn unexplained_sleeps(texts: &[Text]) -> Vec<String> {
    let sleep = concat!("sleep", "(");
    rust(texts)
        .flat_map(|text| {
            let lines: Vec<&str> = text.content.lines().collect();
            let explained = |index: usize| {
                lines[index].contains(REASON) || index > 0 && lines[index - 1].contains(REASON)
            };
            let tests = first_test_line(text, &lines)..lines.len();
            tests
                .filter(|index| lines[*index].contains(sleep) && !explained(*index))
                .map(|index| format!("{}: sleeps without `{REASON} …`", text.at(index)))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Lines left to be written later.
pub(super) fn unfinished(texts: &[Text]) -> Vec<String> {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
    ];
    rust(texts)
        .flat_map(|text| {
            let lines = text.content.lines().enumerate();
            lines
                .filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)))
                .map(|(index, line)| format!("{}: {}", text.at(index), line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn rust(texts: &[Text]) -> impl Iterator<Item = &Text> {
    texts.iter().filter(|text| text.has_extension("rs"))
}

/// Test files consist of tests; elsewhere they stand at the end.
fn first_test_line(text: &Text, lines: &[&str]) -> usize {
    let is_tests = |part: &str| part == "tests" || part == "tests.rs" || part.ends_with("_test.rs");
    if text
        .path
        .iter()
        .any(|part| is_tests(&part.to_string_lossy()))
    {
        return 0;
    }
    lines
        .iter()
        .position(|line| line.trim() == "#[cfg(test)]")
        .unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    const SLEEPS: &str = concat!("thread::sleep", "(second);");

    #[test]
    fn module_comment_comes_first() {
        let check = |content| without_module_doc(&[text("src/a.rs", content)]).len();
        assert_eq!(check("//! What it is.\n"), 0);
        assert_eq!(check("use std::fs;\n//! Too late.\n"), 1);
        assert_eq!(check(""), 1);
        assert!(without_module_doc(&[text("README.md", "# Title")]).is_empty());
    }

    #[test]
    fn length_is_limited() {
        let check = |lines| too_long(&[text("src/a.rs", &"\n".repeat(lines))]).len();
        assert_eq!((check(LINES_MAX), check(LINES_MAX + 1)), (0, 1));
    }

    #[test]
    fn sleep_is_a_violation_in_tests_only() {
        let check = |path, content: &str| unexplained_sleeps(&[text(path, content)]).len();
        assert_eq!(check("crates/a/src/lib.rs", SLEEPS), 0);
        assert_eq!(check("crates/a/tests/b.rs", SLEEPS), 1);
        assert_eq!(check("crates/a/src/b/tests.rs", SLEEPS), 1);
        assert_eq!(
            check("crates/a/src/b.rs", &format!("{SLEEPS}\n#[cfg(test)]\n")),
            0
        );
        assert_eq!(
            check("crates/a/src/b.rs", &format!("#[cfg(test)]\n{SLEEPS}\n")),
            1
        );
    }

    #[test]
    fn sleep_with_a_reason_is_fine() {
        let check = |content: &str| unexplained_sleeps(&[text("tests/a.rs", content)]).len();
        assert_eq!(check(&format!("{SLEEPS} {REASON} the clock is paused")), 0);
        assert_eq!(check(&format!("{REASON} the clock is paused\n{SLEEPS}")), 0);
        assert_eq!(check(&format!("{REASON} too far away\n\n{SLEEPS}")), 1);
    }

    #[test]
    fn unfinished_code_is_named_with_its_line() {
        let content = concat!("//! A.\nfn a() {\n    todo", "!()\n}\n");
        let expected = concat!("a.rs:3: todo", "!()");
        assert_eq!(unfinished(&[text("a.rs", content)]), [expected]);
    }
}
