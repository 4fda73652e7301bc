//! Completion tokens: opaque to workers, unguessable, different for every delivery.
//!
//! Thirty-six lower-case hex digits: partition (4), lease (16), nonce (16).

use longhaul_types::PartitionId;

use super::LeaseId;

/// Renders the token of a lease.
pub(crate) fn format_token(partition: PartitionId, lease: LeaseId) -> String {
    format!(
        "{:04x}{:016x}{:016x}",
        partition.0, lease.number, lease.nonce
    )
}

/// Reads a token; `None` if it cannot be one of ours.
pub(crate) fn parse_token(token: &str) -> Option<(PartitionId, LeaseId)> {
    if token.len() != 36 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let partition = u16::from_str_radix(&token[..4], 16).ok()?;
    let number = u64::from_str_radix(&token[4..20], 16).ok()?;
    let nonce = u64::from_str_radix(&token[20..], 16).ok()?;
    Some((PartitionId(partition), LeaseId { number, nonce }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_garbage_is_nothing() {
        let lease = LeaseId {
            number: 77,
            nonce: u64::MAX - 3,
        };
        let token = format_token(PartitionId(1023), lease);
        assert_eq!(parse_token(&token), Some((PartitionId(1023), lease)));
        for garbage in [
            "",
            "x",
            &token[1..],
            &format!("{}g", &token[1..]),
            &"é".repeat(18),
        ] {
            assert_eq!(parse_token(garbage), None);
        }
    }
}
