//! The entity: a number that can be added to.

use longhaul_client::worker::{Operated, Operation, actions};
use longhaul_proto::sidecar::TaskFailureDetails;

/// Adds its input to the number.
pub(in crate::bench) const ADD: &str = "add";
/// The input of every operation here.
pub(in crate::bench) const ONE: &str = "1";

/// The state after the operation is also its result.
pub(super) fn operate(
    state: Option<&str>,
    operation: &Operation<'_>,
) -> Result<Operated, TaskFailureDetails> {
    if operation.name != ADD {
        return Err(actions::failure("UnknownOperation", operation.name));
    }
    let sum = number(state.unwrap_or("0"))
        .zip(number(operation.input.unwrap_or_default()))
        .and_then(|(state, input)| state.checked_add(input))
        .ok_or_else(|| actions::failure("BadInput", "state and input are whole numbers"))?;
    Ok(Operated {
        state: Some(sum.to_string()),
        result: Some(sum.to_string()),
    })
}

/// The number that a state stands for.
pub(in crate::bench) fn number(state: &str) -> Option<u64> {
    state.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_whole_numbers_only() {
        for (state, name, input, expected) in [
            (None, ADD, Some("1"), Ok("1")),
            (Some("41"), ADD, Some("1"), Ok("42")),
            (Some("41"), ADD, None, Err("BadInput")),
            (Some("x"), ADD, Some("1"), Err("BadInput")),
            (
                Some("18446744073709551615"),
                ADD,
                Some("1"),
                Err("BadInput"),
            ),
            (Some("1"), "get", None, Err("UnknownOperation")),
        ] {
            let operation = Operation {
                entity_id: "@counter@1",
                name,
                input,
            };
            let outcome = operate(state, &operation);
            let told = match &outcome {
                Ok(operated) => {
                    assert_eq!(operated.state, operated.result);
                    Ok(operated.state.as_deref().unwrap_or("-"))
                }
                Err(failure) => Err(failure.error_type.as_str()),
            };
            assert_eq!(told, expected, "{state:?} {name} {input:?}");
        }
    }
}
