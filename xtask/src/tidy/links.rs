//! Relative links in Markdown documents must lead to a file or directory of the checkout.

use std::path::Path;

use super::Text;

/// Links that lead nowhere.
pub(super) fn broken(root: &Path, texts: &[Text]) -> Vec<String> {
    let documents = texts.iter().filter(|text| text.has_extension("md"));
    documents
        .flat_map(|text| {
            let dir = text.path.parent().unwrap_or(Path::new(""));
            links(&text.content)
                .filter(|(_, target)| !root.join(dir).join(target).exists())
                .map(|(line, target)| format!("{}: no file {target}", text.at(line)))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Line indexes and targets of all relative links, code blocks left out.
fn links(content: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    let prose = content.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    prose.flat_map(|(index, line)| {
        let after_brackets = line.split("](").skip(1);
        after_brackets
            .filter_map(relative_target)
            .map(move |target| (index, target))
    })
}

/// The path at the start of `rest`, which follows an opening parenthesis.
fn relative_target(rest: &str) -> Option<&str> {
    let (link, _) = rest.split_once(')')?;
    let link = link.split_whitespace().next()?;
    let path = link.split('#').next().filter(|path| !path.is_empty())?;
    let is_url = path.contains("://") || path.starts_with("mailto:");
    (!is_url).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::text, *};

    #[test]
    fn links_are_found_in_prose_only() {
        let content = "See [a](a.md), [b](dir/b.md#part \"title\") and [c](https://example.org/c).\n\
                       ```\n[d](d.md)\n```\n[e](#here) ![f](f.png)\n";
        let found: Vec<_> = links(content).collect();
        assert_eq!(found, [(0, "a.md"), (0, "dir/b.md"), (4, "f.png")]);
    }

    #[test]
    fn links_count_from_the_document() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(root.path().join("docs")).expect("create");
        fs::write(root.path().join("docs/a.md"), "").expect("write");
        let check = |path, link| broken(root.path(), &[text(path, &format!("[x]({link})"))]);
        assert!(check("docs/b.md", "a.md").is_empty());
        assert!(check("docs/b.md", "../docs").is_empty());
        assert!(check("README.md", "docs/a.md#part").is_empty());
        assert_eq!(check("README.md", "a.md"), ["README.md:1: no file a.md"]);
    }
}
