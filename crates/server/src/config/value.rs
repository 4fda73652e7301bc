//! Values of settings: how each kind is written in a file, in the environment and in messages.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_types::HubName;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;

use crate::listen::{ListenAddress, OptionalAddress};

/// One kind of value.
pub(super) trait Value: Sized {
    /// What may be written, as the end of "is not …".
    const EXPECTED: &'static str;

    /// From a flag or an environment variable.
    fn from_text(text: &str) -> Option<Self>;

    /// From a file; most kinds are strings there.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().and_then(Self::from_text)
    }

    /// As a file has it.
    fn to_toml(&self) -> String;
}

/// A number of bytes, written as `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

/// Largest first.
const BYTE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl ByteCount {
    /// `count` mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// `count` kibibytes.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// As a size in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As the `u32` of protocols; more than fits becomes the largest.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, u64)| self.0 >= unit.1 && self.0.is_multiple_of(unit.1);
        let (name, size) = BYTE_UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / size)
    }
}

impl Value for ByteCount {
    const EXPECTED: &'static str = "a size; write it as 64MiB, 512KiB or 4096B";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let (_, size) = BYTE_UNITS
            .iter()
            .find(|(name, _)| *name == text[digits.len()..].trim())?;
        let count: u64 = digits.trim().parse().ok()?;
        count.checked_mul(*size).map(Self)
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration; write it as 500ms, 30s or 2h";

    fn from_text(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok()
    }

    fn to_toml(&self) -> String {
        quoted(humantime::format_duration(*self))
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const EXPECTED: &'static str = "a whole number";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let integer = value.as_integer()?;
        Self::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn to_toml(&self) -> String {
        quoted(self.display())
    }
}

impl Value for ListenAddress {
    const EXPECTED: &'static str = "an address; write it as localhost:8080 or 0.0.0.0:8080";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for OptionalAddress {
    const EXPECTED: &'static str = "an address, as localhost:9090, or off";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for Vec<HubName> {
    const EXPECTED: &'static str =
        "a list of task hubs; their names have letters, digits, '-', '_' and '.', at most 64";

    /// Separated by commas.
    fn from_text(text: &str) -> Option<Self> {
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names.map(|name| HubName::parse(name).ok()).collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let names = value.as_array()?.iter();
        names
            .map(|name| HubName::parse(name.as_ref().as_str()?).ok())
            .collect()
    }

    fn to_toml(&self) -> String {
        let names: Vec<String> = self.iter().map(quoted).collect();
        format!("[{}]", names.join(", "))
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line a person can read.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const EXPECTED: &'static str = "auto, text or json";

    fn from_text(text: &str) -> Option<Self> {
        clap::ValueEnum::from_str(text, false).ok()
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Which log lines are written: a level, or levels by module such as `info,longhaul_wal=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(pub String);

/// Text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {expected}", expected = LogLevel::EXPECTED)]
pub struct InvalidLogLevel(String);

impl LogLevel {
    /// Checks the text.
    ///
    /// # Errors
    /// It is no level.
    pub fn parse(text: &str) -> Result<Self, InvalidLogLevel> {
        Self::from_text(text).ok_or_else(|| InvalidLogLevel(text.to_owned()))
    }
}

impl Value for LogLevel {
    const EXPECTED: &'static str =
        "a log level; write error, warn, info, debug, trace, or info,longhaul_wal=debug";

    fn from_text(text: &str) -> Option<Self> {
        let levels = EnvFilter::try_new(text);
        (!text.is_empty() && levels.is_ok()).then(|| Self(text.to_owned()))
    }

    fn to_toml(&self) -> String {
        quoted(&self.0)
    }
}

/// Where traces are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtlpEndpoint {
    /// Nowhere.
    Off,
    /// To the collector with this URL.
    Url(String),
}

impl OtlpEndpoint {
    /// The collector's URL; `None` if there is no collector.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Off => None,
            Self::Url(url) => Some(url),
        }
    }
}

impl Value for OtlpEndpoint {
    const EXPECTED: &'static str = "the URL of a collector's gRPC port, as http://localhost:4317, or off; https is not possible";

    fn from_text(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::Off);
        }
        let url: http::Uri = text.parse().ok()?;
        let usable = url.scheme_str() == Some("http")
            && url.host().is_some_and(|host| !host.is_empty())
            && matches!(url.path(), "" | "/")
            && url.query().is_none();
        usable.then(|| Self::Url(text.to_owned()))
    }

    fn to_toml(&self) -> String {
        quoted(self.url().unwrap_or("off"))
    }
}

/// As a TOML string.
pub(super) fn quoted(value: impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<V: Value + fmt::Debug + PartialEq>(text: &str, expected: Option<V>) {
        assert_eq!(V::from_text(text), expected, "{text}");
    }

    #[test]
    fn sizes_have_units() {
        check("64MiB", Some(ByteCount::mib(64)));
        check("1 KiB", Some(ByteCount(1024)));
        check("7B", Some(ByteCount(7)));
        check::<ByteCount>("64", None);
        check::<ByteCount>("64MB", None);
        check::<ByteCount>("MiB", None);
        check::<ByteCount>("-1B", None);
        check::<ByteCount>("99999999999TiB", None);
    }

    #[test]
    fn sizes_are_shown_in_their_largest_whole_unit() {
        for (bytes, shown) in [
            (0, "0B"),
            (1023, "1023B"),
            (1536, "1536B"),
            (2048, "2KiB"),
            (1 << 30, "1GiB"),
        ] {
            assert_eq!(ByteCount(bytes).to_string(), shown);
        }
    }

    #[test]
    fn durations_have_units() {
        check("500ms", Some(Duration::from_millis(500)));
        check("1m 30s", Some(Duration::from_secs(90)));
        check::<Duration>("500", None);
        assert_eq!(Duration::from_millis(1_500).to_toml(), r#""1s 500ms""#);
    }

    #[test]
    fn switches_are_written_as_the_emulator_has_them() {
        check("True", Some(true));
        check("0", Some(false));
        check::<bool>("yes", None);
    }

    #[test]
    fn hubs_are_separated_by_commas() {
        let names = |names: &[&str]| -> Option<Vec<HubName>> {
            Some(
                names
                    .iter()
                    .map(|name| HubName::parse(name).expect("valid"))
                    .collect(),
            )
        };
        check("a, b,", names(&["a", "b"]));
        check("", names(&[]));
        check::<Vec<HubName>>("a b", None);
    }

    #[test]
    fn collectors_have_a_plain_url() {
        let url = |url: &str| Some(OtlpEndpoint::Url(url.to_owned()));
        for good in [
            "http://localhost:4317",
            "http://collector/",
            "http://[::1]:4317",
        ] {
            check(good, url(good));
        }
        check("off", Some(OtlpEndpoint::Off));
        for bad in [
            "",
            "localhost:4317",
            "https://collector:4317",
            "http://collector:4318/v1/traces",
            "http://",
            "unix:/collector",
        ] {
            check::<OtlpEndpoint>(bad, None);
        }
    }

    #[test]
    fn log_levels_are_directives() {
        check(
            "info,longhaul_wal=debug",
            Some(LogLevel("info,longhaul_wal=debug".into())),
        );
        check::<LogLevel>("info,=loud", None);
        check::<LogLevel>("", None);
    }
}
