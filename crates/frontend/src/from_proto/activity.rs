//! CompleteActivityTask: the result of an activity.

use longhaul_engine::history::event;
use longhaul_partition::ActivityResult;
use longhaul_proto::sidecar::ActivityResponse;
use prost::Message;

use crate::limits::Limits;
use crate::refusals::rows::ACTIVITY_RESULT;

/// A result over the limit becomes a failure of the activity, not of the call: the worker would drop the item on an
/// error, and the orchestration would wait for ever.
pub(crate) fn activity_result(response: ActivityResponse, limits: &Limits) -> ActivityResult {
    if let Some(failure) = response.failure_details {
        return ActivityResult::Failed(failure.encode_to_vec().into());
    }
    match ACTIVITY_RESULT.payload(response.result, limits) {
        Ok(result) => ActivityResult::Completed(result),
        Err(refusal) => {
            let failure = event::failure_details("PayloadTooLarge", &refusal.to_string());
            ActivityResult::Failed(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::sidecar::TaskFailureDetails;

    use super::*;

    fn result(result: Option<&str>, failure_details: Option<TaskFailureDetails>) -> ActivityResult {
        let result = result.map(str::to_owned);
        activity_result(
            ActivityResponse {
                result,
                failure_details,
                ..Default::default()
            },
            &Limits::of_payload(4),
        )
    }

    fn failure(result: ActivityResult) -> TaskFailureDetails {
        match result {
            ActivityResult::Failed(bytes) => TaskFailureDetails::decode(bytes).expect("decodes"),
            ActivityResult::Completed(result) => panic!("completed: {result:?}"),
        }
    }

    #[test]
    fn results_keep_absent_and_empty_apart() {
        for text in [None, Some(""), Some("null")] {
            match result(text, None) {
                ActivityResult::Completed(got) => {
                    assert_eq!(got.as_deref(), text.map(str::as_bytes));
                }
                ActivityResult::Failed(_) => panic!("failed: {text:?}"),
            }
        }
    }

    #[test]
    fn failure_details_win_and_keep_every_part() {
        let inner = TaskFailureDetails {
            error_type: "Inner".into(),
            ..Default::default()
        };
        let details = TaskFailureDetails {
            error_type: "Outer".into(),
            stack_trace: Some("at x".into()),
            inner_failure: Some(Box::new(inner)),
            properties: [("p".to_owned(), prost_types::Value::default())].into(),
            ..Default::default()
        };
        assert_eq!(failure(result(Some("r"), Some(details.clone()))), details);
    }

    #[test]
    fn too_large_a_result_fails_the_activity_for_good() {
        let failure = failure(result(Some("12345"), None));
        assert_eq!(failure.error_type, "PayloadTooLarge");
        assert!(
            failure.error_message.contains("result has 5 bytes"),
            "{failure:?}"
        );
        assert!(failure.is_non_retriable);
    }
}
