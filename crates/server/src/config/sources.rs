//! Where values come from: a file, the environment, flags; each remembers its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{self, Key};
use super::problem::{Problem, did_you_mean, none_of};
use super::{Config, ConfigError};

/// A configuration, and where each value that is not a default came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: BTreeMap<&'static str, Origin>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Loaded {
    /// Values that come from nowhere but the program.
    #[must_use]
    pub fn of(config: Config) -> Self {
        Self {
            config,
            origins: BTreeMap::new(),
        }
    }

    /// Puts `file` and the environment over `defaults`. Flags follow with [`Loaded::set`], then
    /// [`Loaded::validate`].
    ///
    /// # Errors
    /// The file cannot be read, or keys or values that do not exist: all of them at once.
    pub fn read(
        defaults: Config,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        match file.map(|path| (path, std::fs::read_to_string(path))) {
            None => Self::of(defaults).with(None, environment, Vec::new()),
            Some((path, Ok(text))) => Self::parse(defaults, path, &text, environment),
            Some((path, Err(error))) => {
                let unread = Problem(format!(
                    "cannot read the configuration file {}: {error}",
                    path.display()
                ));
                Self::of(defaults).with(None, environment, vec![unread])
            }
        }
    }

    /// The same for a file that was read already; `path` is how messages call it.
    ///
    /// # Errors
    /// Keys or values that do not exist: all of them at once.
    pub fn parse(
        defaults: Config,
        path: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::of(defaults).with(Some((path, text)), environment, Vec::new())
    }

    fn with(
        mut self,
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        mut problems: Vec<Problem>,
    ) -> Result<Self, ConfigError> {
        if let Some((path, text)) = file {
            self.read_file(path, text, &mut problems);
        }
        self.read_environment(environment, &mut problems);
        none_of(problems)?;
        Ok(self)
    }

    /// Sets one value from a flag.
    ///
    /// # Panics
    /// There is no such key.
    pub fn set(&mut self, path: &str, flag: &'static str, change: impl FnOnce(&mut Config)) {
        let key = keys::find(path).expect("flags set keys that exist");
        change(&mut self.config);
        self.origins.insert(key.path, Origin::Flag(flag));
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, path: &str) -> &Origin {
        self.origins.get(path).unwrap_or(&Origin::Default)
    }

    /// Checks every limit and relation.
    ///
    /// # Errors
    /// All that do not hold, each naming the keys and where their values came from.
    pub fn validate(&self) -> Result<(), ConfigError> {
        none_of(super::validate::problems(&self.config, |path| {
            self.origin(path)
        }))
    }

    /// The configuration as a file, each line with its origin if asked for.
    #[must_use]
    pub fn show(&self, with_origins: bool) -> String {
        super::document::file(&self.config, |key| {
            let comment = with_origins.then(|| format!("# {}", self.origin(key.path)));
            comment.unwrap_or_default()
        })
    }

    fn read_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let error = error.to_string();
                let error = error.trim_end();
                return problems.push(Problem(format!("{}: {error}", path.display())));
            }
        };
        let place = |span: Range<usize>| Origin::File {
            path: path.to_owned(),
            line: text[..span.start].matches('\n').count() + 1,
        };
        for (section, values) in document.get_ref() {
            let Some(values) = values.get_ref().as_table() else {
                let keys = keys::all().map(|key| key.path.to_owned());
                problems.push(unknown(&place(section.span()), section.get_ref(), keys));
                continue;
            };
            if !keys::SECTIONS
                .iter()
                .any(|known| known.name == section.get_ref())
            {
                let names = keys::SECTIONS
                    .iter()
                    .map(|known| format!("[{}]", known.name));
                let found = format!("[{}]", section.get_ref());
                problems.push(unknown(&place(section.span()), &found, names));
                continue;
            }
            for (name, value) in values {
                let name_path = format!("{}.{}", section.get_ref(), name.get_ref());
                let origin = place(name.span());
                match keys::find(&name_path) {
                    Some(key) => {
                        let set = (key.set_toml)(&mut self.config, value.get_ref());
                        self.settle(key, set, origin, &shown(value.get_ref()), problems);
                    }
                    None => {
                        let keys = keys::all().map(|key| key.path.to_owned());
                        problems.push(unknown(&origin, &name_path, keys));
                    }
                }
            }
        }
    }

    fn read_environment(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
        problems: &mut Vec<Problem>,
    ) {
        let environment: BTreeMap<String, String> = environment.collect();
        for (variable, path) in keys::ALIASES {
            let value = environment.get(variable).filter(|value| !value.is_empty());
            if let (Some(value), Some(key)) = (value, keys::find(path)) {
                self.set_variable(key, variable, value, problems);
            }
        }
        for (variable, value) in &environment {
            // Others without a section are not meant for us: Kubernetes names some after a service.
            if !variable.starts_with(keys::VARIABLE_PREFIX) || !variable.contains("__") {
                continue;
            }
            match keys::all().find(|key| key.variable() == *variable) {
                Some(key) => self.set_variable(key, variable, value, problems),
                None => problems.push(Problem(format!(
                    "the environment variable {variable} sets nothing{}",
                    did_you_mean(variable, keys::all().map(Key::variable))
                ))),
            }
        }
    }

    fn set_variable(
        &mut self,
        key: &'static Key,
        variable: &str,
        value: &str,
        problems: &mut Vec<Problem>,
    ) {
        let set = (key.set_text)(&mut self.config, value);
        let origin = Origin::Variable(variable.to_owned());
        self.settle(key, set, origin, &format!("{value:?}"), problems);
    }

    fn settle(
        &mut self,
        key: &'static Key,
        set: Option<()>,
        origin: Origin,
        value: &str,
        problems: &mut Vec<Problem>,
    ) {
        match set {
            Some(()) => {
                self.origins.insert(key.path, origin);
            }
            None => problems.push(Problem(format!(
                "{origin}: {}: {value} is not {}",
                key.path, key.expected
            ))),
        }
    }
}

fn unknown(place: &Origin, name: &str, known: impl Iterator<Item = String>) -> Problem {
    Problem(format!(
        "{place}: there is no {name}{}",
        did_you_mean(name, known)
    ))
}

/// A value as it was written, as far as a message needs it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "this list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}
