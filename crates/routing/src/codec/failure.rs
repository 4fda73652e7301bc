//! Why there is no answer.

use longhaul_proto::routing::v1 as wire;
use longhaul_types::NodeId;
use wire::failure::{self as f, Failure as Body};

use super::Malformed;
use super::values::required;
use crate::errors::Failure;

pub(super) fn to_wire(failure: Failure) -> wire::Failure {
    let failure = match failure {
        Failure::NotLeader { leader } => Body::NotLeader(f::NotLeader {
            leader: leader.map_or(0, |leader| leader.0),
        }),
        Failure::NotNow(why) => Body::NotNow(why.into_owned()),
        Failure::Overloaded => Body::Overloaded(f::Overloaded {}),
        Failure::Full { pending, max } => Body::Full(f::Full {
            pending: pending as u64,
            max: max as u64,
        }),
        Failure::Unknown(why) => Body::Unknown(why.into_owned()),
        Failure::Fault(why) => Body::Fault(why.into_owned()),
    };
    wire::Failure {
        failure: Some(failure),
    }
}

pub(super) fn from_wire(failure: wire::Failure) -> Result<Failure, Malformed> {
    Ok(match required(failure.failure, "failure")? {
        Body::NotLeader(it) => Failure::NotLeader {
            leader: (it.leader != 0).then_some(NodeId(it.leader)),
        },
        Body::NotNow(why) => Failure::NotNow(why.into()),
        Body::Overloaded(_) => Failure::Overloaded,
        Body::Full(full) => Failure::Full {
            pending: number(full.pending),
            max: number(full.max),
        },
        Body::Unknown(why) => Failure::Unknown(why.into()),
        Body::Fault(why) => Failure::Fault(why.into()),
    })
}

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
