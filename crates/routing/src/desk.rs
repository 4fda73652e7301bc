//! Answers what other nodes ask: calls to the partitions that are led here, and claims of their work.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use longhaul_partition::Partitions;
use longhaul_peer::{Answers, Asker, AskerId};
use longhaul_types::PartitionId;

use crate::answers::LateJudge;
use crate::claims::{self, Claims};
use crate::codec;
use crate::errors::Failure;
use crate::operation::{Operation, Outcome, perform};
use crate::table::Table;

/// What a request is, by its first byte.
pub(crate) const CALL: u8 = 0;

/// What one answer holds of a history, unless a single run has more.
const HISTORY_PAGE_BYTES: usize = 8 << 20;

pub(crate) struct Desk {
    partitions: Partitions,
    table: Arc<Table>,
    judge: LateJudge,
    claims: Claims,
}

impl Desk {
    pub(crate) fn new(
        partitions: Partitions,
        table: Arc<Table>,
        judge: LateJudge,
        claims: Claims,
    ) -> Self {
        Self {
            partitions,
            table,
            judge,
            claims,
        }
    }

    fn call(&self, request: Bytes) -> BoxFuture<'static, Bytes> {
        let performed = match codec::decode_request(request) {
            Ok((id, operation)) => self.perform(id, operation),
            Err(malformed) => {
                tracing::error!(%malformed, "another node's call cannot be understood");
                let failure = Failure::Fault(format!("a call between nodes: {malformed}").into());
                ready(Err(failure)).boxed()
            }
        };
        performed.map(codec::encode_response).boxed()
    }

    fn perform(
        &self,
        id: PartitionId,
        operation: Operation,
    ) -> BoxFuture<'static, Result<Outcome, Failure>> {
        let led = self.partitions.hosted(id);
        let led = led.filter(|partition| partition.leadership().borrow().is_leader);
        let Some(partition) = led else {
            let leader = self.table.leader(id);
            return ready(Err(Failure::NotLeader { leader })).boxed();
        };
        let judge = self.judge.clone();
        async move { perform(&partition, &judge, operation, HISTORY_PAGE_BYTES).await }.boxed()
    }
}

impl Answers for Desk {
    fn answer(&self, asker: Asker, mut request: Bytes) -> BoxFuture<'static, Bytes> {
        match request.try_get_u8() {
            Ok(CALL) => self.call(request),
            Ok(claims::KIND) => self.claims.answer(asker, request),
            Ok(_) | Err(_) => {
                let failure = Failure::Fault("a request of an unknown kind".into());
                ready(codec::encode_response(Err(failure))).boxed()
            }
        }
    }

    fn asker_lost(&self, asker: AskerId) {
        self.claims.asker_lost(asker);
    }
}
