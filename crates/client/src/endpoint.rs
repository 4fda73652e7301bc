//! Where a server is and which task hub is meant: a URL, or the connection string of the SDKs.

use std::str::FromStr;

use tonic::transport::Uri;

const DEFAULT_TASK_HUB: &str = "default";
const KNOWN_KEYS: &str = "Endpoint, TaskHub, Authentication";

/// The server to talk to and how to introduce oneself.
///
/// Parsed from `http://host:port`, `host:port` or a connection string such as
/// `Endpoint=http://localhost:8080;TaskHub=default;Authentication=None`, whose keys are case-insensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    task_hub: String,
    worker_id: Option<String>,
    user_agent: String,
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// A part of a connection string that is not `Key=Value`.
    #[error("`{0}` in the connection string is not of the form Key=Value")]
    NotKeyValue(String),
    /// A key that no server of the protocol knows.
    #[error("unknown key `{0}` in the connection string; known keys are {KNOWN_KEYS}")]
    UnknownKey(String),
    /// A key given twice.
    #[error("key `{0}` is given twice in the connection string")]
    RepeatedKey(String),
    /// A connection string without `Endpoint`.
    #[error("the connection string has no Endpoint; write Endpoint=http://host:port")]
    NoUrl,
    /// A key, or the task hub, with nothing in it.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A way to authenticate that this client lacks.
    #[error("authentication `{0}` is not supported; use Authentication=None")]
    Authentication(String),
    /// A URL without a host or otherwise malformed.
    #[error("`{url}` is not a URL of a server: {reason}")]
    Url {
        /// The text as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Text that cannot travel in an HTTP header.
    #[error(
        "{field} `{text}` holds characters that cannot travel in a header; use printable ASCII"
    )]
    HeaderText {
        /// Which part of the endpoint.
        field: &'static str,
        /// Its text.
        text: String,
    },
}

impl Endpoint {
    /// The server at `url` (`http://host:port`, or `host:port`), task hub `default`.
    ///
    /// # Errors
    /// [`InvalidEndpoint::Url`] if there is no host in it or its scheme is not `http`.
    pub fn new(url: &str) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            url: normal_url(url.trim())?,
            task_hub: DEFAULT_TASK_HUB.to_owned(),
            worker_id: None,
            user_agent: concat!("longhaul-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// The same server, another task hub.
    #[must_use]
    pub fn with_task_hub(self, task_hub: impl Into<String>) -> Self {
        Self {
            task_hub: task_hub.into(),
            ..self
        }
    }

    /// Introduces the caller as the worker `worker_id`.
    #[must_use]
    pub fn with_worker_id(self, worker_id: impl Into<String>) -> Self {
        Self {
            worker_id: Some(worker_id.into()),
            ..self
        }
    }

    /// Names the calling program, for the server's logs.
    #[must_use]
    pub fn with_user_agent(self, user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            ..self
        }
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The task hub that every call selects.
    pub fn task_hub(&self) -> &str {
        &self.task_hub
    }

    /// The worker's name, if the caller is one.
    pub fn worker_id(&self) -> Option<&str> {
        self.worker_id.as_deref()
    }

    /// The calling program.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.contains('=') {
            parse_connection_string(text)
        } else {
            Self::new(text)
        }
    }
}

fn parse_connection_string(text: &str) -> Result<Endpoint, InvalidEndpoint> {
    let (mut url, mut task_hub, mut authentication) = (None, None, None);
    for part in text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| InvalidEndpoint::NotKeyValue(part.to_owned()))?;
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "endpoint" => &mut url,
            "taskhub" => &mut task_hub,
            "authentication" => &mut authentication,
            _ => return Err(InvalidEndpoint::UnknownKey(key.trim().to_owned())),
        };
        if slot.replace(value.trim()).is_some() {
            return Err(InvalidEndpoint::RepeatedKey(key.trim().to_owned()));
        }
    }
    if let Some(way) = authentication.filter(|way| !way.eq_ignore_ascii_case("none")) {
        return Err(InvalidEndpoint::Authentication(way.to_owned()));
    }
    let endpoint = Endpoint::new(url.ok_or(InvalidEndpoint::NoUrl)?)?;
    match task_hub {
        Some("") => Err(InvalidEndpoint::Empty("TaskHub")),
        Some(task_hub) => Ok(endpoint.with_task_hub(task_hub)),
        None => Ok(endpoint),
    }
}

fn normal_url(text: &str) -> Result<String, InvalidEndpoint> {
    if text.is_empty() {
        return Err(InvalidEndpoint::Empty("Endpoint"));
    }
    let invalid = |reason: String| InvalidEndpoint::Url {
        url: text.to_owned(),
        reason,
    };
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Uri = with_scheme
        .parse()
        .map_err(|fault: tonic::codegen::http::uri::InvalidUri| invalid(fault.to_string()))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(invalid(
                "TLS is not supported by this client; use http".to_owned(),
            ));
        }
        _ => return Err(invalid("the scheme must be http".to_owned())),
    }
    let authority = uri
        .authority()
        .ok_or_else(|| invalid("it names no host".to_owned()))?;
    if uri.path() != "/" || uri.query().is_some() {
        return Err(invalid("it must end after the port".to_owned()));
    }
    Ok(format!("http://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings() {
        for (text, url, task_hub) in [
            (
                "Endpoint=http://localhost:8080;TaskHub=default;Authentication=None",
                "http://localhost:8080",
                "default",
            ),
            (
                "endpoint=http://localhost:8080;TASKHUB=Orders;authentication=NONE;",
                "http://localhost:8080",
                "Orders",
            ),
            (
                " TaskHub = orders ; Endpoint = http://h:1/ ",
                "http://h:1",
                "orders",
            ),
            (
                "Endpoint=localhost:8080",
                "http://localhost:8080",
                "default",
            ),
            ("http://[::1]:8080", "http://[::1]:8080", "default"),
            ("127.0.0.1:9", "http://127.0.0.1:9", "default"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(
                (endpoint.url(), endpoint.task_hub()),
                (url, task_hub),
                "{text}"
            );
        }
    }

    #[test]
    fn refused_texts_say_what_to_do() {
        for (text, says) in [
            ("", "Endpoint is empty"),
            ("Endpoint=", "Endpoint is empty"),
            ("TaskHub=default", "has no Endpoint"),
            ("Endpoint=http://h:1;TaskHub=", "TaskHub is empty"),
            (
                "Endpoint=http://h:1;TaskHub",
                "`TaskHub` in the connection string is not of the form Key=Value",
            ),
            ("Endpoint=http://h:1;TaskHb=x", "unknown key `TaskHb`"),
            (
                "Endpoint=http://h:1;endpoint=http://h:2",
                "key `endpoint` is given twice",
            ),
            (
                "Endpoint=http://h:1;Authentication=DefaultAzure",
                "authentication `DefaultAzure` is not supported",
            ),
            ("https://h:1", "TLS is not supported"),
            ("ftp://h:1", "the scheme must be http"),
            ("http://h:1/hub", "it must end after the port"),
            ("http://", "not a URL"),
        ] {
            let refusal = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
    }
}
