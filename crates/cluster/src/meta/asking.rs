//! Questions for the leader of the meta group, from any node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_peer::AskError;
use longhaul_proto::cluster::v1::{self as proto, answer, request::Kind};
use longhaul_types::{NodeId, PartitionId};
use prost::Message;
use tokio::time::{self, Instant};

use super::{Inner, MetaStatus, TransferError, Unavailable};
use crate::catalog::{Catalog, Command, Reply};
use crate::codec::{self, DecodeFault};

/// How long a question is asked again.
const HOLD: Duration = Duration::from_secs(5);

/// How long one node may take to answer before another is asked.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Waits between attempts: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(320)];

/// What became of one attempt.
enum Attempt {
    Answered(answer::Kind),
    /// Nothing was done; perhaps it is known who leads.
    Elsewhere(Option<NodeId>, String),
    /// It may have been done.
    Unknown(String),
}

impl Inner {
    pub(super) async fn propose(&self, command: Command) -> Result<Reply, Unavailable> {
        let deadline = Instant::now() + HOLD;
        let entry = codec::entry_message(self.next_request(), &command);
        match self.ask_leader(Kind::Propose(entry), deadline).await? {
            answer::Kind::Applied(applied) => {
                let reply = codec::needed("a reply", applied.reply).and_then(codec::reply);
                // The change is made, whether or not it is seen here in time.
                drop(self.wait_applied(Some(applied.index), deadline).await);
                reply.map_err(|fault| Unavailable::Unknown(fault.to_string()))
            }
            other => Err(Unavailable::Unknown(strange(&other))),
        }
    }

    pub(super) async fn read(&self) -> Result<Arc<Catalog>, Unavailable> {
        let deadline = Instant::now() + HOLD;
        let asked = self.ask_leader(Kind::Read(proto::Nothing {}), deadline);
        let answer::Kind::Current(current) = asked.await.map_err(not_applied)? else {
            return Err(Unavailable::NotApplied("a strange answer".to_owned()));
        };
        self.wait_applied(current.index, deadline).await?;
        let late = || Unavailable::NotApplied("the cluster has not been founded yet".to_owned());
        let mut catalog = self.copy.catalog();
        let founded = catalog.wait_for(Option::is_some);
        let founded = time::timeout_at(deadline, founded).await;
        let founded = founded.map_err(|_| late())?.map_err(|_| late())?;
        founded.clone().ok_or_else(late)
    }

    pub(super) async fn leader_status(&self) -> Result<MetaStatus, Unavailable> {
        let deadline = Instant::now() + HOLD;
        let asked = self.ask_leader(Kind::Status(proto::Nothing {}), deadline);
        match asked.await.map_err(not_applied)? {
            answer::Kind::Status(status) => {
                let status = status_of(status);
                status.map_err(|fault| Unavailable::NotApplied(fault.to_string()))
            }
            other => Err(Unavailable::NotApplied(strange(&other))),
        }
    }

    pub(super) async fn transfer(
        &self,
        partition: PartitionId,
        to: NodeId,
    ) -> Result<(), TransferError> {
        let deadline = Instant::now() + HOLD;
        let request = Kind::Transfer(proto::TransferPartition {
            partition: partition.0.into(),
            to: to.0,
        });
        let failed = |reason| TransferError::Failed { partition, reason };
        match self.ask_leader(request, deadline).await? {
            answer::Kind::Done(_) => Ok(()),
            answer::Kind::Failed(reason) => Err(failed(reason)),
            other => Err(failed(strange(&other))),
        }
    }

    /// Waits until this node's copy has got to an entry.
    async fn wait_applied(&self, index: Option<u64>, deadline: Instant) -> Result<(), Unavailable> {
        let mut applied = self.copy.applied();
        let reached = applied.wait_for(|applied| *applied >= index);
        match time::timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Unavailable::NotApplied("this node stops".to_owned())),
            Err(_) => Err(Unavailable::NotApplied(
                "this node's copy is behind".to_owned(),
            )),
        }
    }

    /// Asks whoever leads until there is an answer.
    async fn ask_leader(&self, kind: Kind, deadline: Instant) -> Result<answer::Kind, Unavailable> {
        let request = proto::Request { kind: Some(kind) };
        let encoded = Bytes::from(request.encode_to_vec());
        let mut leadership = self.group.leadership();
        let (mut hint, mut turns, mut pause) = (None, 0, PAUSES[0]);
        let mut perhaps = None;
        let mut reason = "nobody leads".to_owned();
        while Instant::now() < deadline {
            let leader = leadership.borrow_and_update().leader;
            let target = hint.take().or(leader).or_else(|| self.in_turn(turns));
            turns += 1;
            if let Some(target) = target {
                match self.attempt(target, &request, &encoded, deadline).await {
                    Attempt::Answered(answer) => return Ok(answer),
                    Attempt::Elsewhere(leader, why) => {
                        // Whoever does not know better sends nobody in circles.
                        hint = leader.filter(|leader| *leader != target);
                        reason = why;
                    }
                    Attempt::Unknown(why) => perhaps = Some(why),
                }
            }
            if hint.is_some() && turns % 4 != 0 {
                continue;
            }
            let wake = deadline.min(Instant::now() + pause);
            pause = PAUSES[1].min(pause * 2);
            // Sooner if somebody else leads; a group that has stopped tells nothing any more.
            if let Ok(Err(_)) = time::timeout_at(wake, leadership.changed()).await {
                time::sleep_until(wake).await;
            }
        }
        Err(match perhaps {
            Some(why) => Unavailable::Unknown(why),
            None => Unavailable::NotApplied(reason),
        })
    }

    /// Somebody to ask while nobody is known to lead.
    fn in_turn(&self, turn: usize) -> Option<NodeId> {
        let contacts = self.exchange.contacts();
        let count = contacts.len().max(1);
        contacts.keys().nth(turn % count).copied()
    }

    async fn attempt(
        &self,
        target: NodeId,
        request: &proto::Request,
        encoded: &Bytes,
        deadline: Instant,
    ) -> Attempt {
        let until = deadline.min(Instant::now() + PATIENCE);
        let late = || Attempt::Unknown(format!("node {target} has not answered in time"));
        if target == self.me.node {
            let answer = self.answer(request.clone());
            let answer = time::timeout_at(until, answer).await;
            return answer.map_or_else(|_| late(), sorted);
        }
        let asked = self.exchange.ask(target, encoded.clone());
        match time::timeout_at(until, asked).await {
            Err(_) => late(),
            Ok(Err(AskError::NotSent(reason))) => Attempt::Elsewhere(None, reason),
            Ok(Err(AskError::Unknown(reason))) => Attempt::Unknown(reason),
            Ok(Ok(answer)) => match decode_answer(&answer) {
                Ok(answer) => sorted(answer),
                Err(fault) => Attempt::Unknown(fault.to_string()),
            },
        }
    }

    /// Asks one node, once.
    pub(super) async fn ask_node(
        &self,
        to: NodeId,
        kind: Kind,
        patience: Duration,
    ) -> Result<answer::Kind, String> {
        let request = proto::Request { kind: Some(kind) };
        let late = |_| format!("node {to} has not answered in time");
        if to == self.me.node {
            return time::timeout(patience, self.answer(request))
                .await
                .map_err(late);
        }
        let asked = self.exchange.ask(to, request.encode_to_vec().into());
        let answer = time::timeout(patience, asked).await.map_err(late)?;
        let answer = answer.map_err(|error| error.to_string())?;
        decode_answer(&answer).map_err(|fault| fault.to_string())
    }
}

fn decode_answer(bytes: &[u8]) -> Result<answer::Kind, DecodeFault> {
    let answer: proto::Answer = codec::decode("an answer", bytes)?;
    codec::needed("an answer", answer.kind)
}

fn sorted(answer: answer::Kind) -> Attempt {
    match answer {
        answer::Kind::NotLeader(proto::NotLeader { leader }) => {
            Attempt::Elsewhere(leader.map(NodeId), "nobody leads".to_owned())
        }
        answer::Kind::NotNow(reason) => Attempt::Elsewhere(None, reason),
        answer::Kind::Unknown(reason) => Attempt::Unknown(reason),
        answer => Attempt::Answered(answer),
    }
}

/// Of questions that change nothing.
fn not_applied(error: Unavailable) -> Unavailable {
    match error {
        Unavailable::NotApplied(reason) | Unavailable::Unknown(reason) => {
            Unavailable::NotApplied(reason)
        }
    }
}

fn strange(answer: &answer::Kind) -> String {
    format!("an answer to something else: {answer:?}")
}

fn status_of(message: proto::Status) -> Result<MetaStatus, DecodeFault> {
    let groups = proto::Groups {
        groups: message.groups,
    };
    Ok(MetaStatus {
        leader: message.leader.map(NodeId),
        term: message.term,
        voters: message.voters.into_iter().map(NodeId).collect(),
        contacts: codec::contacts(message.contacts),
        groups: codec::groups(groups)?.into_iter().collect(),
    })
}
