//! Calls as the official SDKs make them: UNAVAILABLE is tried again, a few times, and what then remains is seen by whoever
//! called.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use longhaul_client::{CallError, Client, Code, Endpoint};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::service::{Front, Service};

/// As the retry policy of the .NET and JavaScript SDKs.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A call that is silent for so long is given up.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt<T> {
    /// The answer.
    Answered(T),
    /// It may or may not have been done; SDKs try again.
    Unavailable(String),
    /// It may or may not have been done; SDKs tell their caller.
    InDoubt(String),
    /// The server says that it was not done.
    Refused(Code, String),
}

/// Counts over all clients of a workload.
#[derive(Debug, Default)]
pub struct Errors {
    /// Attempts that SDKs repeat by themselves, by what they met.
    pub hidden: BTreeMap<String, u64>,
    /// What callers of SDKs get to see.
    pub visible: BTreeMap<String, u64>,
}

/// Errors as clients count them.
pub type SharedErrors = Arc<Mutex<Errors>>;

impl Errors {
    fn hide(&mut self, what: &str) {
        *self.hidden.entry(what.to_owned()).or_default() += 1;
    }

    fn show(&mut self, what: &str) {
        *self.visible.entry(what.to_owned()).or_default() += 1;
    }
}

/// A client of the service.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    front: Front,
    errors: SharedErrors,
    tolerates: &'static [Code],
}

impl Caller {
    /// Connects through a front of its own. What it tolerates is refused for a while, and then not any more.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn connect(
        service: &Arc<Service>,
        preferred: usize,
        errors: &SharedErrors,
        tolerates: &'static [Code],
    ) -> Result<Self> {
        let front = Front::open(Arc::clone(service), preferred).await?;
        let endpoint =
            Endpoint::new(&front.address().to_string())?.with_user_agent("longhaul-chaos");
        Ok(Self {
            client: Client::connect(&endpoint).await?,
            front,
            errors: Arc::clone(errors),
            tolerates,
        })
    }

    /// The node that it is connected to.
    pub fn node(&self) -> Option<usize> {
        self.front.node()
    }

    /// Makes a call once.
    pub async fn once<T, F>(&self, call: impl Fn(Client) -> F) -> Attempt<T>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        match timeout(ANSWERED_WITHIN, call(self.client.clone())).await {
            Ok(Ok(answer)) => Attempt::Answered(answer),
            Ok(Err(error)) => judged(&error),
            Err(_) => Attempt::InDoubt("no answer".to_owned()),
        }
    }

    /// Makes a call as SDKs do. Only for calls that may be repeated.
    pub async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Attempt<T>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.once(&call).await {
                Attempt::Unavailable(what) => self.errors.lock().hide(&what),
                outcome => return self.shown(outcome),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let last = self.once(&call).await;
        self.shown(last)
    }

    /// Makes a call over and over, as a program that must not give up does, until there is an answer.
    ///
    /// # Errors
    /// The refusal, or that there was no answer in time.
    pub async fn insist<T, F>(
        &self,
        within: Duration,
        call: impl Fn(Client) -> F,
    ) -> Result<T, Insisted>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let deadline = Instant::now() + within;
        loop {
            match self.call(&call).await {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Refused(code, why) if !self.tolerates.contains(&code) => {
                    return Err(Insisted::Refused(code, why));
                }
                Attempt::Refused(_, why) | Attempt::Unavailable(why) | Attempt::InDoubt(why) => {
                    if Instant::now() > deadline {
                        return Err(Insisted::Unanswered(why));
                    }
                }
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    /// Counts the outcome of one of several attempts that the caller makes by itself.
    pub fn counted<T>(&self, attempt: u32, outcome: Attempt<T>) -> Attempt<T> {
        match outcome {
            Attempt::Unavailable(what) if !attempt.is_multiple_of(ATTEMPTS) => {
                self.errors.lock().hide(&what);
                Attempt::Unavailable(what)
            }
            outcome => self.shown(outcome),
        }
    }

    /// Counts what an SDK would have told its caller.
    fn shown<T>(&self, outcome: Attempt<T>) -> Attempt<T> {
        match &outcome {
            Attempt::Answered(_) => {}
            Attempt::Unavailable(what) | Attempt::InDoubt(what) => self.errors.lock().show(what),
            Attempt::Refused(code, _) => self.errors.lock().show(&format!("{code:?}")),
        }
        outcome
    }
}

/// Why a call had no answer however often it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insisted {
    /// The server refused it.
    Refused(Code, String),
    /// Time was up.
    Unanswered(String),
}

/// What an SDK makes of an error.
fn judged<T>(error: &CallError) -> Attempt<T> {
    let what = format!("{:?}", error.code);
    match error.code {
        Code::Unavailable => Attempt::Unavailable(what),
        // The connection broke: gRPC's own name for that, and what other stacks report, is UNAVAILABLE.
        _ if is_broken_connection(error) => Attempt::Unavailable("Unavailable (connection)".into()),
        Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted => Attempt::InDoubt(format!("{what}: {}", error.message)),
        code => Attempt::Refused(code, error.message.clone()),
    }
}

fn is_broken_connection(error: &CallError) -> bool {
    const SIGNS: [&str; 4] = [
        "transport error",
        "h2 protocol error",
        "connection",
        "operation was canceled",
    ];
    let local = matches!(error.code, Code::Unknown | Code::Internal | Code::Cancelled);
    local && SIGNS.iter().any(|sign| error.message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code, message: &str) -> CallError {
        CallError {
            rpc: "StartInstance",
            code,
            message: message.to_owned(),
        }
    }

    #[test]
    fn broken_connections_are_unavailability_and_server_errors_are_not() {
        let judge = |code, message| judged::<()>(&error(code, message));
        for (code, message) in [
            (Code::Unavailable, "drains"),
            (Code::Unknown, "transport error"),
            (Code::Internal, "h2 protocol error: http2 error"),
        ] {
            assert!(
                matches!(judge(code, message), Attempt::Unavailable(_)),
                "{message}"
            );
        }
        for code in [Code::Internal, Code::Unknown, Code::DeadlineExceeded] {
            assert!(
                matches!(judge(code, "the store failed"), Attempt::InDoubt(_)),
                "{code:?}"
            );
        }
        for code in [Code::ResourceExhausted, Code::AlreadyExists, Code::NotFound] {
            assert_eq!(judge(code, "no"), Attempt::Refused(code, "no".to_owned()));
        }
    }
}
