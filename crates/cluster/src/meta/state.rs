//! The state that the meta group replicates: the catalog, and the newest answers.

use std::collections::VecDeque;
use std::sync::Arc;

use longhaul_replication::Applied;
use longhaul_types::NodeId;

use crate::catalog::{Catalog, Command, Refusal, Reply};

/// Answers that are remembered, for requests that come again: far more than are on their way at once.
const ANSWERED_MAX: usize = 512;

/// Names one request, however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Whose it is.
    pub(crate) node: NodeId,
    /// Another one at each start of that node.
    pub(crate) process: u64,
    /// Of that process, never again.
    pub(crate) number: u64,
}

/// What a replica of the meta group has applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) applied: Applied,
    /// Absent until the cluster is founded.
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// The newest answers, oldest first.
    pub(crate) answered: VecDeque<(RequestId, Reply)>,
}

impl State {
    /// Applies a command, unless the same request was answered before.
    pub(crate) fn apply(&mut self, request: RequestId, command: Command) -> Reply {
        let before = self.answered.iter().find(|(it, _)| *it == request);
        if let Some((_, reply)) = before {
            return reply.clone();
        }
        let reply = self.change(command);
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((request, reply.clone()));
        reply
    }

    fn change(&mut self, command: Command) -> Reply {
        match (&mut self.catalog, command) {
            (Some(catalog), command) => Arc::make_mut(catalog).apply(command),
            (none, Command::Found { founding, nodes }) => {
                *none = Some(Arc::new(Catalog::found(founding, nodes)));
                Reply::Done
            }
            (None, _) => Reply::Refused(Refusal::Unfounded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Founding;
    use longhaul_types::{HubId, HubName, PartitionCount};

    fn request(number: u64) -> RequestId {
        RequestId {
            node: NodeId(1),
            process: 7,
            number,
        }
    }

    fn found(cluster: u8) -> Command {
        let founding = Founding {
            cluster_id: [cluster; 16],
            partitions: PartitionCount::new(2).expect("a power of two"),
            replicas: 1,
            token_key: [2; 32],
        };
        Command::Found {
            founding,
            nodes: Vec::new(),
        }
    }

    #[test]
    fn a_cluster_is_founded_once() {
        let mut state = State::default();
        let hub = HubName::parse("orders").expect("a name");
        let early = state.apply(request(1), Command::CreateHub(hub.clone()));
        assert_eq!(early, Reply::Refused(Refusal::Unfounded));
        assert_eq!(state.apply(request(2), found(1)), Reply::Done);
        assert_eq!(state.apply(request(3), found(1)), Reply::Done);
        let other = state.apply(request(4), found(2));
        let ours = u128::from_be_bytes([1; 16]);
        assert_eq!(other, Reply::Refused(Refusal::Founded(ours)));
        let hub = state.apply(request(5), Command::CreateHub(hub));
        assert_eq!(hub, Reply::Hub(HubId(1)));
    }

    #[test]
    fn a_repeated_request_is_answered_and_not_applied() {
        let mut state = State::default();
        state.apply(request(0), found(1));
        let recreate = || Command::RecreateHub(HubName::parse("orders").expect("a name"));
        for _ in 0..3 {
            let reply = state.apply(request(1), recreate());
            assert_eq!(reply, Reply::Hub(HubId(1)));
        }
        assert_eq!(state.apply(request(2), recreate()), Reply::Hub(HubId(2)));
        for number in 3..10_000 {
            state.apply(request(number), Command::ForgetHub(HubId(1)));
        }
        assert_eq!(state.answered.len(), ANSWERED_MAX);
    }
}
