//! The file format of a transcript.
//!
//! ```text
//! # Comments and blank lines stay as they are.
//! create order-1 Hello input="1"        one command a line,
//! turn order-1                          lines that are indented belong to the command before,
//!   schedule 1 Add input="x"
//! ----
//! done                                  what they bring about, up to a blank line
//! ```

/// A part of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Comments and blank lines.
    Prose(String),
    /// Commands and what they are expected to bring about.
    Block {
        commands: Vec<String>,
        expected: String,
    },
}

/// Splits a transcript into its parts.
pub(crate) fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            parts.push(Part::Prose(format!("{line}\n")));
            continue;
        }
        let mut commands = vec![line.to_owned()];
        for line in lines.by_ref().take_while(|line| *line != "----") {
            assert!(
                !line.trim().is_empty(),
                "a block needs `----`: {commands:?}"
            );
            if line.starts_with(' ') {
                let command = commands.last_mut().expect("begins with a command");
                command.push('\n');
                command.push_str(line);
            } else {
                commands.push(line.to_owned());
            }
        }
        let mut expected = String::new();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            expected.push_str(line);
            expected.push('\n');
        }
        parts.push(Part::Block { commands, expected });
    }
    parts
}

/// The transcript with what its commands really bring about.
pub(crate) fn render(parts: &[Part], mut run: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Prose(text) => out.push_str(text),
            Part::Block { commands, .. } => {
                let mut results = String::new();
                for command in commands {
                    out.push_str(command);
                    out.push('\n');
                    let result = run(command);
                    if commands.len() > 1 && !result.is_empty() {
                        let name = command.lines().next().unwrap_or_default();
                        results.push_str(&format!("> {name}\n"));
                    }
                    results.push_str(&result);
                }
                out.push_str("----\n");
                out.push_str(&results);
            }
        }
    }
    out
}

#[test]
fn a_transcript_is_read_and_written_unchanged() {
    let text = "# Why.\n\none a\n  sub b\ntwo\n----\nout\n\nthree\n----\n";
    let parts = parse(text);
    let commands = vec!["one a\n  sub b".to_owned(), "two".to_owned()];
    assert_eq!(
        parts[2],
        Part::Block {
            commands,
            expected: "out\n".to_owned()
        }
    );
    let rendered = render(&parts, |command| match command {
        "two" => "out\n".to_owned(),
        _ => String::new(),
    });
    assert_eq!(rendered, text.replace("----\nout", "----\n> two\nout"));
}
