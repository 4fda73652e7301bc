//! A configuration: the text of a file, with its length before it, then environment variables, one a line.

use std::path::Path;

use longhaul_server::config::{Config, ConfigError, Loaded};

use crate::input::Input;

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let file = String::from_utf8_lossy(input.chunk());
    let environment = String::from_utf8_lossy(input.rest());
    let variables = environment.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let loaded = match read(&file, variables) {
        Ok(loaded) => loaded,
        Err(error) => return says_what_is_wrong(&error),
    };
    if let Err(error) = loaded.validate() {
        says_what_is_wrong(&error);
    }
    let shown = loaded.show(true);
    let again = read(&shown, std::iter::empty());
    let again = again.unwrap_or_else(|error| panic!("{error}\nin\n{shown}"));
    assert_eq!(again.config, loaded.config, "{shown}");
}

fn read(
    file: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    Loaded::parse(Config::server(), Path::new("a.toml"), file, variables)
}

fn says_what_is_wrong(error: &ConfigError) {
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        assert!(!problem.to_string().is_empty());
    }
}
