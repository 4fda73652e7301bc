//! Answers to what other nodes ask about the cluster.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_peer::{Answers, Asker, AskerId, Events};
use longhaul_proto::cluster::v1::{self as proto, answer, request};
use longhaul_replication::{ProposeError, ReadError};
use longhaul_types::NodeId;
use prost::Message;

use super::{Inner, RequestId};
use crate::catalog::{Command, Join, Reply};
use crate::codec::{self, DecodeFault};
use crate::controller::Contact;

/// A name moves to a new node once the node that has it has not been heard of for this long.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// How long the leader of a partition may take to change its group.
pub(super) const CHANGE_PATIENCE: Duration = Duration::from_secs(5);

/// Answers as long as the node's part of the meta group is there.
pub(super) struct Control(pub(super) Weak<Inner>);

impl Answers for Control {
    fn answer(&self, _asker: Asker, request: Bytes) -> BoxFuture<'static, Bytes> {
        let inner = self.0.clone();
        async move {
            let kind = match (proto::Request::decode(request), inner.upgrade()) {
                (Ok(request), Some(inner)) => inner.answer(request).await,
                (Ok(_), None) => not_now("this node stops"),
                (Err(error), _) => not_now(error),
            };
            let answer = proto::Answer { kind: Some(kind) };
            answer.encode_to_vec().into()
        }
        .boxed()
    }

    fn asker_lost(&self, _asker: AskerId) {}
}

/// Nobody says anything without being asked.
pub(super) struct Silent;

impl Events for Silent {
    fn opened(&self, _node: NodeId) {}

    fn told(&self, _node: NodeId, _notice: Bytes) {}

    fn lost(&self, _node: NodeId) {}
}

fn not_now(reason: impl ToString) -> answer::Kind {
    answer::Kind::NotNow(reason.to_string())
}

fn outcome(done: Result<(), String>) -> answer::Kind {
    match done {
        Ok(()) => answer::Kind::Done(proto::Nothing {}),
        Err(reason) => answer::Kind::Failed(reason),
    }
}

impl Inner {
    /// Boxed, since answering may mean asking this very node.
    pub(super) fn answer(&self, request: proto::Request) -> BoxFuture<'_, answer::Kind> {
        async move {
            let answer = match request.kind {
                Some(kind) => self.answer_kind(kind).await,
                None => Ok(not_now("nothing was asked that this node understands")),
            };
            answer.unwrap_or_else(not_now)
        }
        .boxed()
    }

    async fn answer_kind(&self, kind: request::Kind) -> Result<answer::Kind, DecodeFault> {
        Ok(match kind {
            request::Kind::Propose(entry) => {
                let (request, command) = codec::entry(entry)?;
                match self.propose_here(request, command).await {
                    Ok((reply, index)) => answer::Kind::Applied(proto::Applied {
                        reply: Some(codec::reply_message(&reply)),
                        index,
                    }),
                    Err(answer) => answer,
                }
            }
            request::Kind::Read(_) => self.current_here().await,
            request::Kind::Status(_) => match self.leads() {
                Ok(_) => answer::Kind::Status(self.status_message()),
                Err(answer) => answer,
            },
            request::Kind::Transfer(asked) => match self.leads() {
                Ok(_) => self.transfer_here(asked).await?,
                Err(answer) => answer,
            },
            request::Kind::Led(_) => {
                let led = self.hosting.led();
                let led = led.iter().map(|(partition, group)| (partition, group));
                answer::Kind::Groups(codec::groups_message(led))
            }
            request::Kind::AddLearner(asked) => {
                let partition = codec::partition(asked.partition)?;
                let added = self.hosting.add_learner(partition, NodeId(asked.node));
                outcome(added.await)
            }
            request::Kind::ChangeVoters(asked) => {
                let partition = codec::partition(asked.partition)?;
                let voters = codec::nodes(asked.voters);
                outcome(self.hosting.change_voters(partition, voters).await)
            }
            request::Kind::TransferLeader(asked) => {
                let partition = codec::partition(asked.partition)?;
                let transferred = self.hosting.transfer_leader(partition, NodeId(asked.to));
                outcome(transferred.await)
            }
        })
    }

    /// The term in which this node leads.
    pub(super) fn leads(&self) -> Result<u64, answer::Kind> {
        let seen = *self.group.leadership().borrow();
        if seen.is_leader {
            return Ok(seen.term);
        }
        let leader = seen.leader.filter(|leader| *leader != self.me.node);
        Err(not_leader(leader))
    }

    /// Proposes here and now. The reply, and the index of the entry.
    pub(super) async fn propose_here(
        &self,
        request: RequestId,
        command: Command,
    ) -> Result<(Reply, u64), answer::Kind> {
        let _place = self.proposals.acquire().await.map_err(not_now)?;
        let term = self.leads()?;
        if self.current().is_none() && !matches!(command, Command::Found { .. }) {
            return Err(not_now("the cluster has not been founded yet"));
        }
        let entry = codec::encode_entry(request, &self.judged(command));
        match self.group.propose(term, entry).await {
            Ok(position) => match self.copy.take_reply(position) {
                Some(reply) => Ok((reply, position.index)),
                None => Err(answer::Kind::Unknown("the reply was lost".to_owned())),
            },
            Err(ProposeError::NotLeader { leader }) => {
                let leader = leader.filter(|leader| *leader != self.me.node);
                Err(not_leader(leader))
            }
            Err(error @ (ProposeError::RetryHere | ProposeError::Stopped(_))) => {
                Err(not_now(error))
            }
            Err(error @ ProposeError::Unknown) => Err(answer::Kind::Unknown(error.to_string())),
        }
    }

    /// A node that joins under the name of one that is not heard of replaces it.
    fn judged(&self, command: Command) -> Command {
        match command {
            Command::Join(join) => match self.silent_namesake(&join) {
                Some(node) => Command::Replace { join, node },
                None => Command::Join(join),
            },
            command => command,
        }
    }

    fn silent_namesake(&self, join: &Join) -> Option<NodeId> {
        let catalog = self.current()?;
        let node = catalog.members.named(&join.name)?;
        let known = catalog.members.by_directory(join.directory).is_some();
        let contact = self.contacts().remove(&node);
        let silent = matches!(contact, Some(Contact::Down(since)) if since >= SILENCE);
        (!known && silent).then_some(node)
    }

    /// Up to where a copy has to be to have everything that was acknowledged so far.
    async fn current_here(&self) -> answer::Kind {
        if let Err(answer) = self.leads() {
            return answer;
        }
        match self.group.read_barrier().await {
            Ok(()) => answer::Kind::Current(proto::Current {
                index: *self.copy.applied().borrow(),
            }),
            Err(ReadError::NotLeader { leader }) => not_leader(leader),
            Err(error @ (ReadError::RetryHere | ReadError::Stopped(_))) => not_now(error),
        }
    }

    fn status_message(&self) -> proto::Status {
        let status = self.status();
        proto::Status {
            leader: status.leader.map(|node| node.0),
            term: status.term,
            voters: codec::ids(&status.voters),
            contacts: codec::contacts_message(&status.contacts),
            groups: codec::groups_message(&status.groups).groups,
        }
    }

    /// Has whoever leads a partition hand it over.
    async fn transfer_here(
        &self,
        asked: proto::TransferPartition,
    ) -> Result<answer::Kind, DecodeFault> {
        let partition = codec::partition(asked.partition)?;
        let leader = self.groups.lock().get(&partition).map(|group| group.leader);
        let Some(leader) = leader else {
            let reason = "nobody is known to lead it now";
            return Ok(answer::Kind::Failed(reason.to_owned()));
        };
        if leader.0 == asked.to {
            return Ok(answer::Kind::Done(proto::Nothing {}));
        }
        let kind = request::Kind::TransferLeader(asked);
        let asked = self.ask_node(leader, kind, CHANGE_PATIENCE).await;
        Ok(asked.unwrap_or_else(answer::Kind::Failed))
    }
}

fn not_leader(leader: Option<NodeId>) -> answer::Kind {
    let leader = leader.map(|leader| leader.0);
    answer::Kind::NotLeader(proto::NotLeader { leader })
}
