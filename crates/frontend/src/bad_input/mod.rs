//! Bad input against the real service over a real connection: every rule of [`crate::refusals`] is broken in every call
//! it holds for, and messages, frames, headers and requests are malformed in every way a client can manage.
//!
//! ```text
//!   refusals::rows × values ─┐
//!   messages, headers, http ─┼─► cases ─► one connection ─► status, nothing stored, connection still good
//!   harmless oddities ───────┘
//! ```

mod fields;
mod harmless;
mod headers;
mod http_requests;
mod messages;
mod requests;
mod values;
mod world;

use std::collections::HashSet;

use http::Request;
use http_body_util::Full;
use tonic::Code;

use crate::refusals::Outcome;
use crate::refusals::rows::ALL;
use crate::refusals::rules::Rule;
use crate::rpc::Rpc;
use crate::testing::{Answered, Connection, Node};
use world::World;

/// One bad request and what must come of it.
struct Case {
    /// Says what is sent; no other case has it.
    name: String,
    request: Request<Full<bytes::Bytes>>,
    expected: Expected,
}

/// What must come of a request.
#[derive(Debug, Clone)]
enum Expected {
    /// This status, with a sentence that has these parts.
    Refused(Code, Vec<String>),
    /// OK: it only looks bad.
    Fine,
    /// This status of HTTP.
    Http(u16),
}

impl Expected {
    /// `None` if it is as expected.
    fn difference(&self, answered: &Answered) -> Option<String> {
        let fits = match self {
            Self::Refused(code, parts) => answered.status.as_ref().is_some_and(|status| {
                status.code() == *code && parts.iter().all(|part| status.message().contains(part))
            }),
            Self::Fine => answered.code() == Some(Code::Ok),
            Self::Http(status) => answered.http == *status,
        };
        (!fits).then(|| format!("expected {self:?}, got {answered:?}"))
    }
}

/// As many as promised.
const CASES_MIN: usize = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_changes_nothing_and_costs_no_connection() {
    let node = Node::start(world::config()).await;
    let connection = node.connect().await;
    let world = World::make(&connection).await;
    let cases = all_cases(&world);
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(case.name.clone()), "twice: {}", case.name);
    }

    let mut failures = Vec::new();
    let mut before = node.state();
    for case in cases {
        let answered = connection.send(case.request).await;
        if let Some(difference) = case.expected.difference(&answered) {
            failures.push(format!("{}: {difference}", case.name));
        }
        if !is_alive(&connection).await {
            panic!("{}: the connection is gone", case.name);
        }
        let after = node.state();
        if after != before {
            failures.push(format!("{}: something was stored", case.name));
            before = after;
        }
    }
    let text = failures.join("\n");
    assert!(failures.is_empty(), "{} failed:\n{text}", failures.len());
    node.stop().await;
}

fn all_cases(world: &World) -> Vec<Case> {
    let mut cases = fields::cases(world);
    cases.extend(messages::cases());
    cases.extend(headers::cases());
    cases.extend(http_requests::cases());
    cases.extend(harmless::cases(world));
    cases
}

async fn is_alive(connection: &Connection) -> bool {
    connection.call(Rpc::Hello, &[]).await.code() == Some(Code::Ok)
}

/// A refusal proves something only if the same request without the mistake goes further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_that_are_spoilt_are_good_ones() {
    let node = Node::start(world::config()).await;
    let connection = node.connect().await;
    let _world = World::make(&connection).await;
    for rpc in Rpc::ALL {
        let answered = connection.call(*rpc, &requests::good(*rpc)).await;
        let expected = match rpc {
            // Nothing has failed.
            Rpc::RewindInstance => Code::FailedPrecondition,
            Rpc::CreateTaskHub | Rpc::DeleteTaskHub => Code::PermissionDenied,
            _ => Code::Ok,
        };
        assert_eq!(answered.code(), Some(expected), "{rpc:?}: {answered:?}");
    }
    node.stop().await;
}

/// That nothing was stored proves something only if it would be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_noticed() {
    let node = Node::start(world::config()).await;
    let connection = node.connect().await;
    let _world = World::make(&connection).await;
    let mut before = node.state();
    for rpc in [
        Rpc::StartInstance,
        Rpc::RaiseEvent,
        Rpc::SuspendInstance,
        Rpc::SignalEntity,
        Rpc::RestartInstance,
    ] {
        connection.call(rpc, &requests::good(rpc)).await;
        let after = node.state();
        assert_ne!(after, before, "{rpc:?}");
        before = after;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_the_table_is_broken_in_every_call() {
    let node = Node::start(world::config()).await;
    let connection = node.connect().await;
    let world = World::make(&connection).await;
    let names: Vec<_> = all_cases(&world)
        .into_iter()
        .map(|case| case.name)
        .collect();
    for row in ALL.iter().filter(|row| row.outcome == Outcome::Refused) {
        for rule in row.rules {
            for rpc in row.rpcs {
                let name = title(*rpc, row.field, rule);
                let is_there = names.iter().any(|it| it.starts_with(&name));
                assert!(is_there, "no case begins with {name:?}");
            }
        }
    }
    node.stop().await;
}

/// How the cases that break a rule are called.
fn title(rpc: Rpc, field: &str, rule: &Rule) -> String {
    format!("{}: {field} {}: ", rpc.name(), rule.condition())
}
