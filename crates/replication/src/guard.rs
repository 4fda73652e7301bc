//! What keeps a replica from voting and from being elected although the consensus library would.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use openraft::{
    async_runtime::WatchReceiver,
    raft::{TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse},
};

use crate::types::{LogId, NodeId, Raft, TypeConfig};

/// Of one replica; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Up to where the logs of earlier replicas on this node reached: what they promised to keep was
    /// destroyed with them, and holds all the same.
    had: Option<LogId>,
    /// The node's log does not move.
    stalled: AtomicBool,
}

impl Guard {
    pub(crate) fn new(had: Option<LogId>) -> Self {
        Self(Arc::new(State {
            had,
            stalled: AtomicBool::new(false),
        }))
    }

    /// Whether there was another replica of the group on this node.
    pub(crate) fn has_past(&self) -> bool {
        self.0.had.is_some()
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.0.stalled.load(Ordering::Acquire)
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.0.stalled.store(stalled, Ordering::Release);
    }

    /// Whether this replica, whose log ends here, may ask to be elected.
    pub(crate) fn may_stand(&self, last: Option<&LogId>) -> bool {
        !self.is_stalled() && self.has_all(last)
    }

    /// Whether a log that ends here has everything that an earlier replica may have promised to keep.
    fn has_all(&self, last: Option<&LogId>) -> bool {
        last >= self.0.had.as_ref()
    }

    /// The answer of a replica that must not vote for this candidate.
    fn refusal(
        &self,
        raft: &Raft,
        request: &VoteRequest<TypeConfig>,
    ) -> Option<VoteResponse<TypeConfig>> {
        (!self.has_all(request.last_log_id.as_ref())).then(|| {
            let stands = raft.server_metrics().borrow_watched().vote;
            VoteResponse::new(stands, self.0.had, false)
        })
    }

    pub(crate) async fn vote(
        &self,
        raft: &Raft,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, String> {
        match self.refusal(raft, &request) {
            Some(refusal) => Ok(refusal),
            None => raft.vote(request).await.map_err(|fatal| fatal.to_string()),
        }
    }

    pub(crate) async fn pre_vote(
        &self,
        raft: &Raft,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, String> {
        match self.refusal(raft, &request) {
            Some(refusal) => Ok(refusal),
            None => {
                let answer = raft.pre_vote(request).await;
                answer.map_err(|fatal| fatal.to_string())
            }
        }
    }

    /// A transfer makes a replica stand at once, whatever it has been told.
    pub(crate) async fn transfer_leader(
        &self,
        node: NodeId,
        raft: &Raft,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, String> {
        if *request.to_node_id() == node && !self.may_stand(request.last_log_id()) {
            return Err(format!("node {node} cannot lead for now"));
        }
        let answer = raft.handle_transfer_leader(request).await;
        answer.map_err(|fatal| fatal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new_term_index(term, index)
    }

    #[test]
    fn who_never_had_anything_may_stand() {
        let guard = Guard::new(None);
        assert!(!guard.has_past());
        assert!(guard.may_stand(None) && guard.may_stand(Some(&id(1, 1))));
    }

    #[test]
    fn who_had_more_may_not() {
        let guard = Guard::new(Some(id(3, 10)));
        assert!(guard.has_past());
        for short in [None, Some(id(3, 9)), Some(id(2, 99))] {
            assert!(!guard.may_stand(short.as_ref()), "{short:?}");
        }
        for long in [id(3, 10), id(4, 2)] {
            assert!(guard.may_stand(Some(&long)), "{long:?}");
        }
    }

    #[test]
    fn nobody_stands_with_a_log_that_does_not_move() {
        let guard = Guard::new(None);
        guard.set_stalled(true);
        assert!(!guard.may_stand(Some(&id(1, 1))));
        guard.set_stalled(false);
        assert!(guard.may_stand(Some(&id(1, 1))));
    }
}
