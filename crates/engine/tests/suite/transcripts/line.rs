//! One line of the language: a word, more words, and `name=value` pairs.

use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::Status;
use longhaul_engine::history::event;
use longhaul_engine::instance::Tags;
use longhaul_types::Timestamp;
use prost::Message;

/// A line, taken apart. Single quotes hold spaces together; `name=` and `name=''` give the empty text.
#[derive(Debug)]
pub(crate) struct Line {
    words: Vec<String>,
    pairs: Vec<(String, String)>,
}

impl Line {
    pub(crate) fn parse(text: &str) -> Self {
        let mut line = Self {
            words: Vec::new(),
            pairs: Vec::new(),
        };
        for token in tokens(text) {
            match token.split_once('=') {
                Some((name, value)) => line.pairs.push((name.to_owned(), value.to_owned())),
                None => line.words.push(token),
            }
        }
        line
    }

    /// The word at `index`; the verb is 0.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.optional(index)
            .unwrap_or_else(|| panic!("{self:?} lacks word {index}"))
    }

    pub(crate) fn optional(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }

    pub(crate) fn words_from(&self, index: usize) -> &[String] {
        &self.words[index.min(self.words.len())..]
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, index: usize) -> T {
        let word = self.word(index);
        word.parse()
            .unwrap_or_else(|_| panic!("{word:?} is no number"))
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values of every pair with this name, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.pairs.iter().filter(move |(it, _)| it == name);
        pairs.map(|(_, value)| value.as_str())
    }

    pub(crate) fn get_number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).map(|text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{name}={text} is no number"))
        })
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<Bytes> {
        self.text(name).map(Bytes::from)
    }

    /// `tags=a:1,b:2`.
    pub(crate) fn tags(&self) -> Tags {
        let pairs = self
            .get("tags")
            .into_iter()
            .flat_map(|text| text.split(','));
        let pair = |pair: &str| {
            let (key, value) = pair.split_once(':').expect("key:value");
            (key.to_owned(), value.to_owned())
        };
        pairs.map(pair).collect()
    }

    /// `trace=…`: an encoded `TraceContext` with that traceParent.
    pub(crate) fn trace(&self) -> Option<Bytes> {
        self.text("trace").map(|trace_parent| {
            let context = longhaul_proto::sidecar::TraceContext {
                trace_parent,
                ..Default::default()
            };
            context.encode_to_vec().into()
        })
    }

    /// `failure=Type:message`: encoded failure details.
    pub(crate) fn failure(&self) -> Option<Bytes> {
        self.get("failure").map(|text| {
            let (kind, message) = text.split_once(':').expect("Type:message");
            event::failure_details(kind, message)
        })
    }
}

/// `+10s`, `-5s`, `+500ms`, `+3d`: before or after `now`.
pub(crate) fn moment(text: &str, now: Timestamp) -> Timestamp {
    let (past, rest) = match text.split_at(1) {
        ("+", rest) => (false, rest),
        ("-", rest) => (true, rest),
        _ => panic!("{text:?} is no offset"),
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .expect("has a unit");
    let (count, unit) = rest.split_at(digits);
    let count: u64 = count.parse().expect("a number");
    let offset = match unit {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "d" => Duration::from_secs(count * 86_400),
        _ => panic!("{unit:?} is no unit"),
    };
    if past { now - offset } else { now + offset }
}

/// A status by its name on the wire.
pub(crate) fn status(name: &str) -> Status {
    match name {
        "RUNNING" => Status::Running,
        "COMPLETED" => Status::Completed,
        "FAILED" => Status::Failed,
        "CANCELED" => Status::Canceled,
        "TERMINATED" => Status::Terminated,
        "PENDING" => Status::Pending,
        "SUSPENDED" => Status::Suspended,
        _ => panic!("{name:?} is no status"),
    }
}

fn tokens(text: &str) -> Vec<String> {
    let (mut tokens, mut token, mut quoted) = (Vec::new(), None::<String>, false);
    for c in text.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                token.get_or_insert_default();
            }
            ' ' if !quoted => tokens.extend(token.take()),
            _ => token.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote stays open: {text}");
    tokens.extend(token);
    tokens
}
