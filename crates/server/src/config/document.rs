//! The configuration as text: a file of it, and the reference page.

use std::fmt::Write;

use super::Config;
use super::keys::{ALIASES, Key, SECTIONS, Section};

/// `config/default.toml`: every key with its default and its meaning.
#[must_use]
pub fn default_file() -> String {
    let mut file = String::from(
        "# Every setting of `longhaul server` with its default. Copy what you change; unknown keys are refused.\n\
         # Flags win over LONGHAUL_SECTION__KEY in the environment, which wins over this file.\n",
    );
    let config = Config::server();
    for section in &SECTIONS {
        let _ = write!(file, "\n# {}\n[{}]\n", section.doc, section.name);
        for key in section.keys {
            let _ = write!(
                file,
                "# {}\n{} = {}\n",
                key.doc,
                key.name(),
                (key.toml)(&config)
            );
        }
    }
    file
}

/// A file with every value of `config`; `comment` may end a line.
pub(super) fn file(config: &Config, comment: impl Fn(&Key) -> String) -> String {
    let mut file = String::new();
    for (nth, section) in SECTIONS.iter().enumerate() {
        let _ = writeln!(
            file,
            "{}[{}]",
            if nth == 0 { "" } else { "\n" },
            section.name
        );
        for key in section.keys {
            let line = format!("{} = {}  {}", key.name(), (key.toml)(config), comment(key));
            let _ = writeln!(file, "{}", line.trim_end());
        }
    }
    file
}

/// `docs/configuration.md`: where values come from, and a table of all keys.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in &SECTIONS {
        section_table(&mut page, section);
    }
    page.push_str(
        "\n## Environment variables of other products\n\n| variable | sets |\n|---|---|\n",
    );
    for (variable, path) in ALIASES {
        let _ = writeln!(page, "| `{variable}` | `{path}` |");
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

A value comes from the first of these that has it:

1. a flag (`longhaul dev --help`, `longhaul server --help`);
2. the environment: `LONGHAUL_SECTION__KEY`, so `LONGHAUL_LISTEN__GRPC` for `listen.grpc`;
3. the TOML file named by `--config` or `LONGHAUL_CONFIG`;
4. the default of `longhaul server` or `longhaul dev`.

Nothing is read from a place that was not named. An unknown key, section or variable, or a value that does not fit,
is an error that names it, its place and the nearest valid name; nothing is ever ignored.

```sh
longhaul config check --config longhaul.toml   # exit code 0 or 1, without starting anything
longhaul config show --origin                  # what is in force, and where each value came from
```

Durations are written as `500ms`, `30s` or `2h`, sizes as `64MiB`, `512KiB` or `4096B`.
[`config/default.toml`](../config/default.toml) is a file with every key and its default;
[`config/dev.toml`](../config/dev.toml) and [`config/single-node.toml`](../config/single-node.toml) are short examples.

Both commands listen on `localhost` (127.0.0.1, and ::1 where there is one), since calls are not authenticated:
whoever reaches the gRPC port can start, read and change everything. `--host 0.0.0.0` serves other machines; the node
then logs a warning at its start.

With `--ephemeral`, the data is kept in a directory of its own that is deleted at the end, and never synced to disk.
";

fn section_table(page: &mut String, section: &Section) {
    let (server, dev) = (Config::server(), Config::dev());
    let _ = write!(
        page,
        "\n## `[{}]`\n\n{}\n\n| key | default | meaning |\n|---|---|---|\n",
        section.name, section.doc
    );
    for key in section.keys {
        let (of_server, of_dev) = ((key.toml)(&server), (key.toml)(&dev));
        let _ = write!(page, "| `{}` | `{of_server}`", key.path);
        if of_dev != of_server {
            let _ = write!(page, ", `dev`: `{of_dev}`");
        }
        let _ = writeln!(page, " | {} |", key.doc);
    }
}
