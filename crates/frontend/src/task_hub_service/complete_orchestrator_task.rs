//! CompleteOrchestratorTask: the answer to a turn, whole or in parts.
//!
//! ```text
//!   part 0, part 1, … ─► kept with the delivery ─────┐
//!   last part, or the whole answer ──────────────────┴─► decided and committed as one
//! ```

use longhaul_engine::turn::Answer;
use longhaul_partition::{AbandonDelay, LeaseId, Partition, TurnLease, WorkKind};
use longhaul_proto::sidecar::{CompleteTaskResponse, OrchestratorResponse};
use longhaul_types::HubId;
use prost::Message;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::from_proto;
use crate::refusals::rows::{ANSWER_ID, PART_TOKEN};
use crate::refusals::rules::REQUIRED;
use crate::status::{self, Repeat};

/// An answer that is not wanted any more is taken without effect: the .NET worker repeats calls whose answer was lost,
/// and the Java worker tears its stream down on any error.
pub(super) async fn call(
    service: &TaskHubService,
    request: Request<OrchestratorResponse>,
) -> Result<CompleteTaskResponse, Status> {
    let hub = service.hub(request.metadata())?;
    let response = request.into_inner();
    if response.completion_token.is_empty() {
        without_token(service, hub, response).await?;
    } else if let Some((partition, delivery)) = service.dependencies.partitions.by_token(
        hub,
        WorkKind::Orchestration,
        &response.completion_token,
    ) {
        match part(&response) {
            Part::LostHistory => partition.abandon(delivery, AbandonDelay::None),
            Part::Partial { index } => keep(service, partition, delivery, index, response).await?,
            Part::Last => {
                if let Some(lease) = partition.turn_lease(delivery) {
                    let last = answer(service, response);
                    let whole = joined(partition, delivery, last);
                    let whole = from_proto::whole(whole, &service.dependencies.config.limits);
                    complete(partition, lease, whole).await?;
                }
            }
        }
    }
    Ok(CompleteTaskResponse {})
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

/// Workers built on the older contract do not echo the token, and answer in one piece. The instance has at most one
/// turn out.
async fn without_token(
    service: &TaskHubService,
    hub: HubId,
    response: OrchestratorResponse,
) -> Result<(), Status> {
    if part(&response) != Part::Last {
        return Err(PART_TOKEN.refuse(&REQUIRED, "").into());
    }
    let key = ANSWER_ID.orchestration(hub, &response.instance_id)?;
    let partition = service.dependencies.partitions.home(&key);
    match partition.turn_lease_of(&key) {
        Some(lease) => {
            let limits = &service.dependencies.config.limits;
            let whole = from_proto::whole(answer(service, response), limits);
            complete(partition, lease, whole).await
        }
        None => Ok(()),
    }
}

fn answer(service: &TaskHubService, response: OrchestratorResponse) -> Answer {
    let dependencies = &service.dependencies;
    let limits = &dependencies.config.limits;
    from_proto::answer(response, dependencies.clock.now(), limits)
}

/// Parts that are too large together fail the orchestration: the same answer would only come again.
async fn keep(
    service: &TaskHubService,
    partition: &Partition,
    delivery: LeaseId,
    index: i32,
    response: OrchestratorResponse,
) -> Result<(), Status> {
    let bytes = response.encoded_len();
    let part = answer(service, response);
    let Err(too_large) = partition.buffer_partial(delivery, index, part, bytes) else {
        return Ok(());
    };
    let Some(lease) = partition.turn_lease(delivery) else {
        return Ok(());
    };
    let refused = vec![from_proto::refused(too_large.to_string())];
    complete(
        partition,
        lease,
        Answer {
            actions: refused,
            ..Answer::default()
        },
    )
    .await
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

async fn complete(partition: &Partition, lease: TurnLease, answer: Answer) -> Result<(), Status> {
    partition
        .complete_turn(lease, answer)
        .await
        .map_err(|error| status::of_propose_error(&error, Repeat::Harmless))
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
