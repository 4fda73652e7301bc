//! CompleteOrchestratorTask: the answer to a turn, whole or in parts.
//!
//! ```text
//!   part 0, part 1, … ─► kept with the delivery ─────┐
//!   last part, or the whole answer ──────────────────┴─► decided and committed as one
//! ```

use longhaul_engine::InstanceKey;
use longhaul_engine::turn::Answer;
use longhaul_partition::{AbandonDelay, LeaseId, Partition, ProposeError, WorkKind};
use longhaul_proto::sidecar::{CompleteTaskResponse, OrchestratorResponse};
use longhaul_routing::{AnswerKind, Home};
use longhaul_types::{HubId, InstanceId};
use prost::Message;
use tonic::{Request, Status};

use super::TaskHubService;
use super::judging::{Bench, forward, is_ours, told};
use crate::from_proto;
use crate::refusals::rows::{ANSWER_ID, PART_TOKEN};
use crate::refusals::rules::REQUIRED;

/// An answer that is not wanted any more is taken without effect: the .NET worker repeats calls whose answer was lost,
/// and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<OrchestratorResponse>,
) -> Result<CompleteTaskResponse, Status> {
    let hub = service.hub(request.metadata()).await?;
    let response = request.into_inner();
    if let Some((home, delivery)) = place(service, hub, &response)? {
        match home.here() {
            Some(partition)
                if is_ours(&partition, is_out(&partition, hub, delivery, &response)).await =>
            {
                told(judge(&service.bench, &partition, hub, delivery, response).await)?;
            }
            _ => forward(&home, hub, AnswerKind::Turn, &response).await?,
        }
    }
    Ok(CompleteTaskResponse {})
}

/// Workers built on the older contract do not echo the token, and answer in one piece. The instance has at most one
/// turn out.
fn place(
    service: &TaskHubService,
    hub: HubId,
    response: &OrchestratorResponse,
) -> Result<Option<(Home, Option<LeaseId>)>, Status> {
    let router = &service.dependencies.router;
    if response.completion_token.is_empty() {
        if part(response) != Part::Last {
            return Err(PART_TOKEN.refuse(&REQUIRED, "").into());
        }
        let key = ANSWER_ID.orchestration(hub, &response.instance_id)?;
        return Ok(Some((router.home(&key), None)));
    }
    let found = router.by_token(hub, WorkKind::Orchestration, &response.completion_token);
    Ok(found.map(|(home, delivery)| (home, Some(delivery))))
}

fn is_out(
    partition: &Partition,
    hub: HubId,
    delivery: Option<LeaseId>,
    response: &OrchestratorResponse,
) -> bool {
    match delivery {
        Some(delivery) => partition.knows(delivery),
        None => partition.turn_lease_of(&key(hub, response)).is_some(),
    }
}

fn key(hub: HubId, response: &OrchestratorResponse) -> InstanceKey {
    InstanceKey::new(hub, InstanceId::trusted(response.instance_id.as_str()))
}

pub(super) async fn judge(
    bench: &Bench,
    partition: &Partition,
    hub: HubId,
    delivery: Option<LeaseId>,
    response: OrchestratorResponse,
) -> Result<(), ProposeError> {
    let Some(delivery) = delivery else {
        return match partition.turn_lease_of(&key(hub, &response)) {
            Some(lease) => {
                let whole = from_proto::whole(answer(bench, response), &bench.limits);
                partition.complete_turn(lease, whole).await
            }
            None => partition.confirm().await,
        };
    };
    if !partition.knows(delivery) {
        return partition.confirm().await;
    }
    match part(&response) {
        Part::LostHistory => {
            partition.abandon(delivery, AbandonDelay::None);
            Ok(())
        }
        Part::Partial { index } => keep(bench, partition, delivery, index, response).await,
        Part::Last => match partition.turn_lease(delivery) {
            Some(lease) => {
                let last = answer(bench, response);
                let whole = joined(partition, delivery, last);
                let whole = from_proto::whole(whole, &bench.limits);
                partition.complete_turn(lease, whole).await
            }
            None => Ok(()),
        },
    }
}

/// What a call carries.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Nothing: the worker lost what it had kept of the history and wants all of it again.
    LostHistory,
    /// Some of the actions; more will come.
    Partial { index: i32 },
    /// All actions, or the last of them.
    Last,
}

#[expect(
    deprecated,
    reason = "the .NET and Java SDKs still send answers in parts"
)]
fn part(response: &OrchestratorResponse) -> Part {
    if response.requires_history {
        Part::LostHistory
    } else if response.is_partial {
        Part::Partial {
            index: response.chunk_index.unwrap_or(0).max(0),
        }
    } else {
        Part::Last
    }
}

fn answer(bench: &Bench, response: OrchestratorResponse) -> Answer {
    from_proto::answer(response, bench.clock.now(), &bench.limits)
}

/// Parts that are too large together fail the orchestration: the same answer would only come again.
async fn keep(
    bench: &Bench,
    partition: &Partition,
    delivery: LeaseId,
    index: i32,
    response: OrchestratorResponse,
) -> Result<(), ProposeError> {
    let bytes = response.encoded_len();
    let part = answer(bench, response);
    let Err(too_large) = partition.buffer_partial(delivery, index, part, bytes) else {
        return Ok(());
    };
    let Some(lease) = partition.turn_lease(delivery) else {
        return Ok(());
    };
    let refused = Answer {
        actions: vec![from_proto::refused(too_large.to_string())],
        ..Answer::default()
    };
    partition.complete_turn(lease, refused).await
}

/// The answer with the parts that came before its last one. They stay with the delivery until it is over, because a
/// worker whose call fails repeats only the last part.
fn joined(partition: &Partition, delivery: LeaseId, last: Answer) -> Answer {
    match partition.partial(delivery) {
        Some(earlier) => after(earlier, last),
        None => last,
    }
}

/// Actions in order; everything else as the first part has it.
fn after(earlier: Answer, last: Answer) -> Answer {
    let Answer {
        mut actions,
        custom_status,
        trace,
        events_processed,
    } = earlier;
    actions.extend(last.actions);
    Answer {
        actions,
        custom_status: custom_status.or(last.custom_status),
        trace: trace.or(last.trace),
        events_processed,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_engine::turn::{Action, Decided};

    use super::*;

    #[test]
    #[expect(
        deprecated,
        reason = "the .NET and Java SDKs still send answers in parts"
    )]
    fn a_call_is_whole_partial_or_a_plea_for_history() {
        let response = |requires_history, is_partial, chunk_index| OrchestratorResponse {
            requires_history,
            is_partial,
            chunk_index,
            ..Default::default()
        };
        let cases = [
            (response(false, false, None), Part::Last),
            (response(false, false, Some(3)), Part::Last),
            (response(false, true, None), Part::Partial { index: 0 }),
            (response(false, true, Some(2)), Part::Partial { index: 2 }),
            (response(false, true, Some(-2)), Part::Partial { index: 0 }),
            (response(true, true, Some(1)), Part::LostHistory),
        ];
        for (response, expected) in cases {
            assert_eq!(part(&response), expected, "{response:?}");
        }
    }

    #[test]
    fn parts_are_joined_in_order_under_what_the_first_one_says() {
        let part = |id, custom_status: Option<&'static str>, events_processed| Answer {
            actions: vec![Decided {
                id,
                action: Action::Refused(String::new()),
            }],
            custom_status: custom_status.map(Into::into),
            trace: None,
            events_processed,
        };
        let whole = after(part(1, None, Some(4)), part(2, Some("late"), Some(0)));
        assert_eq!(
            whole.actions.iter().map(|it| it.id).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(whole.custom_status.as_deref(), Some(&b"late"[..]));
        assert_eq!(whole.events_processed, Some(4));
        let whole = after(part(1, Some("early"), None), part(2, Some("late"), Some(0)));
        assert_eq!(whole.custom_status.as_deref(), Some(&b"early"[..]));
        assert_eq!(whole.events_processed, None);
    }
}
